//! Connected regions of a grid of cells.

/// How far a core's cells are from the nearest cell that is off.
const REACH: usize = 2;
/// Regions looked at, largest first.
const MOST_REGIONS: usize = 3;

/// Cells that belong to a region.
#[derive(Debug, Clone, Default)]
pub(super) struct Region {
    /// Cells across.
    pub cols: usize,
    /// Cells down.
    pub rows: usize,
    /// True for the region's cells.
    pub cells: Vec<bool>,
    /// Number of its cells.
    pub count: usize,
}

impl Region {
    /// Starts anew, without a cell.
    pub fn clear(&mut self, cols: usize, rows: usize) {
        (self.cols, self.rows, self.count) = (cols, rows, 0);
        self.cells.clear();
        self.cells.resize(cols * rows, false);
    }

    /// Row `y`; empty below the last one.
    pub fn row(&self, y: usize) -> &[bool] {
        let from = y * self.cols;
        self.cells.get(from..from + self.cols).unwrap_or_default()
    }

    /// True for a cell of the region.
    pub fn is(&self, x: usize, y: usize) -> bool {
        self.row(y).get(x).copied().unwrap_or(false)
    }

    /// Takes the cells of `other` upside down.
    pub fn flip(&mut self, other: &Region) {
        self.cells.clear();
        for y in (0..other.rows).rev() {
            self.cells.extend_from_slice(other.row(y));
        }
        (self.cols, self.rows, self.count) = (other.cols, other.rows, other.count);
    }

    /// Takes the cells that more than half of their neighbourhood in `raw` is on for.
    pub fn smooth(&mut self, raw: &Region) {
        self.clear(raw.cols, raw.rows);
        for y in 0..raw.rows {
            let near = y.saturating_sub(1)..(y + 2).min(raw.rows);
            for x in 0..raw.cols {
                let columns = x.saturating_sub(1)..(x + 2).min(raw.cols);
                let all = near.len() * columns.len();
                let on: usize = near
                    .clone()
                    .map(|y| raw.row(y)[columns.clone()].iter().filter(|c| **c).count())
                    .sum();
                self.cells[y * raw.cols + x] = 2 * on > all;
                self.count += usize::from(2 * on > all);
            }
        }
    }
}

/// Buffers to find regions in.
#[derive(Debug, Clone, Default)]
pub(super) struct Labeller {
    core: Vec<bool>,
    row_core: Vec<bool>,
    labels: Vec<u16>,
    queue: Vec<u32>,
    sizes: Vec<(usize, u16)>,
}

impl Labeller {
    /// Labels the regions of `on` whose cores are connected; thin lines and text have no core.
    /// Answers how many of the largest can be taken.
    pub fn label(&mut self, on: &Region) -> usize {
        let (cols, rows) = (on.cols, on.rows);
        let cells = cols * rows;
        self.row_core.clear();
        for y in 0..rows {
            let row = on.row(y);
            self.row_core.extend((0..cols).map(|x| {
                row[x.saturating_sub(REACH)..(x + REACH + 1).min(cols)]
                    .iter()
                    .all(|c| *c)
            }));
        }
        self.core.clear();
        for y in 0..rows {
            let near = y.saturating_sub(REACH)..(y + REACH + 1).min(rows);
            let is = |x: usize| near.clone().all(|y| self.row_core[y * cols + x]);
            self.core.extend((0..cols).map(is));
        }
        self.labels.clear();
        self.labels.resize(cells, 0);
        self.sizes.clear();
        for start in 0..cells {
            if !self.core[start] || self.labels[start] != 0 {
                continue;
            }
            let Ok(label) = u16::try_from(self.sizes.len() + 1) else {
                break;
            };
            let size = self.flood(start, label, cols, rows);
            self.sizes.push((size, label));
        }
        self.sizes.sort_unstable_by(|a, b| b.cmp(a));
        self.sizes.len().min(MOST_REGIONS)
    }

    fn flood(&mut self, start: usize, label: u16, cols: usize, rows: usize) -> usize {
        self.queue.clear();
        self.queue.push(start as u32);
        self.labels[start] = label;
        let mut size = 0;
        while let Some(at) = self.queue.pop() {
            let at = at as usize;
            size += 1;
            let (x, y) = (at % cols, at / cols);
            let next = [
                (x > 0).then(|| at - 1),
                (x + 1 < cols).then_some(at + 1),
                (y > 0).then(|| at - cols),
                (y + 1 < rows).then_some(at + cols),
            ];
            for at in next.into_iter().flatten() {
                if self.core[at] && self.labels[at] == 0 {
                    self.labels[at] = label;
                    self.queue.push(at as u32);
                }
            }
        }
        size
    }

    /// Takes the `rank`-th largest region: its core and what of `on` is near it.
    pub fn take(&self, rank: usize, on: &Region, into: &mut Region) {
        let (cols, rows) = (on.cols, on.rows);
        into.clear(cols, rows);
        let Some((_, label)) = self.sizes.get(rank) else {
            return;
        };
        for (at, _) in self.labels.iter().enumerate().filter(|(_, l)| *l == label) {
            let (x, y) = (at % cols, at / cols);
            let columns = x.saturating_sub(REACH)..(x + REACH + 1).min(cols);
            for y in y.saturating_sub(REACH)..(y + REACH + 1).min(rows) {
                let row = y * cols + columns.start..y * cols + columns.end;
                into.cells[row.clone()].copy_from_slice(&on.cells[row]);
            }
        }
        into.count = into.cells.iter().filter(|c| **c).count();
    }
}
