//! A small grey copy of a frame: at most 160 cells across or down.

use super::Picture;

/// Most cells along the longer side.
pub(super) const MAX_CELLS: usize = 160;
/// Samples across and down a cell.
const SAMPLES: usize = 4;

/// Brightness of a frame's cells.
#[derive(Debug, Clone, Default)]
pub(super) struct Coarse {
    /// Cells across.
    pub cols: usize,
    /// Cells down.
    pub rows: usize,
    /// Sum of the samples of each cell: 16 times its mean.
    pub sums: Vec<u16>,
    /// Highest minus lowest sample of each cell.
    pub ranges: Vec<u8>,
}

impl Coarse {
    /// Samples a picture. Bytes that are missing count as black.
    ///
    /// # Real-time
    /// Allocates only for more cells than ever before; reads at most 16 bytes a cell.
    pub fn sample(&mut self, picture: Picture<'_>) {
        let (width, height) = (picture.width_px, picture.height_px);
        let longer = width.max(height).max(1);
        let cells = |side: usize| (side * MAX_CELLS.min(longer)).div_ceil(longer).min(side);
        (self.cols, self.rows) = (cells(width), cells(height));
        self.sums.resize(self.cols * self.rows, 0);
        self.ranges.resize(self.cols * self.rows, 0);
        let mut columns = [0_usize; MAX_CELLS * SAMPLES];
        let byte = picture.pixel_bytes.saturating_sub(1).min(1);
        for (to, at) in columns.iter_mut().take(self.cols * SAMPLES).zip(0..) {
            *to = place(at, self.cols, width) * picture.pixel_bytes + byte;
        }
        let cells = self.sums.chunks_mut(self.cols.max(1));
        for ((sums, ranges), row) in cells.zip(self.ranges.chunks_mut(self.cols.max(1))).zip(0..) {
            let lines: [&[u8]; SAMPLES] = std::array::from_fn(|at| {
                let y = place(row * SAMPLES + at, self.rows, height);
                let start = y.saturating_mul(picture.stride_bytes);
                picture.pixels.get(start..).unwrap_or_default()
            });
            let cells = sums
                .iter_mut()
                .zip(ranges)
                .zip(columns.chunks_exact(SAMPLES));
            for ((sum, range), columns) in cells {
                let (mut total, mut low, mut high) = (0_u16, 255_u8, 0_u8);
                for line in lines {
                    for at in columns {
                        let value = line.get(*at).copied().unwrap_or(0);
                        total += u16::from(value);
                        low = low.min(value);
                        high = high.max(value);
                    }
                }
                (*sum, *range) = (total, high - low);
            }
        }
    }
}

/// Pixel of sample `at` of `cells` cells along a side.
fn place(at: usize, cells: usize, side_px: usize) -> usize {
    (2 * at + 1) * side_px / (2 * cells.max(1) * SAMPLES)
}
