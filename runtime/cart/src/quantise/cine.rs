//! The clips of one file, formed as the live path forms them.

use crate::exit::{Because, Cause, Failure};
use echocart_capture::{OpenOptions, Source};
use echocart_core::frame::FrameMeta;
use echocart_core::grid::{Candidate, Grid, Verdict};
use echocart_core::hash::{sha256_file, sha256_hex};
use echocart_core::manifest::Manifest;
use echocart_core::preprocess::Preprocessor;
use echocart_export::quantise::{Clip, Origin};
use std::collections::VecDeque;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

/// An image whose pixels are all within so many grey levels shows nothing.
const LEAST_CONTRAST: f32 = 8.0;

struct Tubelet {
    block: Arc<Vec<f32>>,
    /// First and last frame; none if a slot is a gap.
    frames: Option<(u64, u64)>,
}

/// The clips of one file, at most a given number, spread evenly over it.
pub struct Cine<'a> {
    manifest: &'a Manifest,
    path: &'a str,
    origin: Origin,
    most: usize,
    preprocessor: Preprocessor,
    grid: Grid,
    waiting: Vec<(u64, FrameMeta, Vec<u8>)>,
    open: Vec<Option<u64>>,
    block: Vec<f32>,
    window: VecDeque<Tubelet>,
    tubelets: usize,
    due: usize,
    stride: usize,
    contrast: f32,
    clips: Vec<Clip>,
}

impl<'a> Cine<'a> {
    /// Prepares for a file.
    pub fn new(manifest: &'a Manifest, path: &'a str, most: usize) -> Result<Self, Failure> {
        let encoder = &manifest.encoder;
        let name = Path::new(path).file_name().map(|n| n.to_string_lossy());
        let local = path.strip_prefix("file://").unwrap_or(path);
        let sha256 = match path.starts_with("phantom:") {
            true => sha256_hex(path.as_bytes()),
            false => {
                let hashed = sha256_file(Path::new(local));
                hashed.map_err(|e| wrong(path, "a readable file", e))?.0
            }
        };
        Ok(Self {
            manifest,
            path,
            origin: Origin {
                file: name.map_or_else(|| path.to_owned(), |n| n.into_owned()),
                sha256,
                first_frame: 0,
                last_frame: 0,
            },
            most,
            preprocessor: Preprocessor::new(&manifest.preprocess, encoder)
                .because(Cause::Package)?,
            grid: Grid::new(&manifest.sampling, encoder.frames),
            waiting: Vec::new(),
            open: Vec::new(),
            block: vec![0.0; encoder.tokens_per_tubelet() * encoder.row()],
            window: VecDeque::new(),
            tubelets: 0,
            due: 0,
            stride: 1,
            contrast: 0.0,
            clips: Vec::new(),
        })
    }

