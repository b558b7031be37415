//! The preprocessing of `echocart-core` against OpenCV's own 8-bit bilinear resize.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails its test")]

use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::manifest::{Encoder, Mask, Preprocess, Step};
use echocart_core::preprocess::Preprocessor;
use opencv::core::{Mat, MatTraitConst, MatTraitConstManual, Rect, Scalar, Size};
use opencv::imgproc::{FILLED, INTER_LINEAR, LINE_8, rectangle, resize};

/// Grey levels a pixel may be away from OpenCV's: its other builds and accelerators round otherwise.
const MAX_LEVELS: u8 = 1;

/// Version of both supported systems; its generic code is met bit for bit.
const EQUAL_VERSION: (i32, i32) = (4, 6);

const SIZES: [(u32, u32); 17] = [
    (640, 480),
    (1024, 768),
    (1016, 708),
    (576, 456),
    (800, 600),
    (112, 112),
    (224, 224),
    (256, 256),
    (448, 448),
    (1, 1),
    (1, 9),
    (9, 1),
    (2, 3),
    (101, 77),
    (333, 251),
    (255, 257),
    (1921, 1079),
];

const FORMATS: [PixelFormat; 2] = [PixelFormat::Gray8, PixelFormat::Rgb24];

#[derive(Debug, Clone, Copy)]
enum Content {
    Noise,
    Gradient,
    Checks,
}

const CONTENTS: [Content; 3] = [Content::Noise, Content::Gradient, Content::Checks];

struct Picture {
    meta: FrameMeta,
    pixels: Vec<u8>,
}

impl Picture {
    fn new(width_px: u32, height_px: u32, format: PixelFormat, content: Content) -> Self {
        let meta = FrameMeta {
            width_px,
            height_px,
            format,
            capture_nanos: 0,
            pass: 0,
            host: Default::default(),
        };
        let mut state = u64::from(width_px) << 32 | u64::from(height_px);
        let mut noise = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let mut pixels = Vec::with_capacity(meta.frame_bytes());
        for y in 0..height_px {
            for x in 0..width_px {
                for c in 0..format.bytes() as u32 {
                    pixels.push(match content {
                        Content::Noise => noise(),
                        Content::Gradient => ((x * 3 + y * 2 + c * 85) / 5) as u8,
                        Content::Checks => ((x / 7 + y / 5 + c) % 2 * 255) as u8,
                    });
                }
            }
        }
        Self { meta, pixels }
    }

    fn mat(&self) -> Mat {
        let (rows, columns) = (self.meta.height_px as i32, self.meta.row_bytes() as i32);
        let flat = Mat::new_rows_cols_with_data(rows, columns, &self.pixels).unwrap();
        let channels = self.meta.format.bytes() as i32;
        flat.reshape(channels, rows).unwrap().try_clone().unwrap()
    }
}

/// Interleaved RGB of `steps` and a mask as OpenCV and the training code's size rules do them.
fn by_opencv(picture: &Picture, steps: &[Step], mask: &Mask) -> Vec<u8> {
    let mut image = picture.mat();
    for (at, step) in steps.iter().enumerate() {
        blacken(&mut image, mask, at);
        let (width, height) = (f64::from(image.cols()), f64::from(image.rows()));
        match *step {
            Step::Squash {
                width_px,
                height_px,
            } => {
                image = resized(&image, width_px as i32, height_px as i32);
            }
            Step::ShortSide { size_px } => {
                let size = f64::from(size_px);
                if width.min(height) != size {
                    image = if width < height {
                        resized(&image, size_px as i32, (size * height / width) as i32)
                    } else {
                        resized(&image, (size * width / height) as i32, size_px as i32)
                    };
                }
            }
            Step::CentreCrop {
                width_px,
                height_px,
            } => {
                let x = ((width - f64::from(width_px)) / 2.0).round_ties_even() as i32;
                let y = ((height - f64::from(height_px)) / 2.0).round_ties_even() as i32;
                let window = Rect::new(x, y, width_px as i32, height_px as i32);
                image = Mat::roi(&image, window).unwrap().try_clone().unwrap();
            }
        }
    }
    blacken(&mut image, mask, steps.len());
    let bytes = image.data_bytes().unwrap();
    let copies = 3 / picture.meta.format.bytes();
    bytes
        .iter()
        .flat_map(|&byte| std::iter::repeat_n(byte, copies))
        .collect()
}

