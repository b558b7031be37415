//! The figures of the start-up self-test.

use echocart_capture::{Arrival, SelfTest};
use echocart_core::frame::{FrameMeta, HostMeta, PixelFormat};

const STEP: i64 = 20_000_000;

fn arrival(stamp_nanos: i64, arrival_nanos: i64) -> Arrival {
    Arrival {
        device_nanos: Some(stamp_nanos),
        arrival_nanos,
        ..Arrival::exact(FrameMeta {
            width_px: 1,
            height_px: 1,
            format: PixelFormat::Gray8,
            capture_nanos: arrival_nanos,
            pass: 0,
            host: HostMeta::default(),
        })
    }
}

#[test]
fn rate_losses_repeats_and_jitter_are_counted() {
    let mut test = SelfTest::default();
    for index in 0..101_i64 {
        if (40..43).contains(&index) {
            continue;
        }
        let late = if index % 10 == 9 { 4_000_000 } else { 0 };
        let picture = if index == 60 { 59 } else { index };
        let now = index * STEP;
        test.frame(&arrival(now + 7_000_000_000, now + late), &[picture as u8]);
    }
    let report = test.report().unwrap();
    assert_eq!((report.frames, report.span_nanos), (98, 100 * STEP));
    assert_eq!((report.lost, report.repeated, report.backward), (3, 1, 0));
    assert_eq!((report.rate_hz, report.nominal_hz), (48.5, 50.0));
    assert_eq!(report.jitter_p99_nanos, 4_000_000);
    assert_eq!(
        report.to_string(),
        "48.50 frames/s over 2.0 s (50.00 by the usual step), 3 lost, 1 repeated, 0 stamps back, \
         delay jitter 4.0 ms (p99)"
    );
}

#[test]
fn without_stamps_the_arrivals_are_measured_and_what_the_source_missed_counts() {
    let mut test = SelfTest::default();
    for index in 0..50 {
        let arrival = Arrival {
            device_nanos: None,
            missed: u64::from(index == 20) * 4,
            ..arrival(0, i64::from(index) * STEP)
        };
        test.frame(&arrival, &[index as u8]);
    }
    let report = test.report().unwrap();
    assert!(!report.stamped);
    assert_eq!((report.lost, report.repeated), (4, 0));
    assert!(report.to_string().ends_with("no device time stamps"));
}

#[test]
fn two_frames_and_hostile_stamps_are_no_reason_to_fail() {
    let mut test = SelfTest::default();
    test.frame(&arrival(0, 0), &[1]);
    test.frame(&arrival(0, 1), &[1]);
    assert_eq!(test.report(), None);
    for (index, stamp) in [i64::MAX, i64::MIN, 0, i64::MAX].into_iter().enumerate() {
        test.frame(&arrival(stamp, 2 + index as i64), &[index as u8]);
    }
    let report = test.report().unwrap();
    assert_eq!((report.backward, report.repeated), (1, 1));
}
