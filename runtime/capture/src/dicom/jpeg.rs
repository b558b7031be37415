//! JPEG, lossy and lossless, with the colour transform decided here.
//!
//! The adapter of dicom-rs 0.10 leaves the transform to the decoder, which takes components
//! numbered 1, 2, 3 for YCbCr even where DICOM says RGB, and it indexes past its buffer where the
//! code stream is larger than the attributes.

use jpeg_decoder::{CodingProcess, ColorTransform, Decoder, PixelFormat};

use super::codec::Encoding;
use super::header::{Header, Photometric};

/// Decodes one frame.
///
/// # Errors
/// What was found instead of a JPEG stream of the header's size, in words.
pub(super) fn decode(stream: &[u8], header: &Header) -> Result<(Vec<u8>, Encoding), String> {
    let mut decoder = Decoder::new(stream);
    decoder.set_max_decoding_buffer_size(header.sample_bytes());
    decoder.read_info().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("no frame header")?;
    let format = match header.samples {
        1 => PixelFormat::L8,
        _ => PixelFormat::RGB24,
    };
    if (info.width, info.height) != (header.width_px, header.height_px)
        || info.pixel_format != format
    {
        return Err(format!(
            "a stream of {}x{} {:?} instead of {}x{} {format:?}",
            info.width, info.height, info.pixel_format, header.width_px, header.height_px
        ));
    }
    let lossless = info.coding_process == CodingProcess::Lossless;
    let encoding = if header.samples == 1 {
        Encoding::Stored
    } else if lossless {
        match header.photometric {
            Photometric::YbrFull | Photometric::YbrFull422 => Encoding::Ybr,
            _ => Encoding::Rgb,
        }
    } else {
        decoder.set_color_transform(transform(stream, header.photometric));
        Encoding::Rgb
    };
    let samples = decoder.decode().map_err(|error| error.to_string())?;
    Ok((samples, encoding))
}

/// What the markers say about the colours of a JPEG stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Markers {
    jfif: bool,
    adobe_transform: Option<u8>,
    components: [u8; 3],
}

/// Decides how the three components become RGB.
///
/// An Adobe or JFIF marker and components named R, G, B speak for the stream as it is; DICOM's
/// photometric interpretation decides where the stream says nothing.
fn transform(stream: &[u8], photometric: Photometric) -> ColorTransform {
    let markers = Markers::read(stream);
    if let Some(transform) = markers.adobe_transform {
        return if transform == 0 {
            ColorTransform::RGB
        } else {
            ColorTransform::YCbCr
        };
    }
    if &markers.components == b"RGB" {
        return ColorTransform::RGB;
    }
    if markers.jfif || photometric != Photometric::Rgb {
        return ColorTransform::YCbCr;
    }
    ColorTransform::RGB
}

impl Markers {
    fn read(stream: &[u8]) -> Self {
        let mut found = Self::default();
        let mut rest = stream.get(2..).unwrap_or_default();
        loop {
            while rest.starts_with(&[0xFF, 0xFF]) {
                rest = rest.get(1..).unwrap_or_default();
            }
            let &[0xFF, marker, high, low, ..] = rest else {
                return found;
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let Some(segment) = rest.get(4..2 + length) else {
                return found;
            };
            match marker {
                0xE0 => found.jfif |= segment.starts_with(b"JFIF\0"),
                0xEE if segment.starts_with(b"Adobe") => {
                    found.adobe_transform = segment.get(11).copied();
                }
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    for (index, name) in found.components.iter_mut().enumerate() {
                        *name = segment.get(6 + 3 * index).copied().unwrap_or(0);
                    }
                }
                0xDA => return found,
                _ => {}
            }
            rest = rest.get(2 + length..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOF: [u8; 19] = [
        0xFF, 0xC0, 0, 17, 8, 0, 1, 0, 1, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0,
    ];

    fn stream(segments: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8];
        segments
            .iter()
            .for_each(|segment| bytes.extend_from_slice(segment));
        bytes.extend_from_slice(&[0xFF, 0xDA, 0, 2]);
        bytes
    }

    #[test]
    fn markers_decide_before_the_photometric_interpretation() {
        let jfif = [&[0xFF, 0xE0, 0, 9][..], b"JFIF\0", &[1, 1]].concat();
        let adobe = |transform| {
            [
                &[0xFF, 0xEE, 0, 14][..],
                b"Adobe",
                &[0, 100, 0, 0, 0, 0, transform],
            ]
            .concat()
        };
        let mut named = SOF;
        (named[10], named[13], named[16]) = (b'R', b'G', b'B');
        let plain = stream(&[&SOF]);
        use ColorTransform::{RGB, YCbCr};
        use Photometric::{Rgb, YbrFull422};
        assert_eq!(transform(&plain, Rgb), RGB);
        assert_eq!(transform(&plain, YbrFull422), YCbCr);
        assert_eq!(transform(&stream(&[&jfif, &SOF]), Rgb), YCbCr);
        assert_eq!(transform(&stream(&[&adobe(0), &SOF]), YbrFull422), RGB);
        assert_eq!(transform(&stream(&[&adobe(1), &SOF]), Rgb), YCbCr);
        assert_eq!(transform(&stream(&[&named]), YbrFull422), RGB);
    }

    #[test]
    fn a_cut_marker_ends_the_search() {
        let whole = stream(&[&SOF]);
        for end in 0..whole.len() {
            let _ = Markers::read(&whole[..end]);
        }
    }
}
