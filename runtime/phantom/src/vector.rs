//! Points and directions in millimetres.

use std::ops::{Add, AddAssign, Mul, Sub};

/// A point, displacement or direction.
///
/// # Units
/// Millimetres for points and displacements; directions have length 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Vec3 {
    /// First component.
    pub x: f32,
    /// Second component.
    pub y: f32,
    /// Third component.
    pub z: f32,
}

impl Vec3 {
    /// A vector from its components.
    pub const fn new(x: f32, y: f32, z: f32) -> Self {
        Self { x, y, z }
    }

    /// The point at an angle around the left ventricle's axis.
    pub fn around_axis(angle_deg: f32, radius_mm: f32, z_mm: f32) -> Self {
        let (sin, cos) = angle_deg.to_radians().sin_cos();
        Self::new(radius_mm * cos, radius_mm * sin, z_mm)
    }

    /// Scalar product.
    pub fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    /// Vector product.
    pub fn cross(self, other: Self) -> Self {
        Self::new(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    /// Length.
    pub fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The direction; a zero vector stays zero.
    pub fn unit(self) -> Self {
        let length = self.length();
        if length > 0.0 {
            self * (1.0 / length)
        } else {
            self
        }
    }

    /// Turns the vector around a unit axis by the right-hand rule.
    pub fn turned(self, axis: Self, angle_deg: f32) -> Self {
        let (sin, cos) = angle_deg.to_radians().sin_cos();
        self * cos + axis.cross(self) * sin + axis * (axis.dot(self) * (1.0 - cos))
    }
}

impl Add for Vec3 {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl AddAssign for Vec3 {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Vec3 {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        Self::new(self.x * factor, self.y * factor, self.z * factor)
    }
}

/// 0 below `from`, 1 above `to`, smooth between.
pub(crate) fn smooth_step(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The smaller angle between two directions around the axis, in degrees, with its sign.
pub(crate) fn angle_between_deg(from_deg: f32, to_deg: f32) -> f32 {
    (to_deg - from_deg + 180.0).rem_euclid(360.0) - 180.0
}

/// Arc tangent within 0.0003.
pub(crate) fn arc_tangent(t: f32) -> f32 {
    let steep = t.abs() > 1.0;
    let x = if steep { 1.0 / t } else { t };
    let square = x * x;
    let flat = x
        * (0.999_866
            + square
                * (-0.330_299_5
                    + square * (0.180_141 + square * (-0.085_133 + square * 0.020_835_1))));
    match steep {
        true => std::f32::consts::FRAC_PI_2.copysign(t) - flat,
        false => flat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_arc_tangent_is_close_to_the_exact_one() {
        for i in -400..=400 {
            let t = i as f32 * 0.01;
            assert!((arc_tangent(t) - t.atan()).abs() < 3e-4, "{t}");
        }
    }
}
