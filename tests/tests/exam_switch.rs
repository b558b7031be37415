//! Two simulated hearts, one exam after the other: the second one's estimates are those it has alone.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod played;

use echocart_capture::{OpenOptions, open};
use echocart_core::config::CartConfig;
use echocart_core::events::{Estimate, Event, Raw};
use echocart_core::frame::{ExamToken, FrameMeta};
use echocart_core::package::Package;
use echocart_tests::fetched;
use played::play;

const FPS: i64 = 24;
const A: ExamToken = ExamToken([0xA; 16]);
const B: ExamToken = ExamToken([0xB; 16]);

type Frames = Vec<(FrameMeta, Vec<u8>)>;

/// A simulated heart's frames, stamped as one exam's.
fn heart(seed: u32, ef: u32, exam: ExamToken) -> Frames {
    let source = format!("phantom:view=A4C,ef={ef},seed={seed},fps={FPS},seconds=5,size=320x240");
    let mut source = open(&source, &OpenOptions::default()).unwrap();
    let (mut frames, mut pixels) = (Frames::new(), Vec::new());
    while let Some(mut meta) = source.next(&mut pixels).unwrap() {
        meta.host.exam = exam;
        frames.push((meta, pixels.clone()));
    }
    frames
}

/// The estimates of the frames one after the other, as one stream.
fn estimates(package: &Package, frames: &[(FrameMeta, Vec<u8>)]) -> Vec<Estimate> {
    let frames = (0i64..).zip(frames).map(|(at, (meta, pixels))| {
        let capture_nanos = at * 1_000_000_000 / FPS;
        let meta = FrameMeta {
            capture_nanos,
            ..*meta
        };
        (meta, pixels.clone())
    });
    let estimate = |event| match event {
        Event::Estimate(estimate) => Some(*estimate),
        _ => None,
    };
    play(package, frames)
        .into_iter()
        .filter_map(estimate)
        .collect()
}

/// What the heads gave for the clips of an exam.
fn raw(estimates: &[Estimate], exam: ExamToken) -> Vec<Raw> {
    let of = |estimate: &&Estimate| {
        let parts = &estimate.view.evidence.segments;
        !parts.is_empty() && parts.iter().all(|part| part.exam.token == exam)
    };
    let of_exam = estimates.iter().filter(of);
    of_exam
        .filter_map(|estimate| estimate.raw.clone())
        .collect()
}

#[test]
fn a_heart_that_fails_after_a_healthy_one_is_judged_as_if_it_had_been_alone() {
    let package = fetched("packages/demo").unwrap();
    let package = Package::open(&package, &CartConfig::demo().unwrap().package).unwrap();
    let (healthy, failing) = (heart(3, 65, A), heart(4, 25, B));
    let alone = raw(&estimates(&package, &failing), B);
    assert!(alone.len() > 8, "{}", alone.len());
    for switch in [1, 7, 24, 46, 47, 48, 71, healthy.len()] {
        let both: Frames = [&healthy[..switch], &failing[..]].concat();
        let found = estimates(&package, &both);
        for estimate in &found {
            let outputs = [&estimate.view.evidence, &estimate.lvef.evidence];
            let parts = outputs.iter().flat_map(|evidence| &evidence.segments);
            let mut tokens: Vec<_> = parts.map(|part| part.exam.token.0).collect();
            tokens.dedup();
            assert!(tokens.len() <= 1, "an estimate of two exams after {switch}");
        }
        assert_eq!(raw(&found, B), alone, "switched after {switch} frames");
    }
}
