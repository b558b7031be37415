//! The fan or rectangle that fits a region best.

use super::border::{Border, FLATTEST_DEG, NEAR, Side};
use super::region::Region;

/// Steepest side of a fan, degrees.
const STEEPEST_DEG: usize = 20;
/// Shortest length along which one side must be seen, in cells.
const LEAST_SIDE: f32 = 14.0;
/// How far outside the image the outermost lit cells reach, in cells.
const RIM: f32 = 0.5;
/// Directions in which the arcs are looked for.
const BEAMS: usize = 64;
/// Share of the directions that must agree on an arc.
const AGREEING: usize = BEAMS / 5;
/// Most that the angles of both sides may differ, degrees.
const MOST_SKEW_DEG: usize = 30;
/// Share of the frame that no rectangle may be larger than: beyond, it is the frame.
const MOST_OF_FRAME: f32 = 0.9;

/// Where an imaging area is, in cells, the probe being up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// A fan between two sides and two arcs.
    Fan {
        /// Where the sides meet.
        apex: [f32; 2],
        /// Angles of the left and the right side from the vertical, radians, left below 0.
        from_to: [f32; 2],
        /// Radius of the probe's face, 0 for a point.
        inner: f32,
        /// Radius of the far end.
        outer: f32,
    },
    /// The rectangle `cut`.
    Rectangle,
}

/// One fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fit {
    /// Its form.
    pub form: Form,
    /// Left, top, right, bottom beyond which nothing of it is.
    pub cut: [f32; 4],
    /// How well it fits, 0 to 1.
    pub score: f32,
    /// Share of the frame it covers.
    pub size: f32,
    /// Share of the directions that begin at the probe's face, of a fan.
    pub face: f32,
}

impl Fit {
    /// What fits of several are compared by.
    pub fn worth(&self) -> f32 {
        self.score * (self.size / 0.3).min(1.0).sqrt()
    }
}

/// Buffers for fits.
#[derive(Debug, Clone, Default)]
pub(super) struct Fitter {
    border: Border,
}

impl Fitter {
    /// Fits a fan, or a rectangle where that is asked for too, around `region`. `on` are all
    /// cells that are not background.
    pub fn fit(&mut self, region: &Region, on: &Region, or_rectangle: bool) -> Option<Fit> {
        if !self.border.walk(region) {
            return None;
        }
        let rectangle = or_rectangle.then(|| self.rectangle(region, on)).flatten();
        let cut = self.straight_cut(region.cols as f32, region.rows as f32);
        let left = self.border.sides(region.cols, false);
        let right = self.border.sides(region.cols, true);
        let together = |l: usize, r: usize| {
            let skew = (l.abs_diff(r) as f32 - 3.0).max(0.0);
            left[l].touching + right[r].touching - 0.5 * skew
        };
        let apart =
            |a: (usize, usize), b: (usize, usize)| a.0.abs_diff(b.0) + a.1.abs_diff(b.1) > 8;
        let mut pairs = [(0.0_f32, (0, 0)); 2];
        for l in STEEPEST_DEG..=FLATTEST_DEG {
            let from = STEEPEST_DEG.max(l.saturating_sub(MOST_SKEW_DEG));
            for r in from..=FLATTEST_DEG.min(l + MOST_SKEW_DEG) {
                let found = (together(l, r), (l, r));
                if found.0 > pairs[0].0 {
                    if apart(pairs[0].1, found.1) {
                        pairs[1] = pairs[0];
                    }
                    pairs[0] = found;
                } else if found.0 > pairs[1].0 && apart(pairs[0].1, found.1) {
                    pairs[1] = found;
                }
            }
        }
        let fans = pairs.into_iter().filter(|p| p.0 > 0.0);
        let fans = fans.filter_map(|(_, (l, r))| self.fan(region, on, [left[l], right[r]], cut));
        fans.chain(rectangle)
            .max_by(|a, b| a.score.total_cmp(&b.score))
    }

    /// The region's bounds where it ends at a straight upright or level edge, else the frame's.
    fn straight_cut(&self, cols: f32, rows: f32) -> [f32; 4] {
        let [left, top, right, bottom] = self.border.bounds;
        let upright = |at: f32, frame: f32| match self.border.touching(at, 0) {
            touching if touching >= 0.2 * (bottom - top) => at,
            _ => frame,
        };
        let below = match self.border.touching(bottom, 1) {
            touching if touching >= 0.4 * (right - left) => bottom,
            _ => rows,
        };
        [upright(left, 0.0), top, upright(right, cols), below]
    }

