//! Workers that misbehave in ways that a real one cannot be made to: this test binary itself,
//! started as one.

use super::link::{Heard, Shared, Socket};
use super::message::Message;
use super::relay::Relay;
use super::setup::Running;
use super::*;
use echocart_core::clock::Pace;
use echocart_core::config::{CartConfig, PackageConfig};
use echocart_core::engine::{Engine, EngineInfo, Timings};
use echocart_core::events::{Event, Reason, StateKind};
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::kept::Kept;
use echocart_core::package::Package;
use echocart_core::session::{Session, SessionSetup};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Serves as a worker whose answers `answer` makes; none: it computes for ever.
fn pretend(answer: impl Fn(&Shared, Message) -> Option<usize>) {
    let stdin = rustix::io::dup(rustix::stdio::stdin()).unwrap();
    let shared = rustix::io::dup(rustix::stdio::stdout()).unwrap();
    let (socket, shared) = (Arc::new(Socket::of(stdin)), Shared::of(shared).unwrap());
    let mut packet = Vec::new();
    let opened = socket.hear(None, &mut packet).unwrap();
    assert!(matches!(opened, Heard::Message(Message::Open(_))));
    let beating = socket.clone();
    std::thread::spawn(move || {
        while beating.send(&Message::Beat).is_ok() {
            std::thread::sleep(BEAT);
        }
        std::process::exit(0);
    });
    let info = EngineInfo {
        provider: "FAKE".to_owned(),
        variant: "fp32".to_owned(),
        timings: Some(Timings {
            encode_nanos: 1_000_000,
            ..Timings::default()
        }),
        ..EngineInfo::default()
    };
    let running = serde_json::to_string(&Running::new(info, 16)).unwrap();
    socket.send(&Message::Ready(running)).unwrap();
    loop {
        match socket.hear(None, &mut packet).unwrap() {
            Heard::End | Heard::Message(Message::Bye) => return,
            Heard::Silence => {}
            Heard::Message(asked) => match answer(&shared, asked) {
                Some(values) => socket.send(&Message::Done { values }).unwrap(),
                None => loop {
                    std::thread::park();
                },
            },
        }
    }
}

#[test]
#[ignore = "a worker that another test starts"]
fn a_worker_that_computes_for_ever() {
    pretend(|_, _| None);
}

#[test]
#[ignore = "a worker that another test starts"]
fn a_worker_that_answers_no_number() {
    pretend(|shared, asked| match asked {
        Message::Head { .. } => {
            shared.write(&[f32::NAN; 13], 0).unwrap();
            Some(13)
        }
        _ => Some(0),
    });
}

/// Tokens that are all `value`, and the end of the process at the clip `last`.
fn constant(value: f32, last: u32) {
    let clips = std::cell::Cell::new(0);
    pretend(|shared, asked| match asked {
        Message::Encode { .. } => {
            clips.set(clips.get() + 1);
            if clips.get() == last {
                std::process::exit(3);
            }
            Some(0)
        }
        _ => {
            shared.write(&[value; 64], 0).unwrap();
            Some(64)
        }
    });
}

#[test]
#[ignore = "a worker that another test starts"]
fn a_worker_that_says_one() {
    constant(1.0, u32::MAX);
}

#[test]
#[ignore = "a worker that another test starts"]
fn a_worker_that_says_two() {
    constant(2.0, u32::MAX);
}

#[test]
#[ignore = "a worker that another test starts"]
fn a_worker_that_says_one_and_ends_at_the_fourth_clip() {
    constant(1.0, 4);
}

fn package() -> Option<Package> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = root.join(".echocart/packages/generated");
    if !dir.is_dir() {
        println!("skipped: run `cargo xtask test` first (.echocart/packages/generated)");
        return None;
    }
    Some(Package::open(&dir, &PackageConfig::ANY).unwrap())
}

