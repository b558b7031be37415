//! Pixels of a frame in any format.

use super::Picture;
use crate::frame::{FrameMeta, PixelFormat, PixelLayout};
use crate::preprocess::ycbcr_to_rgb;

/// A frame's bytes and where its pixels are in them.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'a> {
    bytes: &'a [u8],
    layout: PixelLayout,
    format: PixelFormat,
    width_px: usize,
    height_px: usize,
}

impl<'a> Pixels<'a> {
    /// A frame as its source gave it. Bytes that are missing count as black.
    pub fn new(bytes: &'a [u8], layout: PixelLayout, meta: &FrameMeta) -> Self {
        let side = |px: u32| usize::try_from(px).unwrap_or(0);
        Self {
            bytes,
            layout,
            format: meta.format,
            width_px: side(meta.width_px),
            height_px: side(meta.height_px),
        }
    }

    /// Width and height in pixels.
    pub fn size_px(&self) -> (usize, usize) {
        (self.width_px, self.height_px)
    }

    /// True where pixels have colours.
    pub fn has_colour(&self) -> bool {
        self.format != PixelFormat::Gray8
    }

    /// One sample of brightness a pixel. Of YUY2 it is the next pixel's Y, of NV12 the Y.
    pub fn picture(&self) -> Picture<'a> {
        let from = usize::from(self.format == PixelFormat::Yuy2);
        Picture {
            pixels: self.bytes.get(from..).unwrap_or_default(),
            stride_bytes: self.layout.stride_bytes,
            pixel_bytes: self.format.bytes(),
            width_px: self.width_px,
            height_px: self.height_px,
        }
    }

    /// Red, green and blue of a pixel.
    pub fn rgb(&self, x: usize, y: usize) -> [u8; 3] {
        let row = y.saturating_mul(self.layout.stride_bytes);
        let byte = |at: usize| self.bytes.get(row.saturating_add(at)).copied().unwrap_or(0);
        match self.format {
            PixelFormat::Gray8 => [byte(x); 3],
            PixelFormat::Rgb24 => [byte(3 * x), byte(3 * x + 1), byte(3 * x + 2)],
            PixelFormat::Bgra32 => [byte(4 * x + 2), byte(4 * x + 1), byte(4 * x)],
            PixelFormat::Yuy2 => {
                let pair = x / 2 * 4;
                ycbcr_to_rgb(byte(2 * x), byte(pair + 1), byte(pair + 3))
            }
            PixelFormat::Nv12 => {
                let row = (y / 2).saturating_mul(self.layout.stride_bytes);
                let pair = row
                    .saturating_add(self.layout.chroma_offset_bytes)
                    .saturating_add(x / 2 * 2);
                let chroma = |at: usize| self.bytes.get(at).copied().unwrap_or(128);
                ycbcr_to_rgb(byte(x), chroma(pair), chroma(pair.saturating_add(1)))
            }
        }
    }
}
