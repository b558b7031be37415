//! What the image shows besides tissue: electronic noise, clutter, haze.

use crate::Imaging;
use crate::echo::Echo;
use crate::polar::PolarGrid;
use crate::random::Random;
use crate::response::Response;

/// Depth at which the clutter under the skin has fallen to a third.
const CLUTTER_FALL_MM: f32 = 9.0;

/// Noise that changes with every frame, and echoes that do not.
#[derive(Debug, Clone)]
pub(crate) struct Background {
    bank: Echo,
    still: Echo,
    /// Amplitude of the noise for each sample.
    level: Vec<f32>,
    beams: usize,
    seed: u64,
}

impl Background {
    pub(crate) fn new(imaging: &Imaging, grid: &PolarGrid, response: &mut Response) -> Self {
        let mut random = Random::new(imaging.noise_seed, 6);
        let mut field = || {
            let mut echo = Echo::new(grid);
            for (real, imaginary) in echo.real.iter_mut().zip(&mut echo.imaginary) {
                // A sum of three uniform numbers is close enough to a bell curve.
                let mut draw = || {
                    let bits = random.bits();
                    let part = |shift: u32| (bits >> shift & 0xF_FFFF) as f32 / 1_048_576.0;
                    2.0 * (part(0) + part(20) + part(40) - 1.5)
                };
                (*real, *imaginary) = (draw(), draw());
            }
            response.apply(&mut echo);
            even(&mut echo, grid.beams);
            echo
        };
        let bank = field();
        let mut still = field();
        let factor = |db: f32| 10_f32.powf(db / 20.0);
        for sample in 0..grid.samples {
            let depth = grid.distance_mm(sample) - grid.origin_mm;
            let clutter = factor(imaging.clutter_db) * (-depth / CLUTTER_FALL_MM).exp();
            let ring = factor(2.0) * (-(depth / 2.2).powi(2)).exp();
            let haze = factor(imaging.haze_db) * (1.5 - depth / imaging.depth_mm);
            let row = sample * grid.beams..(sample + 1) * grid.beams;
            for part in [&mut still.real[row.clone()], &mut still.imaginary[row]] {
                part.iter_mut().for_each(|x| *x *= clutter + ring + haze);
            }
        }
        let level = (0..grid.samples)
            .map(|sample| {
                let depth = grid.distance_mm(sample) - grid.origin_mm;
                let share = depth / imaging.depth_mm;
                factor(imaging.noise_db + 12.0 * (share - 1.0))
            })
            .collect();
        Self {
            bank,
            still,
            level,
            beams: grid.beams,
            seed: imaging.noise_seed,
        }
    }

    /// The echoes that stay.
    pub(crate) fn still(&self) -> &Echo {
        &self.still
    }

    /// The noise of one frame: for each sample its row of real and imaginary parts, and its level.
    pub(crate) fn rows(&self, frame: u64) -> impl Iterator<Item = (&[f32], &[f32], f32)> {
        let mut random = Random::new(self.seed ^ frame, 7);
        let samples = self.level.len();
        let first = random.bits() as usize % samples;
        let sign = if random.chance(0.5) { 1.0 } else { -1.0 };
        let swap = random.chance(0.5);
        self.level.iter().enumerate().map(move |(sample, level)| {
            let from = (first + sample) % samples * self.beams;
            let real = &self.bank.real[from..from + self.beams];
            let imaginary = &self.bank.imaginary[from..from + self.beams];
            match swap {
                true => (imaginary, real, sign * level),
                false => (real, imaginary, sign * level),
            }
        })
    }
}

/// Gives every row the same power.
fn even(echo: &mut Echo, beams: usize) {
    let rows = echo
        .real
        .chunks_exact_mut(beams)
        .zip(echo.imaginary.chunks_exact_mut(beams));
    for (real, imaginary) in rows {
        let power: f32 = real.iter().chain(imaginary.iter()).map(|x| x * x).sum();
        let factor = (beams as f32 / power.max(1e-12)).sqrt();
        real.iter_mut()
            .chain(imaginary.iter_mut())
            .for_each(|x| *x *= factor);
    }
}
