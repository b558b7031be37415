//! From the cache's pixels to the encoder's input.

use echocart_phantom::Random;

use crate::cache::{CELL_PX, CELLS, SIDE_PX};
use crate::net::vit::PATCH_PX;

/// Mean of the pixels, 0 to 1; the package's recipe has the same.
pub const MEAN: f32 = 0.1;
/// Standard deviation of the pixels; likewise.
pub const STD: f32 = 0.18;

/// Part of a frame, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
}

impl Crop {
    /// The middle, without resizing.
    pub fn centre(side_px: usize) -> Self {
        let from = ((SIDE_PX - side_px) / 2) as f32;
        Self {
            left: from,
            top: from,
            width: side_px as f32,
            height: side_px as f32,
        }
    }

    /// A part of at least `least` of the frame, with an aspect of 0.9 to 1.1.
    pub fn draw(least: f32, random: &mut Random) -> Self {
        let area = random.range(least, 1.0);
        let aspect = random.range(0.9_f32.ln(), 1.1_f32.ln()).exp();
        let side = SIDE_PX as f32;
        let width = (area * aspect).sqrt().min(1.0) * side;
        let height = (area / aspect).sqrt().min(1.0) * side;
        Self {
            left: random.range(0.0, side - width),
            top: random.range(0.0, side - height),
            width,
            height,
        }
    }
}

/// Cuts a clip, resizes it bilinearly and normalises it.
///
/// # Shapes
/// - `pixels`: `[frames, 128, 128]`; the result `[frames, side, side]`.
pub fn cut(pixels: &[u8], crop: Crop, side_px: usize) -> Vec<f32> {
    let axis = |from: f32, size: f32| -> Vec<(usize, usize, f32)> {
        (0..side_px)
            .map(|at| {
                let at = from + (at as f32 + 0.5) * size / side_px as f32 - 0.5;
                let at = at.clamp(0.0, (SIDE_PX - 1) as f32);
                let before = at as usize;
                (before, (before + 1).min(SIDE_PX - 1), at.fract())
            })
            .collect()
    };
    let (columns, rows) = (axis(crop.left, crop.width), axis(crop.top, crop.height));
    let mut out = Vec::with_capacity(pixels.len() / (SIDE_PX * SIDE_PX) * side_px * side_px);
    for frame in pixels.chunks_exact(SIDE_PX * SIDE_PX) {
        for &(above, below, down) in &rows {
            let above = &frame[above * SIDE_PX..(above + 1) * SIDE_PX];
            let below = &frame[below * SIDE_PX..(below + 1) * SIDE_PX];
            for &(left, right, across) in &columns {
                let mix = |row: &[u8]| {
                    let (a, b) = (f32::from(row[left]), f32::from(row[right]));
                    a + (b - a) * across
                };
                let (upper, lower) = (mix(above), mix(below));
                let value = (upper + (lower - upper) * down) / 255.0;
                out.push((value - MEAN) / STD);
            }
        }
    }
    out
}

/// Kinds of place in a chamber map: none, and the five chambers.
pub const KINDS: usize = 6;

/// Which share of every patch of a part of a frame shows which chamber.
///
/// # Shapes
/// - `chambers`: `[maps, 32, 32]`; the result `[maps * patches, 6]`.
pub fn shares(chambers: &[u8], crop: Crop, side_px: usize) -> Vec<f32> {
    let across = side_px / PATCH_PX;
    let cells = |from: f32, size: f32| -> Vec<usize> {
        (0..across * PATCH_PX / CELL_PX)
            .map(|at| from + ((at * CELL_PX) as f32 + 0.5 * CELL_PX as f32) * size / side_px as f32)
            .map(|at| (at as usize / CELL_PX).min(CELLS - 1))
            .collect()
    };
    let (columns, rows) = (cells(crop.left, crop.width), cells(crop.top, crop.height));
    let per_patch = PATCH_PX / CELL_PX;
    let mut out = Vec::with_capacity(chambers.len() / (CELLS * CELLS) * across * across * KINDS);
    for map in chambers.chunks_exact(CELLS * CELLS) {
        for rows in rows.chunks_exact(per_patch) {
            for columns in columns.chunks_exact(per_patch) {
                let mut share = [0.0; KINDS];
                for row in rows {
                    for column in columns {
                        let kind = usize::from(map[row * CELLS + column]).min(KINDS - 1);
                        share[kind] += 1.0 / (per_patch * per_patch) as f32;
                    }
                }
                out.extend(share);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_is_cut_without_resizing() {
        let pixels: Vec<u8> = (0..SIDE_PX * SIDE_PX).map(|at| (at % 251) as u8).collect();
        let cut = cut(&pixels, Crop::centre(112), 112);
        for (at, value) in cut.iter().enumerate() {
            let from = (at / 112 + 8) * SIDE_PX + at % 112 + 8;
            let expected = (f32::from(pixels[from]) / 255.0 - MEAN) / STD;
            assert!((value - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn drawn_parts_lie_in_the_frame() {
        let mut random = Random::new(1, 1);
        for _ in 0..1000 {
            let crop = Crop::draw(0.5, &mut random);
            assert!(crop.left >= 0.0 && crop.left + crop.width <= SIDE_PX as f32 + 1e-3);
            assert!(crop.top >= 0.0 && crop.top + crop.height <= SIDE_PX as f32 + 1e-3);
            assert!(crop.width * crop.height > 0.45 * (SIDE_PX * SIDE_PX) as f32);
        }
    }

    #[test]
    fn a_patch_is_told_what_its_part_of_the_map_shows() {
        let mut chambers = vec![0; CELLS * CELLS];
        for row in 0..CELLS {
            chambers[row * CELLS + CELLS / 2..(row + 1) * CELLS].fill(3);
        }
        let shares = shares(&chambers, Crop::centre(112), 112);
        assert_eq!(shares.len(), 49 * KINDS);
        for (patch, share) in shares.chunks_exact(KINDS).enumerate() {
            let right = match patch % 7 {
                0..3 => 0.0,
                3 => 0.5,
                _ => 1.0,
            };
            assert_eq!(share, [1.0 - right, 0.0, 0.0, right, 0.0, 0.0]);
        }
    }
}
