//! What is in the imaging area, by depth and direction.

use super::fan::Form;
use super::finder::Found;

/// Directions.
const ACROSS: usize = 12;
/// Depths.
const DEEP: usize = 16;
const BINS: usize = ACROSS * DEEP;
/// Bin of a cell outside.
const OUTSIDE: u8 = u8::MAX;
/// Depths of the near field, which reverberates on every probe.
const NEAR_FIELD: usize = 3;
/// Brightness above the background from which a cell is lit.
const LIT: f32 = 6.0;

/// Measures of one frame, brightness in grey levels above the background.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Measures {
    /// Share of the area that is lit.
    pub coverage: f32,
    /// Mean brightness.
    pub mean: f32,
    /// Ninth decile minus first decile of the cells.
    pub contrast: f32,
    /// How much the brightness bends from one direction to the next at one depth, of its mean.
    /// Noise and reverberation are the same in all directions, tissue is not.
    pub structure: f32,
    /// True when a band of the near half is as dark as nothing beside the rest.
    pub dead_band: bool,
    /// Directions in which nothing is lit, of all.
    pub dark_directions: f32,
    /// Share of the lit cells that have texture.
    pub texture: f32,
    /// How alike the far half is to what it was a look before, beyond its brightness by depth: 1
    /// for the same, 0 for noise. 1 while nothing is known.
    pub coherence: f32,
}

/// Which cell is in which bin.
#[derive(Debug, Clone, Default)]
pub(super) struct Polar {
    bins: Vec<u8>,
    background: f32,
}

impl Polar {
    /// Lays the bins into an area of `cols` by `rows` cells; its rim is left out.
    pub fn lay(&mut self, found: &Found, cols: usize, rows: usize) {
        self.background = found.background / 16.0;
        self.bins.clear();
        let [left, top, right, bottom] = found.fit.cut;
        for at in 0..cols * rows {
            let (x, y) = ((at % cols) as f32 + 0.5, (at / cols) as f32 + 0.5);
            let y = if found.sector.inverted {
                rows as f32 - y
            } else {
                y
            };
            let (across, deep) = match found.fit.form {
                Form::Fan {
                    apex,
                    from_to: [from, to],
                    inner,
                    outer,
                } => {
                    let (dx, dy) = (x - apex[0], y - apex[1]);
                    let rim = 0.03;
                    let across = (libm::atan2f(dx, dy) - from - rim) / (to - from - 2.0 * rim);
                    let radius = (dx * dx + dy * dy).sqrt();
                    (across, (radius - inner - 1.0) / (outer - inner - 2.0))
                }
                Form::Rectangle => (
                    (x - left - 1.0) / (right - left - 2.0),
                    (y - top) / (bottom - top - 1.0),
                ),
            };
            let share = 0.0..1.0;
            let inside = x > left && x < right && y < bottom;
            self.bins.push(
                match share.contains(&across) && share.contains(&deep) && inside {
                    true => {
                        ((deep * DEEP as f32) as usize * ACROSS + (across * ACROSS as f32) as usize)
                            as u8
                    }
                    false => OUTSIDE,
                },
            );
        }
    }

    /// Share of the frame's cells that are inside.
    pub fn inside(&self, at: usize) -> bool {
        self.bins.get(at).is_some_and(|bin| *bin != OUTSIDE)
    }

