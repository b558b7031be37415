//! The simulated heart as a source.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use echocart_capture::{OpenOptions, Source, SourceError, open};
use echocart_core::frame::PixelFormat;

fn phantom(text: &str) -> Result<Box<dyn Source>, SourceError> {
    open(&format!("phantom:{text}"), &OpenOptions::default())
}

fn frames(source: &mut dyn Source) -> Vec<(i64, Vec<u8>)> {
    let mut all = Vec::new();
    let mut pixels = Vec::new();
    while let Some(meta) = source.next(&mut pixels).unwrap() {
        assert_eq!(pixels.len(), meta.frame_bytes());
        all.push((meta.capture_nanos, pixels.clone()));
    }
    all
}

#[test]
fn a_phantom_is_a_source_like_any_other() {
    let mut source =
        phantom("view=A4C,ef=55,hr=70,seed=1,fps=25,seconds=0.4,size=160x120").unwrap();
    let info = source.describe();
    assert_eq!(
        (info.kind, info.width_px, info.height_px),
        ("phantom", 160, 120)
    );
    assert_eq!(info.format, PixelFormat::Rgb24);
    assert_eq!(
        (info.frames, info.nominal_period_nanos),
        (Some(10), 40_000_000)
    );
    let first = frames(source.as_mut());
    let times: Vec<i64> = first.iter().map(|(nanos, _)| *nanos).collect();
    assert_eq!(times, (0..10).map(|i| i * 40_000_000).collect::<Vec<_>>());
    source.rewind().unwrap();
    assert_eq!(frames(source.as_mut()), first);
    let again = phantom("view=A4C,ef=55,hr=70,seed=1,fps=25,seconds=0.4,size=160x120");
    assert_eq!(frames(again.unwrap().as_mut()), first);
}

#[test]
fn a_bare_sector_is_grey_and_everything_has_a_default() {
    let bare = phantom("skin=bare,ecg=off,seconds=0.1").unwrap().describe();
    assert_eq!(bare.format, PixelFormat::Gray8);
    let default = phantom("").unwrap().describe();
    assert_eq!(
        (default.width_px, default.height_px, default.frames),
        (640, 480, Some(300))
    );
}

#[test]
fn a_wrong_location_is_one_line_that_ends_with_it() {
    for (text, expected) in [
        ("vieww=A4C", "unknown key: vieww"),
        ("view=TEE", "found \"TEE\": view"),
        ("ef=5", "expected 20 to 75 %, found 5: ef"),
        ("size=0x0", "found 0: width"),
        ("fps=1e9", "found 1000000000: fps"),
    ] {
        let error = phantom(text).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.ends_with(&format!("(phantom:{text})")), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn an_assumed_rate_is_refused() {
    let options = OpenOptions {
        assume_fps: Some(25.0),
    };
    let error = open("phantom:view=A4C", &options).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("expected fps="), "{error}");
}
