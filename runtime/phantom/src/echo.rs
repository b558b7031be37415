//! The complex echo of a slice: a sum over scatterers.

use crate::Imaging;
use crate::Vec3;
use crate::cloud::{Cloud, SLICE_REACH};
use crate::motion::HeartState;
use crate::polar::PolarGrid;
use crate::pose::Pose;
use crate::vector::arc_tangent;

const PHASES: usize = 2048;

/// In-phase and quadrature parts, beams side by side, samples one below the other.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    pub real: Vec<f32>,
    pub imaginary: Vec<f32>,
}

impl Echo {
    pub(crate) fn new(grid: &PolarGrid) -> Self {
        Self {
            real: vec![0.0; grid.len()],
            imaginary: vec![0.0; grid.len()],
        }
    }

    pub(crate) fn clear(&mut self) {
        self.real.fill(0.0);
        self.imaginary.fill(0.0);
    }
}

/// From the frame of a cloud's pose to that of the probe now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drift {
    rows: [Vec3; 3],
    shift: Vec3,
}

impl Drift {
    pub(crate) fn between(cloud: &Pose, now: &Pose) -> Self {
        let row = |axis: Vec3| cloud.turned_into(axis);
        Self {
            rows: [row(now.right), row(now.across()), row(now.down)],
            shift: now.turned_into(cloud.skin - now.skin),
        }
    }

    pub(crate) fn apply(&self, p: Vec3) -> Vec3 {
        let [right, across, down] = self.rows;
        Vec3::new(right.dot(p), across.dot(p), down.dot(p)) + self.shift
    }

    /// The largest movement across the plane within a distance.
    pub(crate) fn across_mm(&self, reach_mm: f32) -> f32 {
        let [_, across, _] = self.rows;
        self.shift.y.abs() + reach_mm * across.x.hypot(across.z)
    }
}

/// Adds scatterers to an echo.
#[derive(Debug, Clone)]
pub(crate) struct Caster {
    grid: PolarGrid,
    /// Turns of phase per millimetre, both ways.
    turns_per_mm: f32,
    phases: Vec<(f32, f32)>,
    /// One over the half thickness of the slice, squared, for each sample.
    slice: Vec<f32>,
    /// The largest half thickness.
    reach_mm: f32,
}

impl Caster {
    pub(crate) fn new(imaging: &Imaging, grid: &PolarGrid) -> Self {
        let slice: Vec<f32> = (0..grid.samples)
            .map(|sample| {
                let depth = grid.distance_mm(sample) - grid.origin_mm;
                (SLICE_REACH * imaging.slice_at_mm(depth)).powi(-2)
            })
            .collect();
        let thinnest = slice.iter().fold(1.0_f32, |least, x| least.min(*x));
        let phases = (0..PHASES)
            .map(|i| {
                let (sin, cos) = (std::f32::consts::TAU * i as f32 / PHASES as f32).sin_cos();
                (cos, sin)
            })
            .collect();
        Self {
            grid: grid.clone(),
            turns_per_mm: 2.0 / imaging.wavelength_mm,
            phases,
            slice,
            reach_mm: thinnest.powf(-0.5),
        }
    }

    /// Adds a cloud in the given state.
    pub(crate) fn cast(&self, echo: &mut Echo, cloud: &Cloud, state: &HeartState, drift: &Drift) {
        let (s, a) = (state.contraction, state.atrial);
        let at = |axis: usize, i: usize| {
            cloud.rest[axis][i]
                + s * (cloud.linear[axis][i] + s * cloud.square[axis][i])
                + a * cloud.atrial[axis][i]
        };
        for (i, &amplitude) in cloud.amplitude.iter().enumerate() {
            let point = drift.apply(Vec3::new(at(0, i), at(1, i), at(2, i)));
            self.add(echo, point, amplitude);
        }
    }

    /// Adds one scatterer, given in the probe's frame.
    #[inline]
    pub(crate) fn add(&self, echo: &mut Echo, point: Vec3, amplitude: f32) {
        let down = point.z + self.grid.origin_mm;
        if down <= 0.5 || point.y.abs() > self.reach_mm {
            return;
        }
        let distance = (point.x * point.x + down * down).sqrt();
        let sample = (distance - self.grid.first_mm) * (1.0 / self.grid.step_mm);
        let beam = (arc_tangent(point.x / down) - self.grid.first_rad) * (1.0 / self.grid.step_rad);
        let inside = sample >= 0.0
            && beam >= 0.0
            && sample < (self.grid.samples - 1) as f32
            && beam < (self.grid.beams - 1) as f32;
        if !inside {
            return;
        }
        let (row_index, column_index) = (sample as usize, beam as usize);
        let off = 1.0 - point.y * point.y * self.slice[row_index];
        if off <= 0.0 {
            return;
        }
        let phase = (distance * self.turns_per_mm * PHASES as f32) as usize % PHASES;
        let (cos, sin) = self.phases[phase];
        let amplitude = amplitude * off * off;
        let (real, imaginary) = (amplitude * cos, amplitude * sin);
        let (down_share, right_share) = (sample - row_index as f32, beam - column_index as f32);
        let first = row_index * self.grid.beams + column_index;
        let second = first + self.grid.beams;
        let weights = [
            (first, (1.0 - down_share) * (1.0 - right_share)),
            (first + 1, (1.0 - down_share) * right_share),
            (second, down_share * (1.0 - right_share)),
            (second + 1, down_share * right_share),
        ];
        for (index, weight) in weights {
            echo.real[index] += weight * real;
            echo.imaginary[index] += weight * imaginary;
        }
    }
}
