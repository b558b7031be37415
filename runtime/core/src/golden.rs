//! Golden clips: raw frames with their times, and what the fp32 graphs made of them.
//!
//! A golden clip goes the way of a live one, through time grid, preprocessing, encoder and heads.
//! So a package whose graphs, sampling or geometry have changed does not give the expected answers.

use crate::dump::{DumpError, DumpReader};
use crate::engine::{Engine, EngineError};
use crate::frame::FrameMeta;
use crate::grid::{Candidate, Grid, Verdict};
use crate::kept;
use crate::manifest::{Encoder, Manifest, ManifestError, Tokens, Tolerance, Variant};
use crate::npz::{self, NpzError};
use crate::package::Package;
use crate::preprocess::{PreprocessError, Preprocessor};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

mod compare;
mod file;
pub use compare::{Check, compare};
pub use file::Expected;

/// Most golden clips of a package.
pub const MOST_CLIPS: usize = 2;
/// Most rows of tokens that are kept of a clip.
pub const MOST_TOKEN_ROWS: usize = 64;

/// Why golden clips are not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoldenError {
    /// A file cannot be read.
    #[error("cannot read: {error} ({path})")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The frames do not make a clip.
    #[error("golden frames: {error} ({path})")]
    Frames {
        /// The file.
        path: PathBuf,
        /// Why.
        error: ClipError,
    },
    /// The expected outputs cannot be read.
    #[error("golden outputs: {error} ({path})")]
    Expected {
        /// The file.
        path: PathBuf,
        /// Why.
        error: NpzError,
    },
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// The package cannot be checked by golden clips.
    #[error("golden clips: expected {expected}, found {found}")]
    Package {
        /// What it takes.
        expected: String,
        /// What there is.
        found: String,
    },
    /// The caller stopped it.
    #[error("interrupted")]
    Interrupted,
}

/// Why frames do not make a clip.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// The file is no frame dump.
    #[error("{0}")]
    Dump(#[from] DumpError),
    /// The package's steps cannot be built.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// The package's steps do not take a frame.
    #[error("frame {frame}: {error}")]
    Preprocess {
        /// Index of the frame.
        frame: u64,
        /// Why.
        error: PreprocessError,
    },
    /// A capture time does not grow.
    #[error("frame {frame}: expected a later capture time than the frame before")]
    Time {
        /// Index of the frame.
        frame: u64,
    },
    /// No frame is near enough to a grid time.
    #[error("expected a frame within the allowed skew of slot {slot}, found none")]
    Gap {
        /// The slot.
        slot: usize,
    },
    /// The frames end before the clip does.
    #[error("expected frames for {expected} slots, found {found}")]
    Short {
        /// Frames of a clip.
        expected: usize,
        /// Slots decided.
        found: usize,
    },
}

/// A clip ready for an engine.
#[derive(Debug, Clone)]
pub struct GoldenClip {
    /// Patch rows, one block per tubelet.
    pub tubelets: Vec<Arc<Vec<f32>>>,
    /// Index of the frame that stands for each slot.
    pub chosen: Vec<u64>,
}

