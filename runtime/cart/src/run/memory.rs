//! Decoded frames of a looped file, so that later passes do not decode again.
//!
//! A codec that takes longer than a frame period would otherwise fall further behind with every
//! pass.

use echocart_core::frame::FrameMeta;

/// Most bytes of pixels kept.
const MOST_BYTES: usize = 256 << 20;

/// The frames of a first pass, if they fit.
#[derive(Default)]
pub struct Memory {
    frames: Vec<(FrameMeta, Vec<u8>)>,
    bytes: usize,
    too_large: bool,
}

impl Memory {
    /// Keeps a frame of the first pass.
    pub fn keep(&mut self, meta: FrameMeta, pixels: &[u8]) {
        self.bytes += pixels.len();
        if self.too_large || self.bytes > MOST_BYTES {
            self.too_large = true;
            self.frames = Vec::new();
            return;
        }
        self.frames.push((meta, pixels.to_vec()));
    }

    /// True when the whole first pass is here.
    pub fn is_whole(&self) -> bool {
        !self.too_large && !self.frames.is_empty()
    }

    /// Copies frame `index` out, or gives none after the last.
    pub fn frame(&self, index: usize, pixels: &mut Vec<u8>) -> Option<FrameMeta> {
        let (meta, kept) = self.frames.get(index)?;
        pixels.clear();
        pixels.extend_from_slice(kept);
        Some(*meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use echocart_core::frame::PixelFormat;

    fn meta() -> FrameMeta {
        FrameMeta {
            width_px: 2,
            height_px: 1,
            format: PixelFormat::Gray8,
            capture_nanos: 5,
            pass: 0,
            host: Default::default(),
        }
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut memory = Memory::default();
        memory.keep(meta(), &[1, 2]);
        let mut pixels = vec![9];
        assert_eq!(memory.frame(0, &mut pixels), Some(meta()));
        assert_eq!(pixels, [1, 2]);
        assert_eq!(memory.frame(1, &mut pixels), None);
    }

    #[test]
    fn a_pass_that_does_not_fit_is_not_kept_in_part() {
        let mut memory = Memory::default();
        memory.keep(meta(), &[1, 2]);
        memory.bytes = MOST_BYTES;
        memory.keep(meta(), &[3, 4]);
        assert!(!memory.is_whole());
        assert_eq!(memory.frame(0, &mut Vec::new()), None);
    }
}
