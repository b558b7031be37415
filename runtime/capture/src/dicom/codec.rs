//! From the bytes of one frame to samples.

use std::borrow::Cow;
use std::path::Path;

use dicom_encoding::adapters::{PixelDataObject, RawPixelData};
use dicom_encoding::transfer_syntax::Codec as RegistryCodec;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};

use super::extent::Layout;
use super::guard::without_panic;
use super::header::{Header, Photometric};
use super::{jpeg, rle};
use crate::SourceError;
use crate::error::chain;

/// What the samples of a decoded frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As the header says, planes and subsampling included.
    Stored,
    /// As the header says, but interleaved and with as many colour samples as pixels.
    Interleaved,
    /// Interleaved RGB.
    Rgb,
    /// Interleaved luminance and colour differences.
    Ybr,
}

/// The way a transfer syntax stores frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Plain,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    JpegXl,
    Inflate,
    #[cfg(feature = "video")]
    Video,
}

/// A transfer syntax that can be decoded here.
#[derive(Clone, Copy)]
pub(super) struct Codec {
    method: Method,
    syntax: &'static TransferSyntax,
}

impl Codec {
    /// Finds the decoder of a transfer syntax.
    ///
    /// # Errors
    /// [`SourceError::TransferSyntax`] if there is none; [`SourceError::VideoNotBuilt`] for video
    /// streams in a build without them.
    pub(super) fn from_uid(uid: &str, path: &Path) -> Result<Self, SourceError> {
        let unsupported = |name: &str| SourceError::TransferSyntax {
            uid: uid.to_owned(),
            name: name.to_owned(),
            path: path.to_owned(),
        };
        let Some(syntax) = TransferSyntaxRegistry.get(uid) else {
            return Err(unsupported("no name known"));
        };
        let method = match uid {
            "1.2.840.10008.1.2.5" => Method::Rle,
            "1.2.840.10008.1.2.4.50"
            | "1.2.840.10008.1.2.4.51"
            | "1.2.840.10008.1.2.4.57"
            | "1.2.840.10008.1.2.4.70" => Method::Jpeg,
            "1.2.840.10008.1.2.1.98" => Method::Plain,
            "1.2.840.10008.1.2.8.1" => Method::Inflate,
            _ if is_video(uid) => return Self::video(syntax, path),
            _ => match syntax.codec() {
                RegistryCodec::None | RegistryCodec::Dataset(Some(_)) => Method::Plain,
                RegistryCodec::EncapsulatedPixelData(Some(_), _) => match uid {
                    "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81" => Method::JpegLs,
                    "1.2.840.10008.1.2.4.110"
                    | "1.2.840.10008.1.2.4.111"
                    | "1.2.840.10008.1.2.4.112" => Method::JpegXl,
                    _ => Method::Jpeg2000,
                },
                _ => return Err(unsupported(syntax.name())),
            },
        };
        Ok(Self { method, syntax })
    }

    #[cfg(feature = "video")]
    fn video(syntax: &'static TransferSyntax, _: &Path) -> Result<Self, SourceError> {
        Ok(Self {
            method: Method::Video,
            syntax,
        })
    }

    #[cfg(not(feature = "video"))]
    fn video(_: &'static TransferSyntax, path: &Path) -> Result<Self, SourceError> {
        Err(SourceError::VideoNotBuilt {
            path: path.to_owned(),
        })
    }

