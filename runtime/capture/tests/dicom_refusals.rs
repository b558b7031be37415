//! Files that are not a cine, or not a whole one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod cines;

use cines::{Cine, JPEG_BASELINE, RLE, folder, frames, opened, refusal, refusal_of};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use echocart_capture::{OpenOptions, open};

#[test]
fn a_ct_is_named_as_what_it_is() {
    let cine = Cine::new()
        .text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE)
        .text(tags::MODALITY, VR::CS, "CT");
    assert_eq!(
        refusal(cine),
        "not an ultrasound multi-frame image: expected Ultrasound Multi-frame Image Storage or \
         modality US, found CT Image Storage, modality CT, frames 2"
    );
}

#[test]
fn a_volume_is_not_a_cine_and_a_capture_of_ultrasound_is() {
    let volume = Cine::new().text(
        tags::SOP_CLASS_UID,
        VR::UI,
        uids::ENHANCED_US_VOLUME_STORAGE,
    );
    assert!(refusal(volume).contains("found Enhanced US Volume Storage, modality US"));
    let folder = folder();
    let capture = Cine::new()
        .text(
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
        )
        .write(folder.path());
    assert_eq!(opened(&capture).unwrap().describe().frames, Some(2));
    let retired = Cine::new()
        .text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.3")
        .without(tags::MODALITY)
        .write(folder.path());
    assert_eq!(opened(&retired).unwrap().describe().frames, Some(2));
}

#[test]
fn a_still_is_refused() {
    let one = Cine::new()
        .text(tags::NUMBER_OF_FRAMES, VR::IS, "1")
        .bytes(vec![0; 8]);
    let expected = "not a cine: expected more than one frame, found 1 (Ultrasound Multi-frame \
                    Image Storage)";
    assert_eq!(refusal(one.clone()), expected);
    assert_eq!(refusal(one.without(tags::NUMBER_OF_FRAMES)), expected);
}

#[test]
fn an_unsupported_transfer_syntax_is_named() {
    let cine = Cine::new().fragments(JPEG_BASELINE, vec![], vec![vec![0; 4]; 2]);
    for (uid, name) in [
        ("1.2.840.10008.1.2.4.94", "JPIP Referenced"),
        (
            uids::SMPTEST211020_UNCOMPRESSED_PROGRESSIVE_ACTIVE_VIDEO,
            "SMPTE ST 2110-20",
        ),
    ] {
        let mut other = cine.clone();
        other.syntax = uid;
        let message = refusal(other);
        assert!(
            message.starts_with("unsupported transfer syntax: expected"),
            "{message}"
        );
        assert!(
            message.contains(&format!("found {uid} ({name}")),
            "{message}"
        );
    }
    let folder = folder();
    let path = cine.write(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes
        .windows(22)
        .position(|part| part == JPEG_BASELINE.as_bytes())
        .unwrap();
    bytes[at + 20..at + 22].copy_from_slice(b"99");
    std::fs::write(&path, bytes).unwrap();
    assert!(refusal_of(&path).ends_with("found 1.2.840.10008.1.2.4.99 (no name known)"));
}

#[test]
fn pixel_attributes_out_of_range_are_named() {
    let number = |tag, value| refusal(Cine::new().number(tag, value));
    assert_eq!(number(tags::ROWS, 0), "Rows: expected at least 1, found 0");
    assert!(number(tags::BITS_ALLOCATED, 16).starts_with("BitsAllocated: expected 8"));
    assert!(number(tags::BITS_STORED, 7).starts_with("BitsStored: expected 8"));
    assert!(number(tags::PIXEL_REPRESENTATION, 1).starts_with("PixelRepresentation: expected 0"));
    assert!(number(tags::SAMPLES_PER_PIXEL, 3).starts_with("SamplesPerPixel: expected 1"));
    assert!(number(tags::PLANAR_CONFIGURATION, 2).starts_with("PlanarConfiguration: expected 0"));
    assert_eq!(
        refusal(Cine::new().without(tags::COLUMNS)),
        "Columns: expected a value, found none"
    );
    for photometric in ["HSV", "YBR_PARTIAL_422", ""] {
        let cine = Cine::new().text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric);
        assert!(refusal(cine).starts_with("PhotometricInterpretation: expected MONOCHROME1"));
    }
    let codec_only = Cine::colour("YBR_RCT", 0).bytes(vec![0; 48]);
    assert!(refusal(codec_only).starts_with("PhotometricInterpretation: expected a colour space"));
    let odd = Cine::colour("YBR_FULL_422", 0)
        .number(tags::COLUMNS, 3)
        .bytes(vec![0; 24]);
    assert!(refusal(odd).starts_with("Columns: expected an even number"));
    for frames in ["0", "-2", "1.5", "5000000000", "2\\3", "x"] {
        let message = refusal(Cine::new().text(tags::NUMBER_OF_FRAMES, VR::IS, frames));
        assert!(message.starts_with("NumberOfFrames: expected"), "{message}");
    }
}

