//! The imaging system's response: a convolution along and across the beams.

use crate::Imaging;
use crate::echo::Echo;
use crate::polar::PolarGrid;

/// Strength of the side lobes against the main beam.
const SIDE_LOBE: f32 = 0.022;
/// Half width of the side lobes.
const SIDE_LOBE_DEG: f32 = 9.0;

/// Filters an echo in place.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    beams: usize,
    samples: usize,
    axial: Vec<f32>,
    /// For each sample half a kernel, from its middle outwards.
    lateral: Vec<Vec<f32>>,
    side_beams: usize,
    scratch: Vec<f32>,
    line: Vec<f32>,
}

impl Response {
    pub(crate) fn new(imaging: &Imaging, grid: &PolarGrid) -> Self {
        let lateral = (0..grid.samples)
            .map(|sample| {
                let width_deg = imaging.lateral_at_deg(grid.distance_mm(sample).max(1.0));
                let width = width_deg.to_radians() / grid.step_rad;
                half_kernel(width.clamp(0.6, 8.0))
            })
            .collect();
        let axial = half_kernel((imaging.axial_mm / grid.step_mm).max(0.7));
        Self {
            beams: grid.beams,
            samples: grid.samples,
            axial,
            lateral,
            side_beams: ((SIDE_LOBE_DEG.to_radians() / grid.step_rad) as usize).max(1),
            scratch: vec![0.0; grid.len()],
            line: vec![0.0; grid.beams + 64],
        }
    }

    pub(crate) fn apply(&mut self, echo: &mut Echo) {
        for part in [&mut echo.real, &mut echo.imaginary] {
            self.along(part);
            self.across(part);
        }
    }

    fn along(&mut self, part: &mut [f32]) {
        let beams = self.beams;
        self.scratch.fill(0.0);
        for (sample, row) in part.chunks_exact(beams).enumerate() {
            for (offset, &weight) in self.axial.iter().enumerate() {
                let mut spread = |target: usize| {
                    let from = target * beams;
                    let out = &mut self.scratch[from..from + beams];
                    for (out, x) in out.iter_mut().zip(row) {
                        *out += weight * x;
                    }
                };
                if sample >= offset {
                    spread(sample - offset);
                }
                if offset > 0 && sample + offset < self.samples {
                    spread(sample + offset);
                }
            }
        }
        part.copy_from_slice(&self.scratch);
    }

    fn across(&mut self, part: &mut [f32]) {
        let beams = self.beams;
        for (row, kernel) in part.chunks_exact_mut(beams).zip(&self.lateral) {
            let reach = kernel.len() - 1;
            let padded = &mut self.line[..beams + 2 * reach];
            padded[..reach].fill(0.0);
            padded[reach..reach + beams].copy_from_slice(row);
            padded[reach + beams..].fill(0.0);
            self.scratch[..beams].copy_from_slice(row);
            side_lobes(&self.scratch[..beams], row, self.side_beams);
            for (offset, &weight) in kernel.iter().enumerate() {
                let left = &padded[reach - offset..][..beams];
                if offset == 0 {
                    for (out, x) in row.iter_mut().zip(left) {
                        *out += weight * x;
                    }
                    continue;
                }
                let right = &padded[reach + offset..][..beams];
                for ((out, x), y) in row.iter_mut().zip(left).zip(right) {
                    *out += weight * (x + y);
                }
            }
        }
    }
}

/// Writes the weak sum over a wide span of beams into `out`.
fn side_lobes(row: &[f32], out: &mut [f32], half: usize) {
    let mut sum: f32 = row.iter().take(half).sum();
    for (i, out) in out.iter_mut().enumerate() {
        sum += row.get(i + half).copied().unwrap_or(0.0);
        if let Some(gone) = i.checked_sub(half + 1) {
            sum -= row[gone];
        }
        *out = SIDE_LOBE * sum;
    }
}

/// The right half of a bell curve with its top at 1.
fn half_kernel(deviation: f32) -> Vec<f32> {
    let reach = (2.6 * deviation).ceil().min(31.0) as usize;
    (0..=reach)
        .map(|i| (-0.5 * (i as f32 / deviation).powi(2)).exp())
        .collect()
}
