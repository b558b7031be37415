//! The encoder as `echocart export` reads it: three channels instead of one.

use std::path::Path;

use crate::TrainError;
use crate::net::params::Layout;
use crate::net::vit::{PATCH, PATCH_PX, TUBELET, Vit};
use crate::store::{Stored, Width, tensors, write as write_tensors};

/// The encoder's file in a training's folder.
pub const NAME: &str = "encoder.safetensors";

const PATCH_WEIGHT: &str = "patch_embed.proj.weight";
const CHANNELS: usize = 3;

/// Writes an encoder in 16 bits. Grey values come three times, so each channel has a third of the weight.
///
/// # Errors
/// [`TrainError::File`].
pub fn write(
    path: &Path,
    encoder: &Vit<f32>,
    layout: &Layout,
    values: &[f32],
) -> Result<(), TrainError> {
    let mut all = tensors(layout, values, "");
    if let Some(patch) = all.iter_mut().find(|tensor| tensor.name == PATCH_WEIGHT) {
        patch.shape = shape(encoder.size.dim);
        let rows = patch.values.chunks_exact(PATCH);
        patch.values = rows
            .flat_map(|row| {
                row.iter()
                    .map(|w| w / CHANNELS as f32)
                    .collect::<Vec<_>>()
                    .repeat(CHANNELS)
            })
            .collect();
    }
    write_tensors(path, &all, Width::Brain)
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// [`TrainError::Content`].
pub fn read(path: &Path, layout: &Layout, count: usize) -> Result<Vec<f32>, TrainError> {
    let stored = Stored::open(path)?;
    let mut values = Vec::with_capacity(count);
    let entries = layout.entries().iter();
    for entry in entries.take_while(|entry| entry.range.end <= count) {
        if entry.name != PATCH_WEIGHT {
            values.extend(stored.values(&entry.name, entry.range.len())?);
            continue;
        }
        let wide = stored.values(&entry.name, CHANNELS * entry.range.len())?;
        for row in wide.chunks_exact(CHANNELS * PATCH) {
            let one = &row[..PATCH];
            values.extend(one.iter().map(|w| w * CHANNELS as f32));
        }
    }
    Ok(values)
}

fn shape(dim: usize) -> Vec<usize> {
    vec![dim, CHANNELS, TUBELET, PATCH_PX, PATCH_PX]
}
