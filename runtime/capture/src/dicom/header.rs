//! The attributes that say what a DICOM cine's pixels are.

use std::path::Path;

use dicom_core::dictionary::UidDictionary;
use dicom_core::{DataDictionary, DicomValue, PrimitiveValue, Tag};
use dicom_dictionary_std::{StandardDataDictionary, StandardSopClassDictionary, tags, uids};
use dicom_object::InMemDicomObject;

use crate::SourceError;
use crate::error::one_line;

const ULTRASOUND_MULTI_FRAME_RETIRED: &str = "1.2.840.10008.5.1.4.1.1.3";
const MAX_FRAME_BYTES: u64 = 1 << 30;

/// How stored samples become grey or colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    /// 0 is white.
    Monochrome1,
    /// 0 is black.
    Monochrome2,
    /// Samples are indices into three tables.
    Palette,
    /// Red, green, blue.
    Rgb,
    /// Luminance and two colour differences, full range.
    YbrFull,
    /// The same with half the colour samples in a row where it is not compressed.
    YbrFull422,
    /// A colour space that only exists inside a codec, which turns it into RGB.
    CodecOwn,
    /// What video streams have; their decoder turns it into RGB.
    YbrPartial420,
}

/// What the pixels of a cine are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) width_px: u16,
    pub(super) height_px: u16,
    pub(super) frames: u32,
    pub(super) samples: u16,
    pub(super) bits_allocated: u16,
    /// Colour planes one after the other in uncompressed data.
    pub(super) planar: bool,
    pub(super) photometric: Photometric,
}

impl Header {
    /// Reads the attributes of an ultrasound cine, of which `video` says whether it is a video
    /// stream.
    ///
    /// # Errors
    /// [`SourceError::NotUltrasound`], [`SourceError::Still`], [`SourceError::Attribute`].
    pub(super) fn read(
        object: &InMemDicomObject,
        video: bool,
        path: &Path,
    ) -> Result<Self, SourceError> {
        let frames = match numbers(object, tags::NUMBER_OF_FRAMES, path)? {
            None => 1,
            Some(values) => frame_count(&values, path)?,
        };
        check_class(object, frames, path)?;
        Self::pixels(object, frames, video, path)
    }

    /// Reads the pixel attributes alone, whatever the object is an image of.
    pub(super) fn pixels(
        object: &InMemDicomObject,
        frames: u32,
        video: bool,
        path: &Path,
    ) -> Result<Self, SourceError> {
        let need = |tag| required(object, tag, path);
        let (height_px, width_px) = (need(tags::ROWS)?, need(tags::COLUMNS)?);
        for (name, value) in [("Rows", height_px), ("Columns", width_px)] {
            if value == 0 {
                return Err(attribute_error(name, "at least 1", "0".to_owned(), path));
            }
        }
        let photometric = photometric(object, path)?;
        let samples = need(tags::SAMPLES_PER_PIXEL)?;
        let grey = matches!(
            photometric,
            Photometric::Monochrome1 | Photometric::Monochrome2 | Photometric::Palette
        );
        let right_samples = if grey { 1 } else { 3 };
        if samples != right_samples {
            let expected = format!("{right_samples} for {photometric:?}");
            return Err(attribute_error(
                "SamplesPerPixel",
                expected,
                samples.to_string(),
                path,
            ));
        }
        let bits_allocated = need(tags::BITS_ALLOCATED)?;
        let bits_stored = optional(object, tags::BITS_STORED, path)?.unwrap_or(bits_allocated);
        let palette_of_words = photometric == Photometric::Palette && bits_allocated == 16;
        let video_of_words = video && bits_allocated == 16;
        if bits_allocated != 8 && !palette_of_words && !video_of_words {
            let expected = "8, or 16 with PALETTE COLOR or video";
            let found = bits_allocated.to_string();
            return Err(attribute_error("BitsAllocated", expected, found, path));
        }
        if bits_stored > bits_allocated
            || (bits_stored != bits_allocated
                && photometric != Photometric::Palette
                && !video_of_words)
        {
            let expected = format!("{bits_allocated}, as BitsAllocated");
            return Err(attribute_error(
                "BitsStored",
                expected,
                bits_stored.to_string(),
                path,
            ));
        }
        let signed = optional(object, tags::PIXEL_REPRESENTATION, path)?.unwrap_or(0);
        if signed != 0 {
            let found = signed.to_string();
            return Err(attribute_error(
                "PixelRepresentation",
                "0 (unsigned)",
                found,
                path,
            ));
        }
        let planar = match optional(object, tags::PLANAR_CONFIGURATION, path)?.unwrap_or(0) {
            0 => false,
            1 => true,
            other => {
                let found = other.to_string();
                return Err(attribute_error(
                    "PlanarConfiguration",
                    "0 or 1",
                    found,
                    path,
                ));
            }
        };
        let header = Self {
            width_px,
            height_px,
            frames,
            samples,
            bits_allocated,
            planar,
            photometric,
        };
        let bytes = u64::from(width_px) * u64::from(height_px) * 3;
        if bytes > MAX_FRAME_BYTES {
            return Err(SourceError::Attribute {
                attribute: "Rows, Columns",
                expected: format!("frames of at most {MAX_FRAME_BYTES} bytes"),
                found: format!("{height_px} by {width_px}, {bytes} bytes"),
                path: path.to_owned(),
            });
        }
        Ok(header)
    }

    /// Pixels of one frame.
    pub(super) fn pixels_per_frame(&self) -> usize {
        usize::from(self.width_px) * usize::from(self.height_px)
    }

    /// Bytes of one uncompressed frame with as many colour samples as pixels.
    pub(super) fn sample_bytes(&self) -> usize {
        self.pixels_per_frame() * usize::from(self.samples) * usize::from(self.bits_allocated / 8)
    }

