//! How the tissue moves: one displacement field for the whole body.

use crate::Vec3;
use crate::anatomy::{Anatomy, direction};
use crate::vector::{angle_between_deg, smooth_step};

/// Share of the contraction that reaches the mitral plane.
const BASE_CONTRACTION: f32 = 0.5;
/// Slices of the volume integral.
const SLICES: usize = 240;
/// Share by which an atrium's contraction shrinks it.
const ATRIAL_CONTRACTION: f32 = 0.13;

/// The state of a heart at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HeartState {
    /// 0 at end-diastole, 1 at the end-systole of a regular beat.
    pub contraction: f32,
    /// Active contraction of the atria, 0 to 1.
    pub atrial: f32,
    /// Mitral and tricuspid valve: 0 closed, 1 open.
    pub mitral: f32,
    /// Aortic valve: 0 closed, 1 open.
    pub aortic: f32,
}

/// The displacement field of one heart.
#[derive(Debug, Clone)]
pub struct Motion {
    anatomy: Anatomy,
    contraction: f32,
    la_centre: Vec3,
    ra_centre: Vec3,
}

impl Motion {
    /// Finds the contraction that gives the anatomy its ejection fraction.
    pub(crate) fn new(anatomy: &Anatomy) -> Self {
        let mut motion = Self {
            anatomy: anatomy.clone(),
            contraction: 0.0,
            la_centre: anatomy.la_centre(),
            ra_centre: anatomy.ra_centre(),
        };
        let diastolic = motion.lv_volume_ml(0.0);
        let (mut low, mut high) = (-0.1, 0.8);
        for _ in 0..40 {
            motion.contraction = 0.5 * (low + high);
            let ef = 100.0 * (1.0 - motion.lv_volume_ml(1.0) / diastolic);
            if ef < f64::from(anatomy.ef_percent) {
                low = motion.contraction;
            } else {
                high = motion.contraction;
            }
        }
        motion
    }

    /// Volume of the left ventricle's cavity, papillary muscles included.
    ///
    /// # Units
    /// Millilitres.
    pub fn lv_volume_ml(&self, contraction: f32) -> f64 {
        let length = self.anatomy.lv_length_mm;
        let step = length / SLICES as f32;
        let along = f64::from(1.0 - self.anatomy.base_descent * contraction);
        let area: f64 = (0..SLICES)
            .map(|slice| {
                let z = (slice as f32 + 0.5) * step;
                let shrink = 1.0 - self.radial_share(z) * contraction;
                f64::from(self.anatomy.endo_radius_mm(z) * shrink).powi(2)
            })
            .sum();
        let ellipse = 1.0 + 0.5 * f64::from(self.anatomy.lv_ellipticity).powi(2);
        std::f64::consts::PI * area * f64::from(step) * along * ellipse / 1000.0
    }

