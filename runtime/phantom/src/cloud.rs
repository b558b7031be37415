//! The material scatterers that a probe pose can see.

use crate::Vec3;
use crate::heart::Heart;
use crate::imaging::Imaging;
use crate::pose::Pose;
use crate::tissue::Tissue;
use crate::vector::{arc_tangent, smooth_step};

/// How far a probe may move across its plane before its cloud no longer covers the image.
pub(crate) const SPARE_MM: f32 = 2.0;
/// Standard deviations of the slice that count.
pub(crate) const SLICE_REACH: f32 = 2.2;
/// Room around the sector for tissue that moves into it.
const ROOM_MM: f32 = 14.0;

/// Scatterers in the frame of one pose, one array per number.
///
/// A scatterer is at `rest + s * linear + s * s * square + a * atrial`, where `s` is the
/// ventricle's contraction and `a` the atria's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cloud {
    pub rest: [Vec<f32>; 3],
    pub linear: [Vec<f32>; 3],
    pub square: [Vec<f32>; 3],
    pub atrial: [Vec<f32>; 3],
    pub amplitude: Vec<f32>,
    /// Which scatterer of the body it is.
    pub identity: Vec<u64>,
}

impl Cloud {
    /// Collects the scatterers of a slice.
    pub(crate) fn new(heart: &Heart, pose: &Pose, imaging: &Imaging) -> Self {
        let mut cloud = Self::default();
        let (from_mm, to_mm) = slab(heart, pose, imaging);
        let lattice = Lattice {
            step_mm: imaging.scatterer_mm,
            seed: heart.anatomy().texture_seed,
        };
        lattice.for_each(
            pose,
            imaging,
            (from_mm, to_mm),
            |identity, point, strength| {
                cloud.add(heart, pose, imaging, identity, point, strength);
            },
        );
        cloud
    }

    fn add(
        &mut self,
        heart: &Heart,
        pose: &Pose,
        imaging: &Imaging,
        identity: u64,
        point: Vec3,
        strength: f32,
    ) {
        let seen = pose.seen(point);
        let material = heart.material(point);
        let chest_mm = heart.anatomy().chest_mm;
        let outside = material.chamber.is_none() && material.tissue != Tissue::Myocardium;
        let tissue = match material.tissue {
            _ if outside && is_rib(imaging, seen, 0.5 * chest_mm) => Tissue::Rib,
            Tissue::Lung | Tissue::Liver | Tissue::Mediastinum | Tissue::Fat
                if outside && seen.z < 0.85 * chest_mm =>
            {
                Tissue::ChestWall
            }
            tissue => tissue,
        };
        if tissue == Tissue::Blood && material.interface.is_none() {
            return;
        }
        let beam = (seen + Vec3::new(0.0, -seen.y, imaging.origin_mm)).unit();
        let mut level_db = tissue.scatter_db() + texture_db(tissue, point);
        if let Some(normal) = material.interface {
            let edge = if tissue == Tissue::Blood {
                Tissue::Myocardium
            } else {
                tissue
            };
            let facing = pose.turned_into(normal).dot(beam).abs();
            let mirror = edge.specular_db() * facing.powf(1.6);
            level_db = level_db.max(edge.scatter_db() - 6.0) + mirror;
        }
        let still = smooth_step(0.4 * chest_mm, 1.2 * chest_mm, seen.z);
        let motion = heart.motion();
        let half = (motion.place(point, 0.5, 0.0) - point) * still;
        let whole = (motion.place(point, 1.0, 0.0) - point) * still;
        let linear = pose.turned_into(half * 4.0 - whole);
        let square = pose.turned_into(whole * 2.0 - half * 4.0);
        let atrial = match point.z < 0.0 {
            true => pose.turned_into((motion.place(point, 0.0, 1.0) - point) * still),
            false => Vec3::default(),
        };
        let depth = (seen + linear * 0.5 + square * 0.25).z;
        let reach = SLICE_REACH * imaging.slice_at_mm(depth.max(0.0)) + SPARE_MM + 0.5;
        let (half_y, whole_y) = (
            seen.y + 0.5 * linear.y + 0.25 * square.y,
            seen.y + linear.y + square.y,
        );
        let lowest = seen.y.min(half_y).min(whole_y);
        let highest = seen.y.max(half_y).max(whole_y);
        if lowest > reach || highest < -reach {
            return;
        }
        let amplitude = strength * 10_f32.powf(level_db / 20.0);
        self.push(identity, amplitude, [seen, linear, square, atrial]);
    }

