//! How the machine is set.

use crate::PhantomError;
use crate::error::within;
use crate::random::Random;

/// The settings and limits of one scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Imaging {
    /// Seed of noise, haze and dropout.
    pub noise_seed: u64,
    /// Depth below the skin, 40 to 300.
    pub depth_mm: f32,
    /// Opening angle of the sector, 20 to 120.
    pub sector_deg: f32,
    /// Steering of the sector's middle, -30 to 30; positive is the image's right.
    pub steer_deg: f32,
    /// Depth of the beams' common origin behind the skin, 0 to 80: 0 gives a pointed sector.
    pub origin_mm: f32,
    /// Sound's wavelength, 0.2 to 1.2.
    pub wavelength_mm: f32,
    /// Standard deviation of the axial response, 0.2 to 2.
    pub axial_mm: f32,
    /// Standard deviation of the lateral response at the focus, 0.2 to 3.
    pub lateral_deg: f32,
    /// Standard deviation of the slice thickness at the focus, 0.5 to 5.
    pub slice_mm: f32,
    /// Depth of the focus, 20 to 200.
    pub focus_mm: f32,
    /// Overall gain, -30 to 30; 0 is a well set image.
    pub gain_db: f32,
    /// Dynamic range, 30 to 90.
    pub range_db: f32,
    /// Level of the electronic noise at full depth, -90 to 0.
    pub noise_db: f32,
    /// Level of the clutter under the skin, -90 to 10.
    pub clutter_db: f32,
    /// Level of the haze over the whole image, -90 to 0.
    pub haze_db: f32,
    /// Attenuation that time gain does not make up for, -0.3 to 0.5 per millimetre.
    pub loss_db_per_mm: f32,
    /// Strength of the uneven coupling across the sector, 0 to 20.
    pub dropout_db: f32,
    /// Shadows of ribs: middle and half width in degrees from the sector's middle beam.
    pub shadows: Vec<(f32, f32)>,
    /// Share of the frame before that stays in the picture, 0 to 0.9.
    pub persistence: f32,
    /// Exponent of the grey curve, 0.4 to 2.5; above 1 is darker.
    pub grey_gamma: f32,
    /// Mean distance of scatterers, 0.9 to 3: smaller is finer and slower.
    pub scatterer_mm: f32,
}

impl Default for Imaging {
    fn default() -> Self {
        Self {
            noise_seed: 1,
            depth_mm: 170.0,
            sector_deg: 84.0,
            steer_deg: 0.0,
            origin_mm: 3.0,
            wavelength_mm: 0.6,
            axial_mm: 0.55,
            lateral_deg: 0.6,
            slice_mm: 1.7,
            focus_mm: 90.0,
            gain_db: 0.0,
            range_db: 58.0,
            noise_db: -52.0,
            clutter_db: -16.0,
            haze_db: -50.0,
            loss_db_per_mm: 0.02,
            dropout_db: 4.0,
            shadows: Vec::new(),
            persistence: 0.25,
            grey_gamma: 1.1,
            scatterer_mm: 1.25,
        }
    }
}

impl Imaging {
    /// Draws the settings of a machine and the quality of a window.
    pub fn sample(seed: u64) -> Self {
        let mut random = Random::new(seed, 4);
        let pointed = random.chance(0.55);
        let shadows = [-1.0, 1.0]
            .into_iter()
            .map(|side: f32| {
                (
                    random.chance(0.22),
                    side * random.range(24.0, 44.0),
                    random.range(4.0, 12.0),
                )
            })
            .filter_map(|(there, middle, half)| there.then_some((middle, half)))
            .collect();
        Self {
            noise_seed: random.bits(),
            depth_mm: random.range(145.0, 195.0),
            sector_deg: random.range(66.0, 92.0),
            steer_deg: if random.chance(0.12) {
                random.range(-12.0, 12.0)
            } else {
                0.0
            },
            origin_mm: if pointed {
                random.range(0.0, 3.0)
            } else {
                random.range(8.0, 16.0)
            },
            wavelength_mm: random.range(0.4, 0.75),
            axial_mm: random.range(0.45, 0.85),
            lateral_deg: random.range(0.5, 0.85),
            slice_mm: random.range(1.3, 2.4),
            focus_mm: random.range(60.0, 120.0),
            gain_db: random.normal().mul_add(3.5, 0.0),
            range_db: random.range(48.0, 66.0),
            noise_db: random.range(-64.0, -42.0),
            clutter_db: random.range(-30.0, -8.0),
            haze_db: random.range(-60.0, -40.0),
            loss_db_per_mm: random.range(-0.03, 0.09),
            dropout_db: random.range(1.0, 7.0),
            shadows,
            persistence: random.range(0.0, 0.5),
            grey_gamma: random.range(0.8, 1.5),
            scatterer_mm: 1.6,
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`PhantomError::Range`] for the first one outside the range that its field states.
    pub fn check(&self) -> Result<(), PhantomError> {
        within("depth", self.depth_mm, 40.0, 300.0, "mm")?;
        within("sector", self.sector_deg, 20.0, 120.0, "degrees")?;
        within("steer", self.steer_deg, -30.0, 30.0, "degrees")?;
        within("origin_mm", self.origin_mm, 0.0, 80.0, "mm")?;
        within("wavelength_mm", self.wavelength_mm, 0.2, 1.2, "mm")?;
        within("axial_mm", self.axial_mm, 0.2, 2.0, "mm")?;
        within("lateral_deg", self.lateral_deg, 0.2, 3.0, "degrees")?;
        within("slice_mm", self.slice_mm, 0.5, 5.0, "mm")?;
        within("focus_mm", self.focus_mm, 20.0, 200.0, "mm")?;
        within("gain", self.gain_db, -30.0, 30.0, "dB")?;
        within("range", self.range_db, 30.0, 90.0, "dB")?;
        within("noise", self.noise_db, -90.0, 0.0, "dB")?;
        within("clutter", self.clutter_db, -90.0, 10.0, "dB")?;
        within("haze", self.haze_db, -90.0, 0.0, "dB")?;
        within("loss", self.loss_db_per_mm, -0.3, 0.5, "dB/mm")?;
        within("dropout", self.dropout_db, 0.0, 20.0, "dB")?;
        within("persistence", self.persistence, 0.0, 0.9, "")?;
        within("grey_gamma", self.grey_gamma, 0.4, 2.5, "")?;
        within("scatterer_mm", self.scatterer_mm, 0.9, 3.0, "mm")?;
        for &(middle, half) in self.shadows.iter().take(8) {
            within("shadow", middle, -90.0, 90.0, "degrees")?;
            within("shadow", half, 0.5, 60.0, "degrees")?;
        }
        within("shadows", self.shadows.len() as f32, 0.0, 8.0, "shadows")
    }

    /// Standard deviation of the slice thickness at a depth.
    pub(crate) fn slice_at_mm(&self, depth_mm: f32) -> f32 {
        let off = (depth_mm - self.focus_mm) / self.focus_mm;
        self.slice_mm * (1.0 + 0.5 * off * off).sqrt()
    }

    /// Standard deviation of the lateral response at a distance from the beams' origin.
    pub(crate) fn lateral_at_deg(&self, distance_mm: f32) -> f32 {
        let depth = distance_mm - self.origin_mm;
        let off = (depth - self.focus_mm) / self.focus_mm;
        let focused = self.lateral_deg * (1.0 + 0.35 * off * off).sqrt();
        focused.max((1.0 / distance_mm.max(8.0)).to_degrees())
    }
}