#[test]
fn an_absurd_size_is_refused_before_memory_is_asked_for() {
    let wide = Cine::new()
        .number(tags::ROWS, 65_535)
        .number(tags::COLUMNS, 65_535);
    assert!(refusal(wide).contains("expected frames of at most 1073741824 bytes"));
    let many = Cine::new()
        .text(tags::NUMBER_OF_FRAMES, VR::IS, "4294967295")
        .number(tags::ROWS, 16_000)
        .number(tags::COLUMNS, 16_000);
    let message = refusal(many.clone());
    assert!(
        message.contains("expected 1099511627520000000 bytes for 4294967295 frames"),
        "{message}"
    );
    let message = refusal(many.fragments(RLE, vec![], vec![vec![0; 64]; 3]));
    assert_eq!(
        message,
        "pixel data: expected 4294967295 frames, found 3 fragments"
    );
}

#[test]
fn palettes_must_fit_their_descriptors() {
    let cine = Cine::new().text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
    let name = "RedPaletteColorLookupTableDescriptor";
    assert_eq!(
        refusal(cine.clone()),
        format!("{name}: expected a value, found none")
    );
    let words = |values: &[u16]| dicom_core::PrimitiveValue::U16(values.into());
    let described = |values| {
        cine.clone().put(
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            VR::US,
            words(values),
        )
    };
    assert!(refusal(described(&[256, 0])).starts_with(&format!("{name}: expected three numbers")));
    assert!(refusal(described(&[256, 0, 12])).contains("entries of 8 or 16 bits"));
    let data = "RedPaletteColorLookupTableData: expected";
    assert_eq!(
        refusal(described(&[4, 0, 16])),
        format!("{data} a plain table, found none")
    );
    let segmented = tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA;
    let message = refusal(described(&[4, 0, 16]).put(segmented, VR::OW, words(&[0, 1, 2])));
    assert_eq!(
        message,
        format!("{data} a plain table, found a segmented table")
    );
    let short = described(&[4, 0, 16]).put(
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        VR::OW,
        words(&[0, 1, 2]),
    );
    assert_eq!(
        refusal(short),
        format!("{data} 4 entries of 16 bits, found 6 bytes")
    );
}

#[test]
fn pixel_data_must_be_as_long_as_announced() {
    let expected = "pixel data: expected 16 bytes for 2 frames of 8, found";
    assert_eq!(
        refusal(Cine::new().bytes(vec![0; 10])),
        format!("{expected} 10 bytes")
    );
    assert_eq!(
        refusal(Cine::new().bytes(vec![0; 24])),
        format!("{expected} 24 bytes")
    );
    let none = Cine::new().without(tags::PIXEL_DATA);
    assert_eq!(refusal(none), "pixel data: expected 2 frames, found none");
    let mut plain_as_jpeg = Cine::new();
    plain_as_jpeg.syntax = JPEG_BASELINE;
    assert!(refusal(plain_as_jpeg).ends_with("found another form"));
}

