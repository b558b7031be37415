//! From echo to grey levels: detection, log compression, grey curve, persistence.

use crate::Imaging;
use crate::echo::Echo;
use crate::gain::GainMap;
use crate::noise::Background;
use crate::polar::PolarGrid;

/// Turns echoes of one scan into grey levels in polar coordinates.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// Amplitude factor of each sample for the size of its resolution cell.
    cell: Vec<f32>,
    beams: usize,
    gain_db: f32,
    range_db: f32,
    gamma: f32,
    persistence: f32,
    /// Grey levels 0.0 to 255.0 of the last frame.
    grey: Vec<f32>,
    fresh: bool,
}

impl Picture {
    pub(crate) fn new(imaging: &Imaging, grid: &PolarGrid) -> Self {
        let cell = (0..grid.samples)
            .map(|sample| {
                let distance = grid.distance_mm(sample).max(2.0);
                let depth = distance - grid.origin_mm;
                let lateral = imaging.lateral_at_deg(distance).to_radians() * distance;
                let volume =
                    5.57 * imaging.axial_mm * lateral.max(0.6) * imaging.slice_at_mm(depth);
                (imaging.scatterer_mm.powi(3) / volume).sqrt()
            })
            .collect();
        Self {
            cell,
            beams: grid.beams,
            gain_db: imaging.gain_db,
            range_db: imaging.range_db,
            gamma: imaging.grey_gamma,
            persistence: imaging.persistence,
            grey: vec![0.0; grid.len()],
            fresh: true,
        }
    }

    /// Forgets the frame before.
    pub(crate) fn restart(&mut self) {
        self.fresh = true;
    }

    pub(crate) fn grey(&self) -> &[f32] {
        &self.grey
    }

    /// Adds noise to an echo and makes it visible.
    pub(crate) fn develop(
        &mut self,
        echo: &Echo,
        gain: &GainMap,
        contraction: f32,
        background: &Background,
        frame: u64,
    ) {
        let still = background.still();
        let share = contraction.clamp(0.0, 1.0);
        let stay = if self.fresh { 0.0 } else { self.persistence };
        self.fresh = false;
        let mut line = vec![0.0_f32; self.beams];
        for (sample, (noise_real, noise_imaginary, level)) in background.rows(frame).enumerate() {
            let row = sample * self.beams..(sample + 1) * self.beams;
            let parts = [
                (&echo.real, &still.real, noise_real),
                (&echo.imaginary, &still.imaginary, noise_imaginary),
            ];
            let cell = self.cell[sample];
            line.fill(1e-12);
            for (tissue, still, noise) in parts {
                let columns = tissue[row.clone()]
                    .iter()
                    .zip(&still[row.clone()])
                    .zip(noise)
                    .zip(&gain.diastole[row.clone()])
                    .zip(&gain.systole[row.clone()]);
                for (power, ((((tissue, still), noise), wide), tight)) in
                    line.iter_mut().zip(columns)
                {
                    let through = wide + (tight - wide) * share;
                    let sum = tissue * cell * through + still + level * noise;
                    *power += sum * sum;
                }
            }
            for (grey, power) in self.grey[row].iter_mut().zip(&line) {
                let db = 3.010_3 * log2(*power) + self.gain_db;
                let shown = (1.0 + db / self.range_db).clamp(0.0, 1.0);
                let fresh = 255.0 * curve(shown, self.gamma);
                *grey = stay * *grey + (1.0 - stay) * fresh;
            }
        }
    }
}

/// The grey curve: darker below, steeper in the middle as gamma rises.
fn curve(shown: f32, gamma: f32) -> f32 {
    let bent = shown * shown;
    shown + (bent - shown) * (gamma - 0.4) * 0.9
}

/// Logarithm of a positive number to base 2, within 0.01.
fn log2(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = (bits >> 23) as i32 - 127;
    let mantissa = f32::from_bits(bits & 0x007F_FFFF | 0x3F80_0000);
    exponent as f32 + (mantissa * (2.024_66 - 0.344_845 * mantissa) - 1.674_87)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_logarithm_is_close_to_the_exact_one() {
        for i in 1..4000 {
            let x = 1.01_f32.powi(i - 2000);
            assert!((log2(x) - x.log2()).abs() < 0.011, "{x}");
        }
    }
}
