//! What happens to the echo on its way: attenuation, shadow, coupling.

use crate::Imaging;
use crate::Vec3;
use crate::heart::Heart;
use crate::polar::PolarGrid;
use crate::pose::Pose;
use crate::random::Random;
use crate::tissue::Tissue;

const COARSE_BEAMS: usize = 40;
const COARSE_SAMPLES: usize = 56;
/// Shadow of a rib at its darkest.
const RIB_DB: f32 = -26.0;

/// Gain of each sample at end-diastole and end-systole, as a factor of the amplitude.
#[derive(Debug, Clone)]
pub(crate) struct GainMap {
    pub diastole: Vec<f32>,
    pub systole: Vec<f32>,
}

impl GainMap {
    /// Follows the beams through the heart.
    pub(crate) fn through(heart: &Heart, pose: &Pose, imaging: &Imaging, grid: &PolarGrid) -> Self {
        let fixed = fixed_db(imaging, grid);
        let map = |contraction| {
            let mut sum = tissue_db(heart, pose, imaging, grid, contraction);
            for (sum, fixed) in sum.iter_mut().zip(&fixed) {
                *sum += fixed;
            }
            full(&sum, grid)
        };
        Self {
            diastole: map(0.0),
            systole: map(1.0),
        }
    }

    /// The gain without a heart in the way.
    pub(crate) fn free(imaging: &Imaging, grid: &PolarGrid) -> Self {
        let map = full(&fixed_db(imaging, grid), grid);
        Self {
            diastole: map.clone(),
            systole: map,
        }
    }
}

fn tissue_db(
    heart: &Heart,
    pose: &Pose,
    imaging: &Imaging,
    grid: &PolarGrid,
    contraction: f32,
) -> Vec<f32> {
    let step = imaging.depth_mm / (COARSE_SAMPLES - 1) as f32;
    let mut map = vec![0.0; COARSE_BEAMS * COARSE_SAMPLES];
    for beam in 0..COARSE_BEAMS {
        let share = beam as f32 / (COARSE_BEAMS - 1) as f32;
        let angle = grid.first_rad + share * grid.step_rad * (grid.beams - 1) as f32;
        let (sin, cos) = angle.sin_cos();
        let mut sum_db = 0.0;
        let mut guess: Option<Vec3> = None;
        for sample in 0..COARSE_SAMPLES {
            let distance = grid.first_mm + step * sample as f32;
            let down = distance * cos - grid.origin_mm;
            let point = pose.point(Vec3::new(distance * sin, 0.0, down));
            let near = guess.map_or(point, |shift| point + shift);
            let rest = match contraction == 0.0 {
                true => point,
                false => heart.motion().rest(point, contraction, 0.0, near),
            };
            guess = Some(rest - point);
            let tissue = heart.material(rest).tissue;
            if !(tissue == Tissue::Lung && down < 0.85 * heart.anatomy().chest_mm) {
                sum_db += step * tissue.through_db_per_mm();
            }
            sum_db = sum_db.clamp(-45.0, 5.0);
            map[sample * COARSE_BEAMS + beam] = sum_db;
        }
    }
    map
}

/// Losses that do not move with the heart: coupling, ribs, overall loss; in dB.
fn fixed_db(imaging: &Imaging, grid: &PolarGrid) -> Vec<f32> {
    let mut random = Random::new(imaging.noise_seed, 5);
    let mut waves = |count: usize| -> Vec<[f32; 4]> {
        (0..count)
            .map(|_| {
                [
                    random.range(2.0, 14.0),
                    random.range(0.0, 0.05),
                    random.range(0.0, 6.3),
                    random.normal(),
                ]
            })
            .collect()
    };
    let patches = waves(10);
    let stripes = waves(8);
    let focus_mm = imaging.focus_mm;
    let mut map = Vec::with_capacity(COARSE_BEAMS * COARSE_SAMPLES);
    for sample in 0..COARSE_SAMPLES {
        let depth = imaging.depth_mm * sample as f32 / (COARSE_SAMPLES - 1) as f32;
        for beam in 0..COARSE_BEAMS {
            let share = beam as f32 / (COARSE_BEAMS - 1) as f32;
            let angle = grid.first_rad + share * grid.step_rad * (grid.beams - 1) as f32;
            let patch: f32 = patches
                .iter()
                .map(|[a, d, phase, high]| high * (a * angle + d * depth + phase).sin())
                .sum();
            let stripe: f32 = stripes
                .iter()
                .map(|[a, _, phase, high]| high * (2.5 * a * angle + phase).sin())
                .sum();
            let middle = imaging.steer_deg.to_radians();
            let edge = (angle - middle).abs() / (0.5 * imaging.sector_deg.to_radians());
            let rib: f32 = imaging
                .shadows
                .iter()
                .map(|(at, half)| {
                    let off = (angle.to_degrees() - at).abs() / half;
                    RIB_DB * (1.0 - crate::vector::smooth_step(0.6, 1.3, off))
                })
                .sum();
            let deep = crate::vector::smooth_step(4.0, 16.0, depth);
            map.push(
                imaging.dropout_db * (0.28 * patch + 0.14 * stripe)
                    - 3.5 * edge.powi(3)
                    - imaging.loss_db_per_mm * (depth - 0.5 * focus_mm)
                    + rib * deep,
            );
        }
    }
    map
}

/// Spreads the coarse map over the grid and turns it into amplitude.
fn full(coarse: &[f32], grid: &PolarGrid) -> Vec<f32> {
    let ratio = |coarse: usize, fine: usize| (coarse - 1) as f32 / (fine - 1) as f32;
    let down = ratio(COARSE_SAMPLES, grid.samples);
    let across = ratio(COARSE_BEAMS, grid.beams);
    let mut map = Vec::with_capacity(grid.len());
    for sample in 0..grid.samples {
        let y = sample as f32 * down;
        let top = (y as usize).min(COARSE_SAMPLES - 2);
        for beam in 0..grid.beams {
            let x = beam as f32 * across;
            let left = (x as usize).min(COARSE_BEAMS - 2);
            let (v, u) = (y - top as f32, x - left as f32);
            let at = |row: usize, column: usize| coarse[row * COARSE_BEAMS + column];
            let upper = at(top, left) * (1.0 - u) + at(top, left + 1) * u;
            let lower = at(top + 1, left) * (1.0 - u) + at(top + 1, left + 1) * u;
            let db = upper * (1.0 - v) + lower * v;
            map.push(10_f32.powf(db / 20.0));
        }
    }
    map
}
