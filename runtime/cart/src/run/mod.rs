//! `echocart run`: one source through one package.

mod capture;
mod events;
mod guide;
mod latency;
mod memory;
mod saving;
mod stamper;
mod status;

use crate::cli::{PaceArg, RecordArgs, RunArgs};
use crate::engine::{self, Announcer, Patience};
use crate::exit::{Because, Cause, Failure};
use crate::metrics::Metrics;
use crate::serve::{self, Desk, Hub, ImageFeed, Serving};
pub use capture::traits;
use capture::{Capture, CaptureEnd, CaptureSetup};
use echocart_capture::OpenOptions;
use echocart_core::clock::{self, Pace};
use echocart_core::config::{CartConfig, Isolation, RecorderConfig};
use echocart_core::engine::Engine;
use echocart_core::kept::Kept;
use echocart_core::package::Package;
use echocart_core::session::{Session, SessionSetup};
use echocart_infer::{Library, default_library_path};
use events::{EventThread, Readers};
use saving::Saving;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the waiting main thread looks at the stop flag.
const POLL: Duration = Duration::from_millis(20);
/// How long the end of a stopped run may take.
const LAST_CHANCE: Duration = Duration::from_millis(900);
/// How long it may take where a recording is still to be written.
const TIME_TO_SAVE: Duration = Duration::from_secs(30);

/// Runs until the source ends, the time is up or the user stops it.
pub fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    run_with(args, None)
}

/// As [`run`], with the recorder on; what it holds at the end is saved.
pub fn record(args: &RecordArgs) -> Result<ExitCode, Failure> {
    if args.out.exists() {
        let shown = args.out.display();
        let text = format!("--out: expected a new file, found one that exists ({shown})");
        return Err(Failure::text(Cause::Usage, text));
    }
    run_with(&args.run, Some(args))
}

