//! A worker that is killed, stopped, refused, and left behind by its host.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use echocart_core::clock::Pace;
use echocart_core::config::{CartConfig, PackageConfig};
use echocart_core::engine::Engine;
use echocart_core::package::Package;
use echocart_infer::worker::{BackoffRules, WorkerEngine, WorkerSetup, find};
use echocart_infer::{Library, OrtEngine, Refused, default_library_path};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The demonstration package, or none, said in one line.
fn package() -> Option<Package> {
    let dir = root().join(".echocart/packages/generated");
    if !dir.is_dir() {
        println!("skipped: run `cargo xtask test` first (.echocart/packages/generated)");
        return None;
    }
    Some(Package::open(&dir, &PackageConfig::ANY).unwrap())
}

fn setup() -> WorkerSetup {
    let config = CartConfig::demo().unwrap();
    let worker = env!("CARGO_BIN_EXE_echocart-worker");
    WorkerSetup {
        library: Some(default_library_path(&root())),
        notes: vec!["a note".to_owned()],
        nice: Some(5),
        backoff: BackoffRules {
            first_wait: Duration::from_millis(1),
            ..BackoffRules::default()
        },
        ..WorkerSetup::new(worker, config.engine, root())
    }
}

fn clip(package: &Package, seed: f32) -> Vec<Arc<Vec<f32>>> {
    let encoder = &package.manifest.encoder;
    let block = encoder.tokens_per_tubelet() * encoder.row();
    (0..encoder.tubelets())
        .map(|t| {
            let value = |i: usize| ((i * 7 + t * 13) as f32 * 0.01 + seed).sin();
            Arc::new((0..block).map(value).collect())
        })
        .collect()
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn open(package: &Package) -> WorkerEngine {
    WorkerEngine::open(setup(), package, &mut |_| {}).unwrap()
}

/// Waits for a worker, as the pipeline does by its next clips.
fn next_worker(engine: &WorkerEngine, before: u32) -> u32 {
    loop {
        match engine.pid() {
            Some(pid) if pid != before => return pid,
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

#[test]
fn a_worker_answers_bit_for_bit_as_the_engine_in_process_and_leaves_nothing() {
    let Some(package) = package() else { return };
    let library = Library::load(&default_library_path(&root())).unwrap();
    let mut here = OrtEngine::open(&library, &package, "fp32", 1).unwrap();
    let mut there = open(&package);
    assert_eq!(there.info().variant, "fp32");
    assert_eq!(there.info().degraded.as_deref(), Some("a note"));
    assert!(there.info().gate.unwrap().contains("passed"));
    assert!(there.info().timings.unwrap().encode_nanos > 0);
    assert_eq!(there.info().nodes.keys().collect::<Vec<_>>(), ["CPU"]);
    assert_eq!(there.slots(), here.slots());
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for slot in [0, 3] {
        let clip = clip(&package, slot as f32);
        here.encode(&clip, slot).unwrap();
        there.encode(&clip, slot).unwrap();
        here.tokens(slot, &mut one).unwrap();
        there.tokens(slot, &mut other).unwrap();
        assert!(one == other && !one.is_empty());
    }
    for (head, slots) in [("view", vec![0]), ("lvef", vec![0, 3])] {
        here.head(head, &slots, &mut one).unwrap();
        there.head(head, &slots, &mut other).unwrap();
        assert!(one == other && !one.is_empty(), "{head}");
    }
    there.tokens(3, &mut one).unwrap();
    assert!(there.keep_warm().unwrap());
    there.tokens(3, &mut other).unwrap();
    assert!(one == other, "a pulse changes no slot");
    let errors = [&mut here as &mut dyn Engine, &mut there]
        .map(|e| e.head("view", &[7], &mut one).unwrap_err().to_string());
    assert_eq!(errors[0], errors[1]);
    let pid = there.pid().unwrap();
    drop(there);
    assert!(!is_there(pid));
}

#[test]
fn after_every_death_the_tokens_are_gone_and_the_next_worker_serves() {
    let Some(package) = package() else { return };
    let mut engine = open(&package);
    let clip = clip(&package, 0.0);
    let mut out = Vec::new();
    engine.encode(&clip, 0).unwrap();
    for how in [Signal::KILL, Signal::ABORT, Signal::TERM, Signal::KILL] {
        let pid = engine.pid().unwrap();
        signal(pid, how);
        let pid = next_worker(&engine, pid);
        let generation = engine.generation();
        let error = engine.head("view", &[0], &mut out).unwrap_err().to_string();
        assert!(error.contains("holds no tokens"), "{error}");
        engine.encode(&clip, 0).unwrap();
        assert!(engine.generation() > generation);
        engine.head("view", &[0], &mut out).unwrap();
        assert_eq!(engine.pid(), Some(pid));
        engine.begin_exam();
    }
}

#[test]
fn a_stopped_worker_fails_the_call_in_flight_and_is_replaced() {
    let Some(package) = package() else { return };
    let mut engine = open(&package);
    let pid = engine.pid().unwrap();
    signal(pid, Signal::STOP);
    let begin = Instant::now();
    let error = engine.encode(&clip(&package, 0.0), 0).unwrap_err();
    println!("a stopped worker was noticed after {:?}", begin.elapsed());
    let error = error.to_string();
    assert!(error.contains("no sign of life"), "{error}");
    next_worker(&engine, pid);
    engine.encode(&clip(&package, 0.0), 0).unwrap();
    assert!(!is_there(pid));
}

#[test]
fn in_virtual_time_a_worker_that_is_held_up_is_waited_for() {
    let Some(package) = package() else { return };
    let patient = WorkerSetup {
        pace: Pace::Max,
        ..setup()
    };
    let mut engine = WorkerEngine::open(patient, &package, &mut |_| {}).unwrap();
    let pid = engine.pid().unwrap();
    signal(pid, Signal::STOP);
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        signal(pid, Signal::CONT);
    });
    engine.encode(&clip(&package, 0.0), 0).unwrap();
    later.join().unwrap();
    assert_eq!(engine.pid(), Some(pid), "the same worker");
}

#[test]
fn three_deaths_are_off_until_the_next_exam() {
    let Some(package) = package() else { return };
    let mut engine = open(&package);
    let mut pid = engine.pid().unwrap();
    for _ in 0..2 {
        signal(pid, Signal::KILL);
        pid = next_worker(&engine, pid);
    }
    signal(pid, Signal::KILL);
    while engine.pid().is_some() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let error = engine
        .encode(&clip(&package, 0.0), 0)
        .unwrap_err()
        .to_string();
    assert!(error.contains("off until the next exam"), "{error}");
    engine.begin_exam();
    next_worker(&engine, pid);
    engine.encode(&clip(&package, 0.0), 0).unwrap();
}

#[test]
fn what_the_worker_refuses_is_said_once_and_nothing_is_left() {
    let Some(package) = package() else { return };
    let refused = |change: &dyn Fn(&mut WorkerSetup)| {
        let mut setup = setup();
        change(&mut setup);
        let error = WorkerEngine::open(setup, &package, &mut |_| {});
        let error = error.err().unwrap();
        let (kind, error) = (error.kind(), error.to_string());
        assert!(!error.contains('\n'), "{error}");
        (kind, error)
    };
    let (kind, error) = refused(&|s| s.library = Some("/nowhere/libonnxruntime.so".into()));
    assert_eq!(kind, Refused::LibraryMissing);
    assert!(error.contains("ONNX Runtime library missing"), "{error}");
    let (_, error) = refused(&|s| s.executable = "/bin/true".into());
    assert!(error.contains("ended with status 0"), "{error}");
    let (_, error) = refused(&|s| s.executable = "/nowhere/echocart-worker".into());
    assert!(error.contains("does not start"), "{error}");
    let trust = PackageConfig {
        allow_unsigned: false,
        trusted_keys: Vec::new(),
    };
    let (kind, error) = refused(&|s| s.trust = trust.clone());
    assert!(error.contains("sign"), "{error}");
    assert_eq!(kind, Refused::PackageInvalid);
    let error = find(None, &["/nowhere".into()]).unwrap_err().to_string();
    assert!(error.ends_with("(/nowhere/echocart-worker)"), "{error}");
}

/// Runs alone in a process of its own, see below, and is then killed.
#[test]
#[ignore = "the host that another test kills"]
fn a_host_that_waits_to_be_killed() {
    let Some(package) = package() else { return };
    let engine = open(&package);
    println!("\nworker {}", engine.pid().unwrap());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_worker_dies_with_its_host() {
    use std::io::{BufRead, BufReader};
    if package().is_none() {
        return;
    }
    let mut host = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "a_host_that_waits_to_be_killed",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let worker: u32 = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("worker ")?.parse().ok())
        .unwrap();
    assert!(is_there(worker));
    host.kill().unwrap();
    host.wait().unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
    let begin = Instant::now();
    while is_there(worker) && !state().contains(") Z ") {
        assert!(begin.elapsed() < Duration::from_secs(30), "{}", state());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
#[ignore = "a measurement: prints the cost of a worker"]
fn the_cost_of_a_worker_is_printed() {
    let Some(package) = package() else { return };
    let library = Library::load(&default_library_path(&root())).unwrap();
    let mut here = OrtEngine::open(&library, &package, "fp32", 1).unwrap();
    let mut there = open(&package);
    let clip = clip(&package, 0.0);
    let mut out = Vec::new();
    let mut time = |engine: &mut dyn Engine| {
        let begin = Instant::now();
        engine.encode(&clip, 0).unwrap();
        let encode = begin.elapsed();
        engine.head("view", &[0], &mut out).unwrap();
        (encode, begin.elapsed() - encode)
    };
    let pairs: Vec<_> = (0..50)
        .map(|_| (time(&mut here), time(&mut there)))
        .collect();
    let median = |of: &dyn Fn(usize) -> Duration| {
        let mut times: Vec<Duration> = (0..pairs.len()).map(of).collect();
        times.sort();
        times[times.len() / 2]
    };
    println!(
        "medians of {} interleaved pairs, demo package: encode in process {:?}, worker {:?}; \
         view head in process {:?}, worker {:?}",
        pairs.len(),
        median(&|i| pairs[i].0.0),
        median(&|i| pairs[i].1.0),
        median(&|i| pairs[i].0.1),
        median(&|i| pairs[i].1.1),
    );
}
