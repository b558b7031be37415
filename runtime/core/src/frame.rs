//! One frame as a source hands it over.

use std::fmt;

/// How a pixel is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// One byte, luminance.
    Gray8,
    /// Three bytes, red, green, blue.
    Rgb24,
}

impl PixelFormat {
    /// Bytes per pixel.
    pub fn bytes(self) -> usize {
        match self {
            Self::Gray8 => 1,
            Self::Rgb24 => 3,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gray8 => "GRAY8",
            Self::Rgb24 => "RGB24",
        })
    }
}

/// Everything about a frame but its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameMeta {
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
    /// Pixel format.
    pub format: PixelFormat,
    /// When the device captured it, nanoseconds of the session's clock.
    pub capture_nanos: i64,
    /// How often the source has started over: 0 in the first pass of a loop.
    pub pass: u32,
}

impl FrameMeta {
    /// Bytes of one row without padding.
    pub fn row_bytes(&self) -> usize {
        self.width_px as usize * self.format.bytes()
    }

    /// Bytes of the frame without padding.
    pub fn frame_bytes(&self) -> usize {
        self.row_bytes() * self.height_px as usize
    }
}

/// A frame: rows from top to bottom without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub meta: FrameMeta,
    /// `meta.frame_bytes()` bytes.
    pub pixels: Vec<u8>,
}
