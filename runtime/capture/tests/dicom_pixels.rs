//! Photometric interpretations and transfer syntaxes, on pictures whose colours are known.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod cines;

use cines::{Cine, JPEG_BASELINE, RLE, folder, opened, pictures};
use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::adapters::EncodeOptions;
use dicom_encoding::transfer_syntax::Codec;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use echocart_core::frame::PixelFormat;

const RED_YBR: [u8; 3] = [76, 85, 255];
const RED: [u8; 3] = [254, 0, 0];
const GREY: [u8; 3] = [100, 100, 100];
const GREY_YBR: [u8; 3] = [100, 128, 128];

fn repeated(triple: [u8; 3], pixels: usize) -> Vec<u8> {
    triple.iter().copied().cycle().take(pixels * 3).collect()
}

/// Frame 0 is the first colour, frame 1 the second.
fn two_frames(first: [u8; 3], second: [u8; 3]) -> Vec<u8> {
    [repeated(first, 8), repeated(second, 8)].concat()
}

fn planes(frame: &[u8]) -> Vec<u8> {
    (0..3)
        .flat_map(|plane| frame.iter().skip(plane).step_by(3).copied())
        .collect()
}

#[track_caller]
fn assert_close(found: &[u8], expected: &[u8], tolerance: u8) {
    assert_eq!(found.len(), expected.len());
    for (at, (&a, &b)) in found.iter().zip(expected).enumerate() {
        assert!(a.abs_diff(b) <= tolerance, "sample {at}: {a} is not {b}");
    }
}

#[test]
fn monochrome_2_is_delivered_as_it_is() {
    let folder = folder();
    let source = opened(&Cine::new().write(folder.path())).unwrap();
    let info = source.describe();
    assert_eq!((info.width_px, info.height_px), (4, 2));
    assert_eq!((info.format, info.frames), (PixelFormat::Gray8, Some(2)));
    assert_eq!((info.name.as_str(), info.kind), ("cine.dcm", "DICOM"));
    let all = pictures(Cine::new());
    assert_eq!(
        all,
        [
            [0, 10, 20, 30, 40, 50, 60, 70],
            [80, 90, 100, 110, 120, 130, 140, 150]
        ]
    );
}

#[test]
fn monochrome_1_is_inverted() {
    let cine = Cine::new().text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
    assert_eq!(pictures(cine)[0], [255, 245, 235, 225, 215, 205, 195, 185]);
}

#[test]
fn words_of_pixel_data_are_bytes_in_order() {
    let words = (0..8_u16)
        .map(|i| u16::from_le_bytes([i as u8 * 2, i as u8 * 2 + 1]))
        .collect();
    let cine = Cine::new().put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words));
    assert_eq!(pictures(cine).concat(), (0..16).collect::<Vec<u8>>());
}

#[test]
fn rgb_comes_interleaved_from_both_planar_configurations() {
    let samples: Vec<u8> = (0..48).map(|i| i * 5).collect();
    let (first, second) = samples.split_at(24);
    let interleaved = pictures(Cine::colour("RGB", 0).bytes(samples.clone()));
    assert_eq!(interleaved, [first, second]);
    let by_plane = [planes(first), planes(second)].concat();
    assert_eq!(
        pictures(Cine::colour("RGB", 1).bytes(by_plane)),
        [first, second]
    );
}

#[test]
fn ybr_full_becomes_rgb_from_both_planar_configurations() {
    let samples = two_frames(RED_YBR, GREY_YBR);
    let expected = [repeated(RED, 8), repeated(GREY, 8)];
    assert_eq!(
        pictures(Cine::colour("YBR_FULL", 0).bytes(samples.clone())),
        expected
    );
    let by_plane = samples.chunks(24).flat_map(planes).collect();
    assert_eq!(
        pictures(Cine::colour("YBR_FULL", 1).bytes(by_plane)),
        expected
    );
}

#[test]
fn ybr_full_422_is_expanded() {
    let mut samples = [76, 150, 85, 255].repeat(4);
    samples.extend([100, 50, 128, 128].repeat(4));
    let all = pictures(Cine::colour("YBR_FULL_422", 0).bytes(samples));
    assert_eq!(all[0], [254, 0, 0, 255, 74, 74].repeat(4));
    assert_eq!(all[1], [100, 100, 100, 50, 50, 50].repeat(4));
}

fn palette(descriptor: [u16; 3], data: [PrimitiveValue; 3]) -> Cine {
    let mut cine = Cine::new().text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
    for (channel, table) in (0_u16..).zip(data) {
        let descriptor = PrimitiveValue::U16(descriptor.as_slice().into());
        cine = cine
            .put(Tag(0x0028, 0x1101 + channel), VR::US, descriptor)
            .put(Tag(0x0028, 0x1201 + channel), VR::OW, table);
    }
    cine.bytes(vec![0, 1, 2, 3, 4, 9, 255, 2, 0, 1, 2, 3, 4, 9, 255, 2])
}

