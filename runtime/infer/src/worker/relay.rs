//! No gap: one engine serves while another one is made ready to take its place.
//!
//! The wanted engine is opened and proven at the lowest priority first, so that whatever that takes
//! is done, and then as the session wants it. Before it takes over, both encode the same live
//! clips. It takes over between two clips. The one before stays until the new one has stood for a
//! while and agrees with it on one more clip, and takes back over when it does not.

mod board;
mod prepare;
#[cfg(test)]
mod tests;

pub use prepare::{Measure, Measured};

use super::engine::WorkerEngine;
use super::setup::{WorkerError, WorkerSetup};
use board::{Board, Current};
use echocart_core::config::Policy;
use echocart_core::engine::{Engine, EngineError, EngineInfo, EngineWatch, Standing};
use echocart_core::manifest::Manifest;
use echocart_core::package::Package;
use prepare::{Made, Preparing};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, TryRecvError};

/// Live clips that both engines encode before the change.
const COMPARED: u32 = 2;
/// Clips that the new engine must have served before the one before it is let go.
const PROBATION: u32 = 64;

/// The engine that a setup asks for: with `engine.meanwhile` a [`Relay`], else a [`WorkerEngine`].
/// Under `auto` the wanted engine is what `measure` finds.
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
    measure: Option<Measure>,
) -> Result<Box<dyn Engine>, WorkerError> {
    let known = setup.engine.policy != Policy::Auto || measure.is_some();
    let halves = prepare::halves(&setup).filter(|_| known);
    let first = halves.as_ref().map_or(&setup, |halves| &halves.meanwhile);
    let engine = WorkerEngine::start(first.clone(), package)?;
    if wait {
        engine.settle(say, &AtomicBool::new(false))?;
    }
    Ok(match halves {
        Some(halves) => Box::new(Relay::start(engine, halves, package, measure)?),
        None => Box::new(engine),
    })
}

/// An engine whose place another one takes when it is ready.
///
/// # Real-time
/// As [`WorkerEngine`]; the clips that both encode take both their times.
pub struct Relay {
    board: Arc<Board>,
    serving: Box<dyn Engine>,
    coming: Coming,
    wanted: String,
    manifest: Manifest,
    changes: u64,
    tokens: [Vec<f32>; 2],
    /// Ends the making when dropped.
    _preparing: Option<Preparing>,
}

enum Coming {
    Making(Receiver<Result<Made, String>>),
    Compared(Box<dyn Engine>, u32),
    /// It serves; the one before it, and how many clips ago it took over.
    Serving(Box<dyn Engine>, u32),
    /// There is none, or no more.
    None,
}

/// What is asked of an encoder.
#[derive(Clone, Copy)]
enum Clip<'a> {
    Whole(&'a [Arc<Vec<f32>>]),
    Kept(&'a [f32], &'a [usize]),
}

impl Clip<'_> {
    fn encode(self, engine: &mut dyn Engine, slot: usize) -> Result<(), EngineError> {
        match self {
            Self::Whole(tubelets) => engine.encode(tubelets, slot),
            Self::Kept(rows, ids) => engine.encode_kept(rows, ids, slot),
        }
    }
}

impl Relay {
    fn start(
        serving: WorkerEngine,
        halves: prepare::Halves,
        package: &Package,
        measure: Option<Measure>,
    ) -> Result<Self, WorkerError> {
        let wanted = halves.name.clone();
        let board = Board::new(&serving, format!("{wanted} is not ready yet"));
        let board = Arc::new(board);
        let (preparing, making) = prepare::begin(halves, package, &board, measure)?;
        Ok(Self {
            board,
            serving: Box::new(serving),
            coming: Coming::Making(making),
            wanted,
            manifest: package.manifest.clone(),
            changes: 0,
            tokens: [Vec::new(), Vec::new()],
            _preparing: Some(preparing),
        })
    }

    /// A relay that is about to compare two engines.
    #[cfg(test)]
    pub(super) fn between(
        serving: Box<dyn Engine>,
        coming: Box<dyn Engine>,
        manifest: &Manifest,
    ) -> Self {
        Self {
            board: Arc::new(Board::new(
                serving.as_ref(),
                "FAKE is not ready yet".to_owned(),
            )),
            serving,
            coming: Coming::Compared(coming, 0),
            wanted: "FAKE".to_owned(),
            manifest: manifest.clone(),
            changes: 0,
            tokens: [Vec::new(), Vec::new()],
            _preparing: None,
        }
    }

