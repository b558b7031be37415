//! Two simulated hearts, one exam after the other: the second one's estimates are those it has alone, through
//! Rust and through C, wherever in the pipeline the first one's frames are.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod native;
mod played;

use echocart_capture::{OpenOptions, open};
use echocart_core::config::CartConfig;
use echocart_core::events::{Estimate, Event, Raw};
use echocart_core::frame::{ExamToken, FrameMeta, PixelFormat};
use echocart_core::package::Package;
use echocart_tests::fetched;
use native::{compile, runtime_library, sanitized_run, succeed};
use played::play;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const FPS: i64 = 24;
const A: ExamToken = ExamToken([0xA; 16]);
const B: ExamToken = ExamToken([0xB; 16]);

type Frames = Vec<(FrameMeta, Vec<u8>)>;

/// A simulated heart's frames, stamped as one exam's.
fn heart(seed: u32, ef: u32, seconds: u32, exam: ExamToken) -> Frames {
    let source =
        format!("phantom:view=A4C,ef={ef},seed={seed},fps={FPS},seconds={seconds},size=320x240");
    let mut source = open(&source, &OpenOptions::default()).unwrap();
    let (mut frames, mut pixels) = (Frames::new(), Vec::new());
    while let Some(mut meta) = source.next(&mut pixels).unwrap() {
        assert_eq!(meta.format, PixelFormat::Rgb24);
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
    let (healthy, failing) = (heart(3, 65, 5, A), heart(4, 25, 5, B));
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

/// What a clip's heads gave, by its first and last frame.
type Clips = BTreeMap<(usize, usize), String>;

/// `tests/c/exam_switch.c`, and the two hearts as the files that it reads.
struct Switch {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Switch {
    fn new(sanitized: bool, seconds_of_b: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = compile(folder.path(), "tests/c/exam_switch.c", sanitized);
        let write = |name: &str, frames: Frames| {
            let pixels: Vec<u8> = frames.into_iter().flat_map(|(_, pixels)| pixels).collect();
            fs::write(folder.path().join(name), pixels).unwrap();
        };
        write("healthy", heart(3, 65, 5, A));
        write("failing", heart(4, 25, seconds_of_b, B));
        Self { program, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What B's clips gave, by their first and last frame.
    fn run(&self, stage: &[&str], start: fn(&Path) -> Command) -> Clips {
        self.run_with("failing", stage, start)
    }

    fn run_with(&self, b: &str, stage: &[&str], start: fn(&Path) -> Command) -> Clips {
        let mut command = start(&self.program);
        command
            .arg(fetched("packages/demo").unwrap())
            .arg(runtime_library())
            .arg(self.file("healthy"))
            .arg(self.file(b))
            .args(stage);
        let output = succeed(&mut command);
        let mut clips = Clips::new();
        for line in output.lines() {
            let mut words = line.splitn(3, ' ');
            let mut number = || words.next().unwrap().parse::<usize>().unwrap();
            let clip = (number(), number());
            clips.insert(clip, words.next().unwrap().to_owned());
        }
        clips
    }

    /// What a clip gives whose first frame is the first one of all.
    fn alone(&self, (first, last): (usize, usize)) -> String {
        const FRAME_BYTES: usize = 320 * 240 * 3;
        let whole = fs::read(self.file("failing")).unwrap();
        // Two stages at once may ask for the same clip.
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        let name = format!("from-{first}-{last}-{asked}");
        fs::write(self.file(&name), &whole[first * FRAME_BYTES..]).unwrap();
        let clips = self.run_with(&name, &["max", "0"], sanitized_run);
        let found = clips.get(&(0, last - first)).cloned();
        found.unwrap_or_else(|| panic!("no clip as {first} to {last}: {:?}", clips.keys()))
    }
}

fn plainly(program: &Path) -> Command {
    Command::new(program)
}

#[test]
fn through_c_too_a_heart_is_judged_as_if_it_had_been_alone() {
    let switch = Switch::new(false, 5);
    let alone = switch.run(&["max", "0"], plainly);
    assert!(alone.len() > 8, "{}", alone.len());
    for frames in [1, 7, 24, 46, 47, 48, 71, 120] {
        let found = switch.run(&["max", &frames.to_string()], plainly);
        assert_eq!(found, alone, "switched after {frames} frames");
    }
}

#[test]
fn a_live_exam_begins_at_any_stage_of_the_one_before_it_and_has_nothing_of_it() {
    let switch = Switch::new(true, 8);
    let alone = switch.run(&["max", "0"], sanitized_run);
    assert_eq!(switch.alone((48, 93)), alone[&(48, 93)]);
    let stages = [
        "ring",
        "window",
        "inference",
        "waiting",
        "unpolled",
        "callback",
    ];
    // A live clip's EF may be left out to save time, so its numbers are the first ones of those.
    let check = |stage: &str| {
        let found = switch.run(&[stage], sanitized_run);
        assert!(!found.is_empty(), "{stage}");
        for (clip, raw) in &found {
            // A worker that was stopped for too long is another one by then, and clips begin anew.
            let expected = alone.get(clip).cloned();
            let expected = expected.unwrap_or_else(|| switch.alone(*clip));
            assert!(
                expected.starts_with(raw.as_str()),
                "{stage}, clip {clip:?}: expected {expected}, found {raw}"
            );
        }
    };
    for two in stages.chunks(2) {
        thread::scope(|scope| {
            for stage in two {
                scope.spawn(|| check(stage));
            }
        });
    }
}
