//! Frames of recorded clips and stills.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use echocart_capture::{OpenOptions, open};
use echocart_core::frame::{FrameMeta, HostMeta, PixelFormat};
use opencv::prelude::*;
use opencv::videoio::{CAP_IMAGES, VideoCapture};
use std::path::Path;

/// How often a still is shown, at 30 per second, and how many frames there are of a clip of a few.
const STILL_FRAMES: usize = 90;

/// Frames up to which a clip is shown again and again.
const FEW_FRAMES: usize = 24;

/// The frames of a file; of a still or of few frames, again and again.
pub fn frames(path: &Path) -> Vec<(FrameMeta, Vec<u8>)> {
    if path.extension().is_some_and(|e| e == "png") {
        return still(path);
    }
    let options = OpenOptions {
        assume_fps: Some(30.0),
    };
    let mut source = open(path.to_str().unwrap(), &options).unwrap();
    let mut frames = Vec::new();
    let mut pixels = Vec::new();
    while let Some(meta) = source.next(&mut pixels).unwrap() {
        frames.push((meta, pixels.clone()));
    }
    // a few frames again and again, until there is time to look at them
    let once = frames.len();
    while once < FEW_FRAMES && frames.len() < STILL_FRAMES {
        let (mut meta, pixels) = frames[frames.len() % once].clone();
        meta.capture_nanos = frames[frames.len() - 1].0.capture_nanos + 33_333_333;
        frames.push((meta, pixels));
    }
    frames
}

fn still(path: &Path) -> Vec<(FrameMeta, Vec<u8>)> {
    let mut capture = VideoCapture::from_file(path.to_str().unwrap(), CAP_IMAGES).unwrap();
    let mut image = Mat::default();
    assert!(capture.read(&mut image).unwrap(), "{}", path.display());
    let bgr = image.data_bytes().unwrap();
    let rgb = bgr
        .as_chunks::<3>()
        .0
        .iter()
        .flat_map(|[b, g, r]| [*r, *g, *b]);
    let rgb: Vec<u8> = rgb.collect();
    let meta = |at: usize| FrameMeta {
        width_px: image.cols() as u32,
        height_px: image.rows() as u32,
        format: PixelFormat::Rgb24,
        capture_nanos: at as i64 * 33_333_333,
        pass: 0,
        host: HostMeta::default(),
    };
    (0..STILL_FRAMES)
        .map(|at| (meta(at), rgb.clone()))
        .collect()
}
