//! Mapping a device's stamps: properties over any stamps, and the cases that wedge others.

use echocart_capture::{DeviceClock, Stamped};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const STEP: i64 = SECOND / 60;

/// True times, what the device says about them, and when the frames arrive.
struct Frames {
    drift_ppm: i64,
    jitter_nanos: i64,
    origin_nanos: i64,
}

impl Frames {
    fn device(&self, index: i64) -> i64 {
        let at = index * STEP;
        self.origin_nanos + at + at / 1_000_000 * self.drift_ppm
    }

    fn arrival(&self, index: i64) -> i64 {
        index * STEP + 5_000_000 + mixed(index).rem_euclid(self.jitter_nanos + 1)
    }
}

/// Noise without a period: a product alone, taken modulo the jitter, steps in a line for some
/// jitters and then hardly ever comes near zero.
fn mixed(index: i64) -> i64 {
    let once = (index + 1).wrapping_mul(-0x61c8_8646_80b5_83eb);
    let twice = (once ^ ((once >> 30) & 0x3_ffff_ffff)).wrapping_mul(-0x40a7_b892_e31b_1a47);
    let thrice = (twice ^ ((twice >> 27) & 0x1f_ffff_ffff)).wrapping_mul(-0x6b2f_b644_ecce_ee15);
    thrice ^ ((thrice >> 31) & 0x1_ffff_ffff)
}

const PLAIN: Frames = Frames {
    drift_ppm: 0,
    jitter_nanos: 0,
    origin_nanos: 77 * SECOND,
};

fn accepted(stamped: Stamped) -> i64 {
    assert!(matches!(stamped, Stamped::Device { .. }), "{stamped:?}");
    stamped.capture_nanos().unwrap_or_default()
}

#[test]
fn exact_stamps_give_exact_steps() {
    let mut clock = DeviceClock::default();
    for index in 0..600 {
        let stamped = clock.map(Some(PLAIN.device(index)), PLAIN.arrival(index));
        assert_eq!(accepted(stamped), PLAIN.arrival(index));
    }
    assert_eq!((clock.quarantined(), clock.reanchored()), (0, 0));
}

#[test]
fn one_stamp_in_the_far_future_costs_one_frame() {
    let mut clock = DeviceClock::default();
    for index in 0..300 {
        let wrong = if index == 100 {
            365 * 86_400 * SECOND
        } else {
            0
        };
        let stamped = clock.map(Some(PLAIN.device(index) + wrong), PLAIN.arrival(index));
        assert_eq!(stamped == Stamped::Quarantined, index == 100, "{index}");
    }
    assert_eq!((clock.quarantined(), clock.reanchored()), (1, 0));
}

#[test]
fn a_first_stamp_in_the_far_future_does_not_wedge_the_stream() {
    let mut clock = DeviceClock::default();
    clock.map(Some(i64::MAX), 0);
    let verdicts: Vec<Stamped> = (1..60)
        .map(|index| clock.map(Some(PLAIN.device(index)), PLAIN.arrival(index)))
        .collect();
    let back = verdicts
        .iter()
        .position(|v| matches!(v, Stamped::Reanchored { .. }));
    assert!(back.is_some_and(|frames| frames <= 13), "{back:?}");
    assert!(
        verdicts
            .iter()
            .skip(13)
            .all(|v| v.capture_nanos().is_some())
    );
}

#[test]
fn a_clock_that_jumps_either_way_is_anchored_anew_within_a_quarter_of_a_second() {
    for jump in [-3600 * SECOND, -SECOND / 2, SECOND / 2, 3600 * SECOND] {
        let mut clock = DeviceClock::default();
        let mut without = 0;
        for index in 0..600 {
            let jumped = if index >= 300 { jump } else { 0 };
            let stamped = clock.map(Some(PLAIN.device(index) + jumped), PLAIN.arrival(index));
            without += i32::from(stamped == Stamped::Quarantined);
            if index > 320 {
                let error = accepted(stamped) - PLAIN.arrival(index);
                assert_eq!(error, 0, "{jump}");
            }
        }
        assert!(without <= 15, "{jump}: {without}");
        assert_eq!(clock.reanchored(), 1, "{jump}");
    }
}