fn run_with(args: &RunArgs, recording: Option<&RecordArgs>) -> Result<ExitCode, Failure> {
    args.log.start();
    let stop = stop_flag(recording.map_or(LAST_CHANCE, |_| TIME_TO_SAVE))?;
    refuse_same_file(args)?;
    let mut config = config(args.config.as_deref())?;
    if let Some(RecordArgs {
        out, budget_mib, ..
    }) = recording
    {
        config.recorder = Some(RecorderConfig {
            budget_mib: (*budget_mib).into(),
            folder: out.parent().unwrap_or(Path::new("")).to_owned(),
        });
    }
    let saving = Saving::new(config.recorder.is_some())?;
    if args.bench_delay_millis.is_some() {
        config.engine.isolation = Isolation::InProcess;
    }
    let package =
        Package::open(&args.package, &config.package).map_err(|e| hint(e, &args.package))?;
    let options = OpenOptions {
        assume_fps: args.assume_fps,
    };
    let guide = guide::package(args, &config, &package.manifest)?;
    let source = echocart_capture::open(&args.source, &options).because(Cause::Source)?;
    let say = &mut |line: &str| {
        let _ = writeln!(std::io::stdout(), "engine: {line}");
    };
    let pace = match args.pace {
        PaceArg::Real => Pace::Real,
        PaceArg::Max => Pace::Max,
    };
    let served = !args.headless && pace == Pace::Real;
    let patience = if served {
        Patience::GoOn
    } else {
        Patience::Wait
    };
    let library = args.library.as_deref();
    let engine = engine::start(&config, library, &package, (patience, pace), say)?;
    let engine: Box<dyn Engine> = match args.bench_delay_millis {
        Some(millis) => Box::new(engine::Delayed::new(engine, Duration::from_millis(millis))),
        None => engine,
    };
    let own = (patience, pace);
    let guide = guide.map(|package| guide::start(package, &config, library, own, say));
    let mut guide = guide.transpose()?;
    // Only now: a run that is refused empties no file of an earlier one.
    let events_file = events::create(args.events.as_deref())?;
    let dump = capture::create_dump(args.dump_frames.as_deref())?;

    capture::refuse_live(&source.describe(), pace, args.looped)?;
    let desk = match config.serve.exam.as_ref().filter(|_| served) {
        Some(exam) => {
            let says_the_view = guide.as_ref().map(|guide| &guide.setup.manifest);
            let standard = &says_the_view.unwrap_or(&package.manifest).view.standard;
            let desk = Desk::open(exam, standard, clock::now_nanos);
            Some(desk.map_err(|e| Failure::text(Cause::Usage, e))?)
        }
        None => None,
    };
    let exam = desk.as_ref().map(Desk::ticket);
    let hub = Hub::new(desk.clone());
    let metrics = Metrics::default();
    let serving = Serving {
        address: config.serve.address.clone(),
        remote: config.serve.remote.clone(),
        metrics: metrics.clone(),
    };
    let server = served
        .then(|| serve::start(&serving, hub.clone(), clock::now_nanos))
        .transpose()
        .because(Cause::Usage)?;
    let feed = served
        .then(|| ImageFeed::start(hub.clone(), config.serve.jpeg_quality))
        .transpose()
        .because(Cause::Other)?;
    let info = source.describe();
    let mut announcer = Announcer::new(engine.as_ref(), &package.manifest, "");
    let mut lines = format!(
        "source: {} ({}), {}x{} {}, {}\n{}signature: {}\n",
        info.name,
        info.kind,
        info.width_px,
        info.height_px,
        info.format,
        info.timing,
        guide::about("package: ", &package.name(), &package.manifest),
        package.signed,
    );
    lines += &match announcer.news() {
        Some(news) => news,
        None => announcer.words(&engine.info()),
    };
    lines += &guide.as_mut().map(guide::words).unwrap_or_default();
    match &server {
        Some(server) => lines += &format!("page: {}\n", server.url()),
        None if !args.headless => lines += "page: none with --pace max\n",
        None => {}
    }
    print(&lines);

    let shown = serde_json::to_string(&config).unwrap_or_default();
    tracing::info!(
        hash = config.hash12(),
        config = shown,
        "effective configuration"
    );
    let (setup, mut guide_news) = guide.map(|g| (g.setup, g.announcer)).unzip();
    let setup = SessionSetup {
        package: package.name(),
        signed: package.signed,
        manifest: package.manifest,
        config,
        engine,
        pace,
        kept: match args.bench_kept_tokens {
            true => Kept::Forced,
            false => Kept::AsAllowed,
        },
        guide: setup,
    };
    let (mut session, producer, receiver) = Session::start(setup).because(Cause::Other)?;
    metrics.observe(session.observer());
    let saving = saving.of(session.recorder());
    if let (Some(desk), Some(recorder)) = (desk, session.recorder()) {
        desk.record_with(recorder);
    }
    let readers = Readers { hub, metrics };
    let events = EventThread::start(receiver, events_file, readers, stop.clone(), pace)?;
    let capture = Capture::start(CaptureSetup {
        source,
        producer,
        pace,
        looped: args.looped,
        seconds: args.seconds,
        stop: stop.clone(),
        feed,
        exam,
        dump,
    })?;

    while !stop.load(Ordering::Relaxed) && !capture.is_finished() {
        saving.if_asked();
        if let Some(news) = announcer.news() {
            print(&news);
        }
        if let Some(news) = guide_news.as_mut().and_then(Announcer::news) {
            print(&news);
        }
        std::thread::sleep(POLL);
    }
    let ended = capture.join_within(Duration::from_millis(300));
    while !stop.load(Ordering::Relaxed) && !session.wait_finished(POLL) {}
    let latencies = session.latencies();
    let guides = session.guide_latencies();
    session.stop();
    let written = events.join();
    let recorded = recording.map_or(Ok(()), |args| saving.at_the_end(&args.out));
    if let Some(server) = server {
        server.stop();
    }
    let _ = std::io::stderr().write_all(latency::words(&latencies).as_bytes());
    if let Some(latencies) = guides {
        let text = latency::words(&latencies);
        let lines = text.lines().map(|line| format!("guide {line}\n"));
        let _ = std::io::stderr().write_all(lines.collect::<String>().as_bytes());
    }
    let code = match (ended, written.and(recorded)) {
        (CaptureEnd::Failed(failure), _) => failure.report(),
        (_, Err(failure)) => failure.report(),
        _ => ExitCode::SUCCESS,
    };
    if stop.load(Ordering::Relaxed) {
        leave(code);
    }
    Ok(code)
}

