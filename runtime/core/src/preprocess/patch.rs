//! Normalisation and the order of patch rows.

use super::PreprocessError;
use crate::manifest::{Encoder, ManifestError, Preprocess};

/// Normalises image rows into the patch rows of a tubelet.
#[derive(Debug, Clone)]
pub(super) struct PatchWriter {
    tables: Vec<[f32; 256]>,
    patch_px: usize,
    tubelet_frames: usize,
    patches_per_row: usize,
    row: usize,
    block: usize,
}

impl PatchWriter {
    /// Computes the table of normalised values per channel.
    pub fn new(preprocess: &Preprocess, encoder: &Encoder) -> Result<Self, ManifestError> {
        let patch_px = encoder.patch_px;
        for (key, value, ok, expected) in [
            (
                "encoder.channels",
                encoder.channels,
                encoder.channels == 3,
                "3",
            ),
            (
                "encoder.patch_px",
                patch_px,
                (1..=4096).contains(&patch_px),
                "1 to 4096",
            ),
            (
                "encoder.tubelet_frames",
                encoder.tubelet_frames,
                (1..=4096).contains(&encoder.tubelet_frames),
                "1 to 4096",
            ),
            (
                "encoder.width_px",
                encoder.width_px,
                is_side(encoder.width_px, patch_px),
                "a multiple of patch_px up to 16384",
            ),
            (
                "encoder.height_px",
                encoder.height_px,
                is_side(encoder.height_px, patch_px),
                "a multiple of patch_px up to 16384",
            ),
        ] {
            if !ok {
                return Err(ManifestError {
                    key: key.to_owned(),
                    expected: expected.to_owned(),
                    found: value.to_string(),
                });
            }
        }
        let channels = preprocess.mean.iter().zip(&preprocess.std);
        Ok(Self {
            tables: channels.map(|(&mean, &std)| table(mean, std)).collect(),
            patch_px,
            tubelet_frames: encoder.tubelet_frames,
            patches_per_row: encoder.width_px / patch_px,
            row: encoder.row(),
            block: encoder.tokens_per_tubelet() * encoder.row(),
        })
    }

    /// Checks what [`PatchWriter::write`] relies on.
    pub fn check(&self, frame_in_tubelet: usize, block: &[f32]) -> Result<(), PreprocessError> {
        if frame_in_tubelet >= self.tubelet_frames {
            return Err(PreprocessError::FrameInTubelet {
                expected: self.tubelet_frames,
                found: frame_in_tubelet,
            });
        }
        if block.len() != self.block {
            return Err(PreprocessError::Block {
                expected: self.block,
                found: block.len(),
            });
        }
        Ok(())
    }

    /// Writes image row `y`, whose pixels have `BYTES` interleaved bytes.
    pub fn write<const BYTES: usize>(
        &self,
        y: usize,
        line: &[u8],
        frame_in_tubelet: usize,
        block: &mut [f32],
    ) {
        let side = self.patch_px;
        let band_len = self.patches_per_row * self.row;
        let band = &mut block[y / side * band_len..][..band_len];
        let patches = band
            .chunks_exact_mut(self.row)
            .zip(line.chunks_exact(side * BYTES));
        for (patch, pixels) in patches {
            for (channel, table) in self.tables.iter().enumerate() {
                let start =
                    ((channel * self.tubelet_frames + frame_in_tubelet) * side + y % side) * side;
                let values = &mut patch[start..][..side];
                let byte = channel.min(BYTES - 1);
                for (value, pixel) in values.iter_mut().zip(pixels.as_chunks::<BYTES>().0) {
                    *value = table[usize::from(pixel[byte])];
                }
            }
        }
    }
}

fn is_side(side_px: usize, patch_px: usize) -> bool {
    (1..=super::MAX_SIDE_PX as usize).contains(&side_px) && side_px.is_multiple_of(patch_px)
}

fn table(mean: f32, std: f32) -> [f32; 256] {
    std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std)
}