/// Makes the first clip of a frame dump by the manifest's sampling and preprocessing.
///
/// # Errors
/// [`ClipError`]; a gap is never filled.
pub fn clip(manifest: &Manifest, dump: impl Read) -> Result<GoldenClip, ClipError> {
    let sizes = &manifest.encoder;
    let mut preprocessor = Preprocessor::new(&manifest.preprocess, sizes)?;
    let mut grid = Grid::new(&manifest.sampling, sizes.frames);
    let mut dump = DumpReader::new(dump)?;
    let block = vec![0.0; sizes.tokens_per_tubelet() * sizes.row()];
    let mut blocks = vec![block; sizes.tubelets()];
    let mut chosen = Vec::with_capacity(sizes.frames);
    let mut waiting: Vec<(u64, FrameMeta, Vec<u8>)> = Vec::new();
    let (mut verdicts, mut pixels) = (Vec::new(), Vec::new());
    let mut newest_nanos = None;
    for number in 0.. {
        let Some(meta) = dump.next(&mut pixels)? else {
            break;
        };
        let capture_nanos = meta.capture_nanos;
        if newest_nanos.is_some_and(|newest| capture_nanos <= newest) {
            return Err(ClipError::Time { frame: number });
        }
        newest_nanos = Some(capture_nanos);
        waiting.push((number, meta, std::mem::take(&mut pixels)));
        let candidate = Candidate {
            number,
            capture_nanos,
        };
        grid.frame(candidate, &mut verdicts);
        for verdict in verdicts.drain(..) {
            match verdict {
                Verdict::Passed(passed) => waiting.retain(|(n, ..)| *n != passed.number),
                Verdict::Gap | Verdict::Restarted => {
                    return Err(ClipError::Gap { slot: chosen.len() });
                }
                Verdict::Chosen(candidate) => {
                    let frame = candidate.number;
                    let held = waiting.iter().position(|(n, ..)| *n == frame);
                    let slot = chosen.len();
                    let to = blocks.get_mut(slot / sizes.tubelet_frames);
                    let (Some(held), Some(to)) = (held, to) else {
                        continue;
                    };
                    let (_, meta, pixels) = waiting.swap_remove(held);
                    let at = slot % sizes.tubelet_frames;
                    preprocessor
                        .frame_into(&pixels, meta.row_bytes(), &meta, at, to)
                        .map_err(|error| ClipError::Preprocess { frame, error })?;
                    chosen.push(frame);
                }
            }
        }
        if chosen.len() == sizes.frames {
            return Ok(GoldenClip {
                tubelets: blocks.into_iter().map(Arc::new).collect(),
                chosen,
            });
        }
    }
    Err(ClipError::Short {
        expected: sizes.frames,
        found: chosen.len(),
    })
}

/// What an engine makes of a golden clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// Places of the tokens that are kept.
    pub places: Vec<usize>,
    /// Those tokens, row by row.
    pub tokens: Vec<f32>,
    /// Raw outputs of every head graph, by head and graph key (`1`, `2`, `0+1`).
    pub heads: BTreeMap<(String, String), Vec<f32>>,
}

const TOKENS: &str = "tokens";

/// Places of the tokens that are kept: spread evenly, at most [`MOST_TOKEN_ROWS`].
pub fn places(tokens: usize) -> Vec<usize> {
    let rows = tokens.min(MOST_TOKEN_ROWS);
    (0..rows).map(|row| row * tokens / rows).collect()
}

/// The tokens that a variant of a fixed number of them is run on: those nearest to the middle of the
/// clip. None for a variant that takes all.
pub fn bucket(sizes: &Encoder, variant: &Variant) -> Option<Vec<usize>> {
    let Tokens::Exactly(count) = variant.tokens else {
        return None;
    };
    let rows = sizes.height_px / sizes.patch_px;
    let grid = [sizes.tubelets(), rows, sizes.width_px / sizes.patch_px];
    let middle = (grid[0] / 2 * grid[1] + grid[1] / 2) * grid[2] + grid[2] / 2;
    let all = count == sizes.tokens();
    kept::fill(&[middle], grid, count).filter(|_| !all)
}

/// Patch rows of the tokens `ids`; shorter for ids that the clip does not have.
fn rows(sizes: &Encoder, clip: &GoldenClip, ids: &[usize]) -> Vec<f32> {
    let (block, row) = (sizes.tokens_per_tubelet().max(1), sizes.row());
    let row_of = |&id: &usize| {
        let start = id % block * row;
        clip.tubelets.get(id / block)?.get(start..start + row)
    };
    ids.iter().filter_map(row_of).flatten().copied().collect()
}

/// Called with what is being done; `Break` stops.
pub type Step<'a> = &'a mut dyn FnMut(&str) -> ControlFlow<()>;