/// Fills a mask's boxes if it comes in after `steps` steps.
fn blacken(image: &mut Mat, mask: &Mask, steps: usize) {
    let Mask::Boxes { after_steps, boxes } = mask else {
        return;
    };
    if *after_steps != steps {
        return;
    }
    let (width, height) = (f64::from(image.cols()), f64::from(image.rows()));
    for [x, y, w, h] in boxes {
        let (left, top) = ((x * width) as i32, (y * height) as i32);
        let right = (((x + w) * width) as i32).min(image.cols());
        let bottom = (((y + h) * height) as i32).min(image.rows());
        if left < right && top < bottom {
            let area = Rect::new(left, top, right - left, bottom - top);
            rectangle(image, area, Scalar::all(0.0), FILLED, LINE_8, 0).unwrap();
        }
    }
}

fn resized(image: &Mat, width: i32, height: i32) -> Mat {
    let mut out = Mat::default();
    resize(
        image,
        &mut out,
        Size::new(width, height),
        0.0,
        0.0,
        INTER_LINEAR,
    )
    .unwrap();
    out
}

fn encoder(width_px: usize, height_px: usize, patch_px: usize) -> Encoder {
    Encoder {
        family: "vjepa2".to_owned(),
        dim: 192,
        depth: 6,
        heads: 3,
        mlp_ratio: 4.0,
        frames: 16,
        height_px,
        width_px,
        tubelet_frames: 2,
        patch_px,
        channels: 3,
    }
}

/// Interleaved RGB of `steps` as the runtime does them, read back from the second frame's values.
fn by_runtime(
    picture: &Picture,
    steps: &[Step],
    mask: &Mask,
    encoder: &Encoder,
    padding: usize,
) -> Vec<u8> {
    let stride = picture.meta.row_bytes() + padding;
    let mut padded = vec![0xA5; stride * picture.meta.height_px as usize];
    let rows = picture.pixels.chunks(picture.meta.row_bytes());
    for (to, from) in padded.chunks_mut(stride).zip(rows) {
        to[..from.len()].copy_from_slice(from);
    }
    let rule = Preprocess {
        mask: mask.clone(),
        steps: steps.to_vec(),
        mean: [0.0; 3],
        std: [1.0 / 255.0; 3],
        orientation: "any".to_owned(),
    };
    let mut block = vec![f32::NAN; encoder.tokens_per_tubelet() * encoder.row()];
    let mut preprocessor = Preprocessor::new(&rule, encoder).unwrap();
    preprocessor
        .frame_into(&padded, stride, &picture.meta, 1, &mut block)
        .unwrap();

    let (side, across) = (encoder.patch_px, encoder.width_px / encoder.patch_px);
    let mut image = Vec::new();
    for y in 0..encoder.height_px {
        for x in 0..encoder.width_px {
            for c in 0..3 {
                let patch = y / side * across + x / side;
                let within = ((c * 2 + 1) * side + y % side) * side + x % side;
                let value = block[patch * encoder.row() + within];
                assert!(
                    (value - value.round()).abs() < 1e-3,
                    "{value} is no grey level"
                );
                image.push(value.round() as u8);
            }
        }
    }
    image
}

#[derive(Default)]
struct Tally {
    values: u64,
    equal: u64,
}

impl Tally {
    #[track_caller]
    fn compare(&mut self, steps: &[Step], encoder: &Encoder, picture: &Picture, padding: usize) {
        self.compare_masked(steps, &Mask::None, encoder, picture, padding);
    }

    #[track_caller]
    fn compare_masked(
        &mut self,
        steps: &[Step],
        mask: &Mask,
        encoder: &Encoder,
        picture: &Picture,
        padding: usize,
    ) {
        let ours = by_runtime(picture, steps, mask, encoder, padding);
        let theirs = by_opencv(picture, steps, mask);
        assert_eq!(ours.len(), theirs.len());
        let most = ours
            .iter()
            .zip(&theirs)
            .map(|(a, b)| a.abs_diff(*b))
            .max()
            .unwrap();
        assert!(
            most <= MAX_LEVELS,
            "{most} levels: {:?} {steps:?}",
            picture.meta
        );
        self.values += ours.len() as u64;
        self.equal += ours.iter().zip(&theirs).filter(|(a, b)| a == b).count() as u64;
    }

    #[track_caller]
    fn finish(self) {
        let version = (
            opencv::core::get_version_major(),
            opencv::core::get_version_minor(),
        );
        println!(
            "OpenCV {}.{}: {} of {} values equal, none over {MAX_LEVELS} level away",
            version.0, version.1, self.equal, self.values
        );
        assert!(self.values > 0);
        if version == EQUAL_VERSION && cfg!(target_arch = "x86_64") {
            assert_eq!(
                self.equal, self.values,
                "OpenCV {version:?} rounds as we do"
            );
        }
    }
}

