//! Times one frame through the preprocessing chain, beside OpenCV's resizes and crop.
//!
//! `cargo bench -p echocart-tests --bench preprocess`. Reports medians and minima; asserts nothing.
//! OpenCV's figures do not include normalisation and patch order, ours do.

use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::manifest::{Encoder, Mask, Preprocess, Step};
use echocart_core::preprocess::Preprocessor;
use opencv::core::{Mat, MatTraitConst, Rect, Size, get_num_threads, set_num_threads};
use opencv::imgproc::{INTER_LINEAR, resize};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 400;

const STEPS: [Step; 3] = [
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let encoder = Encoder {
        family: "vjepa2".to_owned(),
        dim: 1024,
        depth: 24,
        heads: 16,
        mlp_ratio: 4.0,
        frames: 16,
        height_px: 224,
        width_px: 224,
        tubelet_frames: 2,
        patch_px: 16,
        channels: 3,
    };
    let all_threads = get_num_threads()?;
    for (width_px, height_px) in [(640, 480), (1024, 768)] {
        for format in [PixelFormat::Gray8, PixelFormat::Rgb24] {
            let meta = FrameMeta {
                width_px,
                height_px,
                format,
                capture_nanos: 0,
                pass: 0,
                host: Default::default(),
            };
            let pixels: Vec<u8> = (0..meta.frame_bytes())
                .map(|i| ((i * 31) >> 3) as u8)
                .collect();
            println!("{width_px}x{height_px} {format}");
            for (chain, steps) in [
                ("squash, short side, crop", &STEPS[..]),
                ("short side, crop", &STEPS[1..]),
            ] {
                let rule = Preprocess {
                    mask: Mask::None,
                    steps: steps.to_vec(),
                    mean: [0.485, 0.456, 0.406],
                    std: [0.229, 0.224, 0.225],
                    orientation: String::new(),
                };
                let mut block = vec![0.0; encoder.tokens_per_tubelet() * encoder.row()];
                let mut preprocessor = Preprocessor::new(&rule, &encoder)?;
                let stride_bytes = meta.row_bytes();
                report(chain, "echocart, 1 thread", || {
                    preprocessor.frame_into(
                        black_box(&pixels),
                        stride_bytes,
                        &meta,
                        0,
                        &mut block,
                    )?;
                    black_box(&block);
                    Ok(())
                })?;
                let flat =
                    Mat::new_rows_cols_with_data(height_px as i32, stride_bytes as i32, &pixels)?;
                let frame = flat.reshape(format.bytes() as i32, height_px as i32)?;
                let (mut squashed, mut resized, mut cropped) = Default::default();
                for (threads, name) in [
                    (1, "OpenCV, 1 thread"),
                    (all_threads, "OpenCV, all threads"),
                ] {
                    set_num_threads(threads)?;
                    report(chain, name, || {
                        opencv(&frame, steps, &mut squashed, &mut resized, &mut cropped)
                    })?;
                }
            }
        }
    }
    Ok(())
}

fn opencv(
    frame: &impl opencv::core::ToInputArray,
    steps: &[Step],
    squashed: &mut Mat,
    resized: &mut Mat,
    cropped: &mut Mat,
) -> Result<(), Box<dyn std::error::Error>> {
    if steps.len() == 3 {
        resize(frame, squashed, Size::new(224, 224), 0.0, 0.0, INTER_LINEAR)?;
        resize(
            squashed,
            resized,
            Size::new(256, 256),
            0.0,
            0.0,
            INTER_LINEAR,
        )?;
    } else {
        resize(frame, resized, Size::new(341, 256), 0.0, 0.0, INTER_LINEAR)?;
    }
    let x = (resized.cols() - 224) / 2;
    Mat::roi(resized, Rect::new(x, 16, 224, 224))?.copy_to(cropped)?;
    black_box(cropped);
    Ok(())
}

fn report(
    chain: &str,
    name: &str,
    mut body: impl FnMut() -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut micros = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        body()?;
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    println!(
        "  {chain}: {name}: median {:.0} us, best {:.0} us",
        micros[ROUNDS / 2],
        micros[0]
    );
    Ok(())
}
