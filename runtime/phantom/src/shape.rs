//! Solids with an approximate signed distance.

use crate::Vec3;

/// Distance from a surface, negative inside, and the direction out of the solid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surface {
    pub distance_mm: f32,
    pub normal: Vec3,
}

/// An ellipsoid with axes along x, y and z.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ellipsoid {
    pub centre: Vec3,
    pub radii: Vec3,
}

impl Ellipsoid {
    pub(crate) fn surface(&self, point: Vec3) -> Surface {
        let p = point - self.centre;
        let r = self.radii;
        let scaled = Vec3::new(p.x / r.x, p.y / r.y, p.z / r.z);
        let gradient = Vec3::new(scaled.x / r.x, scaled.y / r.y, scaled.z / r.z);
        let level = scaled.length();
        let slope = gradient.length().max(1e-6);
        Surface {
            distance_mm: level * (level - 1.0) / slope,
            normal: gradient.unit(),
        }
    }
}

/// A bent tube of changing radius.
#[derive(Debug, Clone)]
pub(crate) struct Tube {
    pub knots: Vec<(Vec3, f32)>,
}

impl Tube {
    pub(crate) fn surface(&self, point: Vec3) -> Surface {
        let mut nearest = Surface {
            distance_mm: f32::INFINITY,
            normal: Vec3::default(),
        };
        for ((from, from_radius), (to, to_radius)) in
            self.knots.iter().zip(self.knots.iter().skip(1))
        {
            let along = *to - *from;
            let share = ((point - *from).dot(along) / along.dot(along)).clamp(0.0, 1.0);
            let out = point - (*from + along * share);
            let distance = out.length() - (from_radius + (to_radius - from_radius) * share);
            if distance < nearest.distance_mm {
                nearest = Surface {
                    distance_mm: distance,
                    normal: out.unit(),
                };
            }
        }
        nearest
    }
}

/// A disc across the left ventricle's axis: a valve's ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ring {
    pub centre: Vec3,
    pub radius_mm: f32,
}

impl Ring {
    /// Distance from the ring in its plane, negative inside.
    pub(crate) fn distance_mm(&self, point: Vec3) -> f32 {
        (point.x - self.centre.x).hypot(point.y - self.centre.y) - self.radius_mm
    }
}
