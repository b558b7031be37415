//! Finds the imaging area in a few frames, a step per frame, and follows it.

use super::coarse::Coarse;
use super::fan::{Fit, Fitter};
use super::region::{Labeller, Region};
use super::sector::{Outline, Sector};
use super::setup::Pinned;

/// Brightness above the background from which a cell belongs to the image: sums of 16 samples.
const THRESHOLDS: [f32; 5] = [10.0, 40.0, 80.0, 160.0, 320.0];
/// Brightest background, of the same unit as a sample.
const BRIGHTEST_BACKGROUND: usize = 100;
/// Frames that are averaged.
const AVERAGED: u32 = 4;
/// Highest minus lowest sample from which a cell is textured.
const TEXTURE: f32 = 2.0;
/// Share of a region's cells that are textured, at least.
const LEAST_TEXTURED: f32 = 0.3;
/// Share of the frame that a region must be.
const LEAST_REGION: f32 = 0.025;
/// Worth from which on a fit is an imaging area.
const LEAST_WORTH: f32 = 0.33;
/// Score above which an area is not looked for upside down.
const UPRIGHT_ENOUGH: f32 = 0.75;
/// What a fit upside down is worth: scanners rarely show it.
const UPSIDE_DOWN: f32 = 0.8;
/// Common share of two outlines from which on they are the same.
const SAME: f32 = 0.9;
/// Common share below which the area has changed.
const CHANGED: f32 = 0.8;
/// Rounds in a row that must find the same better outline.
const ROUNDS_BETTER: u32 = 2;
/// Rounds in a row that must find the same other area.
const ROUNDS_OTHER: u32 = 3;
/// Frames that must have been averaged before the first round.
const LEAST_SEEN: u32 = 3;

/// What a round found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// The area.
    pub sector: Sector,
    /// Its form in cells, the probe being up.
    pub fit: Fit,
    /// Brightness of the background, sum of 16 samples.
    pub background: f32,
}

/// What a round led to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum News {
    /// The first area, or one that is where the old one is not.
    Other,
    /// The same area, its outline known better.
    Better,
    /// The area as before, or none as before.
    Same,
    /// No area where one was, or never one.
    Nothing,
}

/// Finds and follows the imaging area.
#[derive(Debug, Clone, Default)]
pub(super) struct Finder {
    /// Mean of the newest frames.
    mean: Vec<f32>,
    ranges: Vec<f32>,
    seen: u32,
    cols: usize,
    rows: usize,
    round: Round,
    now: Option<Found>,
    other: Option<Found>,
    others: u32,
    /// The screen has changed since the last round.
    again: bool,
    labeller: Labeller,
    fitter: Fitter,
    raw: Region,
    on: Region,
    on_flipped: Region,
    region: Region,
    region_flipped: Region,
}

/// One round: a look at each threshold.
#[derive(Debug, Clone, Default)]
struct Round {
    mean: Vec<f32>,
    background: f32,
    step: usize,
    best: Option<(Fit, bool, f32)>,
}

impl Finder {
    /// Forgets everything.
    pub fn reset(&mut self) {
        self.seen = 0;
        self.round.step = 0;
        (self.now, self.other, self.others) = (None, None, 0);
        self.again = false;
    }

    /// Mean of the newest frames, sums of 16 samples, and of the spread of their samples.
    pub fn means(&self) -> (&[f32], &[f32]) {
        (&self.mean, &self.ranges)
    }

    /// The area that holds.
    pub fn found(&self) -> Option<&Found> {
        self.now.as_ref()
    }

    /// True without an area, and while rounds speak for another one than the one that holds.
    pub fn is_in_doubt(&self) -> bool {
        self.now.is_none() || self.other.is_some()
    }

    /// True while the newest round speaks for the area, and nothing has spoken against it since.
    pub fn is_sure(&self) -> bool {
        !self.is_in_doubt() && !self.again
    }

    /// Takes up a frame.
    pub fn push(&mut self, coarse: &Coarse) {
        if (self.cols, self.rows) != (coarse.cols, coarse.rows) {
            self.reset();
            (self.cols, self.rows) = (coarse.cols, coarse.rows);
            let cells = coarse.sums.len();
            for buffer in [&mut self.mean, &mut self.ranges] {
                buffer.clear();
                buffer.resize(cells, 0.0);
            }
        }
        self.seen = (self.seen + 1).min(AVERAGED);
        let weight = 1.0 / self.seen as f32;
        for (mean, sum) in self.mean.iter_mut().zip(&coarse.sums) {
            *mean += (f32::from(*sum) - *mean) * weight;
        }
        for (mean, range) in self.ranges.iter_mut().zip(&coarse.ranges) {
            *mean += (f32::from(*range) - *mean) * weight;
        }
    }

    /// Looks at one threshold; at the last one of a round it tells what came of it.
    pub fn step(&mut self) -> Option<News> {
        if self.seen < LEAST_SEEN && self.round.step == 0 {
            return None;
        }
        if self.round.step == 0 {
            self.round.mean.clone_from(&self.mean);
            self.round.background = self.background();
            self.round.best = None;
        }
        if let Some(above) = THRESHOLDS.get(self.round.step) {
            self.look(self.round.background + above);
        }
        self.round.step += 1;
        if self.round.step < THRESHOLDS.len() {
            return None;
        }
        self.round.step = 0;
        self.again = false;
        Some(self.follow())
    }

