//! A live session whose worker is killed under it, again and again.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use echocart_core::clock::{Pace, now_nanos};
use echocart_core::config::{CartConfig, PackageConfig};
use echocart_core::engine::{Engine, EngineWatch, Standing};
use echocart_core::events::{Event, Reason, StateKind};
use echocart_core::frame::{ExamToken, FrameMeta, PixelFormat};
use echocart_core::kept::Kept;
use echocart_core::package::Package;
use echocart_core::ring::FrameProducer;
use echocart_core::session::{Session, SessionSetup};
use echocart_infer::default_library_path;
use echocart_infer::worker::{BackoffRules, Waits, WorkerEngine, WorkerSetup};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn setup(proofs: &Path) -> WorkerSetup {
    let engine = CartConfig::demo().unwrap().engine;
    WorkerSetup {
        library: Some(default_library_path(&root())),
        proofs: Some(proofs.to_owned()),
        backoff: BackoffRules {
            waits: Waits::Skipped,
            ..BackoffRules::default()
        },
        ..WorkerSetup::new(env!("CARGO_BIN_EXE_echocart-worker"), engine, root())
    }
}

/// Children of this process.
fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap();
    let names = entries.filter_map(|e| e.unwrap().file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse().ok());
    pids.filter(|pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1) == Some(own.as_str())
    })
    .collect()
}

/// Descriptors of memory shared with a worker.
fn memories() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().filter(|fd| {
        let target = std::fs::read_link(fd.as_ref().unwrap().path());
        let target = target.map(|t| t.to_string_lossy().into_owned());
        target.is_ok_and(|t| t.contains("memfd:echocart"))
    });
    fds.count()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

struct Live {
    producer: FrameProducer,
    events: Vec<Event>,
    receiver: crossbeam_channel::Receiver<Event>,
    picture: u64,
    exam: u8,
}

impl Live {
    /// Pushes a frame, takes the events so far, and gives the place of the first new one.
    fn step(&mut self) -> usize {
        let mut meta = FrameMeta {
            width_px: 64,
            height_px: 64,
            format: PixelFormat::Gray8,
            capture_nanos: now_nanos(),
            pass: 0,
            host: Default::default(),
        };
        meta.host.exam = ExamToken([self.exam; 16]);
        self.picture += 1;
        let picture = self.picture;
        let shade = move |at: u64| ((at ^ picture).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
        let fill = |pixels: &mut Vec<u8>| {
            pixels.clear();
            pixels.extend((0..64 * 64).map(shade));
        };
        self.producer.push(meta, fill).unwrap();
        let from = self.events.len();
        self.events.extend(self.receiver.try_iter());
        std::thread::sleep(Duration::from_millis(10));
        from
    }

    /// Steps until an event is as wanted; everything before it and it alone is looked at once.
    fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) {
        let begin = Instant::now();
        loop {
            let from = self.step();
            if self.events[from..].iter().any(&wanted) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "never: {what}");
        }
    }
}

fn is_state(event: &Event, kind: StateKind) -> bool {
    matches!(event, Event::State(s) if s.state == kind)
}

fn is_inferred(event: &Event) -> bool {
    matches!(event, Event::Estimate(e) if e.raw.is_some())
}

fn is_down(event: &Event) -> bool {
    matches!(event, Event::Estimate(e) if e.view.reason == Some(Reason::EngineDown))
}

/// Kills the worker `count` times; a new exam begins after every second kill.
fn kills(count: u32) {
    let dir = root().join(".echocart/packages/generated");
    if !dir.is_dir() {
        println!("skipped: run `cargo xtask test` first (.echocart/packages/generated)");
        return;
    }
    let package = Package::open(&dir, &PackageConfig::ANY).unwrap();
    let before = (threads(), memories());
    let proofs = tempfile::tempdir().unwrap();
    let engine = WorkerEngine::start(setup(proofs.path()), &package).unwrap();
    let watch: Arc<dyn EngineWatch> = engine.watch().unwrap();
    let (session, producer, receiver) = Session::start(SessionSetup {
        package: package.name(),
        signed: package.signed,
        manifest: package.manifest.clone(),
        config: CartConfig::demo().unwrap(),
        engine: Box::new(engine),
        pace: Pace::Real,
        kept: Kept::AsAllowed,
        guide: None,
    })
    .unwrap();
    let mut live = Live {
        producer,
        events: Vec::new(),
        receiver,
        picture: 0,
        exam: 1,
    };
    live.until("a first number", is_inferred);
    let (mut told, mut back) = (Vec::new(), Vec::new());
    for kill in 0..count {
        let [worker] = children()[..] else {
            panic!("expected one worker, found {:?}", children());
        };
        let number = watch.number();
        let begin = Instant::now();
        let pid = Pid::from_raw(i32::try_from(worker).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        live.until("ENGINE_DOWN", is_down);
        told.push(begin.elapsed());
        if kill % 2 == 1 {
            live.exam = live.exam.wrapping_add(1);
        }
        while !matches!(watch.standing(), Standing::Serving(_)) || watch.number() == number {
            live.step();
            assert!(begin.elapsed() < Duration::from_secs(120), "never back");
        }
        back.push(begin.elapsed());
        if kill % 8 == 7 {
            live.until("a number of the new worker", is_inferred);
        }
    }
    live.until("a last number", is_inferred);
    let observer = session.observer();
    let summary = session.stop();
    live.events.extend(live.receiver.try_iter());
    let c = &summary.counters;
    let rejected: u64 = c.rejected.values().sum();
    let ended = c.used + c.unused + c.dropped_ring_full + rejected + c.in_flight;
    assert_eq!(c.captured, ended, "{c:?}");
    let states = |kind| live.events.iter().filter(|e| is_state(e, kind)).count();
    let (down, ready) = (
        states(StateKind::EngineDown),
        states(StateKind::EngineReady),
    );
    for event in &live.events {
        if let Event::Estimate(e) = event {
            let segments = e
                .view
                .evidence
                .segments
                .iter()
                .chain(&e.lvef.evidence.segments);
            let exams: Vec<u64> = segments.map(|s| s.exam.number).collect();
            assert!(exams.windows(2).all(|w| w[0] == w[1]), "two exams: {e:?}");
        }
    }
    println!(
        "ladder at the end: {}; {} frames, all accounted for",
        observer.level(),
        c.captured
    );
    drop((live, observer));
    let begin = Instant::now();
    while (threads(), memories()) != before || !children().is_empty() {
        let left = (threads(), memories(), children());
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "left: {left:?}, before {before:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    for times in [&mut told, &mut back] {
        times.sort();
    }
    let of = |times: &[Duration], share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{count} kills: {down} times ENGINE_DOWN, {ready} times ENGINE_READY; ENGINE_DOWN after {:?} \
         (median), {:?} (longest); back after {:?} (median), {:?} (longest); nothing left behind",
        of(&told, 0.5),
        of(&told, 1.0),
        of(&back, 0.5),
        of(&back, 1.0)
    );
    assert_eq!(down as u32, count);
    assert_eq!(ready as u32, count + 1);
}

#[test]
fn twenty_kills_under_a_live_session_are_told_and_leave_nothing() {
    kills(20);
}

#[test]
#[ignore = "minutes: the long form of the test above, alone in its process"]
fn a_thousand_kills_under_a_live_session_are_told_and_leave_nothing() {
    kills(1000);
}