    /// Bytes of one uncompressed frame as stored.
    pub(super) fn stored_bytes(&self) -> usize {
        match self.photometric {
            Photometric::YbrFull422 => self.pixels_per_frame() * 2,
            _ => self.sample_bytes(),
        }
    }
}

fn frame_count(values: &[f64], path: &Path) -> Result<u32, SourceError> {
    let whole = |value: f64| value >= 1.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0;
    match values {
        &[value] if whole(value) => Ok(value as u32),
        _ => {
            let expected = "one whole number above 0";
            Err(attribute_error(
                "NumberOfFrames",
                expected,
                format!("{values:?}"),
                path,
            ))
        }
    }
}

fn check_class(object: &InMemDicomObject, frames: u32, path: &Path) -> Result<(), SourceError> {
    let class = text(object, tags::SOP_CLASS_UID).unwrap_or_default();
    let modality = text(object, tags::MODALITY).unwrap_or_default();
    let name = match StandardSopClassDictionary.by_uid(&class) {
        Some(entry) => entry.name.to_owned(),
        None if class.is_empty() => "no SOP class".to_owned(),
        None => format!("SOP class {class}"),
    };
    let cine = class == uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE
        || class == ULTRASOUND_MULTI_FRAME_RETIRED;
    let volume = class == uids::ENHANCED_US_VOLUME_STORAGE;
    if volume || !(cine || modality == "US") {
        let modality = if modality.is_empty() {
            "none".to_owned()
        } else {
            modality
        };
        return Err(SourceError::NotUltrasound {
            found: format!("{name}, modality {modality}, frames {frames}"),
            path: path.to_owned(),
        });
    }
    if frames < 2 {
        return Err(SourceError::Still {
            found: format!("{frames} ({name})"),
            path: path.to_owned(),
        });
    }
    Ok(())
}

fn photometric(object: &InMemDicomObject, path: &Path) -> Result<Photometric, SourceError> {
    let found = text(object, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    Ok(match found.as_str() {
        "MONOCHROME1" => Photometric::Monochrome1,
        "MONOCHROME2" => Photometric::Monochrome2,
        "PALETTE COLOR" => Photometric::Palette,
        "RGB" => Photometric::Rgb,
        "YBR_FULL" => Photometric::YbrFull,
        "YBR_FULL_422" => Photometric::YbrFull422,
        "YBR_RCT" | "YBR_ICT" | "XYB" => Photometric::CodecOwn,
        "YBR_PARTIAL_420" => Photometric::YbrPartial420,
        _ => {
            return Err(attribute_error(
                "PhotometricInterpretation",
                "MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB, YBR_FULL, YBR_FULL_422, YBR_RCT, \
                 YBR_ICT, XYB or YBR_PARTIAL_420",
                one_line(&found),
                path,
            ));
        }
    })
}

/// The keyword of a standard attribute.
fn keyword(tag: Tag) -> &'static str {
    StandardDataDictionary
        .by_tag(tag)
        .map_or("attribute", |entry| entry.alias)
}

/// An attribute's text, trimmed; nothing where it is absent.
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = object.get(tag)?.value().to_str().ok()?;
    Some(one_line(
        value.trim_matches(|c: char| c == '\0' || c.is_whitespace()),
    ))
    .filter(|_| {
        !value
            .trim_matches(|c: char| c == '\0' || c.is_whitespace())
            .is_empty()
    })
}

/// The first tag of an attribute that holds tags.
pub(super) fn tag(value: &PrimitiveValue) -> Option<Tag> {
    match value {
        PrimitiveValue::Tags(tags) => tags.first().copied(),
        _ => None,
    }
}

/// An attribute's numbers; nothing where it is absent or empty.
///
/// # Errors
/// [`SourceError::Attribute`] if the value is not numeric.
pub(super) fn numbers(
    object: &InMemDicomObject,
    tag: Tag,
    path: &Path,
) -> Result<Option<Vec<f64>>, SourceError> {
    let Some(element) = object.get(tag) else {
        return Ok(None);
    };
    let DicomValue::Primitive(value) = element.value() else {
        let found = "a sequence".to_owned();
        return Err(attribute_error(keyword(tag), "numbers", found, path));
    };
    if value
        .to_str()
        .trim_matches(|c: char| c == '\0' || c.is_whitespace())
        .is_empty()
    {
        return Ok(None);
    }
    match value.to_multi_float64() {
        Ok(numbers) => Ok(Some(numbers)),
        Err(_) => {
            let found = one_line(&value.to_str());
            Err(attribute_error(keyword(tag), "numbers", found, path))
        }
    }
}

fn optional(object: &InMemDicomObject, tag: Tag, path: &Path) -> Result<Option<u16>, SourceError> {
    let Some(values) = numbers(object, tag, path)? else {
        return Ok(None);
    };
    match *values.as_slice() {
        [value] if (0.0..=65_535.0).contains(&value) && value.fract() == 0.0 => {
            Ok(Some(value as u16))
        }
        _ => {
            let expected = "one whole number from 0 to 65535";
            Err(attribute_error(
                keyword(tag),
                expected,
                format!("{values:?}"),
                path,
            ))
        }
    }
}

fn required(object: &InMemDicomObject, tag: Tag, path: &Path) -> Result<u16, SourceError> {
    optional(object, tag, path)?
        .ok_or_else(|| attribute_error(keyword(tag), "a value", "none".to_owned(), path))
}

/// An attribute that cannot be worked with.
pub(super) fn attribute_error(
    attribute: &'static str,
    expected: impl Into<String>,
    found: String,
    path: &Path,
) -> SourceError {
    SourceError::Attribute {
        attribute,
        expected: expected.into(),
        found,
        path: path.to_owned(),
    }
}
