//! Video files, on a clip that the test writes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]
#![cfg(feature = "video")]

mod cines;
mod pictures;

use cines::{folder, frames, opened, refusal_of};
use echocart_core::frame::PixelFormat;
use pictures::{COUNT, motion_jpeg as clip};

#[test]
fn frames_come_in_rgb_with_their_times() {
    let folder = folder();
    let mut source = opened(&clip(folder.path())).unwrap();
    let info = source.describe();
    assert_eq!((info.name.as_str(), info.kind), ("clip.avi", "video"));
    assert_eq!(
        (info.width_px, info.height_px, info.format),
        (64, 48, PixelFormat::Rgb24)
    );
    assert_eq!(
        (info.frames, info.nominal_period_nanos),
        (Some(COUNT as u64), 40_000_000)
    );
    let all = frames(&mut *source).unwrap();
    assert_eq!(all.len(), COUNT);
    for (index, (meta, pixels)) in all.iter().enumerate() {
        assert_eq!(meta.capture_nanos, index as i64 * 40_000_000);
        let blue = index as i32 * 20;
        for (&found, expected) in pixels
            .iter()
            .zip([220 - blue, 10, blue].into_iter().cycle())
        {
            assert!(
                (i32::from(found) - expected).abs() <= 4,
                "{index}: {found} {expected}"
            );
        }
    }
    source.rewind().unwrap();
    assert!(
        frames(&mut *source).unwrap() == all,
        "another clip after rewinding"
    );
}

#[test]
fn rewinding_in_the_middle_starts_over() {
    let folder = folder();
    let mut source = opened(&clip(folder.path())).unwrap();
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
fn a_cut_clip_is_refused() {
    let folder = folder();
    let path = clip(folder.path());
    let whole = std::fs::read(&path).unwrap();
    for end in [12, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..end]).unwrap();
        let message = refusal_of(&path);
        let expected = format!(
            "video does not decode: expected {} bytes, found {end}",
            whole.len()
        );
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[test]
fn videos_that_do_not_decode_are_one_clear_error() {
    let folder = folder();
    let path = folder.path().join("bad.mp4");
    let ftyp = b"\0\0\0\x10ftypisom\0\0\0\0";
    let filled = |head: &[u8], bytes: usize| [head, &vec![0x5A; bytes]].concat();
    for (bytes, expected) in [
        (
            vec![],
            "unknown kind of source: expected DICOM, MetaImage or a video container, found an empty file",
        ),
        (filled(b"garbage!", 4000), "unknown kind of source"),
        (
            ftyp.to_vec(),
            "video does not decode: expected a movie header (moov), found none",
        ),
        (
            filled(ftyp, 4000),
            "video does not decode: expected a box of 1515870810 bytes",
        ),
        (
            [&ftyp[..], b"\0\0\0\x08moov"].concat(),
            "video does not decode: expected a video stream, found none",
        ),
        (
            filled(b"\x1A\x45\xDF\xA3", 4000),
            "video does not decode: expected a video stream",
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let message = refusal_of(&path);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_playlist_is_not_a_video() {
    let folder = folder();
    let path = folder.path().join("list.m3u8");
    std::fs::write(&path, "#EXTM3U\nhttp://127.0.0.1:1/a.ts\n").unwrap();
    assert!(refusal_of(&path).starts_with("unknown kind of source"));
}
