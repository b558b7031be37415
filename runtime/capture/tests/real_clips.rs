//! Real clips of several vendors, where the shared reference folder lies beside the checkout.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod cines;

use std::path::PathBuf;

use cines::{frames, opened};
#[cfg(feature = "video")]
use dicom_core::VR;
#[cfg(feature = "video")]
use dicom_dictionary_std::{tags, uids};
use echocart_capture::{OpenOptions, SourceInfo, open};
use echocart_core::frame::FrameMeta;

const MILLI: f64 = 1e6;

fn clip(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(name);
    if !path.is_file() {
        println!("skipped: no shared/data/{name} beside the checkout");
        return None;
    }
    Some(path)
}

type Clip = (SourceInfo, Vec<(FrameMeta, Vec<u8>)>);

fn played(name: &str, assume_fps: Option<f64>) -> Option<Clip> {
    let path = clip(name)?;
    let mut source = open(path.to_str().unwrap(), &OpenOptions { assume_fps }).unwrap();
    let info = source.describe();
    let all = frames(&mut *source).unwrap();
    source.rewind().unwrap();
    let mut pixels = Vec::new();
    for (meta, expected) in all.iter().take(3) {
        assert_eq!(source.next(&mut pixels).unwrap().as_ref(), Some(meta));
        assert!(&pixels == expected, "another picture after rewinding");
    }
    assert!(
        all.windows(2)
            .all(|pair| pair[0].0.capture_nanos < pair[1].0.capture_nanos)
    );
    Some((info, all))
}

#[track_caller]
fn assert_clip(clip: &Clip, count: u64, size: (u32, u32), last_millis: f64) {
    let (info, all) = clip;
    assert_eq!((all.len() as u64, info.frames), (count, Some(count)));
    assert_eq!((info.width_px, info.height_px), size);
    let last = all[all.len() - 1].0.capture_nanos as f64 / MILLI;
    assert!(
        (last - last_millis).abs() < 0.5,
        "{last} ms is not {last_millis} ms"
    );
}

/// Share of pixels whose one colour stands out from both others by 60.
fn share(pixels: &[u8], channel: usize) -> f64 {
    let triples = pixels.as_chunks::<3>().0;
    let strong = triples.iter().filter(|rgb| {
        rgb.iter()
            .enumerate()
            .all(|(at, &v)| at == channel || rgb[channel] >= v.saturating_add(60))
    });
    strong.count() as f64 / triples.len() as f64
}

#[test]
fn an_irregular_vector_is_replayed_as_it_is() {
    let Some(clip) = played("cardiac/a4c_acuson_sequoia_ecg.dcm", Some(99.0)) else {
        return;
    };
    assert_clip(&clip, 65, (576, 456), 2438.318);
    assert_eq!(clip.0.timing, "FrameTimeVector, 33.3 to 50.0 ms");
    let steps: Vec<i64> = clip
        .1
        .windows(2)
        .map(|pair| pair[1].0.capture_nanos - pair[0].0.capture_nanos)
        .collect();
    assert_eq!(steps[..3], [33_333_000, 50_000_000, 33_333_000]);
    let cyan = |[r, g, b]: &&[u8; 3]| *g > 120 && *b > 120 && *r < 110;
    assert!(
        clip.1[0].1.as_chunks::<3>().0.iter().filter(cyan).count() > 100,
        "ECG trace"
    );
}

#[test]
fn the_sonosite_cine_has_120_frames_at_30_hz() {
    let Some(clip) = played("cardiac/a4c_sonosite_turbo_120f.dcm", None) else {
        return;
    };
    assert_clip(&clip, 120, (640, 480), 119.0 * 33.333);
    assert_eq!(
        (clip.0.timing.as_str(), clip.0.nominal_period_nanos),
        ("FrameTime, 33.3 ms", 33_333_000)
    );
    let small = played("cardiac/a4c_sonosite_turbo_30f_320x240.dcm", None).unwrap();
    assert_clip(&small, 30, (320, 240), 29.0 * 33.333);
}

#[test]
fn jpeg_xl_shows_colour_doppler_in_red_and_blue() {
    let Some(clip) = played("cardiac/a3c_color_ge_vivid_e95_jpegxl.dcm", None) else {
        return;
    };
    assert_clip(&clip, 27, (1016, 708), 26.0 * 47.4359);
    let pixels = &clip.1[13].1;
    assert!(
        share(pixels, 0) > 0.02 && share(pixels, 2) > 0.005,
        "red and blue"
    );
    assert!(share(pixels, 1) < 0.005, "green");
}

#[test]
fn jpeg_shows_colour_doppler_in_red_and_blue() {
    let Some(clip) = played("cardiac/plax_color_philips_affiniti70_ecg.dcm", None) else {
        return;
    };
    assert_clip(&clip, 30, (800, 600), 29.0 * 54.241);
    let pixels = &clip.1[15].1;
    assert!(
        share(pixels, 0) > 0.003 && share(pixels, 2) > 0.01,
        "red and blue"
    );
    assert!(share(pixels, 1) < 0.01, "green");
}

