//! Ultrasound cines in DICOM files.

mod codec;
mod colour;
mod extent;
mod fragments;
mod guard;
mod header;
mod jpeg;
mod palette;
mod rle;
mod timing;
#[cfg(feature = "video")]
mod video;

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dicom_core::{DicomValue, PrimitiveValue};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTable, InMemDicomObject, OpenFileOptions};
use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::{FrameMeta, PixelFormat};

use self::codec::Codec;
use self::extent::{Layout, walk};
use self::fragments::frames_from_fragments;
use self::guard::without_panic;
use self::header::{Header, Photometric, attribute_error};
use self::palette::Palette;
use self::timing::Timing;
#[cfg(feature = "video")]
use self::video::VideoStream;
use crate::error::chain;
use crate::location::file_name;
use crate::source::frame_meta;
use crate::{Delivery, OpenOptions, Polled, Source, SourceError, SourceInfo, Stamps};

/// A DICOM ultrasound cine; the compressed data is in memory, frames are decoded one by one.
pub(crate) struct DicomSource {
    path: PathBuf,
    image: Image,
    timing: Timing,
    next_frame: u32,
}

impl DicomSource {
    /// Reads the file and checks everything but the frames' own code streams.
    pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        let (codec, mut object) = read_object(path)?;
        let header = Header::read(&object, codec.is_video(), path)?;
        let image = Image::take_from(&mut object, codec, header, path)?;
        let timing = Timing::read(&object, u64::from(image.header.frames), options, path)?;
        Ok(Self {
            path: path.to_owned(),
            image,
            timing,
            next_frame: 0,
        })
    }

    fn meta(&self, frame: u32) -> FrameMeta {
        let header = &self.image.header;
        frame_meta(
            (u32::from(header.width_px), u32::from(header.height_px)),
            self.image.format(),
            self.timing.nanos(u64::from(frame)),
        )
    }
}

impl Source for DicomSource {
    fn describe(&self) -> SourceInfo {
        let meta = self.meta(0);
        SourceInfo {
            name: file_name(&self.path),
            kind: "DICOM",
            delivery: Delivery::OnDemand,
            stamps: Stamps::Exact,
            width_px: meta.width_px,
            height_px: meta.height_px,
            format: meta.format,
            frames: Some(u64::from(self.image.header.frames)),
            nominal_period_nanos: self.timing.nominal_period_nanos,
            timing: self.timing.words.clone(),
        }
    }

