//! Simulated hearts for golden clips: what an encoder is made for, and nobody's image.

use echocart_core::frame::{Frame, FrameMeta, PixelFormat};
use echocart_core::manifest::{Manifest, ManifestError};
use echocart_core::preprocess::{MAX_SIDE_PX, Preprocessor};
use echocart_phantom::{PhantomError, Spec};
use std::sync::OnceLock;

/// The clips of every package. They differ in format, view and motion.
pub(super) static CLIPS: [Clip; 2] = [
    Clip {
        name: "heart1",
        format: PixelFormat::Gray8,
        heart: "view=A4C,ef=60,hr=60,seed=1,fps=16,seconds=2,size=320x240",
        seed: 1,
        images: OnceLock::new(),
    },
    Clip {
        name: "heart2",
        format: PixelFormat::Rgb24,
        heart: "view=PLAX,ef=35,hr=90,seed=2,gain=-6,fps=16,seconds=2,size=320x240",
        seed: 2,
        images: OnceLock::new(),
    },
];

/// Width and height of the images that frames are taken from.
const SIZE: [usize; 2] = [320, 240];
const PER_SECOND: i64 = 16;
/// Red, green and blue of white, in sixteenths: a tint, so that channels are told apart.
const TINT: [u16; 3] = [16, 15, 13];

/// One clip.
pub(super) struct Clip {
    pub name: &'static str,
    format: PixelFormat,
    /// The phantom.
    heart: &'static str,
    seed: u64,
    /// Its images, rendered once.
    images: OnceLock<Vec<Vec<u8>>>,
}

impl Clip {
    /// Frames for one clip at irregular times, with others between them, in odd sizes that the
    /// package's steps change.
    pub fn frames(&self, manifest: &Manifest) -> Result<Vec<Frame>, FramesError> {
        let (width_px, height_px) = self.size(manifest)?;
        let images = match self.images.get() {
            Some(images) => images,
            None => {
                let rendered = render(self.heart)?;
                self.images.get_or_init(|| rendered)
            }
        };
        let frame = |capture_nanos| {
            let meta = FrameMeta {
                width_px,
                height_px,
                format: self.format,
                capture_nanos,
                pass: 0,
                host: Default::default(),
            };
            Frame {
                meta,
                pixels: pixels(images, &meta),
            }
        };
        Ok(self.times(manifest).into_iter().map(frame).collect())
    }

    /// A little larger than the encoder's image, or as large as a crop among the steps demands.
    fn size(&self, manifest: &Manifest) -> Result<(u32, u32), ManifestError> {
        let encoder = &manifest.encoder;
        let mut preprocessor = Preprocessor::new(&manifest.preprocess, encoder)?;
        let odd = |side: usize, eighths: usize| (side * eighths / 8) as u32 | 1;
        let (mut width_px, mut height_px) = (odd(encoder.width_px, 10), odd(encoder.height_px, 9));
        loop {
            let Err(error) = preprocessor.prepare(width_px, height_px, self.format) else {
                return Ok((width_px, height_px));
            };
            (width_px, height_px) = ((width_px * 3 / 2) | 1, (height_px * 3 / 2) | 1);
            if width_px.max(height_px) > MAX_SIDE_PX / 4 {
                return Err(ManifestError {
                    key: "preprocess.steps".to_owned(),
                    expected: "steps that take a frame a few times the encoder's size".to_owned(),
                    found: error.to_string(),
                });
            }
        }
    }

    /// Near each grid time one frame that stands for it, and up to two that do not after it.
    fn times(&self, manifest: &Manifest) -> Vec<i64> {
        let sampling = &manifest.sampling;
        let due = |slot: usize| (slot as f64 * 1e9 / sampling.rate_hz).round() as i64;
        let period = due(1);
        let skew = ((sampling.max_skew_millis * 1e6) as i64 * 2 / 5).min(period / 5);
        let mut random = Random(self.seed);
        let mut times = Vec::new();
        for slot in 0..manifest.encoder.frames {
            let jitter = if slot == 0 { 0 } else { random.within(skew) };
            times.push(due(slot) + jitter);
            let between = [period * 9 / 20, period * 11 / 20];
            let count = (random.next() % 3) as usize;
            times.extend(between.iter().take(count).map(|offset| due(slot) + offset));
        }
        times.push(due(manifest.encoder.frames));
        times
    }
}

/// Why there are no frames.
#[derive(Debug, thiserror::Error)]
pub(super) enum FramesError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("phantom: {0}")]
    Phantom(#[from] PhantomError),
}

/// Every frame of a phantom.
fn render(heart: &str) -> Result<Vec<Vec<u8>>, PhantomError> {
    let mut screen = Spec::parse(heart)?.screen()?;
    let frames = 0..screen.phantom().exam().frames;
    let image = |frame| {
        let mut pixels = vec![0; SIZE[0] * SIZE[1]];
        screen.render(frame, &mut pixels);
        pixels
    };
    Ok(frames.map(image).collect())
}

/// The image of a time, in the size and format of a frame; times beyond the last image begin anew.
fn pixels(images: &[Vec<u8>], meta: &FrameMeta) -> Vec<u8> {
    let at = meta.capture_nanos / (1_000_000_000 / PER_SECOND);
    let image = usize::try_from(at).unwrap_or(0) % images.len().max(1);
    let (width, height) = (meta.width_px as usize, meta.height_px as usize);
    let mut pixels = Vec::with_capacity(meta.frame_bytes());
    for y in 0..height {
        let from = y * SIZE[1] / height * SIZE[0];
        for x in 0..width {
            let grey = images
                .get(image)
                .map(|image| image[from + x * SIZE[0] / width]);
            let grey = grey.unwrap_or(0);
            match meta.format {
                PixelFormat::Gray8 => pixels.push(grey),
                _ => pixels.extend(TINT.map(|share| (u16::from(grey) * share / 16) as u8)),
            }
        }
    }
    pixels
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `-most` to `most`.
    fn within(&mut self, most: i64) -> i64 {
        let span = most.unsigned_abs() * 2 + 1;
        (self.next() % span) as i64 - most
    }
}
