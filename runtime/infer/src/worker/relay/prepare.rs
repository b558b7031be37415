//! The making of the engine that is wanted, on a thread of its own.

use super::Board;
use crate::refusal::Refused;
use crate::worker::engine::WorkerEngine;
use crate::worker::setup::{WorkerError, WorkerSetup};
use echocart_core::config::{EngineConfig, Policy};
use echocart_core::engine::{Engine, EngineWatch, Standing};
use echocart_core::package::Package;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

/// Nice value while whatever takes long is done.
const LOWEST: i32 = 19;

/// What measuring found.
pub struct Measured {
    /// The `[engine]` table of the fastest.
    pub engine: EngineConfig,
    /// What does not serve, and why.
    pub refused: Vec<String>,
}

/// Finds the fastest provider and variant, until the flag says stop; it is given where to tell what
/// it does.
pub type Measure =
    Box<dyn FnOnce(&mut dyn FnMut(&str), &AtomicBool) -> Result<Measured, String> + Send>;

/// What serves until the wanted engine is ready, and that one.
pub(super) struct Halves {
    pub meanwhile: WorkerSetup,
    pub wanted: WorkerSetup,
    /// What is wanted, in a word.
    pub name: String,
}

/// What came of the making.
pub(super) enum Made {
    Engine(Box<dyn Engine>),
    /// What serves is what was wanted; why others do not serve.
    Stays(Option<String>),
}

/// Cuts the list of providers at `engine.meanwhile`; none without it.
pub(super) fn halves(setup: &WorkerSetup) -> Option<Halves> {
    let meanwhile = setup.engine.meanwhile.as_ref()?;
    let list = &setup.engine.providers;
    let at = list.iter().position(|name| name == meanwhile)?;
    let (before, from) = list.split_at(at);
    let of = |providers: &[String]| WorkerSetup {
        engine: EngineConfig {
            providers: providers.to_vec(),
            policy: Policy::Degrade,
            meanwhile: None,
            ..setup.engine.clone()
        },
        ..setup.clone()
    };
    let name = match setup.engine.policy {
        Policy::Auto => "the fastest provider".to_owned(),
        _ => before.join(", "),
    };
    Some(Halves {
        meanwhile: of(from),
        wanted: of(before),
        name,
    })
}

/// The thread that makes the wanted engine; it ends when this is dropped.
pub(super) struct Preparing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Preparing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Begins the making; what comes of it is received once.
pub(super) fn begin(
    halves: Halves,
    package: &Package,
    board: &Arc<Board>,
    measure: Option<Measure>,
) -> Result<(Preparing, Receiver<Result<Made, String>>), WorkerError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (done, making) = channel();
    let path = halves.wanted.executable.clone();
    let (seen, package, stopped) = (board.clone(), package.clone(), stop.clone());
    let thread = thread::Builder::new()
        .name("echocart-prepare".to_owned())
        .spawn(move || {
            let _ = done.send(prepare(halves, &package, &seen, measure, &stopped));
        })
        .map_err(|error| WorkerError::Refused {
            kind: Refused::Thread,
            message: error.to_string(),
            path,
        })?;
    let thread = Some(thread);
    Ok((Preparing { stop, thread }, making))
}

/// Opens the wanted engine: out of the way first, then as it will serve.
fn prepare(
    halves: Halves,
    package: &Package,
    board: &Board,
    measure: Option<Measure>,
    stop: &AtomicBool,
) -> Result<Made, String> {
    let mut setup = halves.wanted;
    let say = &mut |what: &str| board.say(Some(what.to_owned()));
    if let Some(measure) = measure {
        let found = measure(say, stop)?;
        if serves(board, &found.engine) {
            let refused = found.refused.join("; ");
            return Ok(Made::Stays((!refused.is_empty()).then_some(refused)));
        }
        setup.engine = found.engine;
        setup.notes.extend(found.refused);
    }
    let aside = WorkerSetup {
        nice: Some(LOWEST),
        ..setup.clone()
    };
    let mut open = |setup: WorkerSetup| {
        let engine = WorkerEngine::start(setup, package).map_err(|e| e.to_string())?;
        engine.settle(say, stop).map_err(|e| e.to_string())?;
        Ok::<WorkerEngine, String>(engine)
    };
    open(aside)?;
    Ok(Made::Engine(Box::new(open(setup)?)))
}

/// Whether what serves is what `engine` names.
fn serves(board: &Board, engine: &EngineConfig) -> bool {
    match board.standing() {
        Standing::Serving(info) => {
            engine.providers == [info.provider] && engine.variant == Some(info.variant)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::BackoffRules;
    use echocart_core::clock::Pace;
    use echocart_core::config::{CartConfig, PackageConfig};
    use std::path::PathBuf;

    #[test]
    fn the_list_is_cut_where_what_serves_meanwhile_begins() {
        let mut engine = CartConfig::demo().unwrap().engine;
        engine.policy = Policy::Degrade;
        engine.providers = ["TensorRT", "OpenVINO", "CPU"].map(str::to_owned).to_vec();
        let mut setup = WorkerSetup {
            executable: PathBuf::new(),
            engine,
            trust: PackageConfig::ANY,
            library: None,
            root: PathBuf::new(),
            proofs: None,
            notes: Vec::new(),
            nice: None,
            cpus: Vec::new(),
            backoff: BackoffRules::default(),
            pace: Pace::Real,
        };
        assert!(halves(&setup).is_none());
        setup.engine.meanwhile = Some("CPU".to_owned());
        let cut = halves(&setup).unwrap();
        assert_eq!(cut.wanted.engine.providers, ["TensorRT", "OpenVINO"]);
        assert_eq!(cut.meanwhile.engine.providers, ["CPU"]);
        assert_eq!(cut.name, "TensorRT, OpenVINO");
        setup.engine.meanwhile = Some("OpenVINO".to_owned());
        let cut = halves(&setup).unwrap();
        assert_eq!(cut.wanted.engine.providers, ["TensorRT"]);
        assert_eq!(cut.meanwhile.engine.providers, ["OpenVINO", "CPU"]);
    }
}
