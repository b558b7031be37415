//! What a cardiac probe sees when it does not see a heart.

use crate::Imaging;
use crate::Vec3;
use crate::cloud::Cloud;
use crate::exam::Subject;
use crate::random::Random;

/// Scatterers per square millimetre of a slice of tissue.
const DENSITY: f32 = 1.1;
/// How far the breath moves the abdomen.
const BREATH_MM: f32 = 14.0;

/// The scatterers of a subject that is not a heart, in the probe's frame.
///
/// They breathe: the state's contraction is the breath, 0 out and 1 in.
pub(crate) fn cloud(subject: Subject, imaging: &Imaging, seed: u64) -> Cloud {
    let mut maker = Maker {
        random: Random::new(seed, 10),
        imaging,
        cloud: Cloud::default(),
    };
    match subject {
        Subject::Abdomen => maker.abdomen(),
        Subject::Lung => maker.lung(),
        Subject::Air => maker.air(),
        Subject::Gel => maker.gel(),
        Subject::Heart | Subject::Still => {}
    }
    maker.cloud
}

struct Maker<'a> {
    random: Random,
    imaging: &'a Imaging,
    cloud: Cloud,
}

/// An ellipse in the image plane with the level of its inside and its wall.
struct Organ {
    right_mm: f32,
    down_mm: f32,
    half_width_mm: f32,
    half_height_mm: f32,
    inside_db: f32,
    wall_db: f32,
}

impl Organ {
    fn level(&self, right: f32, down: f32) -> f32 {
        let x = (right - self.right_mm) / self.half_width_mm;
        let y = (down - self.down_mm) / self.half_height_mm;
        x.hypot(y)
    }
}