fn words(values: &[u16]) -> PrimitiveValue {
    PrimitiveValue::U16(values.into())
}

#[test]
fn a_palette_of_words_uses_the_high_byte_and_the_first_mapped_index() {
    let cine = palette(
        [3, 2, 16],
        [
            words(&[0x1100, 0x22FF, 0x3300]),
            words(&[0x4400, 0x5500, 0x6600]),
            words(&[0x7700, 0x8800, 0x99FF]),
        ],
    );
    let (low, middle, high) = ([0x11, 0x44, 0x77], [0x22, 0x55, 0x88], [0x33, 0x66, 0x99]);
    let expected = [low, low, low, middle, high, high, high, low].concat();
    assert_eq!(pictures(cine)[0], expected);
}

#[test]
fn a_palette_of_bytes_is_packed_or_one_in_each_word() {
    let expected: Vec<u8> = [1, 2, 3, 3, 3, 3, 3, 3]
        .iter()
        .flat_map(|&v| [v, v + 10, v + 20])
        .collect();
    let packed = |a: u8| {
        words(&[
            u16::from_le_bytes([a, a + 1]),
            u16::from_le_bytes([a + 2, 0]),
        ])
    };
    let cine = palette([3, 0, 8], [packed(1), packed(11), packed(21)]);
    assert_eq!(pictures(cine)[0], expected);
    let spread = |a: u16| words(&[a, a + 1, a + 2]);
    let cine = palette([3, 0, 8], [spread(1), spread(11), spread(21)]);
    assert_eq!(pictures(cine)[0], expected);
    let narrow = palette([3, 0, 16], [spread(1), spread(11), spread(21)]);
    assert_eq!(pictures(narrow)[0], expected);
}

#[test]
fn indices_of_two_bytes_reach_the_whole_palette() {
    let ramp: Vec<u16> = (0..300).map(|i| i << 7).collect();
    let tables = [words(&ramp), words(&ramp), words(&ramp)];
    let samples: Vec<u8> = [0_u16, 2, 256, 299, 300, 65_535, 4, 6]
        .repeat(2)
        .iter()
        .flat_map(|i| i.to_le_bytes())
        .collect();
    let cine = palette([300, 0, 16], tables)
        .number(tags::BITS_ALLOCATED, 16)
        .number(tags::BITS_STORED, 16)
        .bytes(samples);
    let expected = [0, 1, 128, 149, 149, 149, 2, 3]
        .iter()
        .flat_map(|&v| [v, v, v])
        .collect::<Vec<u8>>();
    assert_eq!(pictures(cine)[0], expected);
}

/// RLE with literal runs only.
fn rle(planes: &[Vec<u8>]) -> Vec<u8> {
    let segment = |plane: &Vec<u8>| {
        let mut bytes: Vec<u8> = plane
            .chunks(128)
            .flat_map(|run| [&[run.len() as u8 - 1][..], run].concat())
            .collect();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    };
    let segments: Vec<Vec<u8>> = planes.iter().map(segment).collect();
    let mut header = vec![segments.len() as u32];
    let mut offset = 64;
    for bytes in &segments {
        header.push(offset);
        offset += bytes.len() as u32;
    }
    header.resize(16, 0);
    let mut fragment: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    fragment.extend(segments.concat());
    fragment
}

#[test]
fn rle_keeps_its_photometric_interpretation() {
    let by_plane = |triple: [u8; 3]| triple.map(|sample| vec![sample; 8]);
    let fragments = vec![rle(&by_plane(RED_YBR)), rle(&by_plane(GREY_YBR))];
    let cine = Cine::colour("YBR_FULL", 1).fragments(RLE, vec![], fragments);
    assert_eq!(pictures(cine), [repeated(RED, 8), repeated(GREY, 8)]);
    let fragments = vec![rle(&by_plane(RED)), rle(&by_plane(GREY))];
    let cine = Cine::colour("RGB", 1).fragments(RLE, vec![], fragments);
    assert_eq!(pictures(cine), [repeated(RED, 8), repeated(GREY, 8)]);
    let grey: Vec<u8> = (0..8).collect();
    let cine = Cine::new().fragments(RLE, vec![], vec![rle(std::slice::from_ref(&grey)); 2]);
    assert_eq!(pictures(cine), [grey.clone(), grey]);
}

#[test]
fn deflated_and_implicit_data_sets_are_read() {
    for syntax in [
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.2",
    ] {
        let mut cine = Cine::colour("RGB", 0).bytes(two_frames(RED, GREY));
        cine.syntax = syntax;
        assert_eq!(
            pictures(cine),
            [repeated(RED, 8), repeated(GREY, 8)],
            "{syntax}"
        );
    }
}