    /// Adds a scatterer by its place at rest and its linear, square and atrial movement.
    pub(crate) fn push(&mut self, identity: u64, amplitude: f32, columns: [Vec3; 4]) {
        let all = [
            &mut self.rest,
            &mut self.linear,
            &mut self.square,
            &mut self.atrial,
        ];
        for ([x, y, z], v) in all.into_iter().zip(columns) {
            x.push(v.x);
            y.push(v.y);
            z.push(v.z);
        }
        self.amplitude.push(amplitude);
        self.identity.push(identity);
    }
}

/// Whether a point of the probe's frame is the front of a rib, whose shadow the settings have.
fn is_rib(imaging: &Imaging, seen: Vec3, front_mm: f32) -> bool {
    let angle_deg = seen.x.atan2(seen.z + imaging.origin_mm).to_degrees();
    (front_mm..front_mm + 3.0).contains(&seen.z)
        && imaging
            .shadows
            .iter()
            .any(|(middle, half)| (angle_deg - middle).abs() < 0.9 * half)
}

/// Slow variation of the echo level within a tissue.
fn texture_db(tissue: Tissue, p: Vec3) -> f32 {
    let size = match tissue {
        Tissue::Lung | Tissue::Mediastinum | Tissue::ChestWall => 5.0,
        Tissue::Liver => 1.0,
        _ => 2.6,
    };
    let wave = (0.23 * p.x + 0.31 * p.y).sin()
        + (0.27 * p.y - 0.19 * p.z).sin()
        + (0.21 * p.z + 0.33 * p.x + 1.0).sin()
        + (0.61 * p.x - 0.52 * p.y + 0.44 * p.z).sin();
    0.5 * size * wave
}

/// From where to where across the plane tissue can come into the slice during a beat.
fn slab(heart: &Heart, pose: &Pose, imaging: &Imaging) -> (f32, f32) {
    let across = pose.across();
    let half = (0.5 * imaging.sector_deg).to_radians();
    let (mut back, mut front) = (0.0_f32, 0.0_f32);
    for row in 0..24 {
        for column in 0..11 {
            let depth = imaging.depth_mm * (row as f32 + 0.5) / 24.0;
            let angle = half * (column as f32 / 5.0 - 1.0) + imaging.steer_deg.to_radians();
            let seen = Vec3::new(depth * angle.sin(), 0.0, depth * angle.cos());
            let point = pose.point(seen);
            let moved = heart.motion().place(point, 1.0, 0.0) - point;
            let shift = moved.dot(across);
            back = back.min(shift);
            front = front.max(shift);
        }
    }
    let reach = SLICE_REACH * imaging.slice_mm * 1.2 + SPARE_MM;
    (-reach - front, reach - back)
}

/// Scatterers fill the body at rest: one somewhere in each cell of a cubic lattice.
struct Lattice {
    step_mm: f32,
    seed: u64,
}

impl Lattice {
    fn for_each(
        &self,
        pose: &Pose,
        imaging: &Imaging,
        (from_mm, to_mm): (f32, f32),
        mut visit: impl FnMut(u64, Vec3, f32),
    ) {
        let normal = pose.across();
        let steep = [normal.x.abs(), normal.y.abs(), normal.z.abs()];
        let inner = (0..3).fold(0, |best, axis| {
            if steep[axis] > steep[best] {
                axis
            } else {
                best
            }
        });
        let (u, v) = ((inner + 1) % 3, (inner + 2) % 3);
        let component = |p: Vec3, axis: usize| [p.x, p.y, p.z][axis];
        let half = (0.5 * imaging.sector_deg + imaging.steer_deg.abs()).to_radians();
        let wide = (imaging.depth_mm + imaging.origin_mm) * half.min(1.5).sin() + ROOM_MM;
        let corners = [(-wide, 0.0), (wide, 0.0), (-wide, 1.0), (wide, 1.0)]
            .map(|(x, down)| pose.point(Vec3::new(x, 0.0, down * (imaging.depth_mm + ROOM_MM))));
        let bounds = |axis: usize| {
            let (low, high) = corners
                .iter()
                .fold((f32::MAX, f32::MIN), |(low, high), corner| {
                    (
                        low.min(component(*corner, axis)),
                        high.max(component(*corner, axis)),
                    )
                });
            let spare = to_mm.max(-from_mm);
            (
                ((low - spare) / self.step_mm).floor() as i32,
                ((high + spare) / self.step_mm).ceil() as i32,
            )
        };
        let offset = pose.skin.dot(normal);
        let slope = component(normal, inner);
        let (u_bounds, v_bounds) = (bounds(u), bounds(v));
        for i in u_bounds.0..u_bounds.1 {
            for j in v_bounds.0..v_bounds.1 {
                let flat = (i as f32 + 0.5) * self.step_mm * component(normal, u)
                    + (j as f32 + 0.5) * self.step_mm * component(normal, v);
                let a = (from_mm + offset - flat) / slope;
                let b = (to_mm + offset - flat) / slope;
                let low = (a.min(b) / self.step_mm).floor() as i32 - 1;
                let high = (a.max(b) / self.step_mm).ceil() as i32 + 1;
                for k in low..high {
                    let mut cell = [0; 3];
                    cell[u] = i;
                    cell[v] = j;
                    cell[inner] = k;
                    let (identity, point, strength) = self.scatterer(cell);
                    let seen = pose.seen(point);
                    if seen.y < from_mm || seen.y > to_mm || seen.z < -1.0 {
                        continue;
                    }
                    let down = seen.z + imaging.origin_mm;
                    let distance = (seen.x * seen.x + down * down).sqrt();
                    if down < 0.5 {
                        continue;
                    }
                    let turned =
                        (arc_tangent(seen.x / down) - imaging.steer_deg.to_radians()).abs();
                    let limit =
                        0.5 * imaging.sector_deg.to_radians() + ROOM_MM / distance.max(20.0);
                    if turned < limit
                        && distance < imaging.depth_mm + imaging.origin_mm + 0.5 * ROOM_MM
                    {
                        visit(identity, point, strength);
                    }
                }
            }
        }
    }

