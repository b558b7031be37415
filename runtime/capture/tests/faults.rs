//! The fault injector over a phantom and over a live source.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test helpers")]

mod cines;

use std::time::Duration;

use cines::{Cine, folder};
use echocart_capture::{
    Arrival, Delivery, DeviceClock, FaultSource, OpenOptions, Polled, Script, Source, SourceError,
    SourceInfo, Stamps, open,
};
use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::{FrameMeta, HostMeta, PixelFormat};
use proptest::prelude::*;

const PHANTOM: &str = "phantom:skin=bare,ecg=off,fps=50,seconds=2,size=64x48,seed=3";
const STEP: i64 = 20_000_000;
const MILLI: i64 = 1_000_000;

fn opened(script: &str) -> Result<Box<dyn Source>, SourceError> {
    open(
        &format!("fault:{script}|{PHANTOM}"),
        &OpenOptions::default(),
    )
}

/// Everything a source says, with the pictures.
fn all(source: &mut dyn Source) -> Vec<(Polled, Vec<u8>)> {
    let mut all = Vec::new();
    let mut pixels = FrameBuffer::default();
    loop {
        match source.poll(&mut pixels, Duration::ZERO).unwrap() {
            Polled::Ended => return all,
            other => all.push((other, pixels.to_vec())),
        }
    }
}

fn arrivals(script: &str) -> Vec<(Arrival, Vec<u8>)> {
    let frame = |(polled, pixels)| match polled {
        Polled::Frame(arrival) => Some((arrival, pixels)),
        _ => None,
    };
    let mut source = opened(script).unwrap();
    all(&mut *source).into_iter().filter_map(frame).collect()
}

/// The frames that came, by their place in the source.
fn order(script: &str) -> Vec<i64> {
    let place = |(a, _): &(Arrival, _)| a.device_nanos.unwrap() / STEP;
    arrivals(script).iter().map(place).collect()
}

fn pictures(script: &str) -> Vec<Vec<u8>> {
    arrivals(script)
        .into_iter()
        .map(|(_, pixels)| pixels)
        .collect()
}

#[test]
fn without_faults_everything_comes_as_it_was() {
    let mut source = opened("").unwrap();
    assert_eq!(source.describe().stamps, Stamps::Device);
    let clean = open(PHANTOM, &OpenOptions::default());
    assert_eq!(all(&mut *source), all(&mut *clean.unwrap()));
    assert_eq!(order(""), (0..100).collect::<Vec<_>>());
}

#[test]
fn lost_frames_are_missing_and_the_others_are_not() {
    assert_eq!(order("0.1s lose; 1s..1.1s lose").len(), 94);
    assert!(!order("0.1s lose").contains(&5));
    assert!(order("0s.. lose").is_empty());
}

#[test]
fn a_late_frame_is_overtaken_and_carries_its_own_stamp() {
    let frames = arrivals("0.1s late 50ms");
    let at = frames
        .iter()
        .position(|(a, _)| a.device_nanos == Some(5 * STEP));
    let (late, _) = &frames[at.unwrap()];
    assert_eq!(at, Some(7));
    assert_eq!(late.arrival_nanos, 5 * STEP + 50 * MILLI);
    assert_eq!(late.meta.capture_nanos, late.arrival_nanos);
    let at_the_end = order("1.98s late 1h");
    assert_eq!(at_the_end.last(), Some(&99));
}

#[test]
fn duplicates_come_twice_and_reordered_frames_after_the_next() {
    let twice = arrivals("0.1s duplicate");
    assert_eq!(twice.len(), 101);
    assert_eq!(twice[5].0.device_nanos, twice[6].0.device_nanos);
    assert_eq!(twice[5].1, twice[6].1);
    assert_eq!(order("0.1s reorder 2")[4..9], [4, 6, 7, 5, 8]);
    assert_eq!(order("1.98s reorder 9").last(), Some(&99));
}