#[test]
fn a_palette_cine_without_timing_needs_an_assumed_rate() {
    let name = "layout-and-edge-cases/ob_philips_cx50_palette_2f.dcm";
    let Some(path) = clip(name) else { return };
    let error = opened(&path).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("no frame timing: expected") && error.contains("--assume-fps"));
    let clip = played(name, Some(20.0)).unwrap();
    assert_clip(&clip, 2, (800, 600), 50.0);
    assert_eq!(clip.0.timing, "assumed, 20 frames/s");
    let blue = |[r, g, b]: &&[u8; 3]| *b > 60 && *b > *g && *g > *r;
    assert!(
        clip.1[0].1.as_chunks::<3>().0.iter().filter(blue).count() > 20_000,
        "title bar"
    );
}

#[test]
fn real_stills_are_refused() {
    for name in [
        "cardiac/still_ascending_aorta_philips_epiq7c_calipers.dcm",
        "non-cardiac/elbow_esaote_ybr422_still.dcm",
        "non-cardiac/thyroid_acuson_sequoia_rle_still.dcm",
    ] {
        let Some(path) = clip(name) else { continue };
        let error = opened(&path).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.starts_with("not a cine: expected more than one frame, found 1"),
            "{error}"
        );
    }
}

#[cfg(feature = "video")]
#[test]
fn a_video_of_the_same_cine_shows_the_same_pictures_at_the_same_times() {
    for (name, rate) in [
        ("cardiac/plax_color_philips_affiniti70_ecg", 18.4363),
        ("cardiac/a4c_sonosite_turbo_120f", 30.0),
    ] {
        let Some((_, dicom)) = played(&format!("{name}.dcm"), None) else {
            continue;
        };
        let video = played(&format!("{name}.mp4"), None).unwrap();
        let count = dicom.len() as u64;
        let first = dicom[0].0;
        let size = (first.width_px, first.height_px);
        assert_clip(&video, count, size, (count - 1) as f64 * 1000.0 / rate);
        for ((a, pixels_a), (_, pixels_b)) in dicom.iter().zip(&video.1) {
            let sum: u64 = pixels_a
                .iter()
                .zip(pixels_b)
                .map(|(&a, &b)| u64::from(a.abs_diff(b)))
                .sum();
            let mean = sum as f64 / a.frame_bytes() as f64;
            assert!(
                mean < 4.0,
                "{name} at {} ns: mean difference {mean}",
                a.capture_nanos
            );
        }
    }
}

#[cfg(feature = "video")]
#[test]
fn videos_have_the_frames_and_durations_of_the_manifest() {
    for (name, count, size, rate) in [
        ("cardiac/a4c_lumify_s41_0011.mp4", 255, (800, 450), 25.4167),
        ("cardiac/a4c_acuson_sequoia_ecg.mp4", 65, (576, 456), 26.298),
        ("non-cardiac/eye_phantom_clarius.mp4", 50, (1280, 960), 25.0),
        (
            "non-cardiac/gallbladder_ruq_lumify_c52.mp4",
            201,
            (800, 450),
            20.0,
        ),
    ] {
        let Some(clip) = played(name, None) else {
            continue;
        };
        assert_clip(&clip, count, size, (count - 1) as f64 * 1000.0 / rate);
        assert!(
            clip.0.timing.starts_with("frame times of the container"),
            "{}",
            clip.0.timing
        );
    }
}

#[cfg(feature = "video")]
#[test]
fn a_real_stream_in_dicom_has_the_pictures_of_its_video_file() {
    for (name, rows, columns, count) in [
        ("cardiac/a4c_acuson_sequoia_ecg.mp4", 456, 576, "65"),
        ("cardiac/a4c_lumify_s41_0011.mp4", 450, 800, "255"),
    ] {
        let Some(path) = clip(name) else { continue };
        let folder = cines::folder();
        let stream = std::fs::read(&path).unwrap();
        let parts = stream.chunks(65_536).map(<[u8]>::to_vec).collect();
        let dicom = cines::Cine::colour("YBR_PARTIAL_420", 0)
            .number(tags::ROWS, rows)
            .number(tags::COLUMNS, columns)
            .text(tags::NUMBER_OF_FRAMES, VR::IS, count)
            .fragments(uids::MPEG4HP41F, vec![], parts)
            .write(folder.path());
        let (mut a, mut b) = (opened(&dicom).unwrap(), opened(&path).unwrap());
        let (mut pixels_a, mut pixels_b) = (Vec::new(), Vec::new());
        let mut frame = 0_u64;
        while let Some(meta) = a.next(&mut pixels_a).unwrap() {
            b.next(&mut pixels_b).unwrap().unwrap();
            assert!(pixels_a == pixels_b, "{name}: frame {frame}");
            assert_eq!(meta.capture_nanos, frame as i64 * 40_000_000);
            frame += 1;
        }
        assert_eq!(b.next(&mut pixels_b).unwrap(), None);
        assert_eq!(Some(frame), b.describe().frames);
    }
}
