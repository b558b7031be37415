//! What is where in the heart at end-diastole.

use crate::anatomy::{Anatomy, direction};
use crate::shape::{Ellipsoid, Ring, Surface, Tube};
use crate::tissue::{Chamber, Tissue};
use crate::vector::angle_between_deg;
use crate::{PhantomError, Vec3, motion::Motion};

const ATRIAL_WALL_MM: f32 = 2.4;
const AORTIC_WALL_MM: f32 = 2.0;
/// Thickness of the fibrous base between ventricle and atrium.
const BASE_MM: f32 = 6.0;
/// Outside of the heart to the outside of the pericardium.
const PERICARDIUM_MM: f32 = 2.4;

/// A material point's tissue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Material {
    pub tissue: Tissue,
    pub chamber: Option<Chamber>,
    /// The nearest interface within reach, which reflects like a mirror.
    pub interface: Option<Vec3>,
}

impl Material {
    fn of(tissue: Tissue) -> Self {
        Self {
            tissue,
            chamber: None,
            interface: None,
        }
    }

    fn blood(chamber: Chamber) -> Self {
        Self {
            chamber: Some(chamber),
            ..Self::of(Tissue::Blood)
        }
    }

    fn facing(tissue: Tissue, from_edge_mm: f32, normal: Vec3) -> Self {
        Self {
            interface: (from_edge_mm.abs() < 1.3).then_some(normal),
            ..Self::of(tissue)
        }
    }
}

/// One heart: its measures, its parts and how they move.
#[derive(Debug, Clone)]
pub struct Heart {
    anatomy: Anatomy,
    motion: Motion,
    left_atrium: Ellipsoid,
    right_atrium: Ellipsoid,
    aorta: Tube,
    outflow: Tube,
    descending: Tube,
    papillaries: [Tube; 2],
    moderator: Tube,
    mitral: Ring,
    tricuspid: Ring,
}

impl Heart {
    /// Builds the heart of an anatomy.
    ///
    /// # Errors
    /// [`PhantomError::Range`] for a measure outside its range.
    pub fn new(anatomy: Anatomy) -> Result<Self, PhantomError> {
        anatomy.check()?;
        let motion = Motion::new(&anatomy);
        let a = &anatomy;
        let base = a.endo_radius_mm(0.0);
        let at = Vec3::around_axis;
        let outflow_deg = direction::OUTFLOW_DEG;
        let aortic = a.aorta_radius_mm;
        let ra = a.ra_radius_mm;
        let la = a.la_radius_mm;
        let epi = a.epi_radius_mm(0.0);
        let aorta_out = (base - aortic + 4.5).max(aortic + 2.5);
        let rv_out = epi + 0.45 * a.rv_width_mm(outflow_deg, 0.0);
        let papillary = |angle: f32| {
            let z = |share: f32| share * a.lv_length_mm;
            let r = |share: f32, z: f32| share * a.endo_radius_mm(z);
            Tube {
                knots: vec![
                    (at(angle, r(0.62, z(0.32)), z(0.32)), 2.6),
                    (at(angle, r(0.68, z(0.42)), z(0.42)), 4.6),
                    (at(angle, r(0.82, z(0.62)), z(0.62)), 5.0),
                    (at(angle, r(1.0, z(0.74)), z(0.74)), 4.0),
                ],
            }
        };
        let heart = Self {
            left_atrium: Ellipsoid {
                centre: a.la_centre(),
                radii: Vec3::new(la, la, 1.18 * la + 2.0),
            },
            right_atrium: Ellipsoid {
                centre: a.ra_centre(),
                radii: Vec3::new(ra, ra, ra + 4.0),
            },
            aorta: Tube {
                knots: vec![
                    (at(outflow_deg, aorta_out, 5.0), 0.9 * aortic),
                    (at(outflow_deg, aorta_out, -3.0), 0.92 * aortic),
                    (at(outflow_deg, aorta_out + 1.0, -12.0), 1.2 * aortic),
                    (at(outflow_deg - 2.0, aorta_out + 3.0, -25.0), aortic),
                    (
                        at(outflow_deg - 10.0, aorta_out + 6.0, -62.0),
                        1.08 * aortic,
                    ),
                ],
            },
            outflow: Tube {
                knots: vec![
                    (at(145.0, rv_out, 12.0), 13.0),
                    (at(126.0, rv_out, -6.0), 12.0),
                    (at(92.0, rv_out - 3.0, -18.0), 11.0),
                    (at(48.0, epi + 3.0, -34.0), 11.5),
                    (at(5.0, epi + 6.0, -48.0), 9.0),
                ],
            },
            descending: Tube {
                knots: vec![
                    (at(315.0, la + 27.0, -18.0) + at(45.0, -30.0, -44.0), 10.5),
                    (at(315.0, la + 27.0, -18.0) + at(45.0, 30.0, 44.0), 10.5),
                ],
            },
            papillaries: [papillary(352.0), papillary(253.0)],
            moderator: Tube {
                knots: vec![
                    (
                        at(
                            165.0,
                            a.epi_radius_mm(0.5 * a.lv_length_mm),
                            0.5 * a.lv_length_mm,
                        ),
                        2.0,
                    ),
                    (
                        at(
                            190.0,
                            a.epi_radius_mm(0.6 * a.lv_length_mm) + 0.7 * a.rv_depth_mm,
                            0.62 * a.lv_length_mm,
                        ),
                        2.2,
                    ),
                ],
            },
            mitral: Ring {
                centre: at(direction::LEFT_ATRIUM_DEG, 8.5, 0.0),
                radius_mm: (base - 7.0).clamp(11.0, 19.0),
            },
            tricuspid: Ring {
                centre: at(
                    direction::RIGHT_ATRIUM_DEG,
                    epi + 0.5 * a.rv_width_mm(direction::RIGHT_ATRIUM_DEG, 0.0),
                    3.0,
                ),
                radius_mm: (0.46 * a.rv_width_mm(direction::RIGHT_ATRIUM_DEG, 0.0)).max(8.0),
            },
            motion,
            anatomy,
        };
        Ok(heart)
    }