    /// Between two clips: takes note of what became ready, and changes when it is time.
    fn advance(&mut self) {
        self.coming = match std::mem::replace(&mut self.coming, Coming::None) {
            Coming::Making(making) => match making.try_recv() {
                Ok(Ok(Made::Engine(engine))) => {
                    self.board
                        .say(Some("comparing both on live clips".to_owned()));
                    Coming::Compared(engine, 0)
                }
                Ok(Ok(Made::Stays(refused))) => {
                    self.board.note(refused);
                    Coming::None
                }
                Ok(Err(error)) => {
                    self.give_up(&error);
                    Coming::None
                }
                Err(TryRecvError::Empty) => Coming::Making(making),
                Err(TryRecvError::Disconnected) => {
                    self.give_up("it was not made");
                    Coming::None
                }
            },
            Coming::Compared(engine, COMPARED) => {
                let before = std::mem::replace(&mut self.serving, engine);
                self.change(None, before.watch());
                Coming::Serving(before, 0)
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
        let note = format!("{} does not serve: {why}", self.wanted);
        self.board.note(Some(note));
    }

    fn encode_clip(&mut self, clip: Clip<'_>, slot: usize) -> Result<(), EngineError> {
        self.advance();
        match clip.encode(self.serving.as_mut(), slot) {
            Ok(()) => {}
            Err(error) if self.take_back(&error.to_string()) => {
                return clip.encode(self.serving.as_mut(), slot);
            }
            Err(error) => return Err(error),
        }
        match &mut self.coming {
            Coming::Compared(..) => self.compare(clip, slot),
            Coming::Serving(_, clips) => {
                *clips += 1;
                if *clips >= PROBATION {
                    return self.judge(clip, slot);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets the coming engine encode a clip that was just served, and compares.
    fn compare(&mut self, clip: Clip<'_>, slot: usize) {
        let Coming::Compared(engine, clips) = &mut self.coming else {
            return;
        };
        let [ours, theirs] = &mut self.tokens;
        if self.serving.tokens(slot, ours).is_err() {
            return;
        }
        let encoded = clip.encode(engine.as_mut(), 0);
        let why = match encoded.and_then(|()| engine.tokens(0, theirs)) {
            Err(error) => error.to_string(),
            Ok(()) => {
                let variants = [self.serving.info().variant, engine.info().variant];
                match near(ours, theirs, limit(&self.manifest, &variants)) {
                    Ok(()) => {
                        *clips += 1;
                        return;
                    }
                    Err(why) => why,
                }
            }
        };
        self.give_up(&why);
        self.coming = Coming::None;
    }

    /// Lets the engine before encode a clip that the new one just served, and lets one of them go.
    fn judge(&mut self, clip: Clip<'_>, slot: usize) -> Result<(), EngineError> {
        let Coming::Serving(before, _) = &mut self.coming else {
            return Ok(());
        };
        let [ours, theirs] = &mut self.tokens;
        let encoded = clip.encode(before.as_mut(), 0);
        let known = encoded.and_then(|()| before.tokens(0, ours));
        let outcome = match (known, self.serving.tokens(slot, theirs)) {
            (_, Err(error)) => Err(error.to_string()),
            // It cannot speak against the new one, nor take back over.
            (Err(_), Ok(())) => Ok(()),
            (Ok(()), Ok(())) => {
                let variants = [before.info().variant, self.serving.info().variant];
                near(ours, theirs, limit(&self.manifest, &variants))
            }
        };
        match outcome {
            Ok(()) => {
                self.board.lock().before = None;
                self.coming = Coming::None;
                Ok(())
            }
            Err(why) => {
                self.take_back(&why);
                clip.encode(self.serving.as_mut(), slot)
            }
        }
    }

    /// Takes back over from a new engine that failed.
    fn take_back(&mut self, why: &str) -> bool {
        match std::mem::replace(&mut self.coming, Coming::None) {
            Coming::Serving(before, _) => {
                self.serving = before;
                let wanted = &self.wanted;
                let note = format!("{wanted} served and was taken back: {why}");
                self.change(Some(note), None);
                true
            }
            other => {
                self.coming = other;
                false
            }
        }
    }

    /// A head's answer; a new engine that fails or gives no number is taken back, and the tokens it
    /// made go with it.
    fn answer(&mut self, outcome: Result<(), EngineError>, out: &[f32]) -> Result<(), EngineError> {
        let why = match &outcome {
            Err(error) => error.to_string(),
            Ok(()) => match out.iter().find(|value| !value.is_finite()) {
                None => return outcome,
                Some(value) => format!("expected finite numbers of a head, found {value}"),
            },
        };
        match self.take_back(&why) {
            true => Err(EngineError::Absent { message: why }),
            false => outcome,
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

fn near(expected: &[f32], found: &[f32], limit: f64) -> Result<(), String> {
    let apart = relative_rms(expected, found);
    match apart <= limit {
        true => Ok(()),
        false => Err(format!(
            "tokens of a live clip: expected those of the other engine within {limit:.1e}, \
             found {apart:.1e}"
        )),
    }
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
        self.encode_clip(Clip::Whole(tubelets), slot)
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        self.encode_clip(Clip::Kept(rows, ids), slot)
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        let outcome = self.serving.head(name, slots, out);
        self.answer(outcome, out)
    }

    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let outcome = self.serving.multi_view_head(name, places, slots, out);
        self.answer(outcome, out)
    }

    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.serving.tokens(slot, out)
    }

    fn keep_warm(&mut self) -> Result<bool, EngineError> {
        self.serving.keep_warm()
    }
}
