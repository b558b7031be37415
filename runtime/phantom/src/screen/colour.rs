//! The colour box: where blood flows towards the probe and away from it.

use crate::canvas::Canvas;
use crate::exam::Subject;
use crate::phantom::Phantom;
use crate::random::Random;
use crate::tissue::Chamber;
use crate::{HeartState, PhantomError, Vec3};

const ROWS: usize = 44;
const COLUMNS: usize = 36;
/// Contractions at which the chambers are looked up.
const LEVELS: usize = 3;
/// Flow below which the wall filter shows nothing, as a share of the scale.
const WALL_FILTER: f32 = 0.1;

/// Part of the sector in which flow is shown.
#[derive(Debug, Clone)]
pub(crate) struct ColourBox {
    left_rad: f32,
    right_rad: f32,
    top_mm: f32,
    bottom_mm: f32,
    origin_mm: f32,
    /// Chambers at each contraction, row by row.
    chambers: Vec<[Option<Chamber>; LEVELS]>,
    seed: u64,
}

impl ColourBox {
    pub(crate) fn new(phantom: &Phantom) -> Result<Self, PhantomError> {
        let exam = phantom.exam();
        let conflict = |found: &str| PhantomError::Conflict {
            expected: "a beating heart and a probe that stays",
            found: found.to_owned(),
            key: "colour",
        };
        if exam.subject != Subject::Heart {
            return Err(conflict("another subject"));
        }
        if exam.path.len() > 1 {
            return Err(conflict("a probe that moves"));
        }
        let imaging = &exam.imaging;
        let middle = imaging.steer_deg.to_radians();
        let half = (0.22 * imaging.sector_deg).to_radians();
        let mut colour = Self {
            left_rad: middle - half,
            right_rad: middle + half,
            top_mm: imaging.origin_mm + 0.38 * imaging.depth_mm,
            bottom_mm: imaging.origin_mm + 0.82 * imaging.depth_mm,
            origin_mm: imaging.origin_mm,
            chambers: Vec::with_capacity(ROWS * COLUMNS),
            seed: exam.seed,
        };
        let pose = phantom.pose(0);
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let (right, down) = colour.point(row, column);
                colour.chambers.push(std::array::from_fn(|level| {
                    let state = HeartState {
                        contraction: level as f32 / (LEVELS - 1) as f32,
                        ..HeartState::default()
                    };
                    phantom.chamber_at(&pose, &state, right, down)
                }));
            }
        }
        Ok(colour)
    }

    fn point(&self, row: usize, column: usize) -> (f32, f32) {
        let angle =
            self.left_rad + (self.right_rad - self.left_rad) * column as f32 / (COLUMNS - 1) as f32;
        let distance =
            self.top_mm + (self.bottom_mm - self.top_mm) * row as f32 / (ROWS - 1) as f32;
        (
            distance * angle.sin(),
            distance * angle.cos() - self.origin_mm,
        )
    }

    pub(crate) fn draw(&self, canvas: &mut Canvas, phantom: &Phantom, frame: u32) {
        let state = phantom.state(frame);
        let flow = self.flow(phantom, &state, frame);
        let placement = phantom.placement();
        for y in 0..canvas.height() {
            for x in 0..canvas.width() {
                let (right, down) = placement.mm_from_px(x as u32, y as u32);
                let from_origin = down + self.origin_mm;
                if from_origin <= 0.0 {
                    continue;
                }
                let across =
                    (right.atan2(from_origin) - self.left_rad) / (self.right_rad - self.left_rad);
                let along =
                    (right.hypot(from_origin) - self.top_mm) / (self.bottom_mm - self.top_mm);
                if !(0.0..1.0).contains(&across) || !(0.0..1.0).contains(&along) {
                    continue;
                }
                let here = between(
                    &flow,
                    along * (ROWS - 1) as f32,
                    across * (COLUMNS - 1) as f32,
                );
                if let Some(colour) = shade(here) {
                    canvas.set(x, y, colour);
                }
            }
        }
        self.frame_line(canvas, phantom);
    }

    /// Flow towards the probe as a share of the scale, for each cell.
    fn flow(&self, phantom: &Phantom, state: &HeartState, frame: u32) -> Vec<f32> {
        let mut random = Random::new(self.seed ^ u64::from(frame), 12);
        let pose = phantom.pose(frame);
        let level = (state.contraction.clamp(0.0, 1.0) * (LEVELS - 1) as f32).round() as usize;
        let apexwards = Vec3::new(0.0, 0.0, 1.0);
        self.chambers
            .iter()
            .enumerate()
            .map(|(cell, chambers)| {
                let Some(chamber) = chambers[level.min(LEVELS - 1)] else {
                    return 0.0;
                };
                let (right, down) = self.point(cell / COLUMNS, cell % COLUMNS);
                let place = pose.point(Vec3::new(right, 0.0, down));
                let beam = place - pose.point(Vec3::new(0.0, 0.0, -self.origin_mm));
                let inflow = state.mitral * 0.9;
                let outflow = state.aortic;
                let velocity = match chamber {
                    Chamber::LeftVentricle | Chamber::RightVentricle => {
                        let high = place.z / phantom.heart().anatomy().lv_length_mm;
                        apexwards * ((inflow - outflow) * (1.15 - high).clamp(0.1, 1.0))
                    }
                    Chamber::LeftAtrium | Chamber::RightAtrium => {
                        apexwards * (0.6 * inflow + 0.15 * outflow)
                    }
                    Chamber::Aorta => apexwards * (-1.2 * outflow),
                };
                let towards = -velocity.dot(beam.unit());
                towards * (1.0 + 0.16 * random.normal()) + 0.03 * random.normal()
            })
            .collect()
    }

    fn frame_line(&self, canvas: &mut Canvas, phantom: &Phantom) {
        let placement = phantom.placement();
        let corner = |distance: f32, angle: f32| {
            placement.px_from_mm(
                distance * angle.sin(),
                distance * angle.cos() - self.origin_mm,
            )
        };
        let white = [220, 220, 220];
        for angle in [self.left_rad, self.right_rad] {
            canvas.line(
                corner(self.top_mm, angle),
                corner(self.bottom_mm, angle),
                white,
            );
        }
        for distance in [self.top_mm, self.bottom_mm] {
            for step in 0..24 {
                let angle =
                    |s: i32| self.left_rad + (self.right_rad - self.left_rad) * s as f32 / 24.0;
                canvas.line(
                    corner(distance, angle(step)),
                    corner(distance, angle(step + 1)),
                    white,
                );
            }
        }
    }
}

/// The flow between four cells.
fn between(flow: &[f32], row: f32, column: f32) -> f32 {
    let (top, left) = (
        (row as usize).min(ROWS - 2),
        (column as usize).min(COLUMNS - 2),
    );
    let (v, u) = (row - top as f32, column - left as f32);
    let at = |row: usize, column: usize| flow[row * COLUMNS + column];
    let upper = at(top, left) * (1.0 - u) + at(top, left + 1) * u;
    let lower = at(top + 1, left) * (1.0 - u) + at(top + 1, left + 1) * u;
    upper * (1.0 - v) + lower * v
}

/// Red towards the probe, blue away, brighter with speed.
fn shade(flow: f32) -> Option<[u8; 3]> {
    let speed = flow.abs().min(1.0);
    if speed < WALL_FILTER {
        return None;
    }
    let strong = (90.0 + 165.0 * speed) as u8;
    let light = (170.0 * (speed - 0.4).max(0.0)) as u8;
    Some(if flow > 0.0 {
        [strong, light, 20]
    } else {
        [20, light, strong]
    })
}
