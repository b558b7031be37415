//! No gap: one engine serves while another one is made ready to take its place.
//!
//! The wanted engine is opened and proven at the lowest priority first, so that whatever that takes
//! is done, and then as the session wants it. Before it takes over, both encode the same live
//! clips. It takes over between two clips; the one before stays until the new one has stood for a
//! while, and takes back over when it does not.

use super::engine::WorkerEngine;
use super::setup::{WorkerError, WorkerSetup};
use crate::refusal::Refused;
use echocart_core::config::{EngineConfig, Policy};
use echocart_core::engine::{Engine, EngineError, EngineInfo, EngineWatch, Standing};
use echocart_core::manifest::Manifest;
use echocart_core::package::Package;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Live clips that both engines encode before the change.
const COMPARED: u32 = 2;
/// Clips that the new engine must have served before the one before it is let go.
const PROBATION: u32 = 64;
/// Nice value while whatever takes long is done.
const LOWEST: i32 = 19;

/// The engine that a setup asks for: with `engine.meanwhile` a [`Relay`], else a [`WorkerEngine`].
///
/// With `wait` it answers when this returns, and `say` is told what is done until then.
///
/// # Errors
/// [`WorkerError`]: without `wait` only when the system gives no thread.
pub fn engine_of(
    setup: WorkerSetup,
    package: &Package,
    wait: bool,
    say: &mut dyn FnMut(&str),
) -> Result<Box<dyn Engine>, WorkerError> {
    if setup.engine.meanwhile.is_some() {
        let relay = Relay::start(setup, package)?;
        if wait {
            relay.serving.settle(say, &AtomicBool::new(false))?;
        }
        return Ok(Box::new(relay));
    }
    let engine = WorkerEngine::start(setup, package)?;
    if wait {
        engine.settle(say, &AtomicBool::new(false))?;
    }
    Ok(Box::new(engine))
}

/// An engine whose place another one takes when it is ready.
///
/// # Real-time
/// As [`WorkerEngine`]; the clips that both encode take both their times.
pub struct Relay {
    board: Arc<Board>,
    serving: WorkerEngine,
    coming: Coming,
    wanted: String,
    package: Package,
    changes: u64,
    tokens: [Vec<f32>; 2],
    stop: Arc<AtomicBool>,
    preparing: Option<JoinHandle<()>>,
}

enum Coming {
    Making(Receiver<Result<WorkerEngine, WorkerError>>),
    Compared(Box<WorkerEngine>, u32),
    /// It serves; the one before it, and how many clips ago it took over.
    Serving(Box<WorkerEngine>, u32),
    /// There is none, or no more.
    None,
}

