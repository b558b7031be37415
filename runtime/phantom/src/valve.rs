//! Leaflets and cusps: thin sheets that swing on their rings.

use crate::Vec3;
use crate::anatomy::direction;
use crate::heart::Heart;
use crate::motion::HeartState;
use crate::random::Random;
use crate::tissue::Tissue;
use crate::vector::smooth_step;

/// Scatterers per square millimetre of leaflet.
const DENSITY: f32 = 2.2;

/// The scatterers of all valves.
#[derive(Debug, Clone)]
pub(crate) struct Valves {
    grains: Vec<Grain>,
}

/// One scatterer of a leaflet.
#[derive(Debug, Clone, Copy)]
struct Grain {
    /// The point of the ring that the leaflet's strip hangs on.
    hinge: Vec3,
    /// From the hinge to the grain with the valve closed, half open and open.
    closed: Vec3,
    half: Vec3,
    open: Vec3,
    aortic: bool,
    amplitude: f32,
}

impl Valves {
    pub(crate) fn new(heart: &Heart) -> Self {
        let mut random = Random::new(heart.anatomy().texture_seed, 8);
        let mut grains = Vec::new();
        let mitral = heart.mitral();
        let inwards = Vec3::around_axis(direction::OUTFLOW_DEG, 1.0, 0.0);
        curtain(
            &mut grains,
            &mut random,
            mitral.centre,
            mitral.radius_mm,
            inwards,
        );
        let tricuspid = heart.tricuspid();
        let outwards = Vec3::around_axis(direction::RIGHT_ATRIUM_DEG, 1.0, 0.0);
        curtain(
            &mut grains,
            &mut random,
            tricuspid.centre,
            tricuspid.radius_mm,
            outwards,
        );
        cusps(&mut grains, &mut random, heart);
        Self { grains }
    }

    /// Calls `add` with the place of every grain in the heart's frame.
    pub(crate) fn for_each(
        &self,
        heart: &Heart,
        state: &HeartState,
        mut add: impl FnMut(Vec3, f32),
    ) {
        for grain in &self.grains {
            let opening = if grain.aortic {
                state.aortic
            } else {
                state.mitral
            };
            let hinge = heart
                .motion()
                .place(grain.hinge, state.contraction, state.atrial);
            let offset = grain.offset(opening.clamp(0.0, 1.0));
            add(hinge + offset, grain.amplitude);
        }
    }
}

impl Grain {
    /// A parabola through the three positions.
    fn offset(&self, opening: f32) -> Vec3 {
        let o = opening;
        self.closed * ((1.0 - o) * (1.0 - 2.0 * o))
            + self.half * (4.0 * o * (1.0 - o))
            + self.open * (o * (2.0 * o - 1.0))
    }
}

/// Two leaflets that hang from a ring and meet along a line; `long` points from the middle to the
/// longer leaflet's hinge.
fn curtain(grains: &mut Vec<Grain>, random: &mut Random, centre: Vec3, radius: f32, long: Vec3) {
    let side = Vec3::new(0.0, 0.0, 1.0).cross(long);
    let meeting = -0.25 * radius;
    let count = (DENSITY * 3.4 * radius * radius) as usize;
    for index in 0..count {
        let across = random.range(-0.97, 0.97) * radius;
        let rim = (radius * radius - across * across).sqrt();
        let anterior = index % 5 < 3;
        let sign = if anterior { 1.0 } else { -1.0 };
        let span = (rim - sign * meeting).max(0.5);
        let along = random.unit() * 1.05;
        let belly = (std::f32::consts::PI * along.min(1.0)).sin();
        let length = span * 1.06 + 2.5;
        let place = |angle_deg: f32, bulge: f32| {
            let (sin, cos) = angle_deg.to_radians().sin_cos();
            let inwards = -sign * cos * along * length + sign * sin * bulge * belly;
            long * inwards + Vec3::new(0.0, 0.0, sin * along * length + cos * bulge * belly)
        };
        let wide = 1.0 - smooth_step(0.6, 1.0, across.abs() / radius);
        let (half_deg, open_deg) = if anterior { (46.0, 76.0) } else { (52.0, 84.0) };
        let rough = 1.0 + 0.5 * smooth_step(0.75, 1.0, along);
        grains.push(Grain {
            hinge: centre + side * across + long * (sign * rim),
            closed: place(19.0, -1.2),
            half: place(19.0 + (half_deg - 19.0) * wide.max(0.4), 1.0),
            open: place(19.0 + (open_deg - 19.0) * wide.max(0.4), 1.6),
            aortic: false,
            amplitude: rough * strength(random),
        });
    }
}

/// The three cusps of the aortic valve.
fn cusps(grains: &mut Vec<Grain>, random: &mut Random, heart: &Heart) {
    let radius = heart.anatomy().aorta_radius_mm;
    let Some(((lower, _), (upper, _))) = heart
        .aorta()
        .knots
        .get(1)
        .copied()
        .zip(heart.aorta().knots.get(2).copied())
    else {
        return;
    };
    let count = (DENSITY * 7.0 * radius * radius) as usize;
    for index in 0..count {
        let cusp_deg = direction::OUTFLOW_DEG + 120.0 * (index % 3) as f32;
        let off_deg = random.range(-60.0, 60.0);
        let along = random.unit();
        let around = |deg: f32, r: f32, z: f32| Vec3::around_axis(deg, r, z);
        let commissure = cusp_deg + 60.0_f32.copysign(off_deg);
        let share = (off_deg / 60.0).abs();
        let hinge_high = 6.0 * share * share;
        let wall = around(cusp_deg + off_deg, radius, 0.0);
        let shut_edge =
            around(commissure, radius * share, 0.0) + Vec3::new(0.0, 0.0, -4.0 - 4.0 * share);
        let open_edge = around(cusp_deg + off_deg, 0.86 * radius, -0.95 * radius);
        let hinge_low = Vec3::new(0.0, 0.0, -hinge_high);
        let sag = Vec3::new(0.0, 0.0, 2.0 * (std::f32::consts::PI * along).sin());
        let closed = (shut_edge - wall - hinge_low) * along + sag;
        let open = (open_edge - wall) * along;
        grains.push(Grain {
            hinge: lower + (upper - lower) * 0.25 + wall + hinge_low,
            closed,
            half: (closed + open) * 0.5,
            open,
            aortic: true,
            amplitude: (0.25 + 0.5 * smooth_step(0.6, 0.95, along) * (1.1 - share))
                * strength(random),
        });
    }
}

fn strength(random: &mut Random) -> f32 {
    random.normal() * 10_f32.powf(Tissue::Valve.scatter_db() / 20.0)
}
