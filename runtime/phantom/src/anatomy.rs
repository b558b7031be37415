//! The measures of one heart.

use crate::error::within;
use crate::random::Random;
use crate::{PhantomError, Vec3};

/// Directions around the left ventricle's axis, seen from the apex: 0 is lateral, 90 anterior.
pub(crate) mod direction {
    /// Lateral end of the four-chamber plane.
    pub const FOUR_CHAMBER_DEG: f32 = 20.0;
    /// Anterior end of the two-chamber plane.
    pub const TWO_CHAMBER_DEG: f32 = 80.0;
    /// Outflow end of the three-chamber plane, also of the parasternal long axis.
    pub const OUTFLOW_DEG: f32 = 135.0;
    /// The chest window of the short axes.
    pub const PARASTERNAL_DEG: f32 = 115.0;
    /// Middle of the right ventricle.
    pub const RIGHT_VENTRICLE_DEG: f32 = 170.0;
    /// From the middle of the right ventricle to its insertions.
    pub const RIGHT_VENTRICLE_HALF_DEG: f32 = 70.0;
    /// Right atrium and tricuspid valve.
    pub const RIGHT_ATRIUM_DEG: f32 = 203.0;
    /// Left atrium and mitral valve.
    pub const LEFT_ATRIUM_DEG: f32 = 315.0;
    /// The window below the ribs.
    pub const SUBCOSTAL_DEG: f32 = 212.0;
}

/// The measures of one heart at end-diastole.
///
/// The frame of reference: the left ventricle's axis is z, the mitral plane z = 0, the apex has
/// positive z; x points to the lateral, y to the anterior wall.
///
/// # Units
/// Millimetres, degrees and percent, as the names say.
#[derive(Debug, Clone, PartialEq)]
pub struct Anatomy {
    /// Seed of everything that is not a measure: texture of tissue and position of scatterers.
    pub texture_seed: u64,
    /// Mitral plane to the endocardial apex, 65 to 110.
    pub lv_length_mm: f32,
    /// Largest mean radius of the left ventricle's cavity, 16 to 36.
    pub lv_radius_mm: f32,
    /// How far the short axis is from a circle: -0.12 to 0.12 of the radius.
    pub lv_ellipticity: f32,
    /// Wall thickness of the left ventricle, 6 to 16.
    pub lv_wall_mm: f32,
    /// True ejection fraction of a regular beat, 20 to 75.
    pub ef_percent: f32,
    /// Share of the left ventricle's length by which its base descends, 0.02 to 0.24.
    pub base_descent: f32,
    /// Turn of the apex against the base in systole, -5 to 25.
    pub twist_deg: f32,
    /// Width of the right ventricle outside the septum, 18 to 50.
    pub rv_depth_mm: f32,
    /// Thickness of its free wall, 2 to 9.
    pub rv_wall_mm: f32,
    /// Largest radius of the left atrium, 16 to 34.
    pub la_radius_mm: f32,
    /// Largest radius of the right atrium, 16 to 34.
    pub ra_radius_mm: f32,
    /// Inner radius of the aortic root, 8 to 19.
    pub aorta_radius_mm: f32,
    /// Skin to heart in the chest windows, 6 to 40.
    pub chest_mm: f32,
}

impl Anatomy {
    /// Draws a heart; the ejection fraction is uniform from 20 to 75 %.
    pub fn sample(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let ef_percent = random.range(20.0, 75.0);
        Self::sample_with_ef(seed, ef_percent)
    }

    /// Draws a heart of the given ejection fraction; weak hearts tend to be larger.
    pub fn sample_with_ef(seed: u64, ef_percent: f32) -> Self {
        let mut random = Random::new(seed, 2);
        let weakness = ((60.0 - ef_percent) / 40.0).clamp(-0.4, 1.0);
        let length = random.normal().mul_add(6.0, 84.0 + 5.0 * weakness);
        let radius = random.normal().mul_add(2.2, 23.5 + 3.5 * weakness);
        let descent = 0.0025 * ef_percent * random.range(0.8, 1.15);
        let mut anatomy = Self {
            texture_seed: seed,
            lv_length_mm: length.clamp(68.0, 105.0),
            lv_radius_mm: radius.clamp(18.0, 34.0),
            lv_ellipticity: random.range(-0.07, 0.07),
            lv_wall_mm: random.normal().mul_add(1.4, 9.8).clamp(6.5, 15.0),
            ef_percent,
            base_descent: descent.clamp(0.02, 0.24),
            twist_deg: ef_percent * random.range(0.12, 0.3),
            rv_depth_mm: random.normal().mul_add(3.5, 34.0).clamp(22.0, 44.0),
            rv_wall_mm: random.range(3.0, 5.5),
            la_radius_mm: random
                .normal()
                .mul_add(2.5, 22.5 + 2.0 * weakness)
                .clamp(17.0, 32.0),
            ra_radius_mm: random.normal().mul_add(2.2, 22.5).clamp(17.0, 31.0),
            aorta_radius_mm: random.normal().mul_add(1.2, 11.8).clamp(9.0, 16.0),
            chest_mm: random.range(9.0, 24.0),
        };
        anatomy.lv_radius_mm = anatomy.lv_radius_mm.min(anatomy.lv_length_mm * 0.38);
        anatomy
    }

