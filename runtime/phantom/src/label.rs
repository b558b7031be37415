//! Which view a pose gives, and how far it is from the standard one.

use crate::anatomy::{Anatomy, direction};
use crate::pose::{Pose, Window};
use crate::vector::angle_between_deg;
use crate::{Vec3, View};

/// Distance from a class border within which a pose carries no label, in degrees and millimetres.
pub const BORDER: f32 = 5.0;

/// How far a pose is from the standard pose of a view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoseError {
    /// The turn that would bring the probe's axes to the standard ones.
    pub angle_deg: f32,
    /// Distance of the probe's face from its standard place.
    pub slide_mm: f32,
}

/// How a probe is held, in the terms of its window.
#[derive(Debug, Clone, Copy)]
struct Hold {
    rotation_deg: f32,
    tilt_deg: f32,
    rock_deg: f32,
    slide_mm: f32,
    /// Height at which the plane cuts the ventricle's axis.
    level_mm: f32,
    /// Distance of the plane from the middle of the ventricle.
    beside_mm: f32,
}

/// The part of a window's poses that is one view.
struct Area {
    view: View,
    rotation_deg: (f32, f32),
    tilt_deg: (f32, f32),
    rock_deg: f32,
    slide_mm: f32,
    level_mm: (f32, f32),
    beside_mm: f32,
}

const ANYWHERE: (f32, f32) = (-1e4, 1e4);

/// The view of a pose, or nothing within [`BORDER`] of a class border.
pub fn label(pose: &Pose, anatomy: &Anatomy) -> Option<View> {
    let hold = Hold::of(pose, anatomy);
    let (view, inside) = areas(pose.window, anatomy)
        .into_iter()
        .map(|area| (area.view, area.inside(&hold)))
        .fold((View::Other, f32::NEG_INFINITY), |best, next| {
            if next.1 > best.1 { next } else { best }
        });
    match inside {
        _ if inside >= BORDER => Some(view),
        _ if inside <= -BORDER => Some(View::Other),
        _ => None,
    }
}

/// How far a pose is from the standard one of a view.
pub fn pose_error(pose: &Pose, view: View, anatomy: &Anatomy) -> PoseError {
    let standard = Pose::standard(view, anatomy);
    let trace = pose.right.dot(standard.right)
        + pose.down.dot(standard.down)
        + pose.across().dot(standard.across());
    PoseError {
        angle_deg: ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees(),
        slide_mm: (pose.skin - standard.skin).length(),
    }
}

impl Hold {
    fn of(pose: &Pose, anatomy: &Anatomy) -> Self {
        let upright = match pose.window {
            Window::Apical => Pose {
                right: Vec3::new(1.0, 0.0, 0.0),
                down: Vec3::new(0.0, 0.0, -1.0),
                ..Pose::standard(View::A4c, anatomy)
            },
            Window::Parasternal => Pose::standard(View::Plax, anatomy),
            Window::Subcostal => Pose::standard(View::Subcostal, anatomy),
        };
        let hold = Self::against(&upright, pose, anatomy);
        if pose.window == Window::Parasternal && hold.rotation_deg.abs() > 45.0 {
            let upright = Pose::standard(View::PsaxMv, anatomy);
            let short = Self::against(&upright, pose, anatomy);
            return Self {
                rotation_deg: short.rotation_deg - 90.0,
                ..short
            };
        }
        hold
    }