    /// The measures.
    pub fn anatomy(&self) -> &Anatomy {
        &self.anatomy
    }

    /// The displacement field.
    pub fn motion(&self) -> &Motion {
        &self.motion
    }

    pub(crate) fn mitral(&self) -> Ring {
        self.mitral
    }

    pub(crate) fn tricuspid(&self) -> Ring {
        self.tricuspid
    }

    pub(crate) fn aorta(&self) -> &Tube {
        &self.aorta
    }

    /// The tissue of a material point.
    pub(crate) fn material(&self, p: Vec3) -> Material {
        let a = &self.anatomy;
        let angle_deg = p.y.atan2(p.x).to_degrees();
        let widening = a.widening(angle_deg);
        let middle = Vec3::new(0.0, 0.0, 0.25 * a.lv_length_mm);
        let endo = Ellipsoid {
            centre: middle,
            radii: Vec3::new(
                a.lv_radius_mm * widening,
                a.lv_radius_mm * widening,
                0.75 * a.lv_length_mm,
            ),
        }
        .surface(p);
        if p.z >= 0.0 && endo.distance_mm < 0.0 {
            return self.inside_left_ventricle(p, endo);
        }
        let aorta = self.aorta.surface(p);
        if aorta.distance_mm < 0.0 {
            return match p.z < -3.0 {
                true => Material::blood(Chamber::Aorta),
                false => Material::of(Tissue::Blood),
            };
        }
        let outer = a.lv_wall_mm;
        let epi = Ellipsoid {
            centre: middle,
            radii: Vec3::new(
                a.lv_radius_mm * widening + outer,
                a.lv_radius_mm * widening + outer,
                0.75 * a.lv_length_mm + a.apex_wall_mm(),
            ),
        }
        .surface(p);
        if p.z >= 0.0 && epi.distance_mm < 0.0 {
            let (edge, normal) = if endo.distance_mm < -epi.distance_mm {
                (endo.distance_mm, endo.normal)
            } else {
                (epi.distance_mm, epi.normal)
            };
            return Material::facing(Tissue::Myocardium, edge, normal);
        }
        if aorta.distance_mm < AORTIC_WALL_MM && p.z < 2.0 {
            return Material::facing(Tissue::AorticWall, aorta.distance_mm, aorta.normal);
        }
        let radius = p.x.hypot(p.y);
        let epi_radius = a.epi_radius_mm(p.z) * widening;
        let rv_width = a.rv_width_mm(angle_deg, p.z);
        if let Some(found) = self.right_ventricle(p, angle_deg, radius - epi_radius, rv_width) {
            return found;
        }
        if p.z > -BASE_MM && p.z < 0.0 && radius < epi_radius {
            let ring = self.mitral.distance_mm(p);
            return match ring {
                d if d < 0.0 => Material::blood(Chamber::LeftAtrium),
                d if d < 4.0 => Material::facing(Tissue::Fibrous, p.z, Vec3::new(0.0, 0.0, 1.0)),
                _ => Material::of(Tissue::Myocardium),
            };
        }
        self.behind_the_base(p).unwrap_or_else(|| {
            let rv_wall = if rv_width > 1.0 {
                rv_width + a.rv_wall_mm
            } else {
                0.0
            };
            let beside = radius - epi_radius - rv_wall;
            let wall = if p.z < -BASE_MM {
                f32::INFINITY
            } else if p.z > 0.8 * a.lv_length_mm {
                epi.distance_mm
            } else {
                beside
            };
            self.around_the_heart(p, angle_deg, wall, epi.normal)
        })
    }