fn pictures() -> impl Iterator<Item = Picture> {
    SIZES.into_iter().flat_map(|(width, height)| {
        FORMATS.into_iter().flat_map(move |format| {
            CONTENTS
                .into_iter()
                .map(move |content| Picture::new(width, height, format, content))
        })
    })
}

#[test]
fn a_squash_is_within_one_level_of_opencv_at_any_size() {
    let mut tally = Tally::default();
    for picture in pictures() {
        for (width, height) in [
            (224, 224),
            (112, 112),
            (336, 336),
            (97, 131),
            (1, 1),
            (3, 700),
        ] {
            let steps = [Step::Squash {
                width_px: width,
                height_px: height,
            }];
            let encoder = encoder(width as usize, height as usize, 1);
            tally.compare(&steps, &encoder, &picture, (width % 5) as usize);
        }
    }
    tally.finish();
}

#[test]
fn every_small_size_is_within_one_level_of_opencv() {
    let mut tally = Tally::default();
    let steps = [Step::Squash {
        width_px: 24,
        height_px: 17,
    }];
    let encoder = encoder(24, 17, 1);
    for width in 1..=64 {
        for height in [1, 2, 5, 16, 17, 18, 33, 34, 35, 51, 68] {
            for format in FORMATS {
                let picture = Picture::new(width, height, format, Content::Noise);
                tally.compare(&steps, &encoder, &picture, 3);
            }
        }
    }
    tally.finish();
}

#[test]
fn the_squashed_chain_is_within_one_level_of_opencv() {
    let steps = [
        Step::Squash {
            width_px: 224,
            height_px: 224,
        },
        Step::ShortSide { size_px: 256 },
        Step::CentreCrop {
            width_px: 224,
            height_px: 224,
        },
    ];
    let mut tally = Tally::default();
    for picture in pictures() {
        tally.compare(&steps, &encoder(224, 224, 16), &picture, 13);
    }
    tally.finish();
}

#[test]
fn the_keep_aspect_chain_is_within_one_level_of_opencv() {
    let mut tally = Tally::default();
    for picture in pictures() {
        for (short, side) in [(256, 224), (128, 112), (384, 336)] {
            let steps = [
                Step::ShortSide { size_px: short },
                Step::CentreCrop {
                    width_px: side,
                    height_px: side,
                },
            ];
            tally.compare(
                &steps,
                &encoder(side as usize, side as usize, 16),
                &picture,
                0,
            );
        }
    }
    tally.finish();
}

#[test]
fn a_mask_between_any_two_steps_is_within_one_level_of_opencv() {
    let boxes = vec![
        [0.0, 0.0, 1.0, 35.0 / 480.0],
        [0.0, 0.0, 130.0 / 640.0, 0.3],
        [0.0, 0.72, 105.0 / 640.0, 0.28],
        [1.0 - 220.0 / 640.0, 0.0, 220.0 / 640.0, 0.2],
        [1.0 - 145.0 / 640.0, 0.0, 120.0 / 640.0, 0.49],
        [0.5, 0.5, 0.01, 0.01],
    ];
    let squashed = [
        Step::Squash {
            width_px: 224,
            height_px: 224,
        },
        Step::ShortSide { size_px: 256 },
        Step::CentreCrop {
            width_px: 224,
            height_px: 224,
        },
    ];
    let mut tally = Tally::default();
    for picture in pictures() {
        for steps in [&squashed[..], &squashed[1..], &squashed[..1]] {
            for after_steps in 0..=steps.len() {
                let mask = Mask::Boxes {
                    after_steps,
                    boxes: boxes.clone(),
                };
                tally.compare_masked(steps, &mask, &encoder(224, 224, 16), &picture, 7);
            }
        }
    }
    tally.finish();
}

#[test]
fn a_640x480_frame_becomes_341x256_cropped_at_58_16() {
    let picture = Picture::new(640, 480, PixelFormat::Rgb24, Content::Noise);
    let steps = [
        Step::ShortSide { size_px: 256 },
        Step::CentreCrop {
            width_px: 224,
            height_px: 224,
        },
    ];
    let ours = by_runtime(&picture, &steps, &Mask::None, &encoder(224, 224, 16), 0);
    let whole = resized(&picture.mat(), 341, 256);
    let window = Mat::roi(&whole, Rect::new(58, 16, 224, 224))
        .unwrap()
        .try_clone()
        .unwrap();
    let theirs = window.data_bytes().unwrap();
    let most = ours
        .iter()
        .zip(theirs)
        .map(|(a, b)| a.abs_diff(*b))
        .max()
        .unwrap();
    assert!(most <= MAX_LEVELS, "{most} levels");
    let mut tally = Tally::default();
    tally.compare(&steps, &encoder(224, 224, 16), &picture, 0);
    tally.finish();
}