#[test]
fn every_cut_of_a_file_is_one_clear_error() {
    let folder = folder();
    let plain = Cine::new();
    let fragments = vec![vec![0; 64]; 2];
    for cine in [plain, Cine::new().fragments(RLE, vec![], fragments)] {
        let path = cine.write(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let cut_path = folder.path().join("cut.dcm");
        for end in 0..whole.len() - 9 {
            std::fs::write(&cut_path, &whole[..end]).unwrap();
            let message = refusal_of(&cut_path);
            assert!(message.contains("expected"), "{end}: {message}");
        }
    }
}

#[test]
fn a_length_beyond_the_file_is_refused_before_memory_is_asked_for() {
    let folder = folder();
    let path = Cine::new().write(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes
        .windows(4)
        .position(|w| w == [0xE0, 0x7F, 0x10, 0])
        .unwrap();
    bytes[at + 8..at + 12].copy_from_slice(&0xFFFF_FFFE_u32.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let message = refusal_of(&path);
    assert!(message.contains("(7FE0,0010)"), "{message}");
    assert!(
        message.contains("announces 4294967294 bytes, 16 are left"),
        "{message}"
    );
}

#[test]
fn a_damaged_frame_is_named_and_the_others_play() {
    let folder = folder();
    let mut good = vec![0; 64];
    (good[0], good[4]) = (1, 64);
    good.extend([249, 9]);
    let mut bad = good.clone();
    bad[64] = 250;
    let path = Cine::new()
        .fragments(RLE, vec![], vec![good, bad])
        .write(folder.path());
    let mut source = opened(&path).unwrap();
    let mut pixels = Vec::new();
    assert_eq!(source.next(&mut pixels).unwrap().unwrap().capture_nanos, 0);
    assert_eq!(pixels, [9; 8]);
    let message = source.next(&mut pixels).unwrap_err().to_string();
    let expected =
        "frame 1 does not decode: expected RLE Lossless, found segment 0: 7 of 8 bytes: ";
    assert!(message.starts_with(expected), "{message}");
    source.rewind().unwrap();
    assert_eq!(source.next(&mut pixels).unwrap().unwrap().capture_nanos, 0);
}

#[test]
fn garbage_in_every_codec_is_an_error_and_not_a_panic() {
    let syntaxes = [
        RLE,
        JPEG_BASELINE,
        "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.57",
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80",
        "1.2.840.10008.1.2.4.81",
        "1.2.840.10008.1.2.4.90",
        "1.2.840.10008.1.2.4.91",
        "1.2.840.10008.1.2.4.110",
        "1.2.840.10008.1.2.4.111",
        "1.2.840.10008.1.2.4.112",
        "1.2.840.10008.1.2.4.201",
    ];
    let garbage = |seed: u8| {
        (0..200)
            .map(|i: u8| i.wrapping_mul(seed) ^ 0x5A)
            .collect::<Vec<_>>()
    };
    for syntax in syntaxes {
        for parts in [vec![garbage(7), garbage(9)], vec![vec![0; 2], vec![0; 2]]] {
            let message = refusal(Cine::new().fragments(syntax, vec![], parts));
            assert!(
                message.starts_with("frame 0 does not decode: expected"),
                "{syntax}: {message}"
            );
        }
    }
}

#[test]
fn a_jpeg_of_another_size_is_an_error() {
    let mut stream = Vec::new();
    jpeg_encoder::Encoder::new(&mut stream, 90)
        .encode(&[50; 64], 8, 8, jpeg_encoder::ColorType::Luma)
        .unwrap();
    let cine = Cine::new().fragments(JPEG_BASELINE, vec![], vec![stream; 2]);
    assert!(refusal(cine).ends_with("found a stream of 8x8 L8 instead of 4x2 L8"));
}

#[test]
fn locations_that_are_not_files_are_named() {
    let folder = folder();
    let message = |location: &str| {
        open(location, &OpenOptions::default())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let path = folder.path().to_str().unwrap();
    assert_eq!(
        message(path),
        format!("not a source: expected a regular file, found a folder: {path}")
    );
    let missing = format!("{path}/missing.dcm");
    assert!(message(&missing).starts_with("cannot read the source: No such file"));
    assert!(message("https://example.org/a.mp4").contains("found https://"));
    let text = format!("{path}/notes.txt");
    std::fs::write(&text, "hello").unwrap();
    assert!(
        message(&text).contains("found the first bytes 68 65 6c 6c 6f"),
        "{}",
        message(&text)
    );
    std::fs::write(&text, "").unwrap();
    assert!(message(&text).contains("found an empty file"));
    let empty = format!("{path}/empty.dcm");
    std::fs::write(&empty, "").unwrap();
    assert!(message(&empty).contains("expected a complete data set, found an empty file"));
    std::fs::write(&empty, vec![b'x'; 500]).unwrap();
    assert!(
        message(&empty).contains("found no DICOM mark at byte 128"),
        "{}",
        message(&empty)
    );
}

#[test]
fn a_dicom_file_needs_no_extension_and_may_be_a_file_uri() {
    let folder = folder();
    let path = Cine::new().write(folder.path());
    let bare = folder.path().join("IM 0001");
    std::fs::rename(&path, &bare).unwrap();
    let uri = format!("file://{}", bare.to_str().unwrap().replace(' ', "%20"));
    let mut source = open(&uri, &OpenOptions::default()).unwrap();
    assert_eq!(source.describe().name, "IM 0001");
    assert_eq!(frames(&mut *source).unwrap().len(), 2);
}

#[cfg(not(feature = "video"))]
#[test]
fn a_build_without_video_says_so() {
    let folder = folder();
    let path = folder.path().join("clip.mp4");
    std::fs::write(&path, b"\0\0\0\x10ftypisom\0\0\0\0").unwrap();
    let expected = "video source: expected a build with the feature \"video\", found one without";
    assert_eq!(refusal_of(&path), expected);
    let stream = Cine::colour("YBR_PARTIAL_420", 0);
    for syntax in [uids::MPEG2MPML, uids::MPEG4HP41F, uids::HEVCM10P51] {
        let parts = vec![vec![0; 4]];
        assert_eq!(
            refusal(stream.clone().fragments(syntax, vec![], parts)),
            expected
        );
    }
}