    /// The name of the transfer syntax.
    pub(super) fn name(&self) -> &'static str {
        self.syntax.name()
    }

    /// How the data set's elements are written, where a walk over the file can follow them.
    pub(super) fn layout(&self) -> Option<Layout> {
        match (self.syntax.codec(), self.syntax.uid()) {
            (RegistryCodec::Dataset(_), _) | (_, "1.2.840.10008.1.2.2") => None,
            (_, "1.2.840.10008.1.2") => Some(Layout::Implicit),
            _ => Some(Layout::Explicit),
        }
    }

    /// Whether a frame's bytes are its samples.
    pub(super) fn is_plain(&self) -> bool {
        self.method == Method::Plain
    }

    /// Whether all frames are one video stream, which is not decoded here.
    pub(super) fn is_video(&self) -> bool {
        is_video(self.syntax.uid())
    }

    /// Decodes one frame; plain frames are borrowed.
    ///
    /// # Errors
    /// What was found instead of a frame of the header's size, in words. A decoder that panics is
    /// such an error too.
    pub(super) fn decode<'a>(
        &self,
        frame: &'a [u8],
        header: &Header,
    ) -> Result<(Cow<'a, [u8]>, Encoding), String> {
        let (samples, encoding) = match self.method {
            Method::Plain => (Cow::Borrowed(frame), Encoding::Stored),
            Method::Rle => {
                let mut samples = vec![0; header.sample_bytes()];
                let sample_bytes = usize::from(header.bits_allocated / 8);
                rle::decode(
                    frame,
                    usize::from(header.samples),
                    sample_bytes,
                    &mut samples,
                )?;
                (Cow::Owned(samples), Encoding::Interleaved)
            }
            Method::Jpeg => {
                let (samples, encoding) = without_panic(|| jpeg::decode(frame, header))?;
                (Cow::Owned(samples), encoding)
            }
            _ => {
                let announced = (header.width_px.into(), header.height_px.into());
                match self.stream_size(frame) {
                    Some((width, height)) if (width, height) != announced => {
                        return Err(format!(
                            "a stream of {width}x{height} instead of {}x{}",
                            announced.0, announced.1
                        ));
                    }
                    _ => {}
                }
                let samples = without_panic(|| self.registry_samples(frame, header))?;
                self.arranged(frame, samples, header)
            }
        };
        let expected = match encoding {
            Encoding::Stored => header.stored_bytes(),
            _ => header.sample_bytes(),
        };
        let padding = self.method == Method::Plain && samples.len() == expected + expected % 2;
        if samples.len() != expected && !padding {
            return Err(format!("{} bytes instead of {expected}", samples.len()));
        }
        Ok((samples, encoding))
    }

    /// The size a code stream has, where it is easily found.
    ///
    /// The registry's decoders fill a buffer of the announced size as far as the stream goes.
    fn stream_size(&self, stream: &[u8]) -> Option<(u32, u32)> {
        match self.method {
            Method::JpegLs => {
                let size = segment(stream, 0xF7)?.get(1..5)?;
                let &[h0, h1, w0, w1] = size.first_chunk()?;
                Some((
                    u16::from_be_bytes([w0, w1]).into(),
                    u16::from_be_bytes([h0, h1]).into(),
                ))
            }
            Method::Jpeg2000 => {
                let start = stream
                    .windows(4)
                    .position(|part| part == [0xFF, 0x4F, 0xFF, 0x51])?;
                let word = |at: usize| {
                    let bytes = stream.get(start + at..)?.first_chunk()?;
                    Some(u32::from_be_bytes(*bytes))
                };
                let (right, bottom, left, top) = (word(8)?, word(12)?, word(16)?, word(20)?);
                Some((right.checked_sub(left)?, bottom.checked_sub(top)?))
            }
            _ => None,
        }
    }

    fn registry_samples(&self, frame: &[u8], header: &Header) -> Result<Vec<u8>, String> {
        let RegistryCodec::EncapsulatedPixelData(Some(decoder), _) = self.syntax.codec() else {
            return Err("no decoder".to_owned());
        };
        let mut samples = Vec::new();
        let view = OneFrame {
            frame,
            header,
            uid: self.syntax.uid(),
        };
        decoder
            .decode_frame(&view, 0, &mut samples)
            .map_err(|error| chain(&error))?;
        Ok(samples)
    }

    fn arranged<'a>(
        &self,
        frame: &[u8],
        samples: Vec<u8>,
        header: &Header,
    ) -> (Cow<'a, [u8]>, Encoding) {
        let encoding = match (self.method, header.photometric) {
            (Method::Inflate, _) => Encoding::Stored,
            (Method::JpegXl, _) if header.samples == 3 => Encoding::Rgb,
            (_, Photometric::CodecOwn) => Encoding::Rgb,
            _ => Encoding::Interleaved,
        };
        let planes = self.method == Method::JpegLs && header.samples == 3 && one_scan_each(frame);
        let samples = if planes {
            interleaved(&samples)
        } else {
            samples
        };
        (Cow::Owned(samples), encoding)
    }
}