    /// The contraction at which the ejection fraction is `ef_percent`.
    pub(crate) fn contraction_for_ef(&self, ef_percent: f32) -> f32 {
        let diastolic = self.lv_volume_ml(0.0);
        let (mut low, mut high) = (0.0, 1.2);
        for _ in 0..30 {
            let middle = 0.5 * (low + high);
            let ef = 100.0 * (1.0 - self.lv_volume_ml(middle) / diastolic);
            if ef < f64::from(ef_percent) {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    }

    /// How far the mitral plane has moved towards the apex.
    pub(crate) fn base_descent_mm(&self, contraction: f32) -> f32 {
        self.anatomy.base_descent * self.anatomy.lv_length_mm * contraction
    }

    /// Where a material point is: `rest` is its place at end-diastole.
    pub fn place(&self, rest: Vec3, contraction: f32, atrial: f32) -> Vec3 {
        let a = &self.anatomy;
        let radius = rest.x.hypot(rest.y);
        let angle_deg = rest.y.atan2(rest.x).to_degrees();
        let widening = a.widening(angle_deg);
        let endo = a.endo_radius_mm(rest.z) * widening;
        let epi = a.epi_radius_mm(rest.z) * widening;
        let rv_width = a.rv_width_mm(angle_deg, rest.z);
        let outside = radius - epi - rv_width;
        let beyond_apex = (rest.z - a.lv_length_mm - a.apex_wall_mm()).max(0.0);

        let right = self.right_share(angle_deg) * smooth_step(0.0, 18.0, radius - epi);
        let fade_far = 1.0 - smooth_step(2.0, 38.0, outside.max(0.0));
        let descent = self.base_descent_mm(contraction) * (1.0 + 0.45 * right);
        let z = rest.z + descent * self.along_share(rest.z) * fade_far;

        let shrink = 1.0 - self.radial_share(rest.z) * contraction;
        let moved = if radius <= endo {
            radius * shrink
        } else {
            let shortening = a.base_descent
                * contraction
                * smooth_step(-10.0, 6.0, rest.z)
                * (1.0 - smooth_step(a.lv_length_mm - 8.0, a.lv_length_mm + 6.0, rest.z));
            let square =
                (endo * shrink).powi(2) + (radius * radius - endo * endo) / (1.0 - shortening);
            square.max(0.0).sqrt()
        };
        let fade = (1.0 - smooth_step(0.0, 30.0, radius - epi))
            * (1.0 - smooth_step(0.0, 25.0, beyond_apex));
        let mut new_radius = radius + (moved - radius) * fade;
        if rv_width > 1.0 {
            let across = (radius - epi) / rv_width;
            let push = smooth_step(0.0, 1.0, across) * (1.0 - smooth_step(1.2, 2.1, across));
            let depth = self.radial_share(rest.z) * 0.62 * rv_width;
            new_radius -= depth * push * contraction * smooth_step(-25.0, 4.0, rest.z);
        }

        let height = (rest.z / a.lv_length_mm).clamp(-0.3, 1.1);
        let turn = a.twist_deg * (height - 0.35) * contraction * fade;
        let mut place = Vec3::around_axis(angle_deg + turn, new_radius.max(0.0), z);
        if atrial != 0.0 && rest.z < 0.0 {
            place += self.atrial_pull(rest) * atrial;
        }
        place
    }

    /// The material point that is at `place`, by Newton's method.
    pub(crate) fn rest(&self, place: Vec3, contraction: f32, atrial: f32, guess: Vec3) -> Vec3 {
        const STEP_MM: f32 = 0.05;
        let mut rest = guess;
        let mut best = (f32::INFINITY, rest);
        for _ in 0..12 {
            let at = self.place(rest, contraction, atrial);
            let miss = place - at;
            let distance = miss.length();
            if distance < best.0 {
                best = (distance, rest);
            }
            if distance < 0.02 {
                break;
            }
            let column =
                |step: Vec3| (self.place(rest + step, contraction, atrial) - at) * (1.0 / STEP_MM);
            let i = column(Vec3::new(STEP_MM, 0.0, 0.0));
            let j = column(Vec3::new(0.0, STEP_MM, 0.0));
            let k = column(Vec3::new(0.0, 0.0, STEP_MM));
            let volume = i.dot(j.cross(k));
            let step = if volume.abs() < 0.05 {
                miss * 0.5
            } else {
                Vec3::new(
                    miss.dot(j.cross(k)),
                    miss.dot(k.cross(i)),
                    miss.dot(i.cross(j)),
                ) * (1.0 / volume)
            };
            let length = step.length();
            rest += step * (6.0 / length.max(6.0));
        }
        best.1
    }

    fn radial_share(&self, z_mm: f32) -> f32 {
        let height = z_mm / self.anatomy.lv_length_mm;
        let towards_base =
            BASE_CONTRACTION + (1.0 - BASE_CONTRACTION) * smooth_step(0.0, 0.3, height);
        self.contraction * towards_base * smooth_step(-22.0, 0.0, z_mm)
    }

    fn along_share(&self, z_mm: f32) -> f32 {
        if z_mm >= 0.0 {
            (1.0 - z_mm / self.anatomy.lv_length_mm).max(0.0)
        } else {
            1.0 - smooth_step(0.0, 62.0, -z_mm)
        }
    }

    fn right_share(&self, angle_deg: f32) -> f32 {
        let off = angle_between_deg(direction::RIGHT_VENTRICLE_DEG + 15.0, angle_deg).abs();
        1.0 - smooth_step(30.0, 85.0, off)
    }

    fn atrial_pull(&self, rest: Vec3) -> Vec3 {
        let pull = |centre: Vec3, radius: f32| {
            let out = rest - centre;
            let fade = 1.0 - smooth_step(1.0, 1.6, out.length() / radius);
            out * (-ATRIAL_CONTRACTION * fade)
        };
        let both = pull(self.la_centre, self.anatomy.la_radius_mm)
            + pull(self.ra_centre, self.anatomy.ra_radius_mm);
        both * smooth_step(0.0, 14.0, -rest.z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_place_leads_back_to_its_material_point() {
        for seed in 0..20 {
            let motion = Motion::new(&Anatomy::sample(seed));
            let mut random = Random::new(seed, 99);
            let mut worst = 0.0_f32;
            for _ in 0..400 {
                let rest = Vec3::new(
                    random.range(-60.0, 60.0),
                    random.range(-60.0, 60.0),
                    random.range(-60.0, 90.0),
                );
                let contraction = random.range(0.0, 1.0);
                let place = motion.place(rest, contraction, 0.0);
                let back = motion.rest(place, contraction, 0.0, place);
                worst = worst.max((motion.place(back, contraction, 0.0) - place).length());
            }
            assert!(worst < 1.0, "seed {seed}: {worst} mm");
        }
    }

    #[test]
    fn the_wall_thickens_and_the_base_descends_in_systole() {
        let anatomy = Anatomy::sample_with_ef(1, 60.0);
        let motion = Motion::new(&anatomy);
        let z = 0.4 * anatomy.lv_length_mm;
        let radius = |r: f32| {
            let place = motion.place(Vec3::new(0.0, r, z), 1.0, 0.0);
            place.x.hypot(place.y)
        };
        let widening = anatomy.widening(90.0);
        let endo = anatomy.endo_radius_mm(z) * widening;
        let epi = anatomy.epi_radius_mm(z) * widening;
        assert!(radius(epi - 0.1) - radius(endo) > 1.25 * (epi - endo));
        assert!(motion.place(Vec3::default(), 1.0, 0.0).z > 5.0);
    }
}