    fn next(&mut self, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, SourceError> {
        let frame = self.next_frame;
        if frame >= self.image.header.frames {
            return Ok(None);
        }
        let meta = self.meta(frame);
        pixels.clear();
        pixels.resize(meta.frame_bytes(), 0);
        self.image
            .decode(frame, pixels)
            .map_err(|found| SourceError::Decode {
                frame: u64::from(frame),
                codec: self.image.codec.name().to_owned(),
                found,
                path: self.path.clone(),
            })?;
        self.next_frame += 1;
        Ok(Some(meta))
    }

    fn poll(&mut self, pixels: &mut FrameBuffer, _: Duration) -> Result<Polled, SourceError> {
        self.next(pixels.refill()).map(Polled::exact)
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        #[cfg(feature = "video")]
        if let Data::Video(stream) = &mut self.image.data {
            let header = &self.image.header;
            stream.rewind().map_err(|found| SourceError::PixelData {
                expected: format!("the same {} frames again", header.frames),
                found,
                path: self.path.clone(),
            })?;
        }
        self.next_frame = 0;
        Ok(())
    }
}

/// The pixel data of an image and how to read it.
struct Image {
    codec: Codec,
    header: Header,
    palette: Option<Palette>,
    data: Data,
}

enum Data {
    Plain(Vec<u8>),
    Encapsulated {
        fragments: Vec<Vec<u8>>,
        frames: Vec<Range<usize>>,
    },
    #[cfg(feature = "video")]
    Video(Box<VideoStream>),
}

impl Image {
    /// Takes the pixel data out of an object.
    fn take_from(
        object: &mut InMemDicomObject,
        codec: Codec,
        header: Header,
        path: &Path,
    ) -> Result<Self, SourceError> {
        let palette = match header.photometric {
            Photometric::Palette => Some(Palette::read(object, header.bits_allocated, path)?),
            _ => None,
        };
        if header.photometric == Photometric::CodecOwn && codec.is_plain() {
            let found = header::text(object, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
            let expected = "a colour space of uncompressed data";
            return Err(attribute_error(
                "PhotometricInterpretation",
                expected,
                found,
                path,
            ));
        }
        let subsampled = header.photometric == Photometric::YbrFull422 && codec.is_plain();
        if subsampled && !header.width_px.is_multiple_of(2) {
            let found = header.width_px.to_string();
            return Err(attribute_error(
                "Columns",
                "an even number for YBR_FULL_422",
                found,
                path,
            ));
        }
        if codec.is_video() {
            if matches!(
                header.photometric,
                Photometric::Monochrome1 | Photometric::Monochrome2 | Photometric::Palette
            ) {
                let found = header::text(object, tags::PHOTOMETRIC_INTERPRETATION);
                let expected = "YBR_PARTIAL_420 or another of three samples for video";
                let found = found.unwrap_or_default();
                return Err(attribute_error(
                    "PhotometricInterpretation",
                    expected,
                    found,
                    path,
                ));
            }
        } else if header.photometric == Photometric::YbrPartial420 {
            let found = "YBR_PARTIAL_420".to_owned();
            let expected = format!("a colour space of {}", codec.name());
            return Err(attribute_error(
                "PhotometricInterpretation",
                expected,
                found,
                path,
            ));
        }
        let wrong = |expected: String, found: String| SourceError::PixelData {
            expected,
            found,
            path: path.to_owned(),
        };
        let Some(element) = object.take(tags::PIXEL_DATA) else {
            return Err(wrong(
                format!("{} frames", header.frames),
                "none".to_owned(),
            ));
        };
        let data = match element.into_value() {
            DicomValue::Primitive(value) if codec.is_plain() => {
                let bytes = match value {
                    PrimitiveValue::U8(bytes) => bytes.into_vec(),
                    other => other.to_bytes().into_owned(),
                };
                let needed = header.stored_bytes() as u64 * u64::from(header.frames);
                let found = bytes.len() as u64;
                if found != needed && found != needed + needed % 2 {
                    let expected = format!(
                        "{needed} bytes for {} frames of {}",
                        header.frames,
                        header.stored_bytes()
                    );
                    return Err(wrong(expected, format!("{found} bytes")));
                }
                Data::Plain(bytes)
            }
            #[cfg(feature = "video")]
            DicomValue::PixelSequence(sequence) if codec.is_video() => {
                let stream = VideoStream::from_fragments(sequence.fragments(), &header)
                    .map_err(|(expected, found)| wrong(expected, found))?;
                Data::Video(Box::new(stream))
            }
            DicomValue::PixelSequence(sequence) => {
                let (offsets, fragments) = sequence.into_parts();
                let fragments = fragments.into_vec();
                let frames = frames_from_fragments(&fragments, &offsets, header.frames)
                    .map_err(|(expected, found)| wrong(expected, found))?;
                Data::Encapsulated { fragments, frames }
            }
            _ => {
                let expected = format!("pixel data as in {}", codec.name());
                return Err(wrong(expected, "another form".to_owned()));
            }
        };
        Ok(Self {
            codec,
            header,
            palette,
            data,
        })
    }

    fn format(&self) -> PixelFormat {
        match self.header.photometric {
            Photometric::Monochrome1 | Photometric::Monochrome2 => PixelFormat::Gray8,
            _ => PixelFormat::Rgb24,
        }
    }

    fn decode(&mut self, frame: u32, pixels: &mut [u8]) -> Result<(), String> {
        #[cfg(feature = "video")]
        if let Data::Video(stream) = &mut self.data {
            return stream.read(frame, &self.header, pixels);
        }
        let bytes = self.frame_bytes(frame).ok_or("no such frame")?;
        let (samples, encoding) = self.codec.decode(&bytes, &self.header)?;
        let palette = self.palette.as_ref();
        colour::pixels_from_samples(&samples, encoding, &self.header, palette, pixels);
        Ok(())
    }

    fn frame_bytes(&self, frame: u32) -> Option<Cow<'_, [u8]>> {
        let index = frame as usize;
        match &self.data {
            Data::Plain(bytes) => {
                let length = self.header.stored_bytes();
                bytes
                    .get(index * length..(index + 1) * length)
                    .map(Cow::Borrowed)
            }
            Data::Encapsulated { fragments, frames } => {
                match fragments.get(frames.get(index)?.clone())? {
                    [only] => Some(Cow::Borrowed(only)),
                    several => Some(Cow::Owned(several.concat())),
                }
            }
            #[cfg(feature = "video")]
            Data::Video(_) => None,
        }
    }
}

/// Reads a whole file; its transfer syntax is checked before its data set is touched.
fn read_object(path: &Path) -> Result<(Codec, InMemDicomObject), SourceError> {
    let io_error = |error| SourceError::Io {
        error,
        path: path.to_owned(),
    };
    let damaged = |found: String| SourceError::Dicom {
        found,
        path: path.to_owned(),
    };
    let mut file = File::open(path).map_err(io_error)?;
    let mut head = Vec::new();
    (&mut file)
        .take(132)
        .read_to_end(&mut head)
        .map_err(io_error)?;
    let start = match head.get(128..) {
        _ if head.is_empty() => return Err(damaged("an empty file".to_owned())),
        Some(b"DICM") => 128,
        _ if head.starts_with(b"DICM") => 0,
        _ => return Err(damaged("no DICOM mark at byte 128".to_owned())),
    };
    let mut file = BufReader::new(file);
    let end = file.seek(SeekFrom::End(0)).map_err(io_error)?;
    let data_set = walk(&mut file, start + 4, end, Layout::FileMeta)
        .map_err(io_error)?
        .map_err(damaged)?;
    file.seek(SeekFrom::Start(start)).map_err(io_error)?;
    let meta = without_panic(|| FileMetaTable::from_reader(&mut file).map_err(|e| chain(&e)))
        .map_err(damaged)?;
    let codec = Codec::from_uid(meta.transfer_syntax(), path)?;
    if let Some(layout) = codec.layout() {
        walk(&mut file, data_set, end, layout)
            .map_err(io_error)?
            .map_err(damaged)?;
    }
    file.seek(SeekFrom::Start(start)).map_err(io_error)?;
    let object = without_panic(|| {
        OpenFileOptions::new()
            .from_reader(&mut file)
            .map_err(|error| chain(&error))
    })
    .map_err(damaged)?;
    Ok((codec, object.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first frame of a file that may be a still, and the names of what it went through.
    fn first_picture(path: &Path) -> (Vec<u8>, Image) {
        let (codec, mut object) = read_object(path).unwrap();
        let header = Header::pixels(&object, 1, false, path).unwrap();
        let mut image = Image::take_from(&mut object, codec, header, path).unwrap();
        let mut pixels = vec![0; image.header.pixels_per_frame() * image.format().bytes()];
        image.decode(0, &mut pixels).unwrap();
        (pixels, image)
    }

    fn share(pixels: &[u8], test: impl Fn(&[u8; 3]) -> bool) -> f64 {
        let triples = pixels.as_chunks::<3>().0;
        triples.iter().filter(|rgb| test(rgb)).count() as f64 / triples.len() as f64
    }

    /// Stills are refused as sources; they are the only real files of their encodings.
    #[test]
    fn real_stills_have_the_colours_of_an_ultrasound_screen() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        if !data.is_dir() {
            println!("skipped: no shared/data beside the checkout");
            return;
        }
        for name in [
            "elbow_esaote_ybr422_still.dcm",
            "thyroid_acuson_sequoia_rle_still.dcm",
        ] {
            let (pixels, _) = first_picture(&data.join("non-cardiac").join(name));
            let grey = share(&pixels, |rgb| {
                rgb.iter()
                    .max()
                    .zip(rgb.iter().min())
                    .is_some_and(|(a, b)| a - b < 24)
            });
            let black = share(&pixels, |rgb| rgb.iter().all(|&sample| sample < 8));
            assert!(
                grey > 0.98 && black > 0.2,
                "{name}: grey {grey}, black {black}"
            );
        }
        let aorta = "cardiac/still_ascending_aorta_philips_epiq7c_calipers.dcm";
        let (pixels, image) = first_picture(&data.join(aorta));
        assert!(image.codec.name().starts_with("JPEG Lossless"));
        assert_eq!(image.format(), PixelFormat::Gray8);
        let black = pixels.iter().filter(|&&sample| sample < 8).count() as f64;
        assert!(
            (0.4..0.9).contains(&(black / pixels.len() as f64)),
            "{black}"
        );
        assert!(pixels.contains(&255));
    }
}