/// An engine in this test binary, run as `worker`.
fn engine(dir: &Path, worker: &str, package: &Package) -> WorkerEngine {
    let exe = std::env::current_exe().unwrap();
    let script = dir.join(WORKER);
    let text = format!(
        "#!/bin/sh\nexec '{}' --ignored --nocapture --exact worker::tests::{worker}\n",
        exe.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = CartConfig::demo().unwrap();
    let setup = WorkerSetup::new(script, config.engine, PathBuf::new());
    WorkerEngine::open(setup, package, &mut |_| {}).unwrap()
}

fn clip(package: &Package) -> Vec<Arc<Vec<f32>>> {
    let encoder = &package.manifest.encoder;
    let block = Arc::new(vec![0.5; encoder.tokens_per_tubelet() * encoder.row()]);
    vec![block; encoder.tubelets()]
}

#[test]
fn an_engine_that_drifts_from_the_one_that_serves_does_not_take_over() {
    let Some(package) = package() else { return };
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = engine(dirs[0].path(), "a_worker_that_says_one", &package);
    let two = engine(dirs[1].path(), "a_worker_that_says_two", &package);
    let mut relay = Relay::between(Box::new(one), Box::new(two), &package.manifest);
    let before = relay.info().degraded.unwrap();
    assert!(before.contains("not ready"), "{before}");
    let (clip, mut out) = (clip(&package), Vec::new());
    for _ in 0..5 {
        relay.encode(&clip, 0).unwrap();
        relay.tokens(0, &mut out).unwrap();
        assert_eq!(out[0], 1.0);
    }
    let degraded = relay.info().degraded.unwrap();
    assert!(
        degraded.contains("FAKE does not serve: tokens of a live clip"),
        "{degraded}"
    );
}

#[test]
fn an_engine_that_took_over_and_fails_is_taken_back() {
    let Some(package) = package() else { return };
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = engine(dirs[0].path(), "a_worker_that_says_one", &package);
    let fourth = "a_worker_that_says_one_and_ends_at_the_fourth_clip";
    let other = engine(dirs[1].path(), fourth, &package);
    let other_pid = other.pid();
    let mut relay = Relay::between(Box::new(one), Box::new(other), &package.manifest);
    let number = relay.watch().unwrap().number();
    let (clip, mut out) = (clip(&package), Vec::new());
    let mut generations = Vec::new();
    for _ in 0..6 {
        relay.encode(&clip, 0).unwrap();
        relay.tokens(0, &mut out).unwrap();
        assert_eq!(out[0], 1.0);
        generations.push(relay.generation());
    }
    generations.dedup();
    assert_eq!(generations.len(), 3, "{generations:?}");
    assert!(relay.watch().unwrap().number() > number && other_pid.is_some());
    let degraded = relay.info().degraded.unwrap();
    assert!(
        degraded.contains("FAKE served and was taken back: no engine"),
        "{degraded}"
    );
}

#[test]
fn a_worker_that_beats_and_computes_for_ever_is_noticed() {
    let Some(package) = package() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path(), "a_worker_that_computes_for_ever", &package);
    let error = engine.encode(&clip(&package), 0).unwrap_err().to_string();
    assert!(error.contains("computed for more than 2.0 s"), "{error}");
    assert!(error.starts_with("no engine: "), "{error}");
}

#[test]
fn answers_that_are_no_numbers_are_engine_down_and_never_shown() {
    let Some(package) = package() else { return };
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path(), "a_worker_that_answers_no_number", &package);
    let (mut session, mut producer, events) = Session::start(SessionSetup {
        package: package.name(),
        signed: package.signed,
        manifest: package.manifest.clone(),
        config: CartConfig::demo().unwrap(),
        engine: Box::new(engine),
        pace: Pace::Max,
        kept: Kept::AsAllowed,
        guide: None,
    })
    .unwrap();
    let mut all: Vec<Event> = Vec::new();
    for number in 0..120_u8 {
        let meta = FrameMeta {
            width_px: 32,
            height_px: 32,
            format: PixelFormat::Gray8,
            capture_nanos: i64::from(number) * 40_000_000,
            pass: 0,
            host: Default::default(),
        };
        let fill = |pixels: &mut Vec<u8>| {
            *pixels = (0..1024_u32)
                .map(|at| (at * u32::from(number + 3)) as u8)
                .collect();
        };
        while producer.offer(meta, fill).unwrap() == echocart_core::ring::Pushed::RingFull {
            all.extend(events.try_iter());
            std::thread::yield_now();
        }
    }
    drop(producer);
    while !session.wait_finished(std::time::Duration::from_millis(5)) {
        all.extend(events.try_iter());
    }
    session.stop();
    all.extend(events.try_iter());
    let mut refused = 0;
    for event in &all {
        if let Event::Estimate(e) = event {
            assert!(e.view.value.is_none() && e.lvef.value.is_none() && e.raw.is_none());
            refused += usize::from(e.view.reason == Some(Reason::EngineDown));
        }
    }
    let down = |e: &&Event| {
        matches!(e, Event::State(s)
            if s.state == StateKind::EngineDown && s.detail.contains("finite numbers, found NaN"))
    };
    assert!(
        refused > 2 && all.iter().filter(down).count() == 1,
        "{all:?}"
    );
}
