//! Where the patch embedding starts: along the principal components of the training tubelets.
//!
//! Drawn at random, it mostly sees how bright a tubelet is: that direction has most of the variance. Normalised
//! features are then nearly the same up to a sign, a target that is predicted in no time and teaches nothing.

use echocart_phantom::Random;

use crate::augment::{Crop, cut};
use crate::net::matrix::{dot, product, view, view_mut};
use crate::net::params::Layout;
use crate::net::vit::{PATCH, Size, patches};

/// Clips that the components are found on, and how many tubelets of each.
const CLIPS: usize = 512;
const TUBELETS: usize = 32;
const ROUNDS: usize = 30;

/// Component whose variance is added to all, as part of the width: what has less counts as noise.
const FLOOR: usize = 8;

/// Deviation of the biases of queries and keys. What they add to a score depends, after the rotary turn, on the way from
/// one token to the other alone: heads start with a direction they look in.
const LEANING: f32 = 1.5;

/// Sets `patch_embed.proj` so that tokens of the training clips have mean 0, variance about 1 and no direction
/// that stands out.
///
/// # Shapes
/// - `clips`: each `[16, 128, 128]`.
pub fn start(layout: &Layout, params: &mut [f32], size: Size, clips: &[&[u8]], seed: u64) {
    let mut random = Random::new(seed, 0x6000);
    let mut rows = Vec::new();
    for index in 0..CLIPS.min(clips.len()) {
        let clip = index * clips.len() / CLIPS.min(clips.len());
        let clip = cut(clips[clip], Crop::centre(size.side_px), size.side_px);
        let all: Vec<f32> = patches(&clip, size.side_px);
        for _ in 0..TUBELETS {
            let at = (random.bits() % size.tokens() as u64) as usize * PATCH;
            rows.extend_from_slice(&all[at..at + PATCH]);
        }
    }
    let count = rows.len() / PATCH;
    let mut mean = vec![0.0; PATCH];
    for row in rows.chunks_exact(PATCH) {
        for (mean, value) in mean.iter_mut().zip(row) {
            *mean += value / count as f32;
        }
    }
    for row in rows.chunks_exact_mut(PATCH) {
        for (value, mean) in row.iter_mut().zip(&mean) {
            *value = (*value - mean) / (count as f32).sqrt();
        }
    }
    let mut covariance = vec![0.0; PATCH * PATCH];
    let rows = view(&rows, count, PATCH);
    product(
        rows.t(),
        rows,
        view_mut(&mut covariance, PATCH, PATCH),
        false,
    );
    let (components, variances) = principal(&covariance, size.dim, &mut random);
    let mut mixed: Vec<f32> = (0..size.dim * size.dim).map(|_| random.normal()).collect();
    orthonormalise(&mut mixed, size.dim);
    let floor = variances[(size.dim / FLOOR).min(size.dim - 1)].max(f32::MIN_POSITIVE);
    let scales: Vec<f32> = variances
        .iter()
        .map(|variance| (variance.max(0.0) + floor).sqrt().recip())
        .collect();
    for row in mixed.chunks_exact_mut(size.dim) {
        for (value, scale) in row.iter_mut().zip(&scales) {
            *value *= scale;
        }
    }
    let mut weight = vec![0.0; size.dim * PATCH];
    product(
        view(&mixed, size.dim, size.dim),
        view(&components, size.dim, PATCH),
        view_mut(&mut weight, size.dim, PATCH),
        false,
    );
    let bias: Vec<f32> = weight
        .chunks_exact(PATCH)
        .map(|row| -dot(row, &mean))
        .collect();
    for entry in layout.entries() {
        match entry.name.as_str() {
            "patch_embed.proj.weight" => params[entry.range.clone()].copy_from_slice(&weight),
            "patch_embed.proj.bias" => params[entry.range.clone()].copy_from_slice(&bias),
            name if name.ends_with("attn.qkv.bias") => {
                let range = &mut params[entry.range.clone()];
                let asked = 2 * range.len() / 3;
                range[..asked].fill_with(|| LEANING * random.normal());
            }
            _ => {}
        }
    }
}

/// The first `count` components as rows and their variances, by orthogonal iteration.
fn principal(covariance: &[f32], count: usize, random: &mut Random) -> (Vec<f32>, Vec<f32>) {
    let size = covariance.len().isqrt();
    let mut rows: Vec<f32> = (0..count * size).map(|_| random.normal()).collect();
    let mut next = vec![0.0; rows.len()];
    let square = view(covariance, size, size);
    orthonormalise(&mut rows, size);
    for _ in 0..ROUNDS {
        let to = view_mut(&mut next, count, size);
        product(view(&rows, count, size), square, to, false);
        std::mem::swap(&mut rows, &mut next);
        orthonormalise(&mut rows, size);
    }
    let to = view_mut(&mut next, count, size);
    product(view(&rows, count, size), square, to, false);
    let pairs = rows.chunks_exact(size).zip(next.chunks_exact(size));
    let variances = pairs.map(|(row, image)| dot(row, image)).collect();
    (rows, variances)
}

/// Gram-Schmidt on rows.
fn orthonormalise(rows: &mut [f32], size: usize) {
    for at in 0..rows.len() / size {
        let (before, rest) = rows.split_at_mut(at * size);
        let row = &mut rest[..size];
        for _ in 0..2 {
            for other in before.chunks_exact(size) {
                let along = dot(row, other);
                for (value, other) in row.iter_mut().zip(other) {
                    *value -= along * other;
                }
            }
        }
        let scale = dot(row, row).sqrt().max(f32::MIN_POSITIVE).recip();
        for value in row {
            *value *= scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_of_a_diagonal_are_its_axes() {
        let mut covariance = vec![0.0; 36];
        for (at, variance) in [1.0, 9.0, 4.0, 0.1, 0.2, 0.3].into_iter().enumerate() {
            covariance[at * 6 + at] = variance;
        }
        let (rows, variances) = principal(&covariance, 2, &mut Random::new(1, 1));
        assert!((variances[0] - 9.0).abs() < 1e-3 && (variances[1] - 4.0).abs() < 1e-3);
        assert!(rows[1].abs() > 0.999 && rows[6 + 2].abs() > 0.999);
    }
}
