use super::*;
use crate::manifest::Mask;
use proptest::prelude::*;

fn encoder(width_px: usize, height_px: usize, patch_px: usize) -> Encoder {
    Encoder {
        family: "vjepa2".to_owned(),
        dim: 192,
        depth: 1,
        heads: 3,
        mlp_ratio: 4.0,
        frames: 4,
        height_px,
        width_px,
        tubelet_frames: 2,
        patch_px,
        channels: 3,
    }
}

fn rule(steps: &[Step], mean: [f32; 3], std: [f32; 3]) -> Preprocess {
    Preprocess {
        mask: Mask::None,
        steps: steps.to_vec(),
        mean,
        std,
        orientation: "any".to_owned(),
    }
}

fn plain(steps: &[Step], encoder: &Encoder) -> Preprocessor {
    Preprocessor::new(&rule(steps, [0.0; 3], [1.0 / 255.0; 3]), encoder).unwrap()
}

fn meta(width_px: u32, height_px: u32, format: PixelFormat) -> FrameMeta {
    FrameMeta {
        width_px,
        height_px,
        format,
        capture_nanos: 0,
        pass: 0,
        host: Default::default(),
    }
}

fn squash(width_px: u32, height_px: u32) -> Step {
    Step::Squash {
        width_px,
        height_px,
    }
}

fn crop(width_px: u32, height_px: u32) -> Step {
    Step::CentreCrop {
        width_px,
        height_px,
    }
}

/// A small generator, so that large images need no proptest shrinking.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// Interleaved pixel values of one frame of a block written with mean 0 and std 1/255.
fn image(block: &[f32], encoder: &Encoder, frame: usize) -> Vec<u8> {
    let (side, across) = (encoder.patch_px, encoder.width_px / encoder.patch_px);
    let mut pixels = Vec::new();
    for y in 0..encoder.height_px {
        for x in 0..encoder.width_px {
            for channel in 0..3 {
                let patch = (y / side) * across + x / side;
                let start = (channel * encoder.tubelet_frames + frame) * side * side;
                let at = patch * encoder.row() + start + (y % side) * side + x % side;
                pixels.push(block[at].round() as u8);
            }
        }
    }
    pixels
}

fn block_of(encoder: &Encoder) -> Vec<f32> {
    vec![f32::NAN; encoder.tokens_per_tubelet() * encoder.row()]
}

fn run(
    steps: &[Step],
    encoder: &Encoder,
    meta: &FrameMeta,
    pixels: &[u8],
    stride: usize,
) -> Vec<u8> {
    let mut block = block_of(encoder);
    plain(steps, encoder)
        .frame_into(pixels, stride, meta, 0, &mut block)
        .unwrap();
    image(&block, encoder, 0)
}

