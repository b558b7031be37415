//! From the cache's pixels to the encoder's input.

use echocart_phantom::Random;

use crate::cache::SIDE_PX;

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
}
