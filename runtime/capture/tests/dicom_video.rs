//! Video streams in DICOM files, encoded by the test.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]
#![cfg(feature = "video")]

mod cines;
mod pictures;

use std::path::Path;

use cines::{Cine, RLE, folder, frames, opened, refusal, refusal_of};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use echocart_core::frame::{FrameMeta, PixelFormat};
use pictures::{COUNT, encoded};

const H264: [u8; 4] = *b"avc1";

/// A cine of the test's clip, cut into `fragments`.
fn cine(syntax: &'static str, fragments: Vec<Vec<u8>>) -> Cine {
    Cine::colour("YBR_PARTIAL_420", 0)
        .number(tags::ROWS, 48)
        .number(tags::COLUMNS, 64)
        .text(tags::NUMBER_OF_FRAMES, VR::IS, &COUNT.to_string())
        .fragments(syntax, vec![], fragments)
}

fn bytes(folder: &Path, name: &str, fourcc: [u8; 4]) -> Vec<u8> {
    std::fs::read(encoded(folder, name, fourcc)).unwrap()
}

fn bare_h264() -> Vec<u8> {
    bytes(folder().path(), "clip.h264", H264)
}

/// Where the units of a bare stream begin, with their start codes.
fn units(stream: &[u8]) -> Vec<usize> {
    let codes = stream.windows(3).enumerate();
    let starts = codes.filter(|(_, code)| code == &[0, 0, 1]);
    starts.map(|(at, _)| at).collect()
}

/// All frames, twice.
fn played(path: &Path) -> Vec<(FrameMeta, Vec<u8>)> {
    let mut source = opened(path).unwrap();
    let first = frames(&mut *source).unwrap();
    source.rewind().unwrap();
    assert!(frames(&mut *source).unwrap() == first, "after rewinding");
    first
}

#[track_caller]
fn assert_clip(all: &[(FrameMeta, Vec<u8>)], what: &str) {
    assert_eq!(all.len(), COUNT, "{what}");
    for (index, (meta, pixels)) in all.iter().enumerate() {
        assert_eq!(meta.capture_nanos, index as i64 * 40_000_000, "{what}");
        assert_eq!(
            (meta.width_px, meta.height_px, meta.format),
            (64, 48, PixelFormat::Rgb24)
        );
        let blue = index as i32 * 20;
        let expected = [220 - blue, 10, blue].into_iter().cycle();
        for (&found, expected) in pixels.iter().zip(expected) {
            let difference = (i32::from(found) - expected).abs();
            assert!(difference <= 8, "{what} {index}: {found} {expected}");
        }
    }
}

#[test]
fn every_video_syntax_plays_in_every_form_that_dicom_allows() {
    let folder = folder();
    let (mpeg_2, hevc) = (*b"mpg2", *b"HEVC");
    for (syntax, name, fourcc) in [
        (uids::MPEG2MPML, "clip.m2v", mpeg_2),
        (uids::MPEG2MPHL, "two.ts", mpeg_2),
        (uids::MPEG4HP41, "clip.h264", H264),
        (uids::MPEG4HP41BD, "clip.mp4", H264),
        (uids::MPEG4HP422D, "clip.ts", H264),
        (uids::MPEG4HP423D, "clip.h264", H264),
        (uids::MPEG4HP42STEREO, "clip.mp4", H264),
        (uids::HEVCMP51, "clip.hevc", hevc),
        (uids::HEVCM10P51, "hevc.mp4", *b"hvc1"),
    ] {
        let path = cine(syntax, vec![bytes(folder.path(), name, fourcc)]).write(folder.path());
        assert_clip(&played(&path), &format!("{syntax} {name}"));
        let info = opened(&path).unwrap().describe();
        assert_eq!((info.kind, info.frames), ("DICOM", Some(COUNT as u64)));
        assert_eq!(info.timing, "FrameTime, 40.0 ms");
    }
}