#[test]
fn frames_after_a_stall_keep_their_own_times() {
    let mut clock = DeviceClock::default();
    for index in 0..600 {
        let stalled = (300..360).contains(&index);
        let arrival = if stalled {
            PLAIN.arrival(360) - 60_000 + index * 100
        } else {
            PLAIN.arrival(index)
        };
        let capture = accepted(clock.map(Some(PLAIN.device(index)), arrival));
        assert_eq!(capture, PLAIN.arrival(index), "{index}");
    }
}

#[test]
fn a_device_without_usable_stamps_is_timed_by_its_arrivals() {
    for stamp in [None, Some(0)] {
        let mut clock = DeviceClock::default();
        let with_time = (0..600).filter(|&index| {
            let stamped = clock.map(stamp, PLAIN.arrival(index));
            stamped.capture_nanos() == Some(PLAIN.arrival(index))
        });
        assert!(with_time.count() > 530, "{stamp:?}");
    }
}

#[test]
fn stamps_that_recover_are_used_again_after_arrivals_stood_in() {
    let mut clock = DeviceClock::default();
    for index in 0..600 {
        let stamp = if (100..300).contains(&index) {
            5
        } else {
            PLAIN.device(index)
        };
        let stamped = clock.map(Some(stamp), PLAIN.arrival(index));
        if index > 330 {
            accepted(stamped);
        }
    }
}

#[test]
fn a_restarted_clock_takes_the_next_stamp_whatever_it_is() {
    let mut clock = DeviceClock::default();
    clock.map(Some(50), 100);
    clock.restart();
    let stamped = clock.map(Some(-SECOND), 200);
    assert_eq!(stamped, Stamped::Reanchored { capture_nanos: 200 });
}

proptest! {
    #[test]
    fn drift_is_followed_and_jitter_is_taken_out(
        drift_ppm in -300_i64..=300,
        jitter_nanos in 0_i64..16_000_000,
        origin_nanos in -(1_i64 << 60)..(1 << 60),
    ) {
        let frames = Frames { drift_ppm, jitter_nanos, origin_nanos };
        let mut clock = DeviceClock::default();
        for index in 0..3600 {
            let stamped = clock.map(Some(frames.device(index)), frames.arrival(index));
            prop_assert!(matches!(stamped, Stamped::Device { .. }), "{} {:?}", index, stamped);
            let error = stamped.capture_nanos().unwrap_or_default() - index * STEP - 5_000_000;
            // Four seconds of drift and the luck of the fastest frame in two.
            let bound = 4_000 * drift_ppm.abs() + jitter_nanos / 10 + 100_000;
            prop_assert!(index < 300 || error.abs() <= bound, "{} {} {}", index, error, bound);
        }
    }

    #[test]
    fn no_sequence_of_stamps_stops_the_stream(
        stamps in proptest::collection::vec(
            prop_oneof![
                Just(None),
                any::<i64>().prop_map(Some),
                (-4 * SECOND..4 * SECOND).prop_map(Some),
                Just(Some(i64::MAX)),
                Just(Some(i64::MIN)),
                Just(Some(0)),
            ],
            1..200,
        ),
        relative in any::<bool>(),
    ) {
        let mut clock = DeviceClock::default();
        let mut newest = i64::MIN;
        let mut newest_arrival = 0;
        for (index, stamp) in (0_i64..).zip(&stamps) {
            let arrival = index * STEP;
            let stamp = stamp.map(|s| if relative { s.saturating_add(arrival) } else { s });
            let stamped = clock.map(stamp, arrival);
            if let Some(capture) = stamped.capture_nanos() {
                prop_assert!(capture > newest && capture <= arrival, "{} {:?}", index, stamped);
                newest = capture;
                newest_arrival = arrival;
            }
            let silent = arrival - newest_arrival;
            prop_assert!(silent <= SECOND + STEP, "silent for {silent} ns at frame {index}");
        }
        for index in 200_i64..300 {
            let stamped = clock.map(Some(index * STEP + 7 * SECOND), index * STEP);
            prop_assert!(index < 280 || matches!(stamped, Stamped::Device { .. }), "{stamped:?}");
        }
    }

    #[test]
    fn arrivals_that_do_not_rise_are_quarantined(arrival in 0_i64..SECOND, back in 0_i64..SECOND) {
        let mut clock = DeviceClock::default();
        clock.map(Some(5), arrival);
        prop_assert_eq!(clock.map(Some(6), arrival - back), Stamped::Quarantined);
        let next = clock.map(Some(7), arrival + 1);
        prop_assert!(matches!(next, Stamped::Device { .. }), "{:?}", next);
    }
}
