//! Lossless codecs for the recorder's frames, on simulated hearts: bytes and time of each.
//!
//! `cargo bench -p echocart-core --bench recorder_codec --profile release`

use echocart_phantom::{Anatomy, Exam, Layout, Phantom, View};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

const FRAMES: usize = 24;

/// Each byte less the one above it, in place.
fn difference(pixels: &mut [u8], width: usize) {
    for y in (1..pixels.len() / width).rev() {
        let (above, row) = pixels.split_at_mut(y * width);
        let above = &above[(y - 1) * width..];
        for (byte, above) in row[..width].iter_mut().zip(above) {
            *byte = byte.wrapping_sub(*above);
        }
    }
}

fn deflate(pixels: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let _ = encoder.write_all(pixels);
    encoder.finish().unwrap_or_default()
}

/// A codec by name.
type Codec = (&'static str, fn(&[u8]) -> Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    let codecs: [Codec; 3] = [
        ("fdeflate", |p| fdeflate::compress_to_vec(p)),
        ("lz4_flex", |p| lz4_flex::compress(p)),
        ("flate2, fast", deflate),
    ];
    for (width, height) in [(640, 480), (1024, 768)] {
        let exam = Exam::standard(
            View::ALL[0],
            Anatomy::sample(5),
            Layout::plain(width, height),
        );
        let mut phantom = Phantom::new(exam)?;
        let size = (width * height) as usize;
        let mut frames = vec![vec![0; size]; FRAMES];
        for (at, frame) in frames.iter_mut().enumerate() {
            phantom.render(at as _, frame);
        }
        println!("{width}x{height}, {FRAMES} frames");
        for differences in [false, true] {
            for (name, codec) in codecs {
                let (mut bytes, mut times) = (0, Vec::new());
                for frame in &frames {
                    let mut work = frame.clone();
                    let begin = Instant::now();
                    if differences {
                        difference(&mut work, width as usize);
                    }
                    let packed = black_box(codec(&work));
                    times.push(begin.elapsed().as_secs_f64() * 1e3);
                    bytes += packed.len();
                }
                times.sort_by(f64::total_cmp);
                let of = if differences {
                    "row differences"
                } else {
                    "rows"
                };
                println!(
                    "  {name} of {of}: {:.1} % of the bytes, {:.2} ms a frame (median)",
                    100.0 * bytes as f64 / (size * FRAMES) as f64,
                    times[FRAMES / 2]
                );
            }
        }
    }
    Ok(())
}
