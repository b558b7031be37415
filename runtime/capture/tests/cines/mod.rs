//! Small DICOM cines made by the tests.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use echocart_capture::{OpenOptions, Source, SourceError, open};
use echocart_core::frame::FrameMeta;

pub const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";
pub const RLE: &str = "1.2.840.10008.1.2.5";

/// A cine to be: two frames of 4x2 pixels, grey, 40 ms apart, until a test changes it.
#[derive(Clone)]
pub struct Cine {
    pub syntax: &'static str,
    object: InMemDicomObject,
    fragments: Option<(Vec<u32>, Vec<Vec<u8>>)>,
}

impl Cine {
    pub fn new() -> Self {
        let cine = Self {
            syntax: uids::EXPLICIT_VR_LITTLE_ENDIAN,
            object: InMemDicomObject::new_empty(),
            fragments: None,
        };
        cine.text(
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE,
        )
        .text(tags::MODALITY, VR::CS, "US")
        .text(tags::NUMBER_OF_FRAMES, VR::IS, "2")
        .text(tags::FRAME_TIME, VR::DS, "40")
        .number(tags::SAMPLES_PER_PIXEL, 1)
        .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2")
        .number(tags::ROWS, 2)
        .number(tags::COLUMNS, 4)
        .number(tags::BITS_ALLOCATED, 8)
        .number(tags::BITS_STORED, 8)
        .number(tags::HIGH_BIT, 7)
        .number(tags::PIXEL_REPRESENTATION, 0)
        .bytes((0..16).map(|i| i * 10).collect())
    }

    /// The same cine with three samples of the given photometric interpretation.
    pub fn colour(photometric: &str, planar: u16) -> Self {
        Self::new()
            .number(tags::SAMPLES_PER_PIXEL, 3)
            .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric)
            .number(tags::PLANAR_CONFIGURATION, planar)
    }

    pub fn put(mut self, tag: Tag, vr: VR, value: PrimitiveValue) -> Self {
        self.object.put(DataElement::new(tag, vr, value));
        self
    }

    pub fn text(self, tag: Tag, vr: VR, value: &str) -> Self {
        self.put(tag, vr, PrimitiveValue::from(value))
    }

    pub fn number(self, tag: Tag, value: u16) -> Self {
        self.put(tag, VR::US, PrimitiveValue::from(value))
    }

    pub fn without(mut self, tag: Tag) -> Self {
        self.object.remove_element(tag);
        self
    }

    pub fn bytes(self, bytes: Vec<u8>) -> Self {
        self.put(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into()))
    }

    pub fn fragments(
        mut self,
        syntax: &'static str,
        offsets: Vec<u32>,
        parts: Vec<Vec<u8>>,
    ) -> Self {
        self.syntax = syntax;
        self.fragments = Some((offsets, parts));
        self
    }

    /// The same syntax without its fragments.
    pub fn without_fragments(mut self) -> Self {
        self.fragments = None;
        self
    }

    pub fn write(mut self, folder: &Path) -> PathBuf {
        if let Some((offsets, parts)) = self.fragments.take() {
            let even = parts.into_iter().map(|mut part| {
                part.resize(part.len().next_multiple_of(2), 0);
                part
            });
            let sequence = PixelFragmentSequence::new(offsets, even.collect::<Vec<_>>());
            self.object
                .put(DataElement::new(tags::PIXEL_DATA, VR::OB, sequence));
        }
        let path = folder.join("cine.dcm");
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(self.syntax)
            .media_storage_sop_class_uid(uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE)
            .media_storage_sop_instance_uid("1.2.3");
        self.object
            .with_meta(meta)
            .unwrap()
            .write_to_file(&path)
            .unwrap();
        path
    }
}

/// A folder that lasts as long as the test.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub fn opened(path: &Path) -> Result<Box<dyn Source>, SourceError> {
    open(path.to_str().unwrap(), &OpenOptions::default())
}

/// Every frame of a source.
pub fn frames(source: &mut dyn Source) -> Result<Vec<(FrameMeta, Vec<u8>)>, SourceError> {
    let mut pixels = Vec::new();
    let mut all = Vec::new();
    while let Some(meta) = source.next(&mut pixels)? {
        assert_eq!(pixels.len(), meta.frame_bytes());
        assert_eq!(meta.pass, 0);
        all.push((meta, pixels.clone()));
    }
    assert!(source.next(&mut pixels)?.is_none());
    Ok(all)
}

/// The pixels of every frame of a cine.
#[track_caller]
pub fn pictures(cine: Cine) -> Vec<Vec<u8>> {
    let folder = folder();
    let mut source = opened(&cine.write(folder.path())).unwrap();
    let first = frames(&mut *source).unwrap();
    source.rewind().unwrap();
    assert_eq!(frames(&mut *source).unwrap(), first, "after rewinding");
    first.into_iter().map(|(_, pixels)| pixels).collect()
}

/// What opening or reading a cine says, without the folder.
#[track_caller]
pub fn refusal(cine: Cine) -> String {
    let folder = folder();
    let path = cine.write(folder.path());
    refusal_of(&path)
}

/// What opening or reading a file says, without the path that has to be last.
#[track_caller]
pub fn refusal_of(path: &Path) -> String {
    let outcome = opened(path).and_then(|mut source| frames(&mut *source));
    let message = outcome.expect_err("the source was not refused").to_string();
    assert!(!message.contains('\n'), "{message}");
    let end = format!(": {}", path.display());
    message
        .strip_suffix(&end)
        .unwrap_or_else(|| panic!("path last: {message}"))
        .to_owned()
}