impl Maker<'_> {
    fn abdomen(&mut self) {
        let depth = self.imaging.depth_mm;
        let mut organs = Vec::new();
        let random = &mut self.random;
        let kidney_at = random.range(-50.0, 50.0);
        organs.push(Organ {
            right_mm: kidney_at,
            down_mm: depth * random.range(0.55, 0.7),
            half_width_mm: 13.0,
            half_height_mm: 7.0,
            inside_db: -12.0,
            wall_db: -12.0,
        });
        organs.push(Organ {
            right_mm: kidney_at,
            down_mm: organs[0].down_mm,
            half_width_mm: 46.0,
            half_height_mm: 22.0,
            inside_db: -29.0,
            wall_db: -13.0,
        });
        for _ in 0..random.bits() % 3 {
            organs.push(Organ {
                right_mm: random.range(-40.0, 40.0),
                down_mm: depth * random.range(0.25, 0.55),
                half_width_mm: random.range(9.0, 26.0),
                half_height_mm: random.range(8.0, 14.0),
                inside_db: -70.0,
                wall_db: -12.0,
            });
        }
        for _ in 0..8 {
            let size = random.range(2.0, 6.5);
            organs.push(Organ {
                right_mm: random.range(-70.0, 70.0),
                down_mm: depth * random.range(0.2, 0.85),
                half_width_mm: size * random.range(1.0, 2.5),
                half_height_mm: size,
                inside_db: -60.0,
                wall_db: -16.0,
            });
        }
        let dome_mm = depth * random.range(0.78, 0.95);
        let skin_mm = random.range(10.0, 22.0);
        self.fill(BREATH_MM, |right, down, _| {
            let dome = dome_mm - 0.004 * right * right;
            if down < skin_mm {
                return -16.0 + 4.0 * (down * 1.1).sin();
            }
            if (down - dome).abs() < 1.5 {
                return -2.0;
            }
            if down > dome {
                return -34.0;
            }
            organs
                .iter()
                .find_map(|organ| match organ.level(right, down) {
                    x if x < 1.0 => Some(organ.inside_db),
                    x if (x - 1.0) * organ.half_height_mm < 1.4 => Some(organ.wall_db),
                    _ => None,
                })
                .unwrap_or(-20.0)
        });
    }

    fn lung(&mut self) {
        let pleura_mm = self.random.range(16.0, 34.0);
        let comets: Vec<f32> = (0..self.random.bits() % 4)
            .map(|_| self.random.range(-32.0, 32.0))
            .collect();
        let ribs = self.random.range(14.0, 26.0);
        self.fill(7.0, |right, down, origin| {
            let angle_deg = right.atan2(down + origin).to_degrees();
            let behind_rib = angle_deg.abs() > ribs && angle_deg.abs() < ribs + 9.0;
            if down < pleura_mm - 1.0 {
                let rib = behind_rib && down > pleura_mm - 9.0;
                return if rib {
                    -6.0
                } else {
                    -17.0 + 5.0 * (down * 0.9).sin()
                };
            }
            if behind_rib {
                return -60.0;
            }
            let echo = down / pleura_mm;
            let line = (echo - echo.round()).abs() * pleura_mm;
            if line < 0.9 && angle_deg.abs() < 30.0 {
                return 6.0 - 10.0 * echo;
            }
            let comet = comets.iter().any(|at| (angle_deg - at).abs() < 1.6);
            if comet {
                -11.0 - 0.05 * down
            } else {
                -24.0 - 0.14 * down
            }
        });
    }

    fn air(&mut self) {
        let period_mm = self.random.range(3.0, 9.0);
        self.arcs(period_mm, 0.0, -3.5);
    }

    fn gel(&mut self) {
        let depth_mm = self.random.range(8.0, 30.0);
        self.arcs(self.random.clone().range(2.5, 5.0), 2.0, -6.0);
        self.fill(1.5, |_, down, _| match down < depth_mm {
            true => -26.0 - 0.8 * down,
            false => -80.0,
        });
    }

    /// Repetitions of the probe's own face, weaker from one to the next.
    fn arcs(&mut self, period_mm: f32, first_db: f32, step_db: f32) {
        let half = (0.5 * self.imaging.sector_deg).to_radians();
        let steer = self.imaging.steer_deg.to_radians();
        for order in 1..12_u16 {
            let order = f32::from(order);
            let depth = order * period_mm;
            if depth > self.imaging.depth_mm {
                return;
            }
            let distance = depth + self.imaging.origin_mm;
            let level_db = first_db + step_db * order;
            let count = (half * 2.0 * distance * 3.0) as usize + 160;
            for i in 0..count {
                let angle = steer + half * (2.0 * i as f32 / count as f32 - 1.0);
                let wobble = self.random.range(-0.05, 0.05);
                let at = Vec3::new(
                    (distance + wobble) * angle.sin(),
                    0.0,
                    (distance + wobble) * angle.cos() - self.imaging.origin_mm,
                );
                let amplitude = 10_f32.powf(level_db / 20.0) * self.random.range(0.1, 0.4);
                self.push(at, Vec3::default(), amplitude);
            }
        }
    }

    /// Fills the image plane; `level_db` takes right, down and the distance of the beams' origin.
    fn fill(&mut self, breath_mm: f32, level_db: impl Fn(f32, f32, f32) -> f32) {
        let origin = self.imaging.origin_mm;
        let far = self.imaging.depth_mm + BREATH_MM;
        let half = (0.5 * self.imaging.sector_deg).to_radians() + 0.15;
        let steer = self.imaging.steer_deg.to_radians();
        let area = half * ((far + origin).powi(2) - origin * origin);
        let density = DENSITY * (1.25 / self.imaging.scatterer_mm).powi(3) * 1.6;
        for _ in 0..(area * density) as usize {
            let square = self.random.range(origin * origin, (far + origin).powi(2));
            let angle = steer + self.random.range(-half, half);
            let (right, down) = (
                square.sqrt() * angle.sin(),
                square.sqrt() * angle.cos() - origin,
            );
            let level = level_db(right, down, origin);
            if level < -50.0 {
                continue;
            }
            let texture =
                1.5 * (0.21 * right + 0.13 * down).sin() + 1.5 * (0.17 * down - 0.2 * right).sin();
            let amplitude = 10_f32.powf((level + texture) / 20.0) * self.random.normal();
            let across = self.random.range(-2.0, 2.0);
            let still = crate::vector::smooth_step(6.0, 30.0, down);
            let breath = Vec3::new(0.8, 0.05, 0.5) * (breath_mm * still);
            self.push(Vec3::new(right, across, down), breath, amplitude);
        }
    }

    fn push(&mut self, at: Vec3, breath: Vec3, amplitude: f32) {
        let identity = self.cloud.amplitude.len() as u64;
        self.cloud.push(
            identity,
            amplitude,
            [at, breath, Vec3::default(), Vec3::default()],
        );
    }
}
