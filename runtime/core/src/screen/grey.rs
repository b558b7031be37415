//! A tinted image as the grey one it was made of.

use crate::frame::{FrameMeta, PixelFormat, PixelLayout};
use crate::preprocess::ycbcr_to_rgb;

/// U and V of a pixel without colour.
const NO_COLOUR: u8 = 128;

/// Makes each pixel as bright as the brightest of its red, green and blue, without a colour: scanners tint
/// by darkening the others. Rows that `pixels` does not hold are left out.
///
/// # Real-time
/// No allocation; touches every pixel.
pub(crate) fn reduce(pixels: &mut [u8], layout: PixelLayout, meta: &FrameMeta) {
    let (row_bytes, height) = (meta.row_bytes(), meta.height_px as usize);
    let stride = layout.stride_bytes.max(1);
    match meta.format {
        PixelFormat::Gray8 => {}
        PixelFormat::Rgb24 => rows(pixels, stride, row_bytes, height, |row| {
            for rgb in row.as_chunks_mut::<3>().0 {
                *rgb = [rgb[0].max(rgb[1]).max(rgb[2]); 3];
            }
        }),
        PixelFormat::Bgra32 => rows(pixels, stride, row_bytes, height, |row| {
            for [b, g, r, _] in row.as_chunks_mut::<4>().0 {
                let grey = (*b).max(*g).max(*r);
                [*b, *g, *r] = [grey; 3];
            }
        }),
        PixelFormat::Yuy2 => rows(pixels, stride, row_bytes, height, |row| {
            for [left, u, right, v] in row.as_chunks_mut::<4>().0 {
                (*left, *right) = (luma(*left, *u, *v), luma(*right, *u, *v));
                (*u, *v) = (NO_COLOUR, NO_COLOUR);
            }
        }),
        PixelFormat::Nv12 => {
            let at = layout.chroma_offset_bytes.min(pixels.len());
            let (y_plane, chroma) = pixels.split_at_mut(at);
            for y in 0..height {
                let from = (y / 2).saturating_mul(stride);
                let pairs = chroma.get(from..).unwrap_or_default();
                let start = y.saturating_mul(stride).min(y_plane.len());
                let row = y_plane[start..].iter_mut().take(row_bytes);
                for (x, value) in row.enumerate() {
                    if let Some(&[u, v]) = pairs.get(x / 2 * 2..).and_then(|p| p.first_chunk()) {
                        *value = luma(*value, u, v);
                    }
                }
            }
            rows(chroma, stride, row_bytes, height / 2, |row| {
                row.fill(NO_COLOUR);
            });
        }
    }
}

fn rows(
    pixels: &mut [u8],
    stride: usize,
    row_bytes: usize,
    height: usize,
    each: impl Fn(&mut [u8]),
) {
    for row in pixels.chunks_mut(stride).take(height) {
        let end = row_bytes.min(row.len());
        each(&mut row[..end]);
    }
}

/// Y of video range of the grey pixel.
fn luma(y: u8, u: u8, v: u8) -> u8 {
    let [r, g, b] = ycbcr_to_rgb(y, u, v);
    let brightest = u32::from(r.max(g).max(b));
    u8::try_from(16 + (brightest * 219 + 127) / 255).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::HostMeta;
    use crate::screen::Pixels;

    fn meta(format: PixelFormat) -> FrameMeta {
        FrameMeta {
            width_px: 8,
            height_px: 4,
            format,
            capture_nanos: 0,
            pass: 0,
            host: HostMeta::default(),
        }
    }

    /// Y, U and V of a colour, in video range.
    fn yuv([r, g, b]: [f64; 3]) -> [u8; 3] {
        let y = 0.299 * r + 0.587 * g + 0.114 * b;
        let (u, v) = (0.564 * (b - y), 0.713 * (r - y));
        [
            (16.0 + y * 219.0 / 255.0).round() as u8,
            (128.0 + u * 224.0 / 255.0).round() as u8,
            (128.0 + v * 224.0 / 255.0).round() as u8,
        ]
    }

    #[test]
    fn a_tint_becomes_the_grey_it_was_made_of() {
        for grey in [0_u8, 40, 120, 255] {
            let tint = [
                f64::from(grey),
                f64::from(grey) * 0.75,
                f64::from(grey) * 0.45,
            ];
            let [r, g, b] = tint.map(|c| c.round() as u8);
            let [y, u, v] = yuv(tint);
            for (format, pixels) in [
                (PixelFormat::Rgb24, [r, g, b].repeat(32)),
                (PixelFormat::Bgra32, [b, g, r, 7].repeat(32)),
                (PixelFormat::Yuy2, [y, u, y, v].repeat(16)),
                (PixelFormat::Nv12, [vec![y; 32], [u, v].repeat(8)].concat()),
            ] {
                let (meta, mut pixels) = (meta(format), pixels);
                let layout = PixelLayout::packed(&meta);
                reduce(&mut pixels, layout, &meta);
                let seen = Pixels::new(&pixels, layout, &meta);
                for at in 0..32 {
                    for value in seen.rgb(at % 8, at / 8) {
                        let apart = value.abs_diff(grey);
                        assert!(apart <= 4, "{format} {grey}: {value}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_that_are_missing_are_left_out() {
        for format in [PixelFormat::Rgb24, PixelFormat::Yuy2, PixelFormat::Nv12] {
            let meta = meta(format);
            let layout = PixelLayout::packed(&meta);
            for held in 0..meta.frame_bytes() {
                reduce(&mut vec![9; held], layout, &meta);
            }
        }
    }
}
