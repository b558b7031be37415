//! Other pixel formats as RGB24.
//!
//! Y, U and V of video range become red, green and blue in whole numbers, shifts rounding down:
//! with `c = 298 (Y - 16) + 128`, `d = U - 128` and `e = V - 128`, red is `(c + 409 e) >> 8`, green
//! `(c - 100 d - 208 e) >> 8` and blue `(c + 516 d) >> 8`, each cut to 0 to 255. The factors are
//! those of the standard times 256, rounded. Each pair of U and V stands for all pixels it covers,
//! without interpolation.
//!
//! # Source
//! ITU-R BT.601-7: luminance weights 0.299, 0.587, 0.114; levels 16 to 235 and 16 to 240.

use crate::frame::{FrameMeta, PixelFormat, PixelLayout};

/// Red, green and blue of one pixel.
pub(crate) fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let c = 298 * (i32::from(y) - 16) + 128;
    let (d, e) = (i32::from(u) - 128, i32::from(v) - 128);
    let cut = |value: i32| (value >> 8).clamp(0, 255) as u8;
    [
        cut(c + 409 * e),
        cut(c - 100 * d - 208 * e),
        cut(c + 516 * d),
    ]
}

/// Writes a frame of another format than GRAY8 as RGB24 without padding into `to`, keeping its
/// buffer. Rows that `pixels` does not hold are left black.
pub(super) fn rgb24(pixels: &[u8], layout: PixelLayout, meta: &FrameMeta, to: &mut Vec<u8>) {
    let (width, height) = (meta.width_px as usize, meta.height_px as usize);
    let row_bytes = meta.row_bytes();
    let row = |start: usize, y: usize| {
        let from = start + y * layout.stride_bytes;
        pixels.get(from..from + row_bytes).unwrap_or_default()
    };
    to.resize(width * height * 3, 0);
    for (y, to) in to.chunks_exact_mut(width * 3).enumerate() {
        let from = row(0, y);
        match meta.format {
            PixelFormat::Bgra32 => {
                for (to, from) in to.chunks_exact_mut(3).zip(from.chunks_exact(4)) {
                    to.copy_from_slice(&[from[2], from[1], from[0]]);
                }
            }
            PixelFormat::Yuy2 => {
                for (to, from) in to.chunks_exact_mut(6).zip(from.chunks_exact(4)) {
                    let (left, right) = to.split_at_mut(3);
                    left.copy_from_slice(&rgb(from[0], from[1], from[3]));
                    right.copy_from_slice(&rgb(from[2], from[1], from[3]));
                }
            }
            PixelFormat::Nv12 => {
                let chroma = row(layout.chroma_offset_bytes, y / 2).chunks_exact(2);
                let luma = from.chunks_exact(2);
                for ((to, y), uv) in to.chunks_exact_mut(6).zip(luma).zip(chroma) {
                    let (left, right) = to.split_at_mut(3);
                    left.copy_from_slice(&rgb(y[0], uv[0], uv[1]));
                    right.copy_from_slice(&rgb(y[1], uv[0], uv[1]));
                }
            }
            PixelFormat::Gray8 | PixelFormat::Rgb24 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::HostMeta;

    fn meta(format: PixelFormat, width_px: u32, height_px: u32) -> FrameMeta {
        FrameMeta {
            width_px,
            height_px,
            format,
            capture_nanos: 0,
            pass: 0,
            host: HostMeta::default(),
        }
    }

    fn converted(pixels: &[u8], layout: PixelLayout, meta: &FrameMeta) -> Vec<u8> {
        let mut to = vec![9; 7];
        rgb24(pixels, layout, meta, &mut to);
        to
    }

    #[test]
    fn every_colour_is_the_standards_within_one_step() {
        for y in (0..=255_u8).step_by(5) {
            for u in (0..=255_u8).step_by(5) {
                for v in (0..=255_u8).step_by(5) {
                    let luma = (f64::from(y) - 16.0) * 255.0 / 219.0;
                    let b_y = (f64::from(u) - 128.0) * 255.0 / 112.0 * (1.0 - 0.114);
                    let r_y = (f64::from(v) - 128.0) * 255.0 / 112.0 * (1.0 - 0.299);
                    let g_y = -(0.114 * b_y + 0.299 * r_y) / 0.587;
                    for (found, offset) in rgb(y, u, v).iter().zip([r_y, g_y, b_y]) {
                        let exact = (luma + offset).clamp(0.0, 255.0);
                        assert!((f64::from(*found) - exact).abs() <= 1.0, "{y} {u} {v}");
                    }
                }
            }
        }
    }

    #[test]
    fn black_white_and_the_primaries_come_out() {
        assert_eq!(rgb(16, 128, 128), [0, 0, 0]);
        assert_eq!(rgb(235, 128, 128), [255, 255, 255]);
        assert_eq!(rgb(126, 128, 128), [128, 128, 128]);
        assert_eq!(rgb(81, 90, 240), [255, 0, 0]);
        assert_eq!(rgb(145, 54, 34), [0, 255, 1]);
        assert_eq!(rgb(41, 240, 110), [0, 0, 255]);
    }

    #[test]
    fn nv12_with_padding_and_a_hole_is_yuy2_of_the_same_picture() {
        let (luma, chroma) = ([16, 60, 120, 235], [90, 240, 54, 34]);
        let yuy2: Vec<u8> = [0, 1]
            .into_iter()
            .flat_map(|_| [16, 90, 60, 240, 120, 54, 235, 34])
            .collect();
        let as_yuy2 = meta(PixelFormat::Yuy2, 4, 2);
        let expected = converted(&yuy2, PixelLayout::packed(&as_yuy2), &as_yuy2);
        let mut nv12 = vec![77; 40];
        for row in 0..2 {
            nv12[row * 6..][..4].copy_from_slice(&luma);
        }
        nv12[20..24].copy_from_slice(&chroma);
        let layout = PixelLayout {
            stride_bytes: 6,
            chroma_offset_bytes: 20,
        };
        let as_nv12 = meta(PixelFormat::Nv12, 4, 2);
        assert_eq!(layout.needed_bytes(&as_nv12), 24);
        assert_eq!(converted(&nv12, layout, &as_nv12), expected);
        assert_eq!(expected[..3], rgb(16, 90, 240));
        assert_eq!(expected[21..], rgb(235, 54, 34));
    }

    #[test]
    fn bgra32_is_turned_round_and_its_fourth_byte_ignored() {
        let as_bgra = meta(PixelFormat::Bgra32, 2, 1);
        let found = converted(
            &[1, 2, 3, 99, 4, 5, 6, 0],
            PixelLayout::packed(&as_bgra),
            &as_bgra,
        );
        assert_eq!(found, [3, 2, 1, 6, 5, 4]);
    }
}