impl Relay {
    /// Starts the engine that serves meanwhile, and the making of the one that is wanted: the
    /// providers `engine.meanwhile` and the first of the list.
    ///
    /// # Errors
    /// [`WorkerError`] when the system gives no thread.
    pub fn start(setup: WorkerSetup, package: &Package) -> Result<Self, WorkerError> {
        let engine = |provider: Option<&String>| EngineConfig {
            providers: provider.into_iter().cloned().collect(),
            policy: Policy::Strict,
            meanwhile: None,
            ..setup.engine.clone()
        };
        let wanted = setup.engine.providers.first();
        let meanwhile = WorkerSetup {
            engine: engine(setup.engine.meanwhile.as_ref()),
            ..setup.clone()
        };
        let name = wanted.cloned().unwrap_or_default();
        let wanted = engine(wanted);
        let setup = WorkerSetup {
            engine: wanted,
            ..setup
        };
        let path = setup.executable.clone();
        let serving = WorkerEngine::start(meanwhile, package)?;
        let board = Arc::new(Board::new(&serving, format!("{name} is not ready yet")));
        let (done, making) = channel();
        let (seen, for_package) = (board.clone(), package.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let preparing = thread::Builder::new()
            .name("echocart-prepare".to_owned())
            .spawn(move || {
                let _ = done.send(prepare(setup, &for_package, &seen, &stopped));
            })
            .map_err(|error| WorkerError::Refused {
                kind: Refused::Thread,
                message: error.to_string(),
                path,
            })?;
        Ok(Self {
            board,
            serving,
            coming: Coming::Making(making),
            wanted: name,
            package: package.clone(),
            changes: 0,
            tokens: [Vec::new(), Vec::new()],
            stop,
            preparing: Some(preparing),
        })
    }

    /// A relay that is about to compare two engines.
    #[cfg(test)]
    pub(super) fn between(serving: WorkerEngine, coming: WorkerEngine, package: &Package) -> Self {
        Self {
            board: Arc::new(Board::new(&serving, "FAKE is not ready yet".to_owned())),
            serving,
            coming: Coming::Compared(Box::new(coming), 0),
            wanted: "FAKE".to_owned(),
            package: package.clone(),
            changes: 0,
            tokens: [Vec::new(), Vec::new()],
            stop: Arc::default(),
            preparing: None,
        }
    }

    /// Between two clips: takes note of what became ready, and changes when it is time.
    fn advance(&mut self) {
        self.coming = match std::mem::replace(&mut self.coming, Coming::None) {
            Coming::Making(making) => match making.try_recv() {
                Ok(Ok(engine)) => {
                    self.board
                        .say(Some("comparing both on live clips".to_owned()));
                    Coming::Compared(Box::new(engine), 0)
                }
                Ok(Err(error)) => {
                    self.give_up(&error.to_string());
                    Coming::None
                }
                Err(TryRecvError::Empty) => Coming::Making(making),
                Err(TryRecvError::Disconnected) => {
                    self.give_up("it was not made");
                    Coming::None
                }
            },
            Coming::Compared(engine, COMPARED) => {
                let before = std::mem::replace(&mut self.serving, *engine);
                self.change(None, before.watch());
                Coming::Serving(Box::new(before), 0)
            }
            Coming::Serving(_, PROBATION) => {
                self.board.lock().before = None;
                Coming::None
            }
            other => other,
        };
    }

    fn change(&mut self, note: Option<String>, before: Option<Arc<dyn EngineWatch>>) {
        self.changes += 1;
        let watch = self.serving.watch();
        self.board.edit(|current| {
            *current = Current {
                watch,
                before,
                note,
                coming: None,
            }
        });
    }

    fn give_up(&self, why: &str) {
        self.board
            .note(format!("{} does not serve: {why}", self.wanted));
    }

    /// Lets the coming engine encode a clip that was just served, and compares.
    fn compare(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) {
        let Coming::Compared(engine, clips) = &mut self.coming else {
            return;
        };
        let [ours, theirs] = &mut self.tokens;
        let outcome = self
            .serving
            .tokens(slot, ours)
            .and_then(|()| engine.encode(tubelets, 0))
            .and_then(|()| engine.tokens(0, theirs));
        let variants = [self.serving.info().variant, engine.info().variant];
        let limit = limit(&self.package.manifest, &variants);
        let why = match (outcome, relative_rms(ours, theirs)) {
            (Err(error), _) => error.to_string(),
            (Ok(()), found) if found <= limit => {
                *clips += 1;
                return;
            }
            (Ok(()), found) => format!(
                "tokens of a live clip: expected those of the engine that serves within \
                 {limit:.1e}, found {found:.1e}"
            ),
        };
        self.give_up(&why);
        self.coming = Coming::None;
    }

    /// Takes back over from a new engine that failed.
    fn take_back(&mut self, error: &EngineError) -> bool {
        match std::mem::replace(&mut self.coming, Coming::None) {
            Coming::Serving(before, _) => {
                self.serving = *before;
                let wanted = &self.wanted;
                let note = format!("{wanted} served and was taken back: {error}");
                self.change(Some(note), None);
                true
            }
            other => {
                self.coming = other;
                false
            }
        }
    }
}

/// How far tokens of two variants may lie apart: each within its tolerance of the package's own, and
/// as much again, since live clips are not the golden ones.
fn limit(manifest: &Manifest, variants: &[String; 2]) -> f64 {
    let of = |name: &String| manifest.variants.get(name);
    let each = variants.iter().filter_map(of);
    2.0 * each.map(|v| v.tolerance.tokens_relative_rms).sum::<f64>()
}

/// Root mean square of the difference over that of `expected`; infinite where there is none.
fn relative_rms(expected: &[f32], found: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let pairs = expected.iter().zip(found);
    let off: f64 = pairs
        .map(|(e, f)| square(f64::from(*f) - f64::from(*e)))
        .sum();
    let all: f64 = expected.iter().map(|e| square(f64::from(*e))).sum();
    let relative = (off / all).sqrt();
    let same = expected.len() == found.len() && all > 0.0 && relative.is_finite();
    if same { relative } else { f64::INFINITY }
}

/// Opens the wanted engine: out of the way first, then as it will serve.
fn prepare(
    setup: WorkerSetup,
    package: &Package,
    board: &Board,
    stop: &AtomicBool,
) -> Result<WorkerEngine, WorkerError> {
    let say = &mut |what: &str| board.say(Some(what.to_owned()));
    let aside = WorkerSetup {
        nice: Some(LOWEST),
        ..setup.clone()
    };
    WorkerEngine::start(aside, package)?.settle(say, stop)?;
    let engine = WorkerEngine::start(setup, package)?;
    engine.settle(say, stop)?;
    Ok(engine)
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(preparing) = self.preparing.take() {
            let _ = preparing.join();
        }
    }
}

