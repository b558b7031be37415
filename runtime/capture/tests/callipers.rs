//! Callipers on real clips: those that are drawn are found, and nothing else is taken for them.
#![cfg(feature = "video")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod clips;

use clips::frames;
use echocart_core::frame::{FrameMeta, PixelFormat, PixelLayout};
use echocart_core::screen::{Fault, Pixels, Scene, ScreenSetup};
use std::path::PathBuf;

/// Clips of fans that move, and where in them the middles of a pair are, in shares of the frame: on tissue
/// that is not white all the time, where a white cross cannot be seen.
const CLIPS: [(&str, [[f32; 2]; 2]); 8] = [
    (
        "cardiac/a4c_acuson_sequoia_ecg.dcm",
        [[0.54, 0.49], [0.50, 0.35]],
    ),
    (
        "cardiac/a4c_acuson_sequoia_ecg.mp4",
        [[0.54, 0.49], [0.50, 0.35]],
    ),
    (
        "cardiac/a4c_lumify_s41_0011.mp4",
        [[0.46, 0.28], [0.54, 0.49]],
    ),
    (
        "cardiac/a4c_lumify_s41_0013.mp4",
        [[0.54, 0.42], [0.62, 0.56]],
    ),
    (
        "cardiac/a4c_sonosite_turbo_120f.dcm",
        [[0.46, 0.35], [0.62, 0.63]],
    ),
    (
        "cardiac/apical_lumify_s41_0012_low_quality.mp4",
        [[0.46, 0.28], [0.62, 0.56]],
    ),
    (
        "non-cardiac/gallbladder_ruq_lumify_c52.mp4",
        [[0.50, 0.28], [0.42, 0.63]],
    ),
    (
        "non-cardiac/pelvis_bladder_fast_philips_s42_SECTOR.mp4",
        [[0.58, 0.35], [0.62, 0.63]],
    ),
];

/// Sizes and colours in turn: the least and the largest, and those between.
const DRAWN: [(i32, i32, [u8; 3]); 4] = [
    (9, 1, [255, 255, 255]),
    (13, 1, [255, 255, 0]),
    (17, 2, [0, 255, 0]),
    (21, 3, [255, 255, 255]),
];

fn dot(meta: &FrameMeta, pixels: &mut [u8], x: i32, y: i32, rgb: [u8; 3]) {
    let at = (y as usize * meta.width_px as usize + x as usize) * meta.format.bytes();
    match meta.format {
        PixelFormat::Gray8 => pixels[at] = rgb[1],
        PixelFormat::Rgb24 => pixels[at..at + 3].copy_from_slice(&rgb),
        PixelFormat::Bgra32 => pixels[at..at + 3].copy_from_slice(&[rgb[2], rgb[1], rgb[0]]),
        other => panic!("no clip is {other}"),
    }
}

fn draw(
    meta: &FrameMeta,
    pixels: &mut [u8],
    ends: [[f32; 2]; 2],
    (size, thick, rgb): (i32, i32, [u8; 3]),
) {
    let place = |end: [f32; 2]| {
        [
            (end[0] * meta.width_px as f32) as i32,
            (end[1] * meta.height_px as f32) as i32,
        ]
    };
    let [a, b] = ends.map(place);
    for [x, y] in [a, b] {
        for along in -(size / 2)..=size / 2 {
            for across in -(thick / 2)..thick - thick / 2 {
                dot(meta, pixels, x + along, y + across, rgb);
                dot(meta, pixels, x + across, y + along, rgb);
            }
        }
    }
    let long = (b[0] - a[0]).abs().max((b[1] - a[1]).abs()).max(1);
    for along in (size..long - size).step_by(7) {
        let [x, y] = [0, 1].map(|axis| a[axis] + (b[axis] - a[axis]) * along / long);
        dot(meta, pixels, x, y, rgb);
        dot(meta, pixels, x + 1, y, rgb);
    }
}

#[test]
fn a_pair_drawn_on_real_clips_is_called_and_none_is_without() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let mut wrong = Vec::new();
    for (name, ends) in CLIPS {
        let file = root.join(name);
        if !file.is_file() {
            println!("{name}: skipped, no shared/data beside the checkout");
            continue;
        }
        let clip = frames(&file);
        for drawn in [None].into_iter().chain(DRAWN.map(Some)) {
            let mut scene = Scene::new(ScreenSetup::default());
            let mut called = Vec::new();
            for (number, (meta, pixels)) in clip.iter().take(150).enumerate() {
                let mut pixels = pixels.clone();
                if let Some(drawn) = drawn {
                    draw(meta, &mut pixels, ends, drawn);
                }
                let seen = Pixels::new(&pixels, PixelLayout::packed(meta), meta);
                let fault = scene.look(&seen, number as i64 * 33_333_333);
                called.push(fault == Some(Fault::Callipers));
            }
            let from = called.iter().position(|c| *c);
            let held = from.is_some_and(|from| called[from..].iter().all(|c| *c));
            println!("{name} {drawn:?}: called from frame {from:?}, then held: {held}");
            if drawn.is_some() != from.is_some() || (from.is_some() && !held) {
                wrong.push(format!("{name} {drawn:?}: from {from:?}, held {held}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