#[test]
fn fragments_are_joined_wherever_they_are_cut() {
    let folder = folder();
    let stream = bare_h264();
    for syntax in [
        uids::MPEG4HP41F,
        uids::MPEG4HP41BDF,
        uids::MPEG4HP422DF,
        uids::MPEG4HP423DF,
        uids::MPEG4HP42STEREOF,
    ] {
        for piece_bytes in [2, 100, stream.len() / 4 * 2] {
            let mut parts: Vec<_> = stream.chunks(piece_bytes).map(<[u8]>::to_vec).collect();
            parts.insert(1, vec![]);
            let path = cine(syntax, parts).write(folder.path());
            assert_clip(&played(&path), &format!("{syntax} {piece_bytes}"));
        }
    }
    let path = encoded(folder.path(), "clip.m2v", *b"mpg2");
    let stream = std::fs::read(path).unwrap();
    for syntax in [uids::MPEG2MPMLF, uids::MPEG2MPHLF] {
        let parts = stream.chunks(64).map(<[u8]>::to_vec).collect();
        assert_clip(&played(&cine(syntax, parts).write(folder.path())), syntax);
    }
}

#[test]
fn the_header_has_the_times_and_the_stream_has_not() {
    let vector: Vec<String> = (0..COUNT).map(|i| (i * 10 + 30).to_string()).collect();
    let cine = cine(uids::MPEG4HP41, vec![bare_h264()])
        .without(tags::FRAME_TIME)
        .text(tags::FRAME_TIME_VECTOR, VR::DS, &vector.join("\\"));
    let folder = folder();
    let all = played(&cine.write(folder.path()));
    let millis: Vec<i64> = all
        .iter()
        .map(|(meta, _)| meta.capture_nanos / 1_000_000)
        .collect();
    assert_eq!(millis[..4], [0, 40, 90, 150]);
}

#[test]
fn pictures_are_those_of_the_same_stream_as_a_video_file() {
    let folder = folder();
    let path = encoded(folder.path(), "clip.mp4", H264);
    let video = played(&path);
    let dicom = cine(uids::MPEG4HP41, vec![std::fs::read(&path).unwrap()]);
    assert!(played(&dicom.write(folder.path())) == video);
}

#[test]
fn rewinding_in_the_middle_starts_over() {
    let folder = folder();
    let path = cine(uids::MPEG4HP41, vec![bare_h264()]).write(folder.path());
    let mut source = opened(&path).unwrap();
    let mut pixels = Vec::new();
    let first = source.next(&mut pixels).unwrap();
    let picture = pixels.clone();
    source.next(&mut pixels).unwrap();
    assert!(pixels != picture);
    source.rewind().unwrap();
    assert_eq!(source.next(&mut pixels).unwrap(), first);
    assert!(pixels == picture);
}

#[test]
fn header_and_stream_must_have_as_many_frames() {
    let stream = bare_h264();
    for frames in [COUNT - 1, COUNT + 1, 100_000] {
        let message = refusal(cine(uids::MPEG4HP41, vec![stream.clone()]).text(
            tags::NUMBER_OF_FRAMES,
            VR::IS,
            &frames.to_string(),
        ));
        let expected = format!("pixel data: expected {frames} frames, found a stream of {COUNT}");
        assert_eq!(message, expected);
    }
}

#[test]
fn a_cut_stream_is_refused_with_both_counts() {
    let stream = bare_h264();
    let units = units(&stream);
    for missing in [1, 4, COUNT - 1] {
        let end = units[units.len() - missing];
        let message = refusal(cine(uids::MPEG4HP41, vec![stream[..end].to_vec()]));
        let found = COUNT - missing;
        let expected = format!("pixel data: expected {COUNT} frames, found a stream of {found}");
        assert_eq!(message, expected);
    }
    let boxed = bytes(folder().path(), "clip.mp4", H264);
    let message = refusal(cine(
        uids::MPEG4HP41,
        vec![boxed[..boxed.len() / 2].to_vec()],
    ));
    assert!(
        message.starts_with("pixel data: expected a box of"),
        "{message}"
    );
}

