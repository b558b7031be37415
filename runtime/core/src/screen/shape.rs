//! Fits as outlines on the frame.

use super::fan::{Fit, Form};
use super::sector::{MAX_CORNERS, Outline, Sector, Shape};

/// Corners along the outer arc.
const ARC_CORNERS: usize = 21;
/// Corners along the probe's face.
const FACE_CORNERS: usize = 11;
/// Share of the outer radius from which on the probe's face is an arc.
const FACE_FROM: f32 = 0.2;

impl Fit {
    /// The fit as an area of a frame of `cols` by `rows` cells.
    pub fn sector(&self, cols: f32, rows: f32, inverted: bool) -> Option<Sector> {
        let mut polygon = Polygon::default();
        let [left, top, right, bottom] = self.cut;
        let shape = match self.form {
            Form::Rectangle => {
                for p in [[left, top], [right, top], [right, bottom], [left, bottom]] {
                    polygon.add(p);
                }
                Shape::Linear
            }
            Form::Fan {
                apex,
                from_to: [from, to],
                inner,
                outer,
            } => {
                let at = |radius: f32, at: usize, of: usize| {
                    let angle = from + (to - from) * at as f32 / (of - 1) as f32;
                    let [sin, cos] = [libm::sinf(angle), libm::cosf(angle)];
                    [apex[0] + radius * sin, apex[1] + radius * cos]
                };
                (0..ARC_CORNERS).for_each(|i| polygon.add(at(outer, i, ARC_CORNERS)));
                match inner > 0.0 {
                    true => (0..FACE_CORNERS)
                        .rev()
                        .for_each(|i| polygon.add(at(inner, i, FACE_CORNERS))),
                    false => polygon.add(apex),
                }
                polygon.cut([left, 0.0, right, bottom]);
                match inner > FACE_FROM * outer {
                    true => Shape::Curvilinear,
                    false => Shape::Phased,
                }
            }
        };
        for p in &mut polygon.corners {
            let down = if inverted { rows - p[1] } else { p[1] };
            *p = [p[0] / cols, down / rows];
        }
        Some(Sector {
            outline: Outline::new(polygon.corners.get(..polygon.used)?)?,
            shape,
            inverted,
            confidence: self.score.clamp(0.0, 1.0),
        })
    }
}

struct Polygon {
    corners: [[f32; 2]; MAX_CORNERS],
    used: usize,
}

impl Default for Polygon {
    fn default() -> Self {
        Self {
            corners: [[0.0; 2]; MAX_CORNERS],
            used: 0,
        }
    }
}

impl Polygon {
    fn add(&mut self, p: [f32; 2]) {
        if let Some(to) = self.corners.get_mut(self.used) {
            *to = p;
            self.used += 1;
        }
    }

    /// Cuts it to a rectangle, edge by edge (Sutherland and Hodgman, 1974).
    fn cut(&mut self, [left, top, right, bottom]: [f32; 4]) {
        let edges = [
            (0, left, 1.0),
            (1, top, 1.0),
            (0, right, -1.0),
            (1, bottom, -1.0),
        ];
        for (axis, bound, sign) in edges {
            let whole = std::mem::take(self);
            for i in 0..whole.used {
                let [a, b] = [i, (i + 1) % whole.used].map(|i| whole.corners[i]);
                let [inside_a, inside_b] = [a, b].map(|p: [f32; 2]| (p[axis] - bound) * sign);
                if inside_a >= 0.0 {
                    self.add(a);
                }
                if (inside_a >= 0.0) != (inside_b >= 0.0) {
                    let share = inside_a / (inside_a - inside_b);
                    self.add([0, 1].map(|axis| a[axis] + share * (b[axis] - a[axis])));
                }
            }
        }
    }
}
