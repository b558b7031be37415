//! From samples to grey or RGB pixels.

use super::codec::Encoding;
use super::header::{Header, Photometric};
use super::palette::Palette;

/// Writes the pixels of one frame.
///
/// # Shapes
/// - `samples`: as `encoding` and `header` say; longer by a padding byte at most.
/// - `pixels`: `[height_px, width_px, 1 or 3]`, already of that length.
pub(super) fn pixels_from_samples(
    samples: &[u8],
    encoding: Encoding,
    header: &Header,
    palette: Option<&Palette>,
    pixels: &mut [u8],
) {
    let planar = encoding == Encoding::Stored && header.planar;
    match (encoding, header.photometric) {
        (Encoding::Rgb, _) => copy(samples, pixels),
        (Encoding::Ybr, _) => rgb_from_ybr(triples(samples), pixels),
        (_, Photometric::Monochrome1) => {
            pixels
                .iter_mut()
                .zip(samples)
                .for_each(|(out, &sample)| *out = 255 - sample);
        }
        (_, Photometric::Monochrome2) => copy(samples, pixels),
        (_, Photometric::Palette) => rgb_from_indices(samples, header, palette, pixels),
        (Encoding::Stored, Photometric::YbrFull422) => rgb_from_ybr_422(samples, pixels),
        (_, Photometric::YbrFull | Photometric::YbrFull422) if planar => {
            rgb_from_ybr(planes(samples, pixels.len() / 3), pixels);
        }
        (_, Photometric::YbrFull | Photometric::YbrFull422) => {
            rgb_from_ybr(triples(samples), pixels);
        }
        (_, Photometric::Rgb | Photometric::CodecOwn | Photometric::YbrPartial420) if planar => {
            let triples = planes(samples, pixels.len() / 3);
            pixels
                .as_chunks_mut::<3>()
                .0
                .iter_mut()
                .zip(triples)
                .for_each(|(out, rgb)| *out = rgb);
        }
        (_, Photometric::Rgb | Photometric::CodecOwn | Photometric::YbrPartial420) => {
            copy(samples, pixels);
        }
    }
}

fn copy(samples: &[u8], pixels: &mut [u8]) {
    pixels
        .iter_mut()
        .zip(samples)
        .for_each(|(out, &sample)| *out = sample);
}

fn triples(samples: &[u8]) -> impl Iterator<Item = [u8; 3]> + '_ {
    samples.as_chunks::<3>().0.iter().copied()
}

fn planes(samples: &[u8], plane_bytes: usize) -> impl Iterator<Item = [u8; 3]> + '_ {
    let mut planes = samples.chunks_exact(plane_bytes);
    let mut plane = || planes.next().unwrap_or_default().iter();
    let (first, second, third) = (plane(), plane(), plane());
    first.zip(second).zip(third).map(|((&a, &b), &c)| [a, b, c])
}

fn rgb_from_ybr(samples: impl Iterator<Item = [u8; 3]>, pixels: &mut [u8]) {
    for (out, [y, cb, cr]) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
        *out = rgb(y, cb, cr);
    }
}

/// Two pixels share their colour: luminance, luminance, blue difference, red difference.
fn rgb_from_ybr_422(samples: &[u8], pixels: &mut [u8]) {
    let quads = samples.as_chunks::<4>().0;
    for (out, &[y0, y1, cb, cr]) in pixels.as_chunks_mut::<6>().0.iter_mut().zip(quads) {
        let ([r0, g0, b0], [r1, g1, b1]) = (rgb(y0, cb, cr), rgb(y1, cb, cr));
        *out = [r0, g0, b0, r1, g1, b1];
    }
}

fn rgb_from_indices(samples: &[u8], header: &Header, palette: Option<&Palette>, pixels: &mut [u8]) {
    let Some(palette) = palette else { return };
    let out = pixels.as_chunks_mut::<3>().0.iter_mut();
    if header.bits_allocated == 16 {
        let words = samples.as_chunks::<2>().0;
        for (out, &word) in out.zip(words) {
            *out = palette.colour(usize::from(u16::from_le_bytes(word)));
        }
    } else {
        for (out, &index) in out.zip(samples) {
            *out = palette.colour(usize::from(index));
        }
    }
}

/// Full-range luminance and colour differences to RGB, rounded to nearest.
///
/// # Source
/// DICOM PS3.3 C.7.6.3.1.2 gives the forward matrix (ITU-R BT.601); this is its inverse in 16-bit
/// fixed point.
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y) << 16, i32::from(cb) - 128, i32::from(cr) - 128);
    let clamped = |value: i32| (((value + HALF) >> 16).clamp(0, 255)) as u8;
    [
        clamped(y + 91_881 * cr),
        clamped(y - 22_554 * cb - 46_802 * cr),
        clamped(y + 116_130 * cb),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_point_colours_are_the_rounded_real_ones() {
        for y in (0..=255_u8).step_by(15) {
            for cb in (0..=255_u8).step_by(15) {
                for cr in (0..=255_u8).step_by(15) {
                    let (l, b, r) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
                    let real = [
                        l + 1.402 * r,
                        l - 0.344_136_286 * b - 0.714_136_286 * r,
                        l + 1.772 * b,
                    ];
                    for (fixed, real) in rgb(y, cb, cr).into_iter().zip(real) {
                        let difference = f64::from(fixed) - real.clamp(0.0, 255.0);
                        assert!(difference.abs() <= 0.51, "{y} {cb} {cr}: {fixed} {real}");
                    }
                }
            }
        }
    }
}
