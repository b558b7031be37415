//! Where the probe is and how it is held.

use crate::anatomy::{Anatomy, direction};
use crate::error::within;
use crate::{PhantomError, Vec3, View};

/// The place on the body that a probe looks through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// Over the apex.
    Apical,
    /// Left of the breastbone.
    Parasternal,
    /// Below the ribs.
    Subcostal,
}

/// A probe's pose in the heart's frame at end-diastole.
///
/// The image shows what lies in the plane of `right` and `down`, as thick as the beam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// The window.
    pub window: Window,
    /// Middle of the probe's face on the skin.
    pub skin: Vec3,
    /// Direction to the image's right side.
    pub right: Vec3,
    /// Direction of the middle beam.
    pub down: Vec3,
}

/// A movement of the hand from a standard pose, in the probe's own frame.
///
/// # Units
/// Degrees and millimetres; angles within -180 to 180, slides within -80 to 80.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PoseOffset {
    /// Turn around the middle beam, counter-clockwise seen from the probe.
    pub rotation_deg: f32,
    /// Swing of the image plane out of itself; positive is anterior in the apical views.
    pub tilt_deg: f32,
    /// Swing within the image plane; positive looks to the image's right.
    pub rock_deg: f32,
    /// Slide along the image's width; positive is the image's right.
    pub slide_lateral_mm: f32,
    /// Slide across the image plane, to the side that a positive tilt looks to.
    pub slide_elevation_mm: f32,
}

impl PoseOffset {
    /// Checks every number.
    ///
    /// # Errors
    /// [`PhantomError::Range`] for the first one outside the range.
    pub fn check(&self) -> Result<(), PhantomError> {
        within("rotation", self.rotation_deg, -180.0, 180.0, "degrees")?;
        within("tilt", self.tilt_deg, -80.0, 80.0, "degrees")?;
        within("rock", self.rock_deg, -80.0, 80.0, "degrees")?;
        within("lateral", self.slide_lateral_mm, -80.0, 80.0, "mm")?;
        within("elevation", self.slide_elevation_mm, -80.0, 80.0, "mm")
    }

    /// The movement between two others: `share` 0 gives `self`, 1 gives `to`.
    pub fn towards(&self, to: &Self, share: f32) -> Self {
        let mix = |from: f32, to: f32| from + (to - from) * share;
        Self {
            rotation_deg: mix(self.rotation_deg, to.rotation_deg),
            tilt_deg: mix(self.tilt_deg, to.tilt_deg),
            rock_deg: mix(self.rock_deg, to.rock_deg),
            slide_lateral_mm: mix(self.slide_lateral_mm, to.slide_lateral_mm),
            slide_elevation_mm: mix(self.slide_elevation_mm, to.slide_elevation_mm),
        }
    }
}

impl Pose {
    /// The standard pose of a view; [`View::Other`] has that of the four-chamber view.
    pub fn standard(view: View, anatomy: &Anatomy) -> Self {
        match view {
            View::A4c | View::Other => Self::apical(anatomy, direction::FOUR_CHAMBER_DEG, -4.0),
            View::A5c => Self::apical(anatomy, direction::FOUR_CHAMBER_DEG, 8.5),
            View::A2c => Self::apical(anatomy, direction::TWO_CHAMBER_DEG, 0.0),
            View::A3c => Self::apical(anatomy, direction::OUTFLOW_DEG, 0.0),
            View::Plax => Self::parasternal(anatomy, direction::OUTFLOW_DEG, 12.0, true),
            View::PsaxAv => Self::short_axis(anatomy, level::AORTIC_MM),
            View::PsaxMv => Self::short_axis(anatomy, level::MITRAL_MM),
            View::PsaxPm => Self::short_axis(anatomy, level::PAPILLARY * anatomy.lv_length_mm),
            View::PsaxAp => Self::short_axis(anatomy, level::APICAL * anatomy.lv_length_mm),
            View::Subcostal => Self::subcostal(anatomy),
        }
    }