#[test]
fn a_stream_of_another_size_is_refused() {
    for (rows, columns) in [(24, 32), (48, 62), (64, 48), (1080, 1920)] {
        let message = refusal(
            cine(uids::MPEG4HP41, vec![bare_h264()])
                .number(tags::ROWS, rows)
                .number(tags::COLUMNS, columns),
        );
        let expected =
            format!("pixel data: expected frames of {columns}x{rows}, found a stream of 64x48");
        assert_eq!(message, expected);
    }
}

#[test]
fn what_is_not_a_stream_never_reaches_the_decoder() {
    let form = "pixel data: expected MP4, MPEG-TS or a bare MPEG-2, H.264 or HEVC stream, found";
    for (parts, found) in [
        (vec![], "no bytes"),
        (vec![vec![]], "no bytes"),
        (vec![vec![], vec![]], "no bytes"),
        (
            vec![vec![0; 400]],
            "the first bytes 00 00 00 00 00 00 00 00",
        ),
        (
            vec![b"#EXTM3U\nhttp://127.0.0.1:1/a.ts\n".to_vec()],
            "the first bytes 23 45 58 54 4d 33 55 0a",
        ),
        (
            vec![b"RIFF\0\0\0\0AVI LIST".to_vec()],
            "the first bytes 52 49 46 46 00 00 00 00",
        ),
        (
            vec![vec![0xFF, 0xD8, 0xFF, 0xE0, 1, 2, 3, 4]; 2],
            "the first bytes ff d8 ff e0 01 02 03 04",
        ),
    ] {
        let message = refusal(cine(uids::MPEG4HP41, parts));
        assert_eq!(message, format!("{form} {found}"));
    }
    let mut plain = cine(uids::MPEG4HP41, vec![vec![]]);
    plain = plain.without_fragments().bytes(vec![0; 64]);
    assert!(refusal(plain).ends_with("found another form"));
}