impl Engine for Relay {
    fn info(&self) -> EngineInfo {
        match self.board.standing() {
            Standing::Serving(info) => *info,
            _ => EngineInfo::default(),
        }
    }

    fn watch(&self) -> Option<Arc<dyn EngineWatch>> {
        Some(self.board.clone())
    }

    fn generation(&self) -> u64 {
        self.changes << 32 | self.serving.generation()
    }

    fn slots(&self) -> usize {
        self.serving.slots()
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        self.advance();
        match self.serving.encode(tubelets, slot) {
            Ok(()) => {}
            Err(error) if self.take_back(&error) => self.serving.encode(tubelets, slot)?,
            Err(error) => return Err(error),
        }
        if let Coming::Serving(_, clips) = &mut self.coming {
            *clips += 1;
        }
        self.compare(tubelets, slot);
        Ok(())
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        self.serving.encode_kept(rows, ids, slot)
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        let outcome = self.serving.head(name, slots, out);
        if let Err(error) = &outcome {
            self.take_back(error);
        }
        outcome
    }

    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        self.serving.multi_view_head(name, places, slots, out)
    }

    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.serving.tokens(slot, out)
    }

    fn keep_warm(&mut self) -> Result<bool, EngineError> {
        self.serving.keep_warm()
    }
}

/// What serves now, and what is said beside it.
struct Board {
    current: Mutex<Current>,
    /// Changes of the engine and of what is said.
    own: AtomicU64,
}

struct Current {
    watch: Option<Arc<dyn EngineWatch>>,
    /// That of the engine before, which takes back over when this one fails.
    before: Option<Arc<dyn EngineWatch>>,
    note: Option<String>,
    coming: Option<String>,
}

impl Board {
    fn new(serving: &WorkerEngine, note: String) -> Self {
        Self {
            current: Mutex::new(Current {
                watch: serving.watch(),
                before: None,
                note: Some(note),
                coming: None,
            }),
            own: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn edit(&self, how: impl FnOnce(&mut Current)) {
        let mut current = self.lock();
        how(&mut current);
        self.own.fetch_add(1, Ordering::Relaxed);
    }

    fn say(&self, what: Option<String>) {
        self.edit(|current| current.coming = what);
    }

    fn note(&self, note: String) {
        self.edit(|current| (current.note, current.coming) = (Some(note), None));
    }
}

impl EngineWatch for Board {
    fn number(&self) -> u64 {
        let current = self.lock();
        let theirs = current.watch.as_ref().map_or(0, |watch| watch.number());
        // A worker that is started again every millisecond for a month stays below 2^32.
        self.own.load(Ordering::Relaxed) << 32 | theirs
    }

    fn standing(&self) -> Standing {
        let current = self.lock();
        let of = |watch: &Option<Arc<dyn EngineWatch>>| watch.as_ref().map(|w| w.standing());
        let serves = |standing: &Standing| matches!(standing, Standing::Serving(_));
        let before = || of(&current.before).filter(serves);
        let standing = of(&current.watch);
        let standing = match standing {
            Some(now) if !serves(&now) => before().or(Some(now)),
            now => now,
        };
        match standing {
            Some(Standing::Serving(mut info)) => {
                let words: Vec<String> = [info.degraded.take(), current.note.clone()]
                    .into_iter()
                    .flatten()
                    .collect();
                info.degraded = (!words.is_empty()).then(|| words.join("; "));
                info.coming.clone_from(&current.coming);
                Standing::Serving(info)
            }
            Some(other) => other,
            None => Standing::Down("there is no engine".to_owned()),
        }
    }

    fn begin_exam(&self) {
        if let Some(watch) = &self.lock().watch {
            watch.begin_exam();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_differ_in_length_or_are_no_numbers_never_agree() {
        assert_eq!(relative_rms(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert!((relative_rms(&[3.0, 4.0], &[3.0, 4.5]) - 0.1).abs() < 1e-9);
        for (expected, found) in [
            (vec![1.0, 1.0], vec![1.0]),
            (vec![], vec![]),
            (vec![0.0], vec![0.0]),
            (vec![1.0], vec![f32::NAN]),
            (vec![f32::INFINITY], vec![f32::INFINITY]),
        ] {
            assert_eq!(relative_rms(&expected, &found), f64::INFINITY);
        }
    }
}