    /// The pose after a movement of the hand.
    pub fn moved(&self, by: &PoseOffset) -> Self {
        let across = self.across();
        let skin = self.skin + self.right * by.slide_lateral_mm + across * by.slide_elevation_mm;
        let right = self.right.turned(self.down, -by.rotation_deg);
        let across = right.cross(self.down);
        let tilted = self.down.turned(right, by.tilt_deg);
        let across = across.turned(right, by.tilt_deg);
        Self {
            window: self.window,
            skin,
            right: right.turned(across, -by.rock_deg).unit(),
            down: tilted.turned(across, -by.rock_deg).unit(),
        }
    }

    /// Direction across the image plane.
    pub fn across(&self) -> Vec3 {
        self.right.cross(self.down)
    }

    /// A point in the probe's frame: right, across, down.
    pub fn seen(&self, point: Vec3) -> Vec3 {
        let from_skin = point - self.skin;
        self.turned_into(from_skin)
    }

    /// A displacement in the probe's frame.
    pub(crate) fn turned_into(&self, by: Vec3) -> Vec3 {
        Vec3::new(by.dot(self.right), by.dot(self.across()), by.dot(self.down))
    }

    /// A point of the probe's frame in the heart's.
    pub fn point(&self, seen: Vec3) -> Vec3 {
        self.skin + self.right * seen.x + self.across() * seen.y + self.down * seen.z
    }

    fn apical(anatomy: &Anatomy, lateral_deg: f32, tilt_deg: f32) -> Self {
        let height = anatomy.lv_length_mm + anatomy.apex_wall_mm() + anatomy.chest_mm;
        let upright = Self {
            window: Window::Apical,
            skin: Vec3::new(0.0, 0.0, height),
            right: Vec3::around_axis(lateral_deg, 1.0, 0.0),
            down: Vec3::new(0.0, 0.0, -1.0),
        };
        upright.moved(&PoseOffset {
            tilt_deg,
            ..PoseOffset::default()
        })
    }

    fn parasternal(anatomy: &Anatomy, from_deg: f32, z_mm: f32, long: bool) -> Self {
        let out = anatomy.epi_radius_mm(z_mm)
            + anatomy.rv_width_mm(from_deg, z_mm)
            + anatomy.rv_wall_mm
            + 0.8 * anatomy.chest_mm;
        let right = match long {
            true => Vec3::new(0.0, 0.0, -1.0),
            false => Vec3::around_axis(from_deg - 90.0, 1.0, 0.0),
        };
        Self {
            window: Window::Parasternal,
            skin: Vec3::around_axis(from_deg, out, z_mm),
            right,
            down: Vec3::around_axis(from_deg, -1.0, 0.0),
        }
    }

    fn short_axis(anatomy: &Anatomy, z_mm: f32) -> Self {
        Self::parasternal(anatomy, direction::PARASTERNAL_DEG, z_mm, false)
    }

    fn subcostal(anatomy: &Anatomy) -> Self {
        let height = 0.36 * anatomy.lv_length_mm;
        let from = direction::SUBCOSTAL_DEG;
        let out = anatomy.epi_radius_mm(height)
            + anatomy.rv_width_mm(from, height)
            + anatomy.rv_wall_mm
            + 22.0
            + anatomy.chest_mm;
        let down = Vec3::around_axis(from, -1.0, -0.18).unit();
        let right = Vec3::around_axis(from, -0.18, 1.0).unit();
        Self {
            window: Window::Subcostal,
            skin: Vec3::around_axis(from, out, height),
            right,
            down,
        }
    }
}

/// Heights of the short axes on the left ventricle's axis.
pub(crate) mod level {
    /// Aortic valve.
    pub const AORTIC_MM: f32 = -12.0;
    /// Mitral leaflets.
    pub const MITRAL_MM: f32 = 15.0;
    /// Papillary muscles, as a share of the ventricle's length.
    pub const PAPILLARY: f32 = 0.5;
    /// Apical level, as a share of the ventricle's length.
    pub const APICAL: f32 = 0.81;
}