    /// The scatterer of a cell: identity, place at rest, signed strength of variance 1.
    fn scatterer(&self, cell: [i32; 3]) -> (u64, Vec3, f32) {
        let [x, y, z] = cell.map(|c| c as u64 & 0x1F_FFFF);
        let packed = x | y << 21 | z << 42;
        let mut hash = (packed ^ self.seed.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^= hash >> 31;
        let part = |shift: u32| (hash >> shift & 0xFFFF) as f32 / 65_536.0;
        let at = |c: i32, shift: u32| (c as f32 + part(shift)) * self.step_mm;
        let point = Vec3::new(at(cell[0], 0), at(cell[1], 16), at(cell[2], 32));
        (packed, point, (part(48) - 0.5) * 12_f32.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Anatomy, PoseOffset, View};

    #[test]
    fn scatterers_are_the_same_for_every_pose_that_sees_them() {
        let heart = Heart::new(Anatomy::sample(4)).unwrap();
        let imaging = Imaging {
            scatterer_mm: 2.5,
            ..Imaging::default()
        };
        let pose = Pose::standard(View::A4c, heart.anatomy());
        let turned = pose.moved(&PoseOffset {
            rotation_deg: 6.0,
            rock_deg: 4.0,
            ..PoseOffset::default()
        });
        let places = |pose: &Pose| -> BTreeMap<u64, (Vec3, Vec3)> {
            let cloud = Cloud::new(&heart, pose, &imaging);
            (0..cloud.amplitude.len())
                .map(|i| {
                    let at = |columns: &[Vec<f32>; 3]| {
                        Vec3::new(columns[0][i], columns[1][i], columns[2][i])
                    };
                    let rest = pose.point(at(&cloud.rest));
                    let systole = at(&cloud.rest) + at(&cloud.linear) + at(&cloud.square);
                    (cloud.identity[i], (rest, pose.point(systole)))
                })
                .collect()
        };
        let (before, after) = (places(&pose), places(&turned));
        let mut shared = 0;
        for (identity, (rest, systole)) in &before {
            if let Some((other_rest, other_systole)) = after.get(identity) {
                shared += 1;
                assert!((*rest - *other_rest).length() < 0.01);
                if pose.seen(*rest).z > 60.0 {
                    assert!((*systole - *other_systole).length() < 0.05);
                }
            }
        }
        assert!(shared > 500, "{shared} of {}", before.len());
    }

    #[test]
    fn scatterers_move_as_the_displacement_field_says() {
        let heart = Heart::new(Anatomy::sample(4)).unwrap();
        let imaging = Imaging {
            scatterer_mm: 2.5,
            ..Imaging::default()
        };
        let pose = Pose::standard(View::A2c, heart.anatomy());
        let cloud = Cloud::new(&heart, &pose, &imaging);
        let mut worst = 0.0_f32;
        for i in 0..cloud.amplitude.len() {
            let at =
                |columns: &[Vec<f32>; 3]| Vec3::new(columns[0][i], columns[1][i], columns[2][i]);
            let rest = pose.point(at(&cloud.rest));
            if at(&cloud.rest).z < 40.0 {
                continue;
            }
            for s in [0.25, 0.5, 0.75, 1.0] {
                let drawn = at(&cloud.rest) + at(&cloud.linear) * s + at(&cloud.square) * (s * s);
                let exact = pose.seen(heart.motion().place(rest, s, 0.0));
                worst = worst.max((drawn - exact).length());
            }
        }
        assert!(worst < 1.0, "{worst} mm");
    }
}
