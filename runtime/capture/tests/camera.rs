//! GStreamer pipelines and V4L2 devices.
#![cfg(feature = "video")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test helpers")]

mod cines;
mod pictures;

use std::time::Duration;

use cines::folder;
use echocart_capture::{Arrival, DeviceClock, OpenOptions, Polled, SelfTest, Source, open};
use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::PixelFormat;

const PATIENCE: Duration = Duration::from_secs(20);

fn skipped() -> bool {
    let missing = !pictures::has_gstreamer_elements();
    if missing {
        println!("skipped: no GStreamer plug-ins with videotestsrc and appsink");
    }
    missing
}

fn opened(location: &str) -> Box<dyn Source> {
    open(location, &OpenOptions::default()).unwrap()
}

/// Frames up to the end of the pipeline, with what was missed on the way.
fn all(source: &mut dyn Source) -> (Vec<(Arrival, Vec<u8>)>, u64) {
    let mut all = Vec::new();
    let mut missed = 0;
    let mut pixels = FrameBuffer::default();
    loop {
        match source.poll(&mut pixels, PATIENCE).unwrap() {
            Polled::Frame(arrival) => {
                missed += arrival.missed;
                all.push((arrival, pixels.to_vec()));
            }
            Polled::Ended => return (all, missed),
            other => panic!("expected a frame or the end, found {other:?}"),
        }
    }
}

#[test]
fn a_live_pipeline_gives_frames_with_stamps_that_can_be_mapped() {
    if skipped() {
        return;
    }
    let location = "gst:videotestsrc is-live=true num-buffers=45 pattern=red ! \
                    video/x-raw,width=64,height=48,framerate=30/1";
    let mut source = opened(location);
    let info = source.describe();
    assert_eq!(
        (info.kind, info.width_px, info.height_px),
        ("GStreamer", 64, 48)
    );
    assert_eq!(info.nominal_period_nanos, 33_333_333);
    assert!(
        info.timing
            .starts_with("negotiated 64x48 at 30.00 frames/s"),
        "{}",
        info.timing
    );
    let (frames, missed) = all(&mut *source);
    assert_eq!(frames.len() as u64 + missed, 45);
    let mut clock = DeviceClock::default();
    let mut test = SelfTest::default();
    for (arrival, pixels) in &frames {
        assert_eq!(arrival.meta.format, PixelFormat::Rgb24);
        assert_eq!(pixels[..3], [255, 0, 0]);
        clock.map(arrival.device_nanos, arrival.arrival_nanos);
        test.frame(arrival, pixels);
    }
    assert!(clock.quarantined() < frames.len() as u64 / 2);
    println!("videotestsrc: {}", test.report().unwrap());
}

#[test]
fn odd_widths_single_pixels_and_grey_are_frames_too() {
    if skipped() {
        return;
    }
    for (caps, sink, shape) in [
        ("width=63,height=5", "", (63, 5, PixelFormat::Rgb24)),
        ("width=1,height=1", "", (1, 1, PixelFormat::Rgb24)),
        (
            "width=7,height=3,format=GRAY8",
            " ! appsink",
            (7, 3, PixelFormat::Gray8),
        ),
    ] {
        let source = format!("gst:videotestsrc num-buffers=4 ! video/x-raw,{caps}{sink}");
        let (frames, _) = all(&mut *opened(&source));
        assert!(!frames.is_empty(), "{caps}");
        for (Arrival { meta, .. }, pixels) in frames {
            assert_eq!(
                (meta.width_px, meta.height_px, meta.format),
                shape,
                "{caps}"
            );
            assert_eq!(pixels.len(), meta.frame_bytes());
        }
    }
}

#[test]
fn a_file_pipeline_ends_with_its_file() {
    if skipped() {
        return;
    }
    let folder = folder();
    let clip = pictures::motion_jpeg(folder.path());
    let location = format!(
        "gst:filesrc location={} ! avidemux ! jpegdec",
        clip.display()
    );
    let source = open(&location, &OpenOptions::default());
    let Ok(mut source) = source else {
        println!("skipped: no GStreamer plug-ins with avidemux and jpegdec");
        return;
    };
    let (frames, missed) = all(&mut *source);
    assert_eq!(frames.len() as u64 + missed, pictures::COUNT as u64);
}

#[test]
fn what_cannot_be_opened_is_one_line_that_ends_with_the_location() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "no device").unwrap();
    let file = format!("v4l2:{}", file.display());
    for (location, expected) in [
        ("v4l2:/dev/v4l/by-id/none", "No such file"),
        (
            file.as_str(),
            "expected a video device, found something else",
        ),
        (
            "v4l2:/dev/null",
            "expected a video device, found something else",
        ),
        ("v4l2:", "expected v4l2:/dev/v4l/by-id/NAME"),
        ("v4l2:/dev/video0,size=0x0", "found size=0x0"),
        ("v4l2:/dev/video0,colour=red", "found colour=red"),
        ("gst:", "expected gst:ELEMENT"),
        ("gst:nosuchelement ! nosuchsink", "expected a pipeline"),
    ] {
        let refused = open(location, &OpenOptions::default());
        let error = refused.err().unwrap().to_string();
        assert!(
            error.contains(expected) && error.ends_with(location),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}