fn print(lines: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout
        .write_all(lines.as_bytes())
        .and_then(|()| stdout.flush());
}

/// Ends the process without waiting for an inference call in flight, which nothing can cancel:
/// exit handlers would pull the library away under it.
fn leave(code: ExitCode) -> ! {
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    signal_hook::low_level::exit(i32::from(code != ExitCode::SUCCESS))
}

/// Set by SIGINT and SIGTERM. Whatever still hangs a second later, a file that nobody reads for
/// example, is left behind.
fn stop_flag(last_chance: Duration) -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).because(Cause::Other)?;
    }
    let stopped = stop.clone();
    std::thread::Builder::new()
        .name("echocart-signals".to_owned())
        .spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(POLL);
            }
            std::thread::sleep(last_chance);
            let text =
                "stopped, but something did not end in time: a file or pipe is not taking data";
            let _ = Failure::text(Cause::Other, text).report();
            signal_hook::low_level::exit(Cause::Other as i32);
        })
        .because(Cause::Other)?;
    Ok(stop)
}

/// Files that are written must not be one another or the source.
fn refuse_same_file(args: &RunArgs) -> Result<(), Failure> {
    let mut files = source_files(&args.source);
    files.extend(args.events.as_deref().map(|f| ("--events", f)));
    files.extend(args.dump_frames.as_deref().map(|f| ("--dump-frames", f)));
    files.extend(args.config.as_deref().map(|f| ("--config", f)));
    for (at, (what, file)) in files.iter().enumerate() {
        let same = |(_, other): &&(&str, &Path)| same_file(file, other);
        if let Some((other, _)) = files.iter().skip(at + 1).find(same) {
            let shown = file.display();
            let text = format!("{what} and {other}: expected two files, found one ({shown})");
            return Err(Failure::text(Cause::Usage, text));
        }
    }
    Ok(())
}

/// What a source is read from: a file, a fault script before it.
fn source_files(location: &str) -> Vec<(&'static str, &Path)> {
    let mut files = Vec::new();
    let faults = location.strip_prefix("fault:");
    let (script, source) = faults
        .and_then(|rest| rest.split_once('|'))
        .unwrap_or(("", location));
    files.extend(script.strip_prefix('@'));
    files.push(source.strip_prefix("file://").unwrap_or(source));
    let files = files.into_iter();
    files.map(|file| ("--source", Path::new(file))).collect()
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(m), Ok(n)) => m.is_file() && (m.dev(), m.ino()) == (n.dev(), n.ino()),
        _ => a == b,
    }
}

/// Reads the configuration at `path`, or the embedded one.
pub fn config(path: Option<&Path>) -> Result<CartConfig, Failure> {
    let Some(path) = path else {
        return CartConfig::demo().because(Cause::Usage);
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::text(Cause::Usage, format!("cannot read config: {e} ({shown})")))?;
    CartConfig::parse(&text)
        .map_err(|e| Failure::text(Cause::Usage, format!("config: {e} ({shown})")))
}

/// A package's error, with what to do about the demo's.
pub fn hint(error: echocart_core::package::PackageError, path: &Path) -> Failure {
    let made_by_demo = path == Path::new(".echocart/packages/demo") && !path.exists();
    let hint = if made_by_demo {
        "; `cargo xtask demo` makes the demo package"
    } else {
        ""
    };
    Failure::text(Cause::Package, format!("{error}{hint}"))
}

/// Loads the library given, or the one below the working directory.
pub fn library(path: Option<&Path>) -> Result<Library, Failure> {
    let path: PathBuf = match path {
        Some(path) => path.to_owned(),
        None => default_library_path(Path::new("")),
    };
    Library::load(&path).because(Cause::Library)
}