#[test]
fn pictures_are_spoiled_only_where_the_script_says_so() {
    let clean = pictures("");
    let corrupt = pictures("1s corrupt");
    let differs = |(a, b): (&Vec<u8>, &Vec<u8>)| a != b;
    let changed: Vec<bool> = clean.iter().zip(&corrupt).map(differs).collect();
    assert_eq!(changed.iter().position(|&c| c), Some(50));
    assert_eq!(changed.iter().filter(|&&c| c).count(), 1);

    let frozen = pictures("0.5s..0.6s freeze");
    assert!((25..30).all(|at| frozen[at] == clean[25]));
    assert_eq!(frozen[30], clean[30]);

    let resized = arrivals("1s resize 10x7");
    let (small, pixels) = &resized[50];
    assert_eq!((small.meta.width_px, small.meta.height_px), (10, 7));
    assert_eq!(pixels.len(), 70);
    assert_eq!(resized[51].0.meta.width_px, 64);
}

#[test]
fn stamps_jumps_and_drift_change_the_stamps_alone() {
    let stamps = |script: &str| -> Vec<i64> {
        let stamp = |(index, (a, _)): (usize, &(Arrival, _))| {
            assert_eq!(a.arrival_nanos, index as i64 * STEP);
            a.device_nanos.unwrap() - index as i64 * STEP
        };
        arrivals(script).iter().enumerate().map(stamp).collect()
    };
    let one = stamps("1s stamp +1h");
    assert_eq!((one[49], one[50], one[51]), (0, 3_600_000 * MILLI, 0));
    let jumped = stamps("1s jump -5s");
    assert_eq!(
        (jumped[49], jumped[50], jumped[99]),
        (0, -5000 * MILLI, -5000 * MILLI)
    );
    let there_and_back = stamps("1s..1.5s jump 5s");
    assert_eq!((there_and_back[74], there_and_back[75]), (5000 * MILLI, 0));
    assert_eq!(stamps("1s.. drift 1000")[75], MILLI / 2);
}

#[test]
fn a_device_that_is_away_at_the_end_is_told_to_be_back_before_it() {
    let mut source = opened("1s disconnect 1h").unwrap();
    for _ in 0..2 {
        let told = all(&mut *source);
        let lost = told
            .iter()
            .position(|(p, _)| matches!(p, Polled::Lost { .. }));
        assert_eq!(lost, Some(50));
        let rest: Vec<&Polled> = told[51..].iter().map(|(polled, _)| polled).collect();
        let away_nanos = 49 * STEP;
        assert_eq!(rest, [&Polled::Back { away_nanos }]);
        source.rewind().unwrap();
    }
}

#[test]
fn a_disconnection_is_told_and_its_frames_are_gone() {
    let mut source = opened("1s disconnect 200ms").unwrap();
    let said: Vec<Polled> = all(&mut *source)
        .into_iter()
        .map(|(polled, _)| polled)
        .collect();
    let lost = said.iter().position(|p| matches!(p, Polled::Lost { .. }));
    assert_eq!(lost, Some(50));
    let away_nanos = 200 * MILLI;
    assert_eq!(said[51], Polled::Back { away_nanos });
    assert_eq!(said.len(), 92);
}

#[test]
fn a_lower_rate_thins_the_frames_evenly() {
    let half = order("0s.. rate 25");
    assert_eq!(half, (0..100).step_by(2).collect::<Vec<_>>());
    assert_eq!(order("1s..1.5s rate 10").len(), 75 + 5);
}

#[test]
fn a_location_without_a_script_or_with_two_is_refused_in_one_line() {
    for (location, expected) in [
        ("fault:1s lose", "found no |"),
        ("fault:|fault:|x.dcm", "found a second fault:"),
        ("fault:1s melt|x.dcm", "statement 1: expected lose"),
        ("fault:@/nowhere/script|x.dcm", "cannot read the source"),
        ("fault:|/nowhere/x.dcm", "cannot read the source"),
    ] {
        let refused = open(location, &OpenOptions::default());
        let message = refused.err().unwrap().to_string();
        assert!(
            message.contains(expected) && !message.contains('\n'),
            "{message}"
        );
    }
}