/// Bilinear in f64, borders clamped, from and to interleaved RGB.
fn reference(pixels: &[f64], from: (usize, usize), to: (usize, usize)) -> Vec<f64> {
    let axis = |at: usize, from: usize, to: usize| {
        let position = (at as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let clamped = |index: f64| (index as i64).clamp(0, from as i64 - 1) as usize;
        (
            clamped(position.floor()),
            clamped(position.floor() + 1.0),
            position - position.floor(),
        )
    };
    let mut out = Vec::new();
    for y in 0..to.1 {
        let (y0, y1, fy) = axis(y, from.1, to.1);
        for x in 0..to.0 {
            let (x0, x1, fx) = axis(x, from.0, to.0);
            for c in 0..3 {
                let pixel = |x: usize, y: usize| pixels[(y * from.0 + x) * 3 + c];
                let upper = pixel(x0, y0) * (1.0 - fx) + pixel(x1, y0) * fx;
                let lower = pixel(x0, y1) * (1.0 - fx) + pixel(x1, y1) * fx;
                out.push(upper * (1.0 - fy) + lower * fy);
            }
        }
    }
    out
}

fn unpadded_rgb(pixels: &[u8], stride: usize, meta: &FrameMeta) -> Vec<f64> {
    let rows = (0..meta.height_px as usize).map(|y| &pixels[y * stride..][..meta.row_bytes()]);
    rows.flatten()
        .flat_map(|&byte| {
            let copies = if meta.format == PixelFormat::Gray8 {
                3
            } else {
                1
            };
            std::iter::repeat_n(f64::from(byte), copies)
        })
        .collect()
}

fn frames() -> impl Strategy<Value = (FrameMeta, usize, u64)> {
    (
        1..=300_u32,
        1..=300_u32,
        any::<bool>(),
        0..70_usize,
        any::<u64>(),
    )
        .prop_map(|(width, height, gray, padding, seed)| {
            let format = if gray {
                PixelFormat::Gray8
            } else {
                PixelFormat::Rgb24
            };
            let meta = meta(width, height, format);
            (meta, meta.row_bytes() + padding, seed)
        })
}

/// The screen furniture of one scanner, edges of every kind.
const BOXES: [[f64; 4]; 4] = [
    [0.0, 0.0, 1.0, 35.0 / 480.0],
    [0.0, 0.72, 105.0 / 640.0, 0.3],
    [1.0 - 145.0 / 640.0, 0.0, 120.0 / 640.0, 0.49],
    [0.4, 0.5, 0.001, 0.2],
];

fn masked(steps: &[Step], after_steps: usize, encoder: &Encoder) -> Preprocessor {
    let boxes = BOXES.to_vec();
    let rule = Preprocess {
        mask: Mask::Boxes { after_steps, boxes },
        ..rule(steps, [0.0; 3], [1.0 / 255.0; 3])
    };
    Preprocessor::new(&rule, encoder).unwrap()
}

/// Blackens interleaved RGB pixel by pixel.
fn blacken(pixels: &mut [u8], width: u32, height: u32) {
    for [x, y, w, h] in BOXES {
        let edge = |fraction: f64, side: u32| ((fraction * f64::from(side)) as u32).min(side);
        for row in edge(y, height)..edge(y + h, height) {
            for column in edge(x, width)..edge(x + w, width) {
                let at = (row * width + column) as usize * 3;
                pixels[at..at + 3].fill(0);
            }
        }
    }
}

/// Size that `steps` leave, as an encoder of single pixels that accepts it.
fn encoder_after(steps: &[Step], meta: &FrameMeta) -> Encoder {
    let frame = Size {
        width_px: meta.width_px,
        height_px: meta.height_px,
    };
    let left = steps::trace(steps, None, frame, &mut Vec::new()).unwrap();
    encoder(left.width_px as usize, left.height_px as usize, 1)
}

fn bytes_needed(meta: &FrameMeta, stride: usize) -> usize {
    stride * (meta.height_px as usize - 1) + meta.row_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_resize_is_within_one_level_of_exact_bilinear((meta, stride, seed) in frames()) {
        let encoder = encoder(96, 64, 16);
        let pixels = noise(bytes_needed(&meta, stride), seed);
        let ours = run(&[squash(96, 64)], &encoder, &meta, &pixels, stride);
        let source = unpadded_rgb(&pixels, stride, &meta);
        let size = (meta.width_px as usize, meta.height_px as usize);
        let exact = reference(&source, size, (96, 64));
        for (at, (ours, exact)) in ours.iter().zip(&exact).enumerate() {
            let distance = (f64::from(*ours) - exact).abs();
            prop_assert!(distance <= 1.0, "{at}: {ours} for {exact}");
        }
    }

    #[test]
    fn a_chain_is_within_one_level_per_resize_of_exact_bilinear((meta, stride, seed) in frames()) {
        let encoder = encoder(32, 32, 16);
        let pixels = noise(bytes_needed(&meta, stride), seed);
        let steps = [squash(48, 40), Step::ShortSide { size_px: 36 }, crop(32, 32)];
        let ours = run(&steps, &encoder, &meta, &pixels, stride);
        let source = unpadded_rgb(&pixels, stride, &meta);
        let size = (meta.width_px as usize, meta.height_px as usize);
        let squashed = reference(&source, size, (48, 40));
        let exact = reference(&squashed, (48, 40), (43, 36));
        for (at, ours) in ours.iter().enumerate() {
            let (y, x, c) = (at / 96, at / 3 % 32, at % 3);
            let exact = exact[((y + 2) * 43 + x + 6) * 3 + c];
            let distance = (f64::from(*ours) - exact).abs();
            prop_assert!(distance <= 2.0, "{at}: {ours} for {exact}");
        }
    }

    #[test]
    fn a_constant_image_stays_constant((meta, stride, seed) in frames(), level in any::<u8>()) {
        let encoder = encoder(32, 32, 16);
        let mut pixels = noise(bytes_needed(&meta, stride), seed);
        for row in pixels.chunks_mut(stride) {
            row[..meta.row_bytes()].fill(level);
        }
        let steps = [squash(29, 31), Step::ShortSide { size_px: 33 }, crop(32, 32)];
        let ours = run(&steps, &encoder, &meta, &pixels, stride);
        prop_assert!(ours.iter().all(|value| *value == level));
    }

    #[test]
    fn padding_never_leaks((meta, stride, seed) in frames(), other in any::<u64>()) {
        let encoder = encoder(32, 48, 16);
        let pixels = noise(bytes_needed(&meta, stride), seed);
        let mut packed = Vec::new();
        let mut altered = noise(pixels.len(), other);
        for (row, altered) in pixels.chunks(stride).zip(altered.chunks_mut(stride)) {
            packed.extend(&row[..meta.row_bytes()]);
            altered[..meta.row_bytes()].copy_from_slice(&row[..meta.row_bytes()]);
        }
        let steps = [Step::ShortSide { size_px: 48 }, crop(32, 48)];
        let ours = run(&steps, &encoder, &meta, &pixels, stride);
        prop_assert_eq!(&ours, &run(&steps, &encoder, &meta, &altered, stride));
        prop_assert_eq!(&ours, &run(&steps, &encoder, &meta, &packed, meta.row_bytes()));
    }

    #[test]
    fn a_crop_computes_the_same_pixels_as_the_whole((meta, stride, seed) in frames()) {
        let pixels = noise(bytes_needed(&meta, stride), seed);
        let resize = [squash(50, 70), squash(64, 80)];
        let whole = run(&resize, &encoder(64, 80, 16), &meta, &pixels, stride);
        let steps = [resize[0], resize[1], crop(48, 49), crop(32, 32)];
        let ours = run(&steps, &encoder(32, 32, 16), &meta, &pixels, stride);
        let (left, top) = (8 + 8, 16 + 8);
        for (y, row) in ours.chunks(32 * 3).enumerate() {
            prop_assert_eq!(row, &whole[((top + y) * 64 + left) * 3..][..32 * 3]);
        }
    }

    #[test]
    fn a_mask_is_black_between_two_steps(
        (meta, stride, seed) in frames(),
        chain in 0..5_usize,
        after in 0..4_usize,
    ) {
        let steps: &[Step] = &[
            vec![squash(33, 47)],
            vec![squash(60, 50), crop(33, 47)],
            vec![squash(224, 200), Step::ShortSide { size_px: 64 }, crop(33, 47)],
            vec![Step::ShortSide { size_px: 60 }, crop(50, 48), squash(33, 47)],
            vec![squash(33, 47), squash(33, 47), squash(33, 47)],
        ][chain];
        let after = after.min(steps.len());
        let pixels = noise(bytes_needed(&meta, stride), seed);
        let encoder = encoder(33, 47, 1);
        let mut block = block_of(&encoder);
        let mut preprocessor = masked(steps, after, &encoder);
        for _ in 0..2 {
            preprocessor.frame_into(&pixels, stride, &meta, 0, &mut block).unwrap();
        }
        let first = encoder_after(&steps[..after], &meta);
        let mut image_before = run(&steps[..after], &first, &meta, &pixels, stride);
        let (width, height) = (first.width_px as u32, first.height_px as u32);
        blacken(&mut image_before, width, height);
        let rgb = FrameMeta { width_px: width, height_px: height, format: PixelFormat::Rgb24, ..meta };
        let expected = run(&steps[after..], &encoder, &rgb, &image_before, rgb.row_bytes());
        prop_assert_eq!(image(&block, &encoder, 0), expected);
    }

    #[test]
    fn no_geometry_panics(
        width in prop_oneof![0..3_u32, 0..2000_u32, any::<u32>()],
        height in prop_oneof![0..3_u32, 0..2000_u32, any::<u32>()],
        stride in prop_oneof![0..300_usize, any::<usize>()],
        length in 0..100_000_usize,
        frame in 0..4_usize,
        short_first in any::<bool>(),
    ) {
        let encoder = encoder(32, 32, 16);
        let both = [Step::ShortSide { size_px: 40 }, squash(40, 40)];
        let first = if short_first { both[0] } else { both[1] };
        let mut preprocessor = plain(&[first, crop(32, 32)], &encoder);
        let mut block = block_of(&encoder);
        let meta = meta(width, height, PixelFormat::Rgb24);
        let result = preprocessor.frame_into(&vec![9; length], stride, &meta, frame, &mut block);
        if result.is_err() {
            prop_assert!(block.iter().all(|value| value.is_nan()));
        } else {
            let written = block.iter().filter(|value| !value.is_nan()).count();
            prop_assert_eq!(written, block.len() / 2);
        }
    }
}

#[test]
fn rows_are_channel_frame_y_x() {
    let encoder = encoder(4, 6, 2);
    let mean = [0.485, 0.456, 0.406];
    let std = [0.229, 0.224, 0.225];
    let rule = rule(&[squash(4, 6)], mean, std);
    let mut preprocessor = Preprocessor::new(&rule, &encoder).unwrap();
    let pixels: Vec<u8> = (0..4 * 6 * 3).collect();
    let mut block = block_of(&encoder);
    let meta = meta(4, 6, PixelFormat::Rgb24);
    preprocessor
        .frame_into(&pixels, 12, &meta, 1, &mut block)
        .unwrap();
    for (at, value) in block.iter().enumerate() {
        let (patch, within) = (at / 24, at % 24);
        let (c, frame, y, x) = (within / 8, within / 4 % 2, within / 2 % 2, within % 2);
        if frame == 0 {
            assert!(value.is_nan());
            continue;
        }
        let byte = pixels[((patch / 2 * 2 + y) * 4 + patch % 2 * 2 + x) * 3 + c];
        let expected = (f32::from(byte) / 255_f32 - mean[c]) / std[c];
        assert_eq!(value.to_bits(), expected.to_bits(), "{at}");
    }
}

#[test]
fn gray_is_the_same_as_three_equal_channels() {
    let encoder = encoder(32, 32, 16);
    let steps = [Step::ShortSide { size_px: 37 }, crop(32, 32)];
    let gray = noise(61 * 47, 3);
    let rgb: Vec<u8> = gray.iter().flat_map(|&byte| [byte; 3]).collect();
    let ours = run(
        &steps,
        &encoder,
        &meta(61, 47, PixelFormat::Gray8),
        &gray,
        61,
    );
    assert_eq!(
        ours,
        run(
            &steps,
            &encoder,
            &meta(61, 47, PixelFormat::Rgb24),
            &rgb,
            183
        )
    );
}

#[test]
fn nothing_of_a_frame_is_left_in_the_next() {
    let encoder = encoder(32, 32, 16);
    let steps = [
        squash(40, 44),
        Step::ShortSide { size_px: 36 },
        crop(32, 32),
    ];
    for (width, height) in [(1, 1), (50, 1), (3, 2), (61, 47), (40, 44)] {
        let mut preprocessor = plain(&steps, &encoder);
        let meta = meta(width, height, PixelFormat::Gray8);
        for seed in 0..3 {
            let pixels = noise(meta.frame_bytes(), seed);
            let mut block = block_of(&encoder);
            preprocessor
                .frame_into(&pixels, meta.row_bytes(), &meta, 0, &mut block)
                .unwrap();
            let fresh = run(&steps, &encoder, &meta, &pixels, meta.row_bytes());
            assert_eq!(
                image(&block, &encoder, 0),
                fresh,
                "{width}x{height}, frame {seed}"
            );
        }
    }
    let mut last_only = plain(&[squash(32, 32)], &encoder);
    let meta = meta(9, 1, PixelFormat::Gray8);
    for seed in 0..3 {
        let pixels = noise(9, seed);
        let mut block = block_of(&encoder);
        last_only
            .frame_into(&pixels, 9, &meta, 0, &mut block)
            .unwrap();
        let fresh = run(&[squash(32, 32)], &encoder, &meta, &pixels, 9);
        assert_eq!(image(&block, &encoder, 0), fresh, "frame {seed}");
    }
}

#[test]
fn a_mask_follows_the_geometry() {
    let encoder = encoder(32, 32, 16);
    let steps = [squash(40, 44), crop(32, 32)];
    for after in 0..3 {
        let mut preprocessor = masked(&steps, after, &encoder);
        for (width, height) in [(61, 47), (40, 44), (200, 3), (61, 47)] {
            let meta = meta(width, height, PixelFormat::Gray8);
            let pixels = noise(meta.frame_bytes(), 5);
            let mut block = block_of(&encoder);
            let mut fresh = block_of(&encoder);
            for (preprocessor, block) in [
                (&mut preprocessor, &mut block),
                (&mut masked(&steps, after, &encoder), &mut fresh),
            ] {
                let stride = meta.row_bytes();
                preprocessor
                    .frame_into(&pixels, stride, &meta, 0, block)
                    .unwrap();
            }
            let (ours, fresh) = (image(&block, &encoder, 0), image(&fresh, &encoder, 0));
            assert_eq!(ours, fresh, "{width}x{height}");
            let unmasked = run(&steps, &encoder, &meta, &pixels, meta.row_bytes());
            assert_ne!(ours, unmasked, "{width}x{height} after {after}");
        }
    }
}

#[test]
fn a_change_of_geometry_and_back_changes_nothing() {
    let encoder = encoder(32, 32, 16);
    let steps = [
        squash(40, 44),
        Step::ShortSide { size_px: 36 },
        crop(32, 32),
    ];
    let mut preprocessor = plain(&steps, &encoder);
    let sizes = [(61, 47), (40, 44), (200, 3), (36, 36), (61, 47), (17, 90)];
    for (width, height) in sizes {
        for format in [PixelFormat::Gray8, PixelFormat::Rgb24] {
            let meta = meta(width, height, format);
            let pixels = noise(meta.frame_bytes(), 5);
            let mut block = block_of(&encoder);
            preprocessor
                .frame_into(&pixels, meta.row_bytes(), &meta, 1, &mut block)
                .unwrap();
            let fresh = run(&steps, &encoder, &meta, &pixels, meta.row_bytes());
            assert_eq!(
                image(&block, &encoder, 1),
                fresh,
                "{width}x{height} {format}"
            );
        }
    }
}

#[test]
fn an_impossible_frame_says_what_was_expected_and_found() {
    let encoder = encoder(32, 32, 16);
    let steps = [Step::ShortSide { size_px: 4096 }, crop(32, 32)];
    let mut large = plain(&steps, &encoder);
    let mut small = plain(&[crop(32, 32)], &encoder);
    let mut none = plain(&[], &encoder);
    let gray = PixelFormat::Gray8;
    let message = |result: Result<(), PreprocessError>| result.unwrap_err().to_string();
    assert_eq!(
        message(large.prepare(0, 7, gray)),
        "frame size: expected sides of 1 to 16384 px, found 0x7"
    );
    assert_eq!(
        message(large.prepare(16_385, 7, gray)),
        "frame size: expected sides of 1 to 16384 px, found 16385x7"
    );
    assert_eq!(
        message(large.prepare(1, 16_384, gray)),
        "image size: expected at most 64000000 px, found 4096x67108864, preprocess.steps[0]"
    );
    assert_eq!(
        message(small.prepare(40, 31, gray)),
        "centre crop: expected an image of at least 32x32, found 40x31, preprocess.steps[0]"
    );
    assert_eq!(
        message(none.prepare(40, 31, gray)),
        "encoder image: expected 32x32, found 40x31 after the last of preprocess.steps"
    );
}

#[test]
fn an_impossible_buffer_says_what_was_expected_and_found() {
    let encoder = encoder(32, 32, 16);
    let mut preprocessor = plain(&[crop(32, 32)], &encoder);
    let meta = meta(40, 40, PixelFormat::Rgb24);
    let pixels = vec![0; 120 * 40];
    let mut block = block_of(&encoder);
    let mut message = |pixels: &[u8], stride, frame, values| {
        let block = &mut block[..values];
        let result = preprocessor.frame_into(pixels, stride, &meta, frame, block);
        result.unwrap_err().to_string()
    };
    let values = 4 * 3 * 2 * 16 * 16;
    assert_eq!(
        message(&pixels, 119, 0, values),
        "row stride: expected at least 120 bytes, found 119"
    );
    assert_eq!(
        message(&pixels[1..], 120, 0, values),
        "frame pixels: expected at least 4800 bytes, found 4799"
    );
    assert_eq!(
        message(&pixels, 120, 2, values),
        "frame in tubelet: expected below 2, found 2"
    );
    assert_eq!(
        message(&pixels, 120, 0, values - 1),
        "tubelet block: expected 6144 values, found 6143"
    );
}

#[test]
fn a_mask_that_would_never_apply_is_refused_at_once() {
    let message = |after_steps, found: f64| {
        let boxes = vec![[0.0, 0.0, found, 1.0]];
        let rule = Preprocess {
            mask: Mask::Boxes { after_steps, boxes },
            ..rule(&[squash(32, 32)], [0.0; 3], [1.0; 3])
        };
        Preprocessor::new(&rule, &encoder(32, 32, 16))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(2, 0.5),
        "preprocess.mask.after_steps: expected 0 to 1, the number of steps, found 2"
    );
    assert_eq!(
        message(1, f64::NAN),
        "preprocess.mask.boxes: expected fractions from 0 to 1, found [0.0, 0.0, NaN, 1.0]"
    );
}

#[test]
fn sizes_no_frame_could_have_are_refused_at_once() {
    let message = |steps: &[Step], encoder: &Encoder| {
        let rule = rule(steps, [0.0; 3], [1.0; 3]);
        Preprocessor::new(&rule, encoder).unwrap_err().to_string()
    };
    assert_eq!(
        message(&[squash(0, 32)], &encoder(32, 32, 16)),
        "preprocess.steps: expected sides of 1 to 16384, found 0x32"
    );
    assert_eq!(
        message(&[squash(32, 32)], &encoder(32, 31, 16)),
        "encoder.height_px: expected a multiple of patch_px up to 16384, found 31"
    );
    assert_eq!(
        message(&[squash(32, 32)], &encoder(32, 32, 0)),
        "encoder.patch_px: expected 1 to 4096, found 0"
    );
}
