//! The grid of beams and samples.

use crate::Imaging;

/// Beams and depths at which the echo is computed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PolarGrid {
    pub beams: usize,
    pub samples: usize,
    /// Distance of the first sample from the beams' origin.
    pub first_mm: f32,
    pub step_mm: f32,
    /// Angle of the first beam from straight down.
    pub first_rad: f32,
    pub step_rad: f32,
    pub origin_mm: f32,
}

impl PolarGrid {
    /// A grid fine enough for a picture of the given height.
    pub(crate) fn new(imaging: &Imaging, height_px: u32) -> Self {
        let height = height_px as f32;
        let fine_mm = (imaging.depth_mm / (0.85 * height)).clamp(0.35, 0.8);
        let samples = (imaging.depth_mm / fine_mm).ceil() as usize + 1;
        let fine_deg = if height > 200.0 { 0.5 } else { 0.7 };
        let beams = (imaging.sector_deg / fine_deg).ceil() as usize + 1;
        let first_deg = imaging.steer_deg - 0.5 * imaging.sector_deg;
        Self {
            beams,
            samples,
            first_mm: imaging.origin_mm,
            step_mm: imaging.depth_mm / (samples - 1) as f32,
            first_rad: first_deg.to_radians(),
            step_rad: imaging.sector_deg.to_radians() / (beams - 1) as f32,
            origin_mm: imaging.origin_mm,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.beams * self.samples
    }

    pub(crate) fn distance_mm(&self, sample: usize) -> f32 {
        self.first_mm + sample as f32 * self.step_mm
    }

    /// Where a point of the image plane lies: right of the middle, below the skin.
    ///
    /// Returns beam and sample with their fractions.
    pub(crate) fn position(&self, right_mm: f32, down_mm: f32) -> (f32, f32) {
        let down = down_mm + self.origin_mm;
        let beam = (right_mm.atan2(down) - self.first_rad) / self.step_rad;
        let sample = (right_mm.hypot(down) - self.first_mm) / self.step_mm;
        (beam, sample)
    }
}
