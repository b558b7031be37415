//! A moving pattern for golden clips, in whole numbers: the same on every machine.

use echocart_core::frame::{Frame, FrameMeta, PixelFormat};
use echocart_core::manifest::{Manifest, ManifestError};
use echocart_core::preprocess::{MAX_SIDE_PX, Preprocessor};

/// The clips of every package. They differ in format, size, texture and motion.
pub(super) const CLIPS: [Clip; 2] = [
    Clip {
        name: "pattern1",
        format: PixelFormat::Gray8,
        wavelength_px: 23,
        speed: 3,
        seed: 1,
    },
    Clip {
        name: "pattern2",
        format: PixelFormat::Rgb24,
        wavelength_px: 71,
        speed: -1,
        seed: 2,
    },
];

/// One clip of the pattern.
pub(super) struct Clip {
    pub name: &'static str,
    format: PixelFormat,
    wavelength_px: i64,
    speed: i64,
    seed: u64,
}

impl Clip {
    /// Frames for one clip at irregular times, with others between them, in odd sizes that the
    /// package's steps change.
    pub fn frames(&self, manifest: &Manifest) -> Result<Vec<Frame>, ManifestError> {
        let (width_px, height_px) = self.size(manifest)?;
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
                pixels: self.pixels(&meta),
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

    fn pixels(&self, meta: &FrameMeta) -> Vec<u8> {
        let time = meta.capture_nanos / 1_000_000 * self.speed;
        let mut random = Random(self.seed ^ meta.capture_nanos as u64);
        let mut pixels = Vec::with_capacity(meta.frame_bytes());
        for y in 0..i64::from(meta.height_px) {
            for x in 0..i64::from(meta.width_px) {
                let speckle = (random.next() % 48) as i64;
                for channel in 0..meta.format.bytes() as i64 {
                    let across = self.wave(16 * x + (3 + channel) * y + time / 4);
                    let down = self.wave(11 * y - (5 + 2 * channel) * x - time / 7);
                    let value = 24 + speckle + across * down / 420;
                    pixels.push(value.clamp(0, 255) as u8);
                }
            }
        }
        pixels
    }

    /// A triangle wave from 0 to 255 over sixteenths of a pixel.
    fn wave(&self, place: i64) -> i64 {
        let period = 16 * self.wavelength_px;
        let at = place.rem_euclid(period);
        at.min(period - at) * 2 * 255 / period
    }
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