    fn inside_left_ventricle(&self, p: Vec3, endo: Surface) -> Material {
        let muscle = self
            .papillaries
            .iter()
            .map(|tube| tube.surface(p))
            .find(|surface| surface.distance_mm < 0.0);
        let mut found = match muscle {
            Some(surface) => {
                Material::facing(Tissue::Myocardium, surface.distance_mm, surface.normal)
            }
            None => Material::facing(Tissue::Blood, endo.distance_mm, endo.normal),
        };
        found.chamber = Some(Chamber::LeftVentricle);
        found
    }

    fn right_ventricle(
        &self,
        p: Vec3,
        angle_deg: f32,
        from_septum_mm: f32,
        width_mm: f32,
    ) -> Option<Material> {
        let outflow = self.outflow.surface(p);
        let open = outflow.distance_mm < 0.0;
        let floor = if open { -60.0 } else { 2.0 };
        if width_mm > 1.0 && from_septum_mm >= 0.0 && p.z > floor {
            let outside = from_septum_mm - width_mm;
            let normal = Vec3::around_axis(angle_deg, 1.0, 0.45).unit();
            if outside < 0.0 {
                return Some(if self.moderator.surface(p).distance_mm < 0.0 {
                    Material::of(Tissue::Myocardium)
                } else {
                    Material::blood(Chamber::RightVentricle)
                });
            }
            if outside < self.anatomy.rv_wall_mm {
                let edge = outside.min(self.anatomy.rv_wall_mm - outside);
                return Some(Material::facing(Tissue::Myocardium, edge, normal));
            }
        }
        if open {
            return Some(Material::blood(Chamber::RightVentricle));
        }
        if p.z <= 2.0 && p.z > -2.5 && from_septum_mm >= 0.0 {
            let off = angle_between_deg(direction::RIGHT_ATRIUM_DEG, angle_deg).abs();
            let ring = self.tricuspid.distance_mm(p);
            if ring < 0.0 {
                return Some(Material::blood(Chamber::RightAtrium));
            }
            if off < 60.0 && from_septum_mm < width_mm + self.anatomy.rv_wall_mm {
                return Some(match ring < 3.5 {
                    true => Material::of(Tissue::Fibrous),
                    false => Material::of(Tissue::Fat),
                });
            }
        }
        (outflow.distance_mm < 2.0 && p.z < 0.0)
            .then(|| Material::facing(Tissue::ThinWall, outflow.distance_mm, outflow.normal))
    }

    fn behind_the_base(&self, p: Vec3) -> Option<Material> {
        if p.z > 0.5 {
            return None;
        }
        let left = self.left_atrium.surface(p);
        let right = self.right_atrium.surface(p);
        if left.distance_mm < 0.0 && left.distance_mm <= right.distance_mm {
            return Some(Material::blood(Chamber::LeftAtrium));
        }
        if right.distance_mm < 0.0 {
            return Some(Material::blood(Chamber::RightAtrium));
        }
        let wall = if left.distance_mm < right.distance_mm {
            left
        } else {
            right
        };
        (wall.distance_mm < ATRIAL_WALL_MM).then(|| {
            let edge = wall.distance_mm.min(ATRIAL_WALL_MM - wall.distance_mm);
            Material::facing(Tissue::ThinWall, edge, wall.normal)
        })
    }

    fn around_the_heart(&self, p: Vec3, angle_deg: f32, wall_mm: f32, normal: Vec3) -> Material {
        let left = self.left_atrium.surface(p);
        let right = self.right_atrium.surface(p);
        let (atrium_mm, atrium_normal) = if left.distance_mm < right.distance_mm {
            (left.distance_mm - ATRIAL_WALL_MM, left.normal)
        } else {
            (right.distance_mm - ATRIAL_WALL_MM, right.normal)
        };
        let (outside_mm, normal) = if wall_mm < atrium_mm {
            (wall_mm, normal)
        } else {
            (atrium_mm, atrium_normal)
        };
        if (0.4..PERICARDIUM_MM).contains(&outside_mm) {
            return Material::facing(Tissue::Pericardium, outside_mm - 1.0, normal);
        }
        let vessel = self.descending.surface(p);
        if vessel.distance_mm < 0.0 {
            return Material::of(Tissue::Blood);
        }
        if vessel.distance_mm < AORTIC_WALL_MM {
            return Material::facing(Tissue::AorticWall, vessel.distance_mm, vessel.normal);
        }
        if outside_mm < 5.0 {
            return Material::of(Tissue::Fat);
        }
        let wave = 4.0 * (0.11 * p.x + 0.07 * p.z).sin() + 3.0 * (0.16 * p.y - 0.09 * p.z).sin();
        let turned = (angle_deg + wave).rem_euclid(360.0);
        Material::of(match turned {
            _ if p.z + wave < -14.0 => Tissue::Mediastinum,
            85.0..165.0 => Tissue::ChestWall,
            195.0..262.0 if outside_mm > 3.0 => Tissue::Liver,
            165.0..305.0 => Tissue::Mediastinum,
            _ => Tissue::Lung,
        })
    }
}
