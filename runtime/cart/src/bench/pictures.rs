//! Moving grey pictures to push, made before the clock runs.

use echocart_core::frame::{FrameMeta, PixelFormat};

/// Pictures made; they are pushed round and round, and the source says so.
const PICTURES: usize = 48;

/// Pictures of one size.
pub struct Pictures {
    pub meta: FrameMeta,
    frames: Vec<Vec<u8>>,
}

impl Pictures {
    /// Speckle that changes from picture to picture within a cone.
    pub fn new(width_px: u32, height_px: u32) -> Self {
        let meta = FrameMeta {
            width_px,
            height_px,
            format: PixelFormat::Gray8,
            capture_nanos: 0,
            pass: 1,
            host: Default::default(),
        };
        let frames = (0..PICTURES).map(|n| picture(&meta, n as u32)).collect();
        Self { meta, frames }
    }

    /// The picture of frame `number`.
    pub fn get(&self, number: usize) -> &[u8] {
        &self.frames[number % self.frames.len()]
    }
}

fn picture(meta: &FrameMeta, seed: u32) -> Vec<u8> {
    let (width, height) = (meta.width_px as usize, meta.height_px as usize);
    let mut noise = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut pixels = vec![0; width * height];
    for (y, row) in pixels.chunks_exact_mut(width).enumerate() {
        let half = width * (y + 1) / (2 * height);
        for pixel in &mut row[width / 2 - half..width / 2 + half] {
            noise = noise.wrapping_mul(0x0019_660D).wrapping_add(0x3C6E_F35F);
            *pixel = 20 + (noise >> 25) as u8;
        }
    }
    pixels
}
