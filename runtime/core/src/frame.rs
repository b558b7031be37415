//! One frame as a source hands it over.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a pixel is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PixelFormat {
    /// One byte, luminance.
    Gray8,
    /// Three bytes, red, green, blue.
    Rgb24,
    /// Four bytes, blue, green, red and one that is ignored.
    Bgra32,
    /// Two pixels in four bytes, Y0, U, Y1, V; the width is even.
    Yuy2,
    /// A plane of Y, then one of U and V for two by two pixels; width and height are even.
    Nv12,
}

impl PixelFormat {
    /// Bytes per pixel of a row; of NV12 in its plane of Y.
    #[inline]
    pub fn bytes(self) -> usize {
        let beyond_one = match self {
            Self::Gray8 | Self::Nv12 => 0,
            Self::Yuy2 => 1,
            Self::Rgb24 => 2,
            Self::Bgra32 => 3,
        };
        1 + beyond_one
    }

    /// What width and height are multiples of.
    #[inline]
    pub fn granule_px(self) -> (u32, u32) {
        let across = matches!(self, Self::Yuy2 | Self::Nv12);
        let down = matches!(self, Self::Nv12);
        (1 + u32::from(across), 1 + u32::from(down))
    }

    /// Rows of bytes that a picture of `height_px` has, the plane of U and V included.
    #[inline]
    pub fn rows(self, height_px: usize) -> usize {
        match self {
            Self::Nv12 => height_px + height_px / 2,
            _ => height_px,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gray8 => "GRAY8",
            Self::Rgb24 => "RGB24",
            Self::Bgra32 => "BGRA32",
            Self::Yuy2 => "YUY2",
            Self::Nv12 => "NV12",
        })
    }
}

/// What tells one exam from another: opaque bytes of the host's.
///
/// They may name a patient: they are never logged, printed or serialised.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ExamToken(pub [u8; 16]);

impl fmt::Debug for ExamToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExamToken(..)")
    }
}

/// What a host knows about a frame. A source without a host leaves it at its default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HostMeta {
    /// The host's own number of the frame, echoed by the results.
    pub frame_id: Option<u64>,
    /// The exam the frame belongs to.
    pub exam: ExamToken,
    /// True while colour Doppler is on.
    pub colour_on: bool,
    /// True while the image is frozen.
    pub frozen: bool,
    /// ECG at the frame's time, finite.
    pub ecg_millivolts: Option<f32>,
    /// Depth of the image, finite.
    pub depth_mm: Option<f32>,
}

impl Eq for HostMeta {}

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
    /// What the host says about it.
    pub host: HostMeta,
}

/// What tells a frame from the next one of the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameMoment {
    /// As [`FrameMeta::capture_nanos`].
    pub capture_nanos: i64,
    /// As [`FrameMeta::pass`].
    pub pass: u32,
    /// As [`FrameMeta::host`].
    pub host: HostMeta,
}

impl FrameMeta {
    /// The same shape at another moment.
    #[inline]
    pub fn at(self, moment: FrameMoment) -> Self {
        Self {
            capture_nanos: moment.capture_nanos,
            pass: moment.pass,
            host: moment.host,
            ..self
        }
    }

    /// Bytes of one row without padding.
    #[inline]
    pub fn row_bytes(&self) -> usize {
        self.width_px as usize * self.format.bytes()
    }

    /// Bytes of the frame without padding.
    #[inline]
    pub fn frame_bytes(&self) -> usize {
        self.row_bytes() * self.format.rows(self.height_px as usize)
    }
}

/// Where the rows of a frame are in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelLayout {
    /// Bytes from the start of one row to the start of the next.
    pub stride_bytes: usize,
    /// NV12: where the plane of U and V starts; of other formats nothing.
    pub chroma_offset_bytes: usize,
}

impl PixelLayout {
    /// Rows without padding, planes without a hole.
    #[inline]
    pub fn packed(meta: &FrameMeta) -> Self {
        Self {
            stride_bytes: meta.row_bytes(),
            chroma_offset_bytes: meta.row_bytes() * meta.height_px as usize,
        }
    }

    /// Bytes from the first to the end of the last row.
    #[inline]
    pub fn needed_bytes(self, meta: &FrameMeta) -> u64 {
        let (stride, row) = (self.stride_bytes as u64, meta.row_bytes() as u64);
        let plane = |rows: u64| {
            stride
                .saturating_mul(rows.saturating_sub(1))
                .saturating_add(row)
        };
        let height = u64::from(meta.height_px);
        match meta.format {
            PixelFormat::Nv12 => {
                let chroma = (self.chroma_offset_bytes as u64).saturating_add(plane(height / 2));
                chroma.max(plane(height))
            }
            _ => plane(height),
        }
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
