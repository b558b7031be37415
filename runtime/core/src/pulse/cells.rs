//! A small picture of the imaging area: what is compared from one instant to another.

use crate::screen::Picture;
use crate::screen::sector::Outline;

/// Cells across, and down.
const SIDE: usize = 16;
/// Cells.
pub(super) const CELLS: usize = SIDE * SIDE;
/// Samples across a cell, and down.
const SAMPLES: usize = 4;
const PLACES: usize = CELLS * SAMPLES * SAMPLES;
/// Fewest samples that make a cell; one with fewer stays black.
const LEAST_SAMPLES: u16 = 4;

/// Brightness of each cell, 16 times its mean grey level.
pub(super) type Sample = [u16; CELLS];

#[derive(Debug, Clone, Copy)]
struct Place {
    cell: u8,
    x: u32,
    y: u32,
}

/// Where in a frame each cell is looked at: inside the imaging area only.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    places: Vec<Place>,
    counts: [u16; CELLS],
}

impl Cells {
    pub fn new() -> Self {
        Self {
            places: Vec::with_capacity(PLACES),
            counts: [0; CELLS],
        }
    }

    /// Lays the cells over the rectangle around `outline`, in a frame of this size.
    ///
    /// # Real-time
    /// No allocation; 4096 points.
    pub fn lay(&mut self, outline: &Outline, width_px: usize, height_px: usize) {
        self.places.clear();
        self.counts = [0; CELLS];
        let [left, top, right, bottom] = outline.bounds();
        let step = |at: usize| (at as f32 + 0.5) / (SIDE * SAMPLES) as f32;
        for row in 0..SIDE * SAMPLES {
            let y = top + (bottom - top) * step(row);
            for column in 0..SIDE * SAMPLES {
                let x = left + (right - left) * step(column);
                if !outline.contains(x, y) {
                    continue;
                }
                let cell = row / SAMPLES * SIDE + column / SAMPLES;
                if let Some(count) = self.counts.get_mut(cell) {
                    *count += 1;
                }
                self.places.push(Place {
                    cell: cell as u8,
                    x: (x * width_px as f32) as u32,
                    y: (y * height_px as f32) as u32,
                });
            }
        }
    }

    /// Looks at a picture. Bytes that are missing count as black.
    ///
    /// # Real-time
    /// No allocation; at most 4096 bytes are read.
    pub fn sample(&self, picture: Picture<'_>, into: &mut Sample) {
        let byte = picture.pixel_bytes.saturating_sub(1).min(1);
        let mut sums = [0_u16; CELLS];
        for place in &self.places {
            let row = (place.y as usize).saturating_mul(picture.stride_bytes);
            let column = (place.x as usize).saturating_mul(picture.pixel_bytes);
            let at = row.saturating_add(column).saturating_add(byte);
            sums[usize::from(place.cell)] +=
                u16::from(picture.pixels.get(at).copied().unwrap_or(0));
        }
        for ((to, sum), count) in into.iter_mut().zip(sums).zip(self.counts) {
            *to = match count {
                0..LEAST_SAMPLES => 0,
                count => sum * 16 / count,
            };
        }
    }
}