    /// Undoes rock, tilt and rotation in the reverse order of [`Pose::moved`].
    fn against(upright: &Pose, pose: &Pose, anatomy: &Anatomy) -> Self {
        let right = upright.turned_into(pose.right);
        let down = upright.turned_into(pose.down);
        let plane = pose.across();
        let tilt = (-upright.turned_into(plane).z).clamp(-1.0, 1.0).asin();
        let rock = (-right.z).atan2(down.z);
        let unrocked = right * rock.cos() + down * rock.sin();
        let middle = Vec3::new(0.0, 0.0, 0.4 * anatomy.lv_length_mm);
        let slide = upright.turned_into(pose.skin - upright.skin);
        Self {
            rotation_deg: unrocked.y.atan2(unrocked.x).to_degrees(),
            tilt_deg: tilt.to_degrees(),
            rock_deg: rock.to_degrees(),
            slide_mm: match pose.window {
                Window::Parasternal => slide.x.abs(),
                _ => slide.x.hypot(slide.y),
            },
            level_mm: match plane.z.abs() > 0.2 {
                true => plane.dot(pose.skin) / plane.z,
                false => f32::INFINITY,
            },
            beside_mm: (middle - pose.skin).dot(plane).abs(),
        }
    }
}

impl Area {
    /// Degrees or millimetres to the nearest border, negative outside.
    fn inside(&self, hold: &Hold) -> f32 {
        let between = |x: f32, (from, to): (f32, f32)| (x - from).min(to - x);
        let (from, to) = self.rotation_deg;
        let middle = 0.5 * (from + to);
        let turned = angle_between_deg(middle, hold.rotation_deg).abs();
        (0.5 * (to - from) - turned)
            .min(between(hold.tilt_deg, self.tilt_deg))
            .min(self.rock_deg - hold.rock_deg.abs())
            .min(self.slide_mm - hold.slide_mm)
            .min(between(hold.level_mm.clamp(-9e3, 9e3), self.level_mm))
            .min(self.beside_mm - hold.beside_mm)
    }
}

fn areas(window: Window, anatomy: &Anatomy) -> Vec<Area> {
    let apical = |view, rotation_deg, tilt_deg| Area {
        view,
        rotation_deg,
        tilt_deg,
        rock_deg: 30.0,
        slide_mm: 25.0,
        level_mm: ANYWHERE,
        beside_mm: 1e4,
    };
    let four_two = 0.5 * (direction::FOUR_CHAMBER_DEG + direction::TWO_CHAMBER_DEG);
    let two_three = 0.5 * (direction::TWO_CHAMBER_DEG + direction::OUTFLOW_DEG);
    let four = (direction::FOUR_CHAMBER_DEG - 32.0, four_two);
    let length = anatomy.lv_length_mm;
    let short = |view, level_mm| Area {
        view,
        rotation_deg: (-125.0, -55.0),
        tilt_deg: (-32.0, 32.0),
        rock_deg: 32.0,
        slide_mm: 30.0,
        level_mm,
        beside_mm: 1e4,
    };
    match window {
        Window::Apical => vec![
            apical(View::A4c, four, (-14.0, 2.2)),
            apical(View::A5c, four, (2.2, 17.5)),
            apical(View::A2c, (four_two, two_three), (-14.0, 14.0)),
            apical(
                View::A3c,
                (two_three, direction::OUTFLOW_DEG + 32.0),
                (-14.0, 14.0),
            ),
        ],
        Window::Parasternal => vec![
            Area {
                view: View::Plax,
                rotation_deg: (-32.0, 32.0),
                tilt_deg: (-17.0, 17.0),
                rock_deg: 32.0,
                slide_mm: 32.0,
                level_mm: ANYWHERE,
                beside_mm: 19.0,
            },
            short(View::PsaxAv, (-26.0, 2.0)),
            short(View::PsaxMv, (2.0, 0.31 * length)),
            short(View::PsaxPm, (0.31 * length, 0.68 * length)),
            short(View::PsaxAp, (0.68 * length, 0.97 * length)),
        ],
        Window::Subcostal => vec![Area {
            view: View::Subcostal,
            rotation_deg: (-32.0, 32.0),
            tilt_deg: (-17.0, 17.0),
            rock_deg: 32.0,
            slide_mm: 30.0,
            level_mm: ANYWHERE,
            beside_mm: 1e4,
        }],
    }
}
