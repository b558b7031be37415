//! What faults do to pixels.

use echocart_core::frame::{FrameMeta, PixelFormat};

use super::noise::Noise;

/// Fills a third of the rows with noise.
pub(super) fn corrupt(meta: &FrameMeta, pixels: &mut [u8], noise: &mut Noise) {
    let height = u64::from(meta.height_px);
    let rows = (height / 3).max(1);
    let first = noise.below(height - rows + 1) as usize;
    let damaged = pixels.chunks_exact_mut(meta.row_bytes().max(1));
    for row in damaged.skip(first).take(rows as usize) {
        for part in row.chunks_mut(8) {
            part.copy_from_slice(&noise.next().to_le_bytes()[..part.len()]);
        }
    }
}

/// Scales a picture of whole pixels to another size by its nearest ones.
pub(super) fn resize(meta: &mut FrameMeta, pixels: &mut Vec<u8>, size_px: (u32, u32)) {
    if !matches!(meta.format, PixelFormat::Gray8 | PixelFormat::Rgb24) {
        return;
    }
    let (width, height) = size_px;
    let bytes = meta.format.bytes();
    let row_bytes = meta.row_bytes();
    let mut scaled = Vec::with_capacity(width as usize * height as usize * bytes);
    let nearest = |at: u32, from: u32, to: u32| {
        (u64::from(at) * u64::from(from) / u64::from(to.max(1))) as usize
    };
    for y in 0..height {
        let row = nearest(y, meta.height_px, height) * row_bytes;
        for x in 0..width {
            let at = row + nearest(x, meta.width_px, width) * bytes;
            scaled.extend_from_slice(pixels.get(at..at + bytes).unwrap_or_default());
        }
    }
    *pixels = scaled;
    (meta.width_px, meta.height_px) = size_px;
}