/// Runs the encoder and every head graph of `variant` on `clips`, or on the [`bucket`] of their tokens.
///
/// Segment `s` of a head that starts with clip `c` is clip `c + s`, or the last one.
///
/// # Errors
/// [`GoldenError::Engine`], [`GoldenError::Interrupted`] if `step` stops it.
pub fn run(
    engine: &mut dyn Engine,
    manifest: &Manifest,
    variant: &Variant,
    clips: &[GoldenClip],
    step: Step<'_>,
) -> Result<Vec<Answers>, GoldenError> {
    let sizes = &manifest.encoder;
    let bucket = bucket(sizes, variant);
    let tokens = bucket.as_ref().map_or(sizes.tokens(), Vec::len);
    let places = places(tokens);
    let mut all = Vec::new();
    let mut answers = Vec::with_capacity(clips.len());
    for (slot, clip) in clips.iter().enumerate() {
        go_on(step(&format!("encode golden clip {}", slot + 1)))?;
        match &bucket {
            None => engine.encode(&clip.tubelets, slot)?,
            Some(ids) => engine.encode_kept(&rows(sizes, clip, ids), ids, slot)?,
        }
        engine.tokens(slot, &mut all)?;
        let mut kept = Vec::with_capacity(places.len() * sizes.dim);
        for &place in &places {
            let row = all.get(place * sizes.dim..(place + 1) * sizes.dim);
            kept.extend_from_slice(row.ok_or_else(|| EngineError::Shape {
                what: TOKENS.to_owned(),
                expected: format!("{tokens} x {} values", sizes.dim),
                found: all.len().to_string(),
            })?);
        }
        answers.push(Answers {
            places: places.clone(),
            tokens: kept,
            heads: BTreeMap::new(),
        });
    }
    let last = clips.len().saturating_sub(1);
    let graphs = variant.heads.iter();
    for (name, key) in graphs.flat_map(|(name, by)| by.keys().map(move |key| (name, key))) {
        let multi_view = manifest.heads.get(name).is_some_and(|h| h.slots.is_some());
        let numbers: Option<Vec<usize>> = key.split('+').map(|n| n.parse().ok()).collect();
        let numbers = numbers.unwrap_or_default();
        let segments = match numbers[..] {
            [segments] if !multi_view => segments,
            _ => numbers.len(),
        };
        for (first, answer) in answers.iter_mut().enumerate() {
            go_on(step(&format!("head {name} {key}, clip {}", first + 1)))?;
            let slots: Vec<usize> = (first..first + segments).map(|s| s.min(last)).collect();
            let mut values = Vec::new();
            if multi_view {
                engine.multi_view_head(name, &numbers, &slots, &mut values)?;
            } else {
                engine.head(name, &slots, &mut values)?;
            }
            answer.heads.insert((name.clone(), key.clone()), values);
        }
    }
    Ok(answers)
}

fn go_on(flow: ControlFlow<()>) -> Result<(), GoldenError> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(GoldenError::Interrupted),
    }
}

/// Why the golden clips say nothing about any variant; none where they do.
pub fn why_not(manifest: &Manifest) -> Option<String> {
    let none = manifest.golden.is_empty();
    none.then(|| "the package has no golden clips".to_owned())
}

/// Runs the package's golden clips on `engine`, which is over its variant `name`, and compares
/// every output with the expected one.
///
/// # Errors
/// [`GoldenError`]; a wrong output is no error but a [`Check`] that did not pass.
pub fn verify(
    package: &Package,
    name: &str,
    engine: &mut dyn Engine,
    step: Step<'_>,
) -> Result<Vec<Check>, GoldenError> {
    let manifest = &package.manifest;
    let Some(variant) = manifest.variants.get(name) else {
        return Err(GoldenError::Package {
            expected: format!("a variant {name}"),
            found: "none".to_owned(),
        });
    };
    if let Some(found) = why_not(manifest) {
        return Err(GoldenError::Package {
            expected: format!("clips for variant {name}"),
            found,
        });
    }
    if engine.slots() < manifest.golden.len() {
        return Err(GoldenError::Package {
            expected: format!("an engine of {} token slots", manifest.golden.len()),
            found: engine.slots().to_string(),
        });
    }
    let (mut clips, mut expected) = (Vec::new(), Vec::new());
    for golden in manifest.golden.values() {
        let path = package.dir.join(&golden.frames);
        let read = |path: &PathBuf| {
            let path = path.clone();
            move |error| GoldenError::Read { path, error }
        };
        let file = File::open(&path).map_err(read(&path))?;
        let frames = clip(manifest, BufReader::new(file));
        clips.push(frames.map_err(|error| GoldenError::Frames { path, error })?);
        let path = package.dir.join(&golden.expected);
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(npz::MOST_BYTES).read_to_end(&mut bytes))
            .map_err(read(&path))?;
        let answers = Expected::from_npz(&bytes);
        let answers = answers.map_err(|error| GoldenError::Expected { path, error })?;
        let bucket = bucket(&manifest.encoder, variant).map(|ids| ids.len());
        let own = answers.of(bucket).ok_or_else(|| GoldenError::Package {
            expected: format!("golden answers for the tokens of variant {name}"),
            found: "none".to_owned(),
        })?;
        expected.push(own);
    }
    let found = run(engine, manifest, variant, &clips, step)?;
    let names: Vec<&String> = manifest.golden.keys().collect();
    Ok(compare(&names, &expected, &found, &variant.tolerance))
}
