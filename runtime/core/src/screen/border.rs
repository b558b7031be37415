//! The border of a region, and the straight lines it touches.

use super::coarse::MAX_CELLS;
use super::region::Region;

/// Steepest and flattest line, degrees from the vertical.
pub(super) const FLATTEST_DEG: usize = 77;
const STEPS: usize = FLATTEST_DEG + 1;
/// How far from a line or arc a border cell may lie, in cells.
pub(super) const NEAR: f32 = 1.25;
/// Most points of one side.
const MOST_POINTS: usize = 1024;

/// One straight side: the line `x * cos + y * sin = least`, the region on its greater side. For
/// right sides x counts from the right.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Side {
    /// Angle from the vertical.
    pub deg: usize,
    /// Where the line is.
    pub least: f32,
    /// Length along which the region touches the line, in cells.
    pub touching: f32,
}

/// The border of a region, top to bottom as the probe is up.
#[derive(Debug, Clone)]
pub(super) struct Border {
    /// Cosine and sine of each angle.
    pub turns: [[f32; 2]; STEPS],
    /// First and last cell of each row, one after the other.
    pub rows: Vec<[f32; 2]>,
    /// First and last cell of each column, one after the other.
    pub columns: Vec<[f32; 2]>,
    /// Where rows and columns begin after a gap, as seen from the left and from the right.
    starts: [Vec<[f32; 2]>; 2],
    /// Left, top, right, bottom of the region.
    pub bounds: [f32; 4],
}

impl Default for Border {
    fn default() -> Self {
        let turn = |deg: usize| {
            let angle = (deg as f32).to_radians();
            [libm::cosf(angle), libm::sinf(angle)]
        };
        Self {
            turns: std::array::from_fn(turn),
            rows: Vec::with_capacity(2 * MAX_CELLS),
            columns: Vec::with_capacity(2 * MAX_CELLS),
            starts: std::array::from_fn(|_| Vec::with_capacity(MOST_POINTS)),
            bounds: [0.0; 4],
        }
    }
}

impl Border {
    /// Walks round a region; false for one that is too small.
    pub fn walk(&mut self, region: &Region) -> bool {
        let (cols, rows) = (region.cols, region.rows);
        let mut bounds = [cols, rows, 0, 0];
        let mut tops = [None; MAX_CELLS];
        let mut bottoms = [0_usize; MAX_CELLS];
        self.rows.clear();
        self.columns.clear();
        for y in 0..rows {
            let cells = region.row(y);
            let first = cells.iter().position(|c| *c);
            let last = cells.iter().rposition(|c| *c);
            let (Some(first), Some(last)) = (first, last) else {
                continue;
            };
            let [left, top, right, _] = bounds;
            bounds = [left.min(first), top.min(y), right.max(last + 1), y + 1];
            self.rows.push([first as f32, y as f32 + 0.5]);
            self.rows.push([last as f32 + 1.0, y as f32 + 0.5]);
            let ends = tops.iter_mut().zip(&mut bottoms);
            for ((top, bottom), _) in ends.zip(cells).filter(|(_, cell)| **cell) {
                top.get_or_insert(y);
                *bottom = y + 1;
            }
        }
        for ((top, bottom), x) in tops.iter().zip(bottoms).zip(0_u16..) {
            if let Some(top) = top {
                let middle = f32::from(x) + 0.5;
                self.columns.push([middle, *top as f32]);
                self.columns.push([middle, bottom as f32]);
            }
        }
        self.bounds = bounds.map(|v| v as f32);
        self.gather(region);
        self.rows.len() >= 16 && self.columns.len() >= 16
    }

    fn gather(&mut self, region: &Region) {
        let [lefts, rights] = &mut self.starts;
        lefts.clear();
        rights.clear();
        let add = |to: &mut Vec<[f32; 2]>, p| {
            if to.len() < MOST_POINTS {
                to.push(p);
            }
        };
        for y in 0..region.rows {
            let row = region.row(y);
            let is = |x: Option<usize>| x.and_then(|x| row.get(x)).copied().unwrap_or(false);
            let over = |x: usize, y: Option<usize>| y.is_some_and(|y| region.is(x, y));
            for (x, _) in row.iter().enumerate().filter(|(_, cell)| **cell) {
                let (before, after) = ([x.checked_sub(1), x.checked_sub(2)], [x + 1, x + 2]);
                let middle = y as f32 + 0.5;
                if !before.into_iter().any(is) && after.into_iter().all(|x| is(Some(x))) {
                    add(lefts, [x as f32, middle]);
                }
                if !after.into_iter().any(|x| is(Some(x))) && before.into_iter().all(is) {
                    add(rights, [x as f32 + 1.0, middle]);
                }
                let above = [y.checked_sub(1), y.checked_sub(2)];
                let below = [Some(y + 1), Some(y + 2)];
                if !above.into_iter().any(|y| over(x, y)) && below.into_iter().all(|y| over(x, y)) {
                    add(lefts, [x as f32 + 0.5, y as f32]);
                    add(rights, [x as f32 + 0.5, y as f32]);
                }
            }
        }
    }

    /// For each angle the line that the region touches longest, as seen from the left or, where
    /// `mirrored`, from the right. What hangs on outside, as text does, counts against it.
    pub fn sides(&self, cols: usize, mirrored: bool) -> [Side; STEPS] {
        let across = |x: f32| if mirrored { cols as f32 - x } else { x };
        let [lefts, rights] = &self.starts;
        let points = if mirrored { rights } else { lefts };
        let side = |deg: usize| {
            let [cos, sin] = self.turns[deg];
            let of = |p: &[f32; 2]| across(p[0]) * cos + p[1] * sin;
            let low = points.iter().map(of).fold(f32::INFINITY, f32::min);
            let mut counts = [0_i32; 120];
            for p in points {
                let at = ((of(p) - low) * 2.0) as usize;
                if let Some(count) = counts.get_mut(at) {
                    *count += 1;
                }
            }
            let (mut outside, mut best) = (0, (i32::MIN, 0));
            for (at, near) in counts.windows(3).enumerate() {
                let worth = near.iter().sum::<i32>() - outside;
                if worth > best.0 {
                    best = (worth, at);
                }
                outside += near[0];
            }
            let least = low + best.1 as f32 * 0.5;
            let mut along = Marks::default();
            for p in points {
                if (least - 0.01..=least + NEAR).contains(&of(p)) {
                    along.mark(p[1] * cos - across(p[0]) * sin + 200.0);
                }
            }
            Side {
                deg,
                least,
                touching: along.count(),
            }
        };
        std::array::from_fn(side)
    }

    /// Border cells at most 0.6 from the upright (axis 0) or level (axis 1) line at `at`.
    pub fn touching(&self, at: f32, axis: usize) -> f32 {
        let mut marks = Marks::default();
        let points = self.rows.iter().chain(&self.columns);
        for p in points.filter(|p| (p[axis] - at).abs() <= 0.6) {
            marks.mark(p[1 - axis]);
        }
        marks.count()
    }
}

/// Places along a line, each counted once.
#[derive(Default)]
struct Marks([u64; 8]);

impl Marks {
    fn mark(&mut self, at: f32) {
        let at = at.clamp(0.0, 511.0) as usize;
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn count(&self) -> f32 {
        self.0.iter().map(|w| w.count_ones()).sum::<u32>() as f32
    }
}
