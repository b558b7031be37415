//! Times one frame through the preprocessing chain, beside OpenCV's resizes and crop.
//!
//! `cargo bench -p echocart-tests --bench preprocess`. Reports medians and minima; asserts nothing.
//! Both sides resize, crop, normalise three channels by a table and put the values into patch order,
//! in turns; OpenCV's resizes and crop alone are printed too. What they write is compared first.

use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::manifest::{Encoder, Mask, Preprocess, Step};
use echocart_core::preprocess::Preprocessor;
use opencv::core::{
    Mat, MatTraitConst, MatTraitConstManual, Rect, Size, ToInputArray, Vector, lut, merge,
    set_num_threads, split,
};
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
                let flat =
                    Mat::new_rows_cols_with_data(height_px as i32, stride_bytes as i32, &pixels)?;
                let frame = flat.reshape(format.bytes() as i32, height_px as i32)?;
                let mut theirs = Theirs::new(&rule, format)?;
                let mut ours = || {
                    preprocessor.frame_into(
                        black_box(&pixels),
                        stride_bytes,
                        &meta,
                        0,
                        &mut block,
                    )?;
                    black_box(&block);
                    Ok(())
                };
                ours()?;
                let mut other = vec![0.0; encoder.tokens_per_tubelet() * encoder.row()];
                theirs.all(&frame, steps, &mut other)?;
                let mut times = [const { Vec::new() }; 3];
                for _ in 0..ROUNDS {
                    timed(&mut times[0], &mut ours)?;
                    timed(&mut times[1], || theirs.all(&frame, steps, &mut other))?;
                    timed(&mut times[2], || theirs.resize(&frame, steps))?;
                }
                if block != other {
                    return Err("the two sides wrote other values".into());
                }
                let names = ["echocart", "OpenCV", "OpenCV, resizes and crop alone"];
                for (name, micros) in names.iter().zip(&mut times) {
                    micros.sort_by(f64::total_cmp);
                    let (median, best) = (micros[ROUNDS / 2], micros[0]);
                    println!("  {chain}: {name}: median {median:.0} us, best {best:.0} us");
                }
            }
        }
    }
    Ok(())
}

/// The same steps through OpenCV.
struct Theirs {
    squashed: Mat,
    resized: Mat,
    cropped: Mat,
    tables: Vec<Mat>,
    channels: Vector<Mat>,
    floats: Mat,
}

impl Theirs {
    fn new(rule: &Preprocess, format: PixelFormat) -> Result<Self, Box<dyn std::error::Error>> {
        set_num_threads(1)?;
        let table = |channel: usize| {
            let normal = |v: i32| (v as f32 / 255.0 - rule.mean[channel]) / rule.std[channel];
            (0..256).map(normal).collect::<Vec<f32>>()
        };
        let table = |channel| Mat::from_slice(&table(channel))?.try_clone();
        let tables: Vec<Mat> = (0..3).map(table).collect::<opencv::Result<_>>()?;
        let tables = match format {
            PixelFormat::Gray8 => tables,
            _ => {
                let mut three = Mat::default();
                merge(&Vector::<Mat>::from_iter(tables), &mut three)?;
                vec![three]
            }
        };
        Ok(Self {
            squashed: Mat::default(),
            resized: Mat::default(),
            cropped: Mat::default(),
            tables,
            channels: Vector::from_iter([Mat::default(), Mat::default(), Mat::default()]),
            floats: Mat::default(),
        })
    }

    fn resize(&mut self, frame: &impl ToInputArray, steps: &[Step]) -> Done {
        let (squashed, resized) = (&mut self.squashed, &mut self.resized);
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
        let x = f64::from(resized.cols() - 224) / 2.0;
        let corner = Rect::new(x.round_ties_even() as i32, 16, 224, 224);
        Mat::roi(resized, corner)?.copy_to(&mut self.cropped)?;
        black_box(&self.cropped);
        Ok(())
    }

    fn all(&mut self, frame: &impl ToInputArray, steps: &[Step], block: &mut [f32]) -> Done {
        self.resize(frame, steps)?;
        if let [three] = &self.tables[..] {
            lut(&self.cropped, three, &mut self.floats)?;
            split(&self.floats, &mut self.channels)?;
            for channel in 0..3 {
                in_patch_order(&self.channels.get(channel)?, channel, block)?;
            }
        } else {
            for (channel, table) in self.tables.iter().enumerate() {
                lut(&self.cropped, table, &mut self.floats)?;
                in_patch_order(&self.floats, channel, block)?;
            }
        }
        black_box(block);
        Ok(())
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

/// Puts a plane of 224x224 values where the first frame of a tubelet has them.
fn in_patch_order(plane: &Mat, channel: usize, block: &mut [f32]) -> Done {
    const SIDE: usize = 16;
    let values: &[f32] = plane.data_typed()?;
    for (y, line) in values.chunks_exact(224).enumerate() {
        for (x, run) in line.chunks_exact(SIDE).enumerate() {
            let patch = (y / SIDE * 224 / SIDE + x) * 3 * 2 * SIDE * SIDE;
            let start = patch + (channel * 2 * SIDE + y % SIDE) * SIDE;
            block[start..][..SIDE].copy_from_slice(run);
        }
    }
    Ok(())
}

fn timed(micros: &mut Vec<f64>, mut body: impl FnMut() -> Done) -> Done {
    let start = Instant::now();
    body()?;
    micros.push(start.elapsed().as_secs_f64() * 1e6);
    Ok(())
}
