//! One stored frame: each row less the row above, deflated.
//!
//! | offset | bytes | type | content |
//! |---|---|---|---|
//! | 0 | 8 | u64 | frame number |
//! | 8 | 8 | i64 | `capture_nanos`, the session's clock |
//! | 16 | 4 | u32 | `width_px`, 1 to 16384 |
//! | 20 | 4 | u32 | `height_px`, 1 to 16384 |
//! | 24 | 4 | u32 | format: 1 GRAY8, 2 RGB24, 3 BGRA32, 4 YUY2, 5 NV12 |
//! | 28 | 4 | u32 | `pass` |
//! | 32 | | zlib | the rows without padding, planes one after the other; from the second row on each byte less the one above it |

use crate::frame::{FrameMeta, PixelFormat};
use crate::preprocess::MAX_SIDE_PX;

const HEADER_BYTES: usize = 32;

/// Most bytes the pixels of one stored frame may take.
pub const MAX_PIXEL_BYTES: usize = 1 << 28;

/// A stored frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Frame number.
    pub number: u64,
    /// What it is; nothing of the host is stored with it.
    pub meta: FrameMeta,
    /// Its bytes without padding, black outside the sector.
    pub pixels: Vec<u8>,
}

/// The image as bytes of a recording. `pixels` is left altered.
pub(super) fn encode(number: u64, meta: &FrameMeta, pixels: &mut [u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(number.to_le_bytes());
    bytes.extend(meta.capture_nanos.to_le_bytes());
    for value in [meta.width_px, meta.height_px, code(meta.format), meta.pass] {
        bytes.extend(value.to_le_bytes());
    }
    difference(pixels, meta.row_bytes());
    bytes.extend(fdeflate::compress_to_vec(pixels));
    bytes.shrink_to_fit();
    bytes
}

/// The image of such bytes.
///
/// # Errors
/// What is wrong with them, on one line.
pub(super) fn decode(bytes: &[u8]) -> Result<Image, String> {
    let Some((header, packed)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        let found = bytes.len();
        return Err(format!(
            "image: expected at least {HEADER_BYTES} bytes, found {found}"
        ));
    };
    let long = |at: usize| {
        let mut value = [0; 8];
        value.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(value)
    };
    let word = |at: usize| (long(at) & 0xFFFF_FFFF) as u32;
    let (width_px, height_px) = (word(16), word(20));
    let last_word = (long(24) >> 32) as u32;
    let sides = 1..=MAX_SIDE_PX;
    if !sides.contains(&width_px) || !sides.contains(&height_px) {
        return Err(format!(
            "image size: expected sides of 1 to {MAX_SIDE_PX} px, found {width_px}x{height_px}"
        ));
    }
    let meta = FrameMeta {
        width_px,
        height_px,
        format: format(word(24))?,
        capture_nanos: long(8).cast_signed(),
        pass: last_word,
        host: Default::default(),
    };
    let expected = meta.frame_bytes();
    if expected == 0 || expected > MAX_PIXEL_BYTES {
        return Err(format!(
            "image pixels: expected 1 to {MAX_PIXEL_BYTES} bytes, found {expected}"
        ));
    }
    let mut pixels =
        fdeflate::decompress_to_vec_bounded(packed, expected).map_err(|e| match e {
            fdeflate::BoundedDecompressionError::DecompressionError { inner } => {
                format!("image pixels: expected zlib data, found {inner:?}")
            }
            fdeflate::BoundedDecompressionError::OutputTooLarge { .. } => {
                format!("image pixels: expected {expected} bytes, found more")
            }
        })?;
    if pixels.len() != expected {
        let found = pixels.len();
        return Err(format!(
            "image pixels: expected {expected} bytes, found {found}"
        ));
    }
    add_up(&mut pixels, meta.row_bytes());
    Ok(Image {
        number: long(0),
        meta,
        pixels,
    })
}

/// Each byte less the one above it, from the last row to the second.
fn difference(pixels: &mut [u8], row_bytes: usize) {
    let rows = pixels.len() / row_bytes.max(1);
    for y in (1..rows).rev() {
        let (above, row) = pixels.split_at_mut(y * row_bytes);
        let above = &above[(y - 1) * row_bytes..];
        for (byte, above) in row[..row_bytes].iter_mut().zip(above) {
            *byte = byte.wrapping_sub(*above);
        }
    }
}

fn add_up(pixels: &mut [u8], row_bytes: usize) {
    let rows = pixels.len() / row_bytes.max(1);
    for y in 1..rows {
        let (above, row) = pixels.split_at_mut(y * row_bytes);
        let above = &above[(y - 1) * row_bytes..];
        for (byte, above) in row[..row_bytes].iter_mut().zip(above) {
            *byte = byte.wrapping_add(*above);
        }
    }
}

fn code(format: PixelFormat) -> u32 {
    match format {
        PixelFormat::Gray8 => 1,
        PixelFormat::Rgb24 => 2,
        PixelFormat::Bgra32 => 3,
        PixelFormat::Yuy2 => 4,
        PixelFormat::Nv12 => 5,
    }
}

fn format(code: u32) -> Result<PixelFormat, String> {
    Ok(match code {
        1 => PixelFormat::Gray8,
        2 => PixelFormat::Rgb24,
        3 => PixelFormat::Bgra32,
        4 => PixelFormat::Yuy2,
        5 => PixelFormat::Nv12,
        found => return Err(format!("image format: expected 1 to 5, found {found}")),
    })
}