    fn fan(&self, region: &Region, on: &Region, sides: [Side; 2], cut: [f32; 4]) -> Option<Fit> {
        let cols = region.cols as f32;
        let [[cos_l, sin_l], [cos_r, sin_r]] = sides.map(|s| self.border.turns[s.deg]);
        let (left, right) = (sides[0].least, sides[1].least - cols * cos_r);
        let turn = cos_l * sin_r + sin_l * cos_r;
        if turn < 0.3 || sides.iter().all(|s| s.touching < LEAST_SIDE) {
            return None;
        }
        let meet = |rim: f32| {
            let (left, right) = (left + rim, right + rim);
            [
                (left * sin_r - sin_l * right) / turn,
                (cos_l * right + cos_r * left) / turn,
            ]
        };
        let apex = meet(0.0);
        let from_to = [-(sides[0].deg as f32), sides[1].deg as f32].map(f32::to_radians);
        let beams = Beams::new(apex, from_to);
        let outside = |x: f32, y: f32| {
            let left = sides[0].least - (x * cos_l + y * sin_l);
            let right = sides[1].least - ((cols - x) * cos_r + y * sin_r);
            left.max(right)
        };
        let mut farthest = [0.0_f32; BEAMS];
        for p in self.border.rows.iter().chain(&self.border.columns) {
            if let Some((at, radius)) = beams.of(p) {
                farthest[at] = farthest[at].max(radius);
            }
        }
        let outer = arc(&farthest, |a, b| b.total_cmp(a));
        let seen = |(_, way): &(&f32, &[f32; 2])| {
            let [x, y] = [apex[0] + outer * way[0], apex[1] + outer * way[1]];
            x > cut[0] - 0.5 && x < cut[2] + 0.5 && y < cut[3] + 0.5
        };
        let ends = farthest.iter().zip(&beams.ways).filter(seen);
        let round = ends.clone().filter(|(far, _)| near(**far, outer)).count() as f32;
        let round = round / ends.count().max(BEAMS / 4) as f32;
        let nearest = beams.ways.map(|way| first_on(on, apex, way, outer));
        let inner = arc(&nearest, f32::total_cmp) - 0.5;
        let begin = nearest.iter().filter(|r| near(**r, inner + 0.5));
        let face = begin.count() as f32 / BEAMS as f32;
        let inner = if inner < 0.07 * outer { 0.0 } else { inner };
        if inner > 0.8 * outer || outer - inner < 12.0 {
            return None;
        }
        let (mut inside, mut filled, mut spilt) = (0_usize, 0_usize, 0_usize);
        let square = |v: f32| v * v;
        let (within, beyond) = (square((inner - NEAR).max(0.0)), square(outer + NEAR));
        for y in 0..region.rows {
            let (members, lit) = (region.row(y), on.row(y));
            let middle = y as f32 + 0.5;
            let cells = members.iter().zip(lit).zip(0_u16..);
            for ((member, lit), x) in cells {
                let x = f32::from(x) + 0.5;
                let off = outside(x, middle);
                let radius = square(x - apex[0]) + square(middle - apex[1]);
                let in_arcs = radius < square(outer) && radius > square(inner);
                let in_cut = x > cut[0] && x < cut[2] && middle < cut[3];
                if off < 0.0 && in_arcs && in_cut {
                    inside += 1;
                    filled += usize::from(*lit);
                } else if *member && (off > NEAR || radius > beyond || radius < within) {
                    spilt += 1;
                }
            }
        }
        let fill = filled as f32 / inside.max(1) as f32;
        let spill = spilt as f32 / region.count.max(1) as f32;
        let expected = |turn: [f32; 2], room: f32| {
            let [cos, sin] = turn.map(|v| v.max(1e-3));
            let end = outer.min(room / sin).min((cut[3] - apex[1]) / cos);
            let begin = inner.max((cut[1] - apex[1]) / cos).max(0.0);
            (end - begin).max(LEAST_SIDE)
        };
        let left = sides[0].touching / expected([cos_l, sin_l], apex[0] - cut[0]);
        let right = sides[1].touching / expected([cos_r, sin_r], cut[2] - apex[0]);
        let [less, more] = [left.min(right).min(1.0), left.max(right).min(1.0)];
        let skew = (sides[0].deg.abs_diff(sides[1].deg) as f32 - 2.0).max(0.0);
        let straight = 0.36 * more + 0.2 * less - (0.2 - less).max(0.0);
        let score = straight + 0.22 * round + 0.22 * fill - 0.008 * skew;
        Some(Fit {
            form: Form::Fan {
                apex: meet(RIM),
                from_to,
                inner,
                outer: outer - 2.0 * RIM,
            },
            cut,
            score: score.max(0.0) * (1.0 - 3.0 * spill).max(0.0),
            size: inside as f32 / region.cells.len().max(1) as f32,
            face,
        })
    }

