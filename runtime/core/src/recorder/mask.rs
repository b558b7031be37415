//! The part of a frame that a recording may keep.

use crate::frame::{FrameMeta, PixelFormat, PixelLayout};
use crate::screen::sector::SectorMask;
use std::ops::Range;

/// Copies what lies inside the sector of a frame into `out`, packed; the rest is black.
///
/// Where colour covers two pixels, only pairs wholly inside are kept.
///
/// # Real-time
/// Allocates only while `out` is smaller than the frame.
pub(super) fn copy_inside(
    sector: &SectorMask,
    pixels: &[u8],
    layout: PixelLayout,
    meta: &FrameMeta,
    out: &mut Vec<u8>,
) {
    let row_bytes = meta.row_bytes();
    let height_px = meta.height_px as usize;
    out.clear();
    out.resize(meta.frame_bytes(), 0);
    let (across, _) = meta.format.granule_px();
    let bytes = meta.format.bytes();
    for (y, row) in (0..).zip(out.chunks_exact_mut(row_bytes)).take(height_px) {
        if meta.format == PixelFormat::Yuy2 {
            row.iter_mut().skip(1).step_by(2).for_each(|c| *c = 128);
        }
        let from = y as usize * layout.stride_bytes;
        for span in sector.row(y) {
            let span = pairs(span.clone(), across);
            keep(pixels, from, span.start * bytes..span.end * bytes, row);
        }
    }
    if meta.format != PixelFormat::Nv12 {
        return;
    }
    let planes = out.chunks_exact_mut(row_bytes).skip(height_px);
    for (y, row) in (0..).zip(planes) {
        row.fill(128);
        let from = layout.chroma_offset_bytes + y as usize * layout.stride_bytes;
        for upper in sector.row(2 * y) {
            for lower in sector.row(2 * y + 1) {
                let both = upper.start.max(lower.start)..upper.end.min(lower.end);
                keep(pixels, from, pairs(both, across), row);
            }
        }
    }
}

/// The whole groups of `across` pixels within a span.
fn pairs(span: Range<u32>, across: u32) -> Range<usize> {
    let start = span.start.next_multiple_of(across);
    let end = (span.end / across * across).max(start);
    start as usize..end as usize
}

fn keep(pixels: &[u8], row_at: usize, part: Range<usize>, row: &mut [u8]) {
    let from = pixels.get(row_at + part.start..row_at + part.end);
    if let (Some(from), Some(to)) = (from, row.get_mut(part)) {
        to.copy_from_slice(from);
    }
}