    /// Reads the file to its end; `None` when `go_on` says stop.
    pub fn read(
        mut self,
        options: &OpenOptions,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<Clip>>, Failure> {
        let mut source = echocart_capture::open(self.path, options).because(Cause::Source)?;
        let (mut pixels, mut before, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut number, mut moved, mut last_nanos) = (0u64, false, 0);
        while let Some(meta) = next(source.as_mut(), &mut pixels)? {
            if !go_on() {
                return Ok(None);
            }
            self.preprocessor
                .prepare(meta.width_px, meta.height_px, meta.format)
                .map_err(|e| wrong(self.path, "frames the package can take", e))?;
            moved |= number > 0 && pixels != before;
            last_nanos = meta.capture_nanos;
            let candidate = Candidate {
                number,
                capture_nanos: meta.capture_nanos,
            };
            self.waiting.push((number, meta, pixels.clone()));
            std::mem::swap(&mut before, &mut pixels);
            self.grid.frame(candidate, &mut verdicts);
            self.obey(&mut verdicts)?;
            number += 1;
        }
        self.grid.finish(&mut verdicts);
        self.obey(&mut verdicts)?;
        let frames = self.manifest.encoder.frames;
        let rate_hz = self.manifest.sampling.rate_hz;
        if self.clips.is_empty() {
            let expected = format!(
                "at least one clip of {frames} frames at {rate_hz} Hz ({} s) without a gap",
                (frames - 1) as f64 / rate_hz
            );
            let found = format!("{number} frame(s) over {:.2} s", last_nanos as f64 / 1e9);
            return Err(wrong(self.path, &expected, found));
        }
        if !moved {
            let found = format!("{number} identical frames");
            return Err(wrong(self.path, "a moving image", found));
        }
        if self.contrast < LEAST_CONTRAST {
            let levels = self.contrast.round();
            let found = format!("images of one grey, {levels} of 255 levels from end to end");
            let expected = "an ultrasound image in what the package keeps of a frame";
            return Err(wrong(self.path, expected, found));
        }
        Ok(Some(self.clips))
    }

    fn obey(&mut self, verdicts: &mut Vec<Verdict>) -> Result<(), Failure> {
        for verdict in verdicts.drain(..) {
            match verdict {
                Verdict::Passed(candidate) => {
                    self.waiting.retain(|(n, ..)| *n != candidate.number);
                }
                Verdict::Chosen(candidate) => self.slot(Some(candidate.number))?,
                Verdict::Gap => self.slot(None)?,
                Verdict::Restarted => {
                    self.open.clear();
                    self.window.clear();
                    self.tubelets = 0;
                }
            }
        }
        Ok(())
    }

    fn slot(&mut self, number: Option<u64>) -> Result<(), Failure> {
        let at = self.open.len();
        let waiting = number.and_then(|number| {
            let place = self.waiting.iter().position(|(n, ..)| *n == number)?;
            Some(self.waiting.swap_remove(place))
        });
        if let Some((_, meta, pixels)) = &waiting {
            self.preprocessor
                .frame_into(pixels, meta.row_bytes(), meta, at, &mut self.block)
                .map_err(|e| wrong(self.path, "frames the package can take", e))?;
        }
        self.open.push(waiting.map(|(number, ..)| number));
        if self.open.len() == self.manifest.encoder.tubelet_frames {
            let frames: Option<Vec<u64>> = self.open.drain(..).collect();
            let ends = frames.and_then(|f| Some((*f.first()?, *f.last()?)));
            self.tubelet(ends);
        }
        Ok(())
    }

    /// The most grey levels between the darkest and the brightest value of one colour of one frame
    /// of the newest tubelet.
    fn levels(&self) -> f32 {
        let sizes = &self.manifest.encoder;
        let plane = sizes.patch_px * sizes.patch_px;
        let ends = |at: usize| {
            let rows = self.block.chunks_exact(sizes.row());
            let values = rows.flat_map(|row| row.iter().skip(at * plane).take(plane));
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| {
                (low.min(v), high.max(v))
            })
        };
        let stds = self.manifest.preprocess.std.iter();
        let stds = stds.flat_map(|std| std::iter::repeat_n(*std, sizes.tubelet_frames));
        let levels = stds.enumerate().map(|(at, std)| {
            let (low, high) = ends(at);
            (high - low) * std * 255.0
        });
        levels.fold(0.0, f32::max)
    }

    fn tubelet(&mut self, frames: Option<(u64, u64)>) {
        if frames.is_some() {
            self.contrast = self.contrast.max(self.levels());
        }
        self.window.push_back(Tubelet {
            block: Arc::new(self.block.clone()),
            frames,
        });
        let whole = self.manifest.encoder.tubelets();
        if self.window.len() > whole {
            self.window.pop_front();
        }
        self.tubelets += 1;
        let hop = (self.manifest.sampling.hop_slots / self.manifest.encoder.tubelet_frames).max(1);
        if self.window.len() < whole || !(self.tubelets - whole).is_multiple_of(hop) {
            return;
        }
        let frames: Option<Vec<(u64, u64)>> = self.window.iter().map(|t| t.frames).collect();
        let Some(frames) = frames else { return };
        let due = self.due;
        self.due += 1;
        if !due.is_multiple_of(self.stride) {
            return;
        }
        let mut origin = self.origin.clone();
        origin.first_frame = frames.first().map_or(0, |f| f.0);
        origin.last_frame = frames.last().map_or(0, |f| f.1);
        self.clips.push(Clip {
            origin,
            tubelets: self.window.iter().map(|t| t.block.clone()).collect(),
        });
        if self.clips.len() > self.most {
            let mut at = 0;
            self.clips.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.stride *= 2;
        }
    }
}

fn next(source: &mut dyn Source, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, Failure> {
    source.next(pixels).because(Cause::Source)
}

/// A calibration file that cannot be used.
pub fn wrong(path: &str, expected: &str, found: impl Display) -> Failure {
    let text = format!("calibration file: expected {expected}, found {found} ({path})");
    Failure::text(Cause::Source, text)
}