    /// Checks every measure.
    ///
    /// # Errors
    /// [`PhantomError::Range`] for the first one outside the range that its field states.
    pub fn check(&self) -> Result<(), PhantomError> {
        within("lv_length_mm", self.lv_length_mm, 65.0, 110.0, "mm")?;
        within("lv_radius_mm", self.lv_radius_mm, 16.0, 36.0, "mm")?;
        within("lv_ellipticity", self.lv_ellipticity, -0.12, 0.12, "")?;
        within("lv_wall_mm", self.lv_wall_mm, 6.0, 16.0, "mm")?;
        within("ef", self.ef_percent, 20.0, 75.0, "%")?;
        within("base_descent", self.base_descent, 0.02, 0.24, "")?;
        within("twist_deg", self.twist_deg, -5.0, 25.0, "degrees")?;
        within("rv_depth_mm", self.rv_depth_mm, 18.0, 50.0, "mm")?;
        within("rv_wall_mm", self.rv_wall_mm, 2.0, 9.0, "mm")?;
        within("la_radius_mm", self.la_radius_mm, 16.0, 34.0, "mm")?;
        within("ra_radius_mm", self.ra_radius_mm, 16.0, 34.0, "mm")?;
        within("aorta_radius_mm", self.aorta_radius_mm, 8.0, 19.0, "mm")?;
        within("chest_mm", self.chest_mm, 6.0, 40.0, "mm")
    }

    /// Radius of the cavity at a height, averaged around the axis, at end-diastole.
    pub(crate) fn endo_radius_mm(&self, z_mm: f32) -> f32 {
        let k = (z_mm.max(0.0) / self.lv_length_mm - 0.25) / 0.75;
        self.lv_radius_mm * (1.0 - k * k).max(0.0).sqrt()
    }

    /// Radius of the outer surface of the left ventricle's wall at a height.
    pub(crate) fn epi_radius_mm(&self, z_mm: f32) -> f32 {
        let middle = 0.25 * self.lv_length_mm;
        let k = (z_mm.max(0.0) - middle) / (0.75 * self.lv_length_mm + self.apex_wall_mm());
        (self.lv_radius_mm + self.lv_wall_mm) * (1.0 - k * k).max(0.0).sqrt()
    }

    /// Wall thickness at the apex.
    pub(crate) fn apex_wall_mm(&self) -> f32 {
        0.7 * self.lv_wall_mm
    }

    /// How much wider than on average the short axis is in a direction.
    pub(crate) fn widening(&self, angle_deg: f32) -> f32 {
        1.0 + self.lv_ellipticity * (2.0 * (angle_deg - 45.0)).to_radians().cos()
    }

    /// Width of the right ventricle's cavity outside the septum.
    pub(crate) fn rv_width_mm(&self, angle_deg: f32, z_mm: f32) -> f32 {
        let off = crate::vector::angle_between_deg(direction::RIGHT_VENTRICLE_DEG, angle_deg)
            / direction::RIGHT_VENTRICLE_HALF_DEG;
        let around = (1.0 - off * off).max(0.0).sqrt();
        let along = (1.0 - z_mm.max(0.0) / (0.9 * self.lv_length_mm)).max(0.0);
        self.rv_depth_mm * around * along.powf(0.65)
    }

    /// Centre of the left atrium.
    pub(crate) fn la_centre(&self) -> Vec3 {
        Vec3::around_axis(
            direction::LEFT_ATRIUM_DEG,
            8.0,
            -(self.la_radius_mm * 1.15 + 1.0),
        )
    }

    /// Centre of the right atrium.
    pub(crate) fn ra_centre(&self) -> Vec3 {
        let out = self.la_radius_mm - 4.0 + self.ra_radius_mm + 3.0;
        Vec3::around_axis(direction::RIGHT_ATRIUM_DEG, out, -(self.ra_radius_mm * 1.0))
    }
}