    /// Takes a known area; false where nothing was seen yet, or where it is no fan or rectangle.
    pub fn pin(&mut self, pinned: &Pinned) -> bool {
        let (cols, rows) = (self.cols, self.rows);
        self.raw.clear(cols, rows);
        for (at, cell) in self.raw.cells.iter_mut().enumerate() {
            let middle = |at: usize, of: usize| (at as f32 + 0.5) / of as f32;
            let (x, y) = (middle(at % cols, cols), middle(at / cols, rows));
            *cell = pinned.outline.contains(x, y);
            self.raw.count += usize::from(*cell);
        }
        self.region_flipped.flip(&self.raw);
        let upright = self.fitter.fit(&self.raw, &self.raw, true);
        let flipped = self
            .fitter
            .fit(&self.region_flipped, &self.region_flipped, false);
        let inverted = match (upright, flipped) {
            (Some(upright), Some(flipped)) => flipped.score > upright.score + 0.05,
            (upright, _) => upright.is_none(),
        };
        let fit = if inverted { flipped } else { upright };
        let background = self.background();
        self.now = fit.map(|fit| Found {
            sector: Sector {
                outline: pinned.outline,
                shape: pinned.shape,
                inverted,
                confidence: 1.0,
            },
            fit,
            background,
        });
        self.now.is_some()
    }

    /// Begins a new round with the newest frame alone; the area stays until it is over.
    pub fn look_again(&mut self) {
        self.seen = 0;
        self.round.step = 0;
        self.again = true;
    }

    /// True between the first and the last step of a round.
    pub fn in_round(&self) -> bool {
        self.round.step > 0
    }

    /// Brightness that most flat dark cells have.
    fn background(&self) -> f32 {
        let mut counts = [0_u32; BRIGHTEST_BACKGROUND];
        for (mean, range) in self.mean.iter().zip(&self.ranges) {
            if let Some(count) = counts.get_mut((mean / 16.0 + 0.5) as usize)
                && *range <= 3.0
            {
                *count += 1;
            }
        }
        let most = counts.iter().max().copied().unwrap_or(0);
        let at = counts.iter().position(|c| *c == most).unwrap_or(0);
        at as f32 * 16.0
    }

    fn look(&mut self, above: f32) {
        let (cols, rows) = (self.cols, self.rows);
        self.raw.clear(cols, rows);
        for (cell, mean) in self.raw.cells.iter_mut().zip(&self.round.mean) {
            *cell = *mean > above;
        }
        self.on.smooth(&self.raw);
        for rank in 0..self.labeller.label(&self.on) {
            self.labeller.take(rank, &self.on, &mut self.region);
            let cells = self.region.count as f32;
            if cells < LEAST_REGION * (cols * rows) as f32 {
                break;
            }
            let textured = self.region.cells.iter().zip(&self.ranges);
            let textured = textured.filter(|(cell, range)| **cell && **range >= TEXTURE);
            if (textured.count() as f32) < LEAST_TEXTURED * cells {
                continue;
            }
            let fit = self.fitter.fit(&self.region, &self.on, true);
            self.round.keep(fit, false);
            if fit.is_none_or(|f| f.score < UPRIGHT_ENOUGH) {
                self.region_flipped.flip(&self.region);
                self.on_flipped.flip(&self.on);
                let fit = self
                    .fitter
                    .fit(&self.region_flipped, &self.on_flipped, false);
                self.round.keep(fit, true);
            }
        }
    }

    /// Weighs what the round found against the area that holds.
    fn follow(&mut self) -> News {
        let (cols, rows) = (self.cols as f32, self.rows as f32);
        let found = self.round.best.and_then(|(fit, inverted, _)| {
            Some(Found {
                sector: fit.sector(cols, rows, inverted)?,
                fit,
                background: self.round.background,
            })
        });
        let Some(found) = found else {
            self.other = None;
            return News::Nothing;
        };
        let Some(now) = &mut self.now else {
            self.now = Some(found);
            return News::Other;
        };
        let common = common_share(&now.sector.outline, &found.sector.outline);
        if common >= SAME {
            now.background = found.background;
            self.other = None;
            return News::Same;
        }
        let again = self.other.is_some_and(|other| {
            common_share(&other.sector.outline, &found.sector.outline) >= SAME
        });
        self.others = if again { self.others + 1 } else { 1 };
        self.other = Some(found);
        let (rounds, least) = match common < CHANGED {
            true => (ROUNDS_OTHER, 0.9),
            false => (ROUNDS_BETTER, 1.0),
        };
        if self.others < rounds || found.fit.worth() < least * now.fit.worth() {
            return News::Same;
        }
        *now = found;
        self.other = None;
        match common < CHANGED {
            true => News::Other,
            false => News::Better,
        }
    }
}

impl Round {
    fn keep(&mut self, fit: Option<Fit>, inverted: bool) {
        let Some(fit) = fit else {
            return;
        };
        let worth = fit.worth() * if inverted { UPSIDE_DOWN } else { 1.0 };
        let better = self.best.is_none_or(|(.., best)| worth > best + 0.02);
        if better && worth >= LEAST_WORTH {
            self.best = Some((fit, inverted, worth));
        }
    }
}

/// Area that two outlines have in common, of the area that either has.
pub fn common_share(a: &Outline, b: &Outline) -> f32 {
    const STEPS: u16 = 64;
    let (mut both, mut either) = (0_u32, 0_u32);
    for y in 0..STEPS {
        for x in 0..STEPS {
            let [x, y] = [x, y].map(|v| (f32::from(v) + 0.5) / f32::from(STEPS));
            let (in_a, in_b) = (a.contains(x, y), b.contains(x, y));
            both += u32::from(in_a && in_b);
            either += u32::from(in_a || in_b);
        }
    }
    both as f32 / either.max(1) as f32
}