    /// Measures the mean of some frames, sums of 16 samples, and the mean spread of the samples.
    ///
    /// # Real-time
    /// No allocation; at most 25600 cells.
    pub fn measure(&self, means: &[f32], ranges: &[f32]) -> Measures {
        let mut sums = [[0.0_f32; ACROSS]; DEEP];
        let mut counts = [[0.0_f32; ACROSS]; DEEP];
        let mut levels = [0_u32; 256];
        let (mut inside, mut lit, mut textured) = (0_u32, 0_u32, 0_u32);
        let cells = self.bins.iter().zip(means).zip(ranges);
        for ((bin, sum), range) in cells.filter(|((bin, _), _)| **bin != OUTSIDE) {
            let bin = usize::from(*bin).min(BINS - 1);
            let level = sum / 16.0 - self.background;
            sums[bin / ACROSS][bin % ACROSS] += level;
            counts[bin / ACROSS][bin % ACROSS] += 1.0;
            levels[(level.max(0.0) as usize).min(255)] += 1;
            inside += 1;
            lit += u32::from(level > LIT);
            textured += u32::from(level > LIT && *range >= 3.0);
        }
        let of_inside = |share: u32| share as f32 / inside.max(1) as f32;
        let quantile = |hundredths: u32| {
            let mut left = inside * hundredths / 100;
            let at = levels.iter().position(|count| {
                let here = left < *count;
                left = left.saturating_sub(*count);
                here
            });
            at.unwrap_or(255) as f32
        };
        let total: f32 = sums.iter().flatten().sum();
        let (mut bends, mut means) = (0.0_f32, 0.0_f32);
        let mut depths = [f32::NAN; DEEP];
        let mut lit_directions = [false; ACROSS];
        for (deep, (sums, counts)) in sums.iter().zip(&counts).enumerate() {
            let mut row = [0.0_f32; ACROSS];
            let mut used = 0;
            for (across, (sum, count)) in sums.iter().zip(counts).enumerate() {
                if *count > 0.0 {
                    lit_directions[across] |= sum / count > LIT;
                    // the outermost directions may lie beyond the image's real edge
                    if across > 0 && across + 1 < ACROSS {
                        row[used] = (sum / count).max(0.0);
                        used += 1;
                    }
                }
            }
            if used < 6 {
                continue;
            }
            let row = &row[..used];
            let mean = row.iter().sum::<f32>() / used as f32;
            depths[deep] = mean;
            if deep < NEAR_FIELD {
                continue;
            }
            let bend = |w: &[f32]| (w[0] - 2.0 * w[1] + w[2]).abs() / 2.0;
            bends += row.windows(3).map(bend).sum::<f32>() / (used - 2) as f32;
            means += mean + 1.0;
        }
        let known = |range: std::ops::Range<usize>| {
            let depths = depths[range].iter().copied();
            depths.filter(|d| d.is_finite())
        };
        let darkest = known(NEAR_FIELD..DEEP / 2).fold(f32::INFINITY, f32::min);
        let brightest = known(0..DEEP).fold(0.0, f32::max);
        let dark = lit_directions.iter().filter(|lit| !**lit).count();
        Measures {
            coverage: of_inside(lit),
            mean: total / inside.max(1) as f32,
            contrast: quantile(90) - quantile(10),
            structure: if means > 0.0 { bends / means } else { 0.0 },
            dead_band: darkest <= 0.1 * brightest + 1.0,
            dark_directions: dark as f32 / ACROSS as f32,
            texture: textured as f32 / lit.max(1) as f32,
            coherence: 1.0,
        }
    }

    /// [`Measures::coherence`] of two looks, sums of 16 samples.
    pub fn coherence(&self, before: &[u16], now: &[u16]) -> f32 {
        if before.len() != now.len() {
            return 1.0;
        }
        let far = |bin: u8| {
            (bin != OUTSIDE)
                .then(|| usize::from(bin) / ACROSS)
                .filter(|d| *d > DEEP / 2)
        };
        let cells = || self.bins.iter().zip(before).zip(now);
        let mut rows = [[0.0_f32; 3]; DEEP];
        for ((bin, before), now) in cells() {
            if let Some(row) = far(*bin).and_then(|deep| rows.get_mut(deep)) {
                row[0] += f32::from(*before);
                row[1] += f32::from(*now);
                row[2] += 1.0;
            }
        }
        let (mut both, mut one, mut other) = (0.0_f32, 0.0_f32, 0.0_f32);
        for ((bin, before), now) in cells() {
            if let Some([a, b, count]) = far(*bin).and_then(|deep| rows.get(deep)) {
                let (a, b) = (f32::from(*before) - a / count, f32::from(*now) - b / count);
                both += a * b;
                one += a * a;
                other += b * b;
            }
        }
        let scale = (one * other).sqrt();
        if scale > 0.0 { both / scale } else { 1.0 }
    }
}