#[test]
fn garbage_behind_a_start_code_is_one_clear_error() {
    let garbage = |start: &[u8]| {
        let rest = (0..4000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
        start.iter().copied().chain(rest).collect::<Vec<u8>>()
    };
    for start in [
        &[0, 0, 0, 1, 0x67][..],
        &[0, 0, 1, 0x40, 1],
        &[0, 0, 1, 0xB3],
        &[0, 0, 1, 0xBA],
        b"\0\0\0\x08moov",
    ] {
        for syntax in [uids::MPEG2MPML, uids::MPEG4HP41, uids::HEVCMP51] {
            let message = refusal(cine(syntax, vec![garbage(start)]));
            assert!(message.starts_with("pixel data: expected "), "{message}");
        }
    }
}

#[test]
fn a_damaged_stream_plays_whole_or_ends_with_one_clear_error() {
    let folder = folder();
    let whole = bare_h264();
    let mut refused = 0;
    for seed in 1..=40_u32 {
        let mut stream = whole.clone();
        let mut state = seed.wrapping_mul(2_654_435_761);
        for _ in 0..seed {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = 5 + state as usize % (stream.len() - 5);
            stream[at] ^= (state >> 24) as u8 | 1;
        }
        let path = cine(uids::MPEG4HP41, vec![stream]).write(folder.path());
        match opened(&path).and_then(|mut source| frames(&mut *source)) {
            Ok(all) => assert_eq!(all.len(), COUNT, "{seed}"),
            Err(_) => {
                refused += 1;
                let message = refusal_of(&path);
                assert!(message.contains("expected "), "{message}");
            }
        }
    }
    assert!(refused > 0, "no damage was noticed");
}

#[test]
fn pictures_that_are_missing_name_both_counts() {
    let mut stream = bare_h264();
    let units = units(&stream);
    let ends = units.iter().skip(1).copied().chain([stream.len()]);
    for (&start, end) in units.iter().zip(ends) {
        if stream[start + 3] & 0x1F == 1 {
            stream[start + 5..end].fill(0x55);
        }
    }
    let message = refusal(cine(uids::MPEG4HP41, vec![stream]));
    let same = |frame: usize| {
        format!(
            "frame {frame} does not decode: expected MPEG-4 AVC/H.264 High Profile / Level 4.1, \
             found the end after {frame} of {COUNT} frames"
        )
    };
    assert!((0..2).any(|frame| message == same(frame)), "{message}");
    let mut boxed = bytes(folder().path(), "clip.mp4", H264);
    let at = boxed.windows(4).position(|part| part == b"mdat").unwrap();
    let size = u32::from_be_bytes(*boxed[at - 4..].first_chunk().unwrap()) as usize;
    boxed[at + 4..at - 4 + size].fill(0x5A);
    let message = refusal(cine(uids::MPEG4HP41, vec![boxed]));
    let expected = format!("pixel data: expected {COUNT} frames, found a stream of 0");
    assert_eq!(message, expected);
}

#[test]
fn photometric_interpretation_and_syntax_must_go_together() {
    let message = refusal(
        cine(uids::MPEG4HP41, vec![bare_h264()])
            .number(tags::SAMPLES_PER_PIXEL, 1)
            .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    );
    assert_eq!(
        message,
        "PhotometricInterpretation: expected YBR_PARTIAL_420 or another of three samples for \
         video, found MONOCHROME2"
    );
    let still = Cine::colour("YBR_PARTIAL_420", 0);
    for cine in [
        still.clone(),
        still.fragments(RLE, vec![], vec![vec![0; 64]; 2]),
    ] {
        let message = refusal(cine);
        let expected = "PhotometricInterpretation: expected a colour space of ";
        assert!(message.starts_with(expected), "{message}");
    }
    let folder = folder();
    for other in ["RGB", "YBR_FULL_422"] {
        let cine = cine(uids::MPEG4HP41, vec![bare_h264()]).text(
            tags::PHOTOMETRIC_INTERPRETATION,
            VR::CS,
            other,
        );
        assert_clip(&played(&cine.write(folder.path())), other);
    }
}

/// Three grey pictures of 64x48 in 10 bits per sample: luminance 300, 500 and 700.
///
/// # Source
/// Written for this test with x265 3.x (main10, `info=0`) through the Python package av.
const TEN_BITS: &[u8] =
    b"\x00\x00\x00\x01\x40\x01\x0C\x01\xFF\xFF\x02\x20\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\
    \x03\x00\x1E\x95\x98\x09\x00\x00\x00\x01\x42\x01\x01\x02\x20\x00\x00\x03\x00\x90\x00\x00\
    \x03\x00\x00\x03\x00\x1E\xA0\x20\x83\x13\x65\x95\x9A\xE4\xCA\xE6\x80\x80\x00\x00\x03\x00\
    \x80\x00\x00\x0C\x84\x00\x00\x00\x01\x44\x01\xC1\x73\xD0\x89\x00\x00\x01\x28\x01\xAF\x78\
    \xF8\x5D\xF7\xFF\xF0\xEB\x2F\xB3\x56\x67\x6B\xC0\x00\x00\x00\x01\x02\x01\xD8\x09\x7E\xF0\
    \xF8\x5D\xF7\xFE\x69\x3E\xCD\x59\x9D\xAF\x00\x00\x00\x01\x02\x01\xD0\x11\xFF\xD4\x43\x06\
    \xD0\xDD\x5C\x3A\x0F\x34\x6E\xCD\x0A\x06\x33\xCA\xE0";

#[test]
fn ten_bits_are_shown_in_eight() {
    let folder = folder();
    let words = cine(uids::HEVCM10P51, vec![TEN_BITS.to_vec()])
        .text(tags::NUMBER_OF_FRAMES, VR::IS, "3")
        .number(tags::BITS_ALLOCATED, 16)
        .number(tags::BITS_STORED, 10)
        .number(tags::HIGH_BIT, 9);
    let all = played(&words.write(folder.path()));
    assert_eq!(all.len(), 3);
    for ((_, pixels), level) in all.iter().zip([69, 127, 186_u8]) {
        assert!(pixels.iter().all(|sample| sample.abs_diff(level) <= 3));
    }
}
