//! The engine of a session: made in a worker or in this process, waited for or not.

use super::auto::Manner;
use super::vacant::Vacant;
use super::{auto, cause, failure, libraries, proofs, start_words};
use crate::exit::{Because, Cause, Failure};
use echocart_core::clock::Pace;
use echocart_core::config::{CartConfig, EngineConfig, Isolation, Policy};
use echocart_core::engine::{Engine, EngineInfo, EngineWatch, Standing};
use echocart_core::manifest::Manifest;
use echocart_core::package::Package;
use echocart_infer::worker::{
    BackoffRules, Measure, Measured, WorkerSetup, beside_this_process, engine_of, find,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What to do while there is no engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Wait for it; without one the run fails.
    Wait,
    /// Go on: who looks is told that it is being made ready, or why there is none.
    GoOn,
}

/// Makes the engine that the configuration asks for. `say` is told what is done meanwhile.
///
/// # Errors
/// With [`Patience::Wait`] why no engine serves; with [`Patience::GoOn`] only a wrong
/// configuration.
pub fn start(
    config: &CartConfig,
    library: Option<&Path>,
    package: &Package,
    (patience, pace): (Patience, Pace),
    say: &mut dyn FnMut(&str),
) -> Result<Box<dyn Engine>, Failure> {
    match make(config, library, package, (patience, pace), say) {
        Err(failure) if patience == Patience::GoOn && failure.cause() != Cause::Usage => {
            Ok(Box::new(Vacant::new(failure.line())))
        }
        made => made,
    }
}

fn make(
    config: &CartConfig,
    library: Option<&Path>,
    package: &Package,
    (patience, pace): (Patience, Pace),
    say: &mut dyn FnMut(&str),
) -> Result<Box<dyn Engine>, Failure> {
    let mut engine = config.engine.at(pace);
    let later = engine.policy == Policy::Auto && engine.meanwhile.is_some();
    let measure = later.then(|| measure(&engine, library, package));
    let notes = match later {
        true => Vec::new(),
        false => settle(&mut engine, library, package, say)?,
    };
    if engine.isolation == Isolation::InProcess {
        let (libraries, proofs) = (libraries(library), proofs());
        let opened =
            echocart_infer::open_proven(&engine, libraries, package, proofs.as_deref(), say);
        let (opened, _) = opened.map_err(failure)?;
        return Ok(Box::new(opened.noting(notes)));
    }
    let setup = WorkerSetup {
        executable: worker(&engine)?,
        engine,
        trust: config.package.clone(),
        library: library.map(Path::to_owned),
        root: PathBuf::new(),
        proofs: proofs(),
        notes,
        nice: None,
        cpus: Vec::new(),
        backoff: BackoffRules::default(),
        pace,
    };
    let wait = patience == Patience::Wait;
    let made = engine_of(setup, package, wait, say, measure);
    made.map_err(|error| Failure::new(cause(error.kind()), error))
}

/// The measuring of `auto` while another engine serves: out of its way.
fn measure(engine: &EngineConfig, library: Option<&Path>, package: &Package) -> Measure {
    const LOWEST: Option<i32> = Some(19);
    let (engine, package) = (engine.clone(), package.clone());
    let library = library.map(Path::to_owned);
    Box::new(move |say, stop| {
        let manner = Manner { nice: LOWEST, stop };
        let found = auto::fastest(&engine, library.as_deref(), &package, manner, say);
        let found = found.map_err(|failure| failure.line())?;
        Ok(Measured {
            engine: found.engine(&engine),
            refused: found.refused,
        })
    })
}

/// The worker's executable.
pub fn worker(engine: &EngineConfig) -> Result<PathBuf, Failure> {
    find(engine.worker.as_deref(), &beside_this_process()).because(Cause::Library)
}

/// Under `auto`: measures, and makes the configuration that of the fastest. Gives what does not
/// serve.
pub(super) fn settle(
    engine: &mut EngineConfig,
    library: Option<&Path>,
    package: &Package,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<String>, Failure> {
    if engine.policy != Policy::Auto {
        return Ok(Vec::new());
    }
    let manner = Manner {
        nice: None,
        stop: &AtomicBool::new(false),
    };
    let fastest = auto::fastest(engine, library, package, manner, say)?;
    *engine = fastest.engine(engine);
    Ok(fastest.refused)
}

/// Prints what becomes of an engine, as it happens.
pub struct Announcer {
    /// What its lines begin with.
    whose: &'static str,
    watch: Option<Arc<dyn EngineWatch>>,
    number: Option<u64>,
    /// An engine serves, and that was said.
    serving: bool,
    manifest: Manifest,
}

impl Announcer {
    /// Follows an engine; lines about it begin with `whose`.
    pub fn new(engine: &dyn Engine, manifest: &Manifest, whose: &'static str) -> Self {
        Self {
            whose,
            watch: engine.watch(),
            number: None,
            serving: false,
            manifest: manifest.clone(),
        }
    }

    /// Lines about what is new, each ended.
    pub fn news(&mut self) -> Option<String> {
        let watch = self.watch.as_ref()?;
        let number = watch.number();
        if self.number.replace(number) == Some(number) {
            return None;
        }
        let whose = self.whose;
        Some(match watch.standing() {
            Standing::Serving(info) => match &info.coming {
                Some(coming) if self.serving => format!("{whose}engine to come: {coming}\n"),
                _ => {
                    self.serving = true;
                    self.words(&info)
                }
            },
            Standing::WarmingUp(what) => format!("{whose}engine: {what}\n"),
            Standing::Down(why) => {
                self.serving = false;
                format!("{whose}engine: none serves: {why}\n")
            }
        })
    }

    /// What serves, a line each, for an engine that is there as long as it lives.
    pub fn words(&self, info: &EngineInfo) -> String {
        let lines = start_words(info, &self.manifest);
        let lines = lines.lines().map(|line| format!("{}{line}\n", self.whose));
        lines.collect()
    }
}
