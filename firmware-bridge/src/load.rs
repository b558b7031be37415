//! From a checked request to a session, or to a self-test.

use crate::abi::*;
use crate::codes::Code;
use crate::fault::Fault;
use crate::frames::FramePort;
use crate::request::Request;
use crate::results::{ResultPort, chars};
use crate::session::{Parts, SessionState, assemble};
use crate::system;
use echocart_core::config::Isolation;
use echocart_core::engine::Engine;
use echocart_core::golden;
use echocart_core::package::Package;
use echocart_infer::worker::{BackoffRules, WorkerSetup, engine_of, find};
use echocart_infer::{Libraries, open_proven};
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

/// Loads what the request names and makes the pipeline.
pub(crate) fn create(request: Request) -> Result<(SessionState, FramePort, ResultPort), Fault> {
    on_own_thread(move || {
        let before = system::resident_bytes();
        let (package, engine, warning) = open(&request)?;
        let library = engine.info().library;
        let (mut session, frames, results) = assemble(Parts {
            manifest: package.manifest.clone(),
            package: package.name(),
            signed: package.signed,
            config: request.config,
            engine,
            pace: request.pace,
            allow_demonstration: request.allow_demonstration,
            standing: request.standing,
            reserve_frame_bytes: request.reserve_frame_bytes,
            log: request.log,
            warning,
        })?;
        session.create_bytes = system::resident_bytes().saturating_sub(before);
        let text = format!("{} on {library}", package.name());
        request.log.say(ECHOCART_LOG_INFO, &text);
        Ok((session, frames, results))
    })
}

/// Runs the package's golden clips.
pub(crate) fn self_test(request: Request) -> Result<echocart_self_test_t, Fault> {
    on_own_thread(move || {
        let (package, mut engine, _) = open(&request)?;
        let variant = engine.info().variant;
        let step = &mut |_: &str| ControlFlow::Continue(());
        let checks = golden::verify(&package, &variant, engine.as_mut(), step)?;
        let failed: Vec<String> = checks
            .iter()
            .filter(|c| !c.passed())
            .map(|c| {
                let found = c.difference.map_or("none".to_owned(), |d| d.to_string());
                let expected = format!("expected a difference of at most {}", c.limit);
                let note = c.note.as_deref().unwrap_or_default();
                format!(
                    "{expected}, found {found} {note}: {} of {}",
                    c.output, c.clip
                )
            })
            .collect();
        if let Some(first) = failed.first() {
            request.log.say(ECHOCART_LOG_ERROR, first);
            return Err(Fault::new(Code::SelfTestFailed, first.clone()));
        }
        let detail = format!("{} outputs of variant {variant} as expected", checks.len());
        Ok(echocart_self_test_t {
            struct_size: size_of::<echocart_self_test_t>() as u32,
            clips: package.manifest.golden.len() as u32,
            checks: checks.len() as u32,
            failed: failed.len() as u32,
            detail: chars(&detail),
        })
    })
}

/// Runs `body` on a thread whose standing all threads of the engine and the pipeline inherit.
fn on_own_thread<T: Send + 'static>(
    body: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let thread = thread::Builder::new().name("echocart-load".to_owned());
    let spawned = thread
        .spawn(move || {
            system::block_signals();
            body()
        })
        .map_err(|e| Fault::new(Code::ThreadFailed, e.to_string()))?;
    spawned.join().unwrap_or_else(|panic| resume_unwind(panic))
}

type Opened = (Package, Box<dyn Engine>, Option<String>);

fn open(request: &Request) -> Result<Opened, Fault> {
    let package = Package::open(&request.package_dir, &request.config.package)?;
    let labels = package.manifest.view_labels().len();
    if labels > ECHOCART_MAX_LABELS {
        return Err(Fault::new(
            Code::PackageUnsupported,
            format!(
                "view labels: expected at most {ECHOCART_MAX_LABELS}, found {labels}: {}",
                package.name()
            ),
        ));
    }
    // Who watches a worker, and what tells that the worker lives, must run in time: only what
    // computes stands back.
    let (engine, warning) = match request.config.engine.isolation {
        Isolation::InProcess => {
            let warning = system::stand_back(&request.standing)?;
            (in_process(request, &package)?, warning)
        }
        Isolation::Worker => {
            let engine = in_worker(request, &package)?;
            (engine, system::stand_back(&request.standing)?)
        }
    };
    if let Some(warning) = &warning {
        request.log.say(ECHOCART_LOG_WARNING, warning);
    }
    if let Some(degraded) = engine.info().degraded {
        request.log.say(ECHOCART_LOG_WARNING, &degraded);
    }
    Ok((package, engine, warning))
}

fn in_process(request: &Request, package: &Package) -> Result<Box<dyn Engine>, Fault> {
    system::refuse_other_runtime(&request.library_path)?;
    let libraries = Libraries::File(&request.library_path);
    let cache = request.cache_dir.as_deref();
    let say = &mut |line: &str| request.log.say(ECHOCART_LOG_INFO, line);
    let (engine, _) = open_proven(&request.config.engine, libraries, package, cache, say)?;
    Ok(Box::new(engine))
}

fn in_worker(request: &Request, package: &Package) -> Result<Box<dyn Engine>, Fault> {
    let given = request.config.engine.worker.as_deref();
    let setup = WorkerSetup {
        executable: find(given, &system::beside_this_library())?,
        engine: request.config.engine.at(request.pace),
        trust: request.config.package.clone(),
        library: Some(request.library_path.clone()),
        root: PathBuf::new(),
        proofs: request.cache_dir.clone(),
        notes: Vec::new(),
        nice: request.standing.nice,
        cpus: request.standing.cpus(),
        backoff: BackoffRules::default(),
        pace: request.pace,
    };
    let say = &mut |line: &str| request.log.say(ECHOCART_LOG_INFO, line);
    Ok(engine_of(setup, package, true, say, None)?)
}