    fn rectangle(&self, region: &Region, on: &Region) -> Option<Fit> {
        let cols = region.cols;
        let [_, upper, _, lower] = self.border.bounds;
        let height = lower - upper;
        let edge = |first: bool| {
            let mut counts = [0_u32; 164];
            for p in self.border.rows.iter().skip(usize::from(!first)).step_by(2) {
                if let Some(count) = counts.get_mut(p[0] as usize + 1) {
                    *count += 1;
                }
            }
            let near = |x: &usize| counts[*x..*x + 3].iter().sum::<u32>();
            let at = (0..=cols).max_by_key(near).unwrap_or(0);
            (at, near(&at) as f32 / height)
        };
        let ((from, on_left), (to, on_right)) = (edge(true), edge(false));
        let to = to.min(cols);
        if to < from + 16 {
            return None;
        }
        let across = (to - from) as f32;
        let lit = |cells: &[bool]| cells.iter().filter(|c| **c).count();
        let own = |y: &usize| {
            let row = on.row(*y);
            let beside = lit(&row[from.saturating_sub(5)..from.saturating_sub(1)]) >= 3
                || lit(&row[(to + 1).min(cols)..(to + 5).min(cols)]) >= 3;
            let of_region = (upper..lower).contains(&(*y as f32));
            2 * lit(&row[from..to]) > to - from && (of_region || !beside)
        };
        let top = (0..region.rows).find(own)?;
        let bottom = (0..region.rows).rev().find(own)? + 1;
        let area = across * (bottom - top) as f32;
        let size = area / region.cells.len() as f32;
        if size > MOST_OF_FRAME || bottom < top + 16 || height < 0.25 * (bottom - top) as f32 {
            return None;
        }
        let level = |y: f32, odd: usize| {
            let points = self.border.columns.iter().skip(odd).step_by(2);
            let along = |p: &&[f32; 2]| p[0] > from as f32 && p[0] < to as f32 && near(p[1], y);
            points.filter(along).count() as f32 / across
        };
        let on_top = level(upper.max(top as f32), 0);
        let on_bottom = level(lower.min(bottom as f32), 1);
        let (mut filled, mut spilt) = (0, 0);
        for y in 0..region.rows {
            let down = (top..bottom).contains(&y);
            let far_down = y + 2 < top || y > bottom + 1;
            for (x, (member, lit)) in region.row(y).iter().zip(on.row(y)).enumerate() {
                filled += usize::from(down && *lit && (from..to).contains(&x));
                let far = far_down || x + 2 < from || x > to + 1;
                spilt += usize::from(*member && far);
            }
        }
        let level = 0.2 * on_top.max(on_bottom) + 0.1 * on_top.min(on_bottom);
        let upright = 0.25 * (on_left + on_right).min(2.0);
        let score = (upright + level + 0.2 * filled as f32 / area).min(1.0);
        let spill = spilt as f32 / region.count.max(1) as f32;
        Some(Fit {
            form: Form::Rectangle,
            cut: [from as f32, top as f32, to as f32, bottom as f32],
            score: score * (1.0 - 3.0 * spill).max(0.0),
            size,
            face: 0.0,
        })
    }
}

/// Directions from an apex, evenly between two sides.
struct Beams {
    apex: [f32; 2],
    from_to: [f32; 2],
    /// Unit vectors of the directions.
    ways: [[f32; 2]; BEAMS],
}

impl Beams {
    fn new(apex: [f32; 2], from_to: [f32; 2]) -> Self {
        let way = |at: usize| {
            let share = (at as f32 + 0.5) / BEAMS as f32;
            let angle = from_to[0] + (from_to[1] - from_to[0]) * share;
            [libm::sinf(angle), libm::cosf(angle)]
        };
        Self {
            apex,
            from_to,
            ways: std::array::from_fn(way),
        }
    }

    /// Beam and radius of a point between the sides.
    fn of(&self, p: &[f32; 2]) -> Option<(usize, f32)> {
        let (x, y) = (p[0] - self.apex[0], p[1] - self.apex[1]);
        let [from, to] = self.from_to;
        let at = (libm::atan2f(x, y) - from) / (to - from) * BEAMS as f32;
        let within = (0.0..BEAMS as f32).contains(&at);
        within.then(|| ((at as usize).min(BEAMS - 1), (x * x + y * y).sqrt()))
    }
}

/// The first radius along a beam at which a cell is on; infinite without one.
fn first_on(on: &Region, apex: [f32; 2], way: [f32; 2], outer: f32) -> f32 {
    let mut radius = 0.0_f32;
    while radius < outer {
        let [x, y] = [apex[0] + way[0] * radius, apex[1] + way[1] * radius];
        if x >= 0.0 && y >= 0.0 && on.is(x as usize, y as usize) {
            return radius;
        }
        radius += 0.7;
    }
    f32::INFINITY
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= NEAR
}

/// The first radius in `order` at which enough of the beams end.
fn arc(ends: &[f32; BEAMS], order: impl Fn(&f32, &f32) -> std::cmp::Ordering) -> f32 {
    let mut sorted = *ends;
    sorted.sort_unstable_by(order);
    let agreed =
        |r: &f32| r.is_finite() && ends.iter().filter(|e| near(**e, *r)).count() >= AGREEING;
    let found = sorted.iter().copied().find(agreed);
    found.unwrap_or(sorted[BEAMS / 8])
}