fn jpeg(triple: [u8; 3], kind: jpeg_encoder::ColorType) -> Vec<u8> {
    let mut stream = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut stream, 100);
    encoder
        .encode(&repeated(triple, 256), 16, 16, kind)
        .unwrap();
    stream
}

fn jpeg_cine(photometric: &str, streams: Vec<Vec<u8>>) -> Cine {
    Cine::colour(photometric, 0)
        .number(tags::ROWS, 16)
        .number(tags::COLUMNS, 16)
        .fragments(JPEG_BASELINE, vec![], streams)
}

/// Takes the application segments out of a JPEG stream.
fn bare(stream: &[u8]) -> Vec<u8> {
    let mut out = stream[..2].to_vec();
    let mut rest = &stream[2..];
    while rest[1] != 0xDA {
        let length = 2 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if !(0xE0..=0xEF).contains(&rest[1]) {
            out.extend_from_slice(&rest[..length]);
        }
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
    out
}

#[test]
fn jpeg_colours_follow_the_stream_then_the_photometric_interpretation() {
    use jpeg_encoder::ColorType::{Rgb, Ycbcr};
    let from_rgb = vec![jpeg(RED, Rgb), jpeg(GREY, Rgb)];
    let all = pictures(jpeg_cine("YBR_FULL_422", from_rgb.clone()));
    assert_close(&all[0], &repeated(RED, 256), 3);
    assert_close(&all[1], &repeated(GREY, 256), 1);
    let mislabelled = pictures(jpeg_cine("RGB", from_rgb));
    assert_close(&mislabelled[0], &repeated(RED, 256), 3);
    let stored = bare(&jpeg(RED_YBR, Ycbcr));
    let transformed = pictures(jpeg_cine(
        "YBR_FULL_422",
        vec![stored.clone(), stored.clone()],
    ));
    assert_close(&transformed[0], &repeated(RED, 256), 3);
    let untouched = pictures(jpeg_cine("RGB", vec![stored.clone(), stored]));
    assert_close(&untouched[0], &repeated(RED_YBR, 256), 2);
}

#[test]
fn a_jpeg_frame_may_lie_in_several_fragments() {
    let streams = [RED, GREY].map(|colour| jpeg(colour, jpeg_encoder::ColorType::Rgb));
    let mut parts = Vec::new();
    let mut offsets = vec![0];
    for stream in &streams {
        let middle = (stream.len() / 2).next_multiple_of(2);
        parts.extend([stream[..middle].to_vec(), stream[middle..].to_vec()]);
        let bytes = stream.len().next_multiple_of(2) as u32 + 16;
        offsets.push(offsets[offsets.len() - 1] + bytes);
    }
    offsets.truncate(2);
    for table in [offsets, vec![]] {
        let mut cine = jpeg_cine("YBR_FULL_422", vec![]);
        cine = cine.fragments(JPEG_BASELINE, table, parts.clone());
        let all = pictures(cine);
        assert_close(&all[0], &repeated(RED, 256), 3);
        assert_close(&all[1], &repeated(GREY, 256), 1);
    }
}

/// Encodes both frames of a plain cine with the registry's encoder.
fn encoded(syntax: &'static str, cine: Cine) -> Cine {
    let folder = folder();
    let object = dicom_object::open_file(cine.clone().write(folder.path())).unwrap();
    let Some(Codec::EncapsulatedPixelData(_, Some(encoder))) = TransferSyntaxRegistry
        .get(syntax)
        .map(|syntax| syntax.codec())
    else {
        panic!("no encoder for {syntax}")
    };
    let fragments = (0..2).map(|frame| {
        let mut stream = Vec::new();
        let mut options = EncodeOptions::default();
        options.quality = Some(100);
        encoder
            .encode_frame(&object, frame, options, &mut stream)
            .unwrap();
        stream
    });
    let fragments = fragments.collect();
    cine.fragments(syntax, vec![], fragments)
}

fn grey_ramp() -> Cine {
    let ramp = (0..2 * 16 * 16).map(|i| (i % 251) as u8).collect();
    Cine::new()
        .number(tags::ROWS, 16)
        .number(tags::COLUMNS, 16)
        .bytes(ramp)
}

#[test]
fn jpeg_ls_and_jpeg_xl_return_what_went_in() {
    let expected = pictures(grey_ramp());
    for syntax in ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.110"] {
        assert_eq!(pictures(encoded(syntax, grey_ramp())), expected, "{syntax}");
    }
    let colours: Vec<u8> = (0..2 * 16 * 16 * 3).map(|i| (i % 253) as u8).collect();
    let cine = Cine::colour("RGB", 0)
        .number(tags::ROWS, 16)
        .number(tags::COLUMNS, 16)
        .bytes(colours);
    let expected = pictures(cine.clone());
    assert_eq!(pictures(encoded("1.2.840.10008.1.2.4.110", cine)), expected);
}