#[test]
fn a_script_may_be_in_a_file_and_any_source_behind_it() {
    let folder = folder();
    let cine = Cine::new().write(folder.path());
    let script = folder.path().join("faults.txt");
    std::fs::write(&script, "# the second frame\n20ms lose\n").unwrap();
    let location = format!("fault:@{}|{}", script.display(), cine.display());
    let mut source = open(&location, &OpenOptions::default()).unwrap();
    assert_eq!(all(&mut *source).len(), 1);
}

/// A hundred small pictures that cost nothing.
struct Ramp(u32);

impl Source for Ramp {
    fn describe(&self) -> SourceInfo {
        SourceInfo {
            name: "ramp".to_owned(),
            kind: "phantom",
            delivery: Delivery::OnDemand,
            stamps: Stamps::Exact,
            width_px: 16,
            height_px: 12,
            format: PixelFormat::Gray8,
            frames: Some(100),
            nominal_period_nanos: STEP,
            timing: "made up".to_owned(),
        }
    }

    fn poll(&mut self, pixels: &mut FrameBuffer, _: Duration) -> Result<Polled, SourceError> {
        if self.0 == 100 {
            return Ok(Polled::Ended);
        }
        let capture_nanos = i64::from(self.0) * STEP;
        *pixels.refill() = vec![self.0 as u8; 16 * 12];
        self.0 += 1;
        Ok(Polled::Frame(Arrival::exact(FrameMeta {
            width_px: 16,
            height_px: 12,
            format: PixelFormat::Gray8,
            capture_nanos,
            pass: 0,
            host: HostMeta::default(),
        })))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.0 = 0;
        Ok(())
    }
}

const FAULTS: [&str; 13] = [
    "0.2s..0.9s lose 30%",
    "0.2s..1.4s late 70ms 20%",
    "0.2s..0.9s duplicate 30%",
    "0.4s..0.9s reorder 3 20%",
    "0.2s..0.5s corrupt 50%",
    "0.6s..0.9s resize 20x11 50%",
    "0.5s..0.9s freeze",
    "0.1s..0.9s stamp +1h 10%",
    "0.7s jump -5s",
    "0s.. drift 300",
    "0s..1.3s jitter 15ms",
    "0.5s disconnect 100ms",
    "0.3s..1.1s rate 30",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_script_is_repeatable_accounted_for_and_leaves_a_stream_that_can_be_timed(
        seed in any::<u64>(),
        chosen in proptest::collection::vec(any::<bool>(), FAULTS.len()),
    ) {
        let statements = FAULTS.iter().zip(&chosen).filter(|(_, on)| **on);
        let text: Vec<&str> = statements.map(|(fault, _)| *fault).collect();
        let script = format!("seed {seed}; {}", text.join("; "));
        let mut source = FaultSource::new(Box::new(Ramp(0)), Script::parse(&script).unwrap());
        let first = all(&mut source);
        source.rewind().unwrap();
        prop_assert!(all(&mut source) == first, "another second pass: {}", script);

        let mut clock = DeviceClock::default();
        let mut newest = (i64::MIN, i64::MIN);
        let mut tail = Vec::new();
        for (polled, pixels) in &first {
            match polled {
                Polled::Frame(arrival) => {
                    prop_assert_eq!(pixels.len(), arrival.meta.frame_bytes());
                    prop_assert!(arrival.arrival_nanos > newest.0);
                    newest.0 = arrival.arrival_nanos;
                    let stamped = clock.map(arrival.device_nanos, arrival.arrival_nanos);
                    if let Some(capture) = stamped.capture_nanos() {
                        prop_assert!(capture > newest.1 && capture <= arrival.arrival_nanos);
                        newest.1 = capture;
                    }
                    if arrival.arrival_nanos > 1_800 * MILLI {
                        tail.push(stamped.capture_nanos().is_some());
                    }
                }
                Polled::Back { .. } => clock.restart(),
                _ => {}
            }
        }
        prop_assert!(!tail.is_empty() && tail.iter().all(|&timed| timed), "{}", script);
    }
}