/// Whether a transfer syntax is MPEG-2, H.264 or HEVC, in one fragment or in several.
fn is_video(uid: &str) -> bool {
    let last = uid.strip_prefix("1.2.840.10008.1.2.4.").unwrap_or_default();
    let last = last.strip_suffix(".1").unwrap_or(last);
    last.parse()
        .is_ok_and(|number: u32| (100..=108).contains(&number))
}

/// Whether a JPEG-LS stream has a scan for each component, which CharLS returns as planes.
///
/// # Source
/// ITU-T T.87 C.2.3: the scan header begins with the number of its components.
fn one_scan_each(stream: &[u8]) -> bool {
    segment(stream, 0xDA).and_then(<[u8]>::first) == Some(&1)
}

/// What a marker segment of a JPEG-LS stream holds, without its length.
fn segment(stream: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = stream.get(2..)?;
    while let &[0xFF, marker, high, low, ..] = rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        if marker == wanted {
            return rest.get(4..2 + length);
        }
        rest = rest.get(2 + length..)?;
    }
    None
}

/// Three planes as triples.
pub(super) fn interleaved(planes: &[u8]) -> Vec<u8> {
    let (first, rest) = planes.split_at(planes.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    first
        .iter()
        .zip(second)
        .zip(third)
        .flat_map(|((&a, &b), &c)| [a, b, c])
        .collect()
}

/// One frame, shown to the registry's decoders as an object of one frame and one fragment.
struct OneFrame<'a> {
    frame: &'a [u8],
    header: &'a Header,
    uid: &'a str,
}

impl PixelDataObject for OneFrame<'_> {
    fn transfer_syntax_uid(&self) -> &str {
        self.uid
    }
    fn rows(&self) -> Option<u16> {
        Some(self.header.height_px)
    }
    fn cols(&self) -> Option<u16> {
        Some(self.header.width_px)
    }
    fn samples_per_pixel(&self) -> Option<u16> {
        Some(self.header.samples)
    }
    fn bits_allocated(&self) -> Option<u16> {
        Some(self.header.bits_allocated)
    }
    fn bits_stored(&self) -> Option<u16> {
        Some(self.header.bits_allocated)
    }
    fn photometric_interpretation(&self) -> Option<&str> {
        None
    }
    fn number_of_frames(&self) -> Option<u32> {
        Some(1)
    }
    fn number_of_fragments(&self) -> Option<u32> {
        Some(1)
    }
    fn fragment(&self, fragment: usize) -> Option<Cow<'_, [u8]>> {
        (fragment == 0).then_some(Cow::Borrowed(self.frame))
    }
    fn offset_table(&self) -> Option<Cow<'_, [u32]>> {
        None
    }
    fn raw_pixel_data(&self) -> Option<RawPixelData> {
        let fragments = std::iter::once(self.frame.to_vec()).collect();
        Some(RawPixelData {
            fragments,
            offset_table: Default::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_syntaxes_are_told_from_their_neighbours() {
        let number = |last: &str| is_video(&format!("1.2.840.10008.1.2.4.{last}"));
        for last in ["100", "101.1", "102", "104.1", "106", "107", "108"] {
            assert!(number(last), "{last}");
        }
        for last in ["99", "109", "110", "111", "1", "100.2", "10.1", ""] {
            assert!(!number(last), "{last}");
        }
    }

    #[test]
    fn planes_become_triples() {
        assert_eq!(interleaved(&[1, 2, 3, 4, 5, 6]), [1, 3, 5, 2, 4, 6]);
    }

    #[test]
    fn a_scan_of_one_component_means_planes() {
        assert!(one_scan_each(&[
            0xFF, 0xD8, 0xFF, 0xF7, 0, 3, 8, 0xFF, 0xDA, 0, 3, 1
        ]));
        assert!(!one_scan_each(&[0xFF, 0xD8, 0xFF, 0xDA, 0, 3, 3]));
        assert!(!one_scan_each(&[0xFF, 0xD8, 0xFF]));
    }
}
