//! Whether the features still tell clips apart.

use serde::{Deserialize, Serialize};

/// How much features vary from clip to clip at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean standard deviation of a channel.
    pub deviation: f32,
    /// Effective rank of the covariance: the exponential of the entropy of its eigenvalues.
    pub effective_rank: f32,
}

/// Measures rows that belong to `places` places in turn; each place's mean is taken out, so that
/// what a token says of its own position does not count.
///
/// # Shapes
/// - `rows`: `[clips x places, dim]`.
pub fn spread(rows: &[f32], dim: usize, places: usize) -> Spread {
    let clips = rows.len() / (dim * places).max(1);
    let mut means = vec![0.0; places * dim];
    for clip in rows.chunks_exact(dim * places) {
        for (mean, &value) in means.iter_mut().zip(clip) {
            *mean += f64::from(value) / clips as f64;
        }
    }
    let mut covariance = vec![0.0; dim * dim];
    for clip in rows.chunks_exact(dim * places) {
        for (row, mean) in clip.chunks_exact(dim).zip(means.chunks_exact(dim)) {
            let centred: Vec<f64> = row
                .iter()
                .zip(mean)
                .map(|(&x, m)| f64::from(x) - m)
                .collect();
            for (a, line) in centred.iter().zip(covariance.chunks_exact_mut(dim)) {
                for (sum, b) in line.iter_mut().zip(&centred) {
                    *sum += a * b / (clips * places) as f64;
                }
            }
        }
    }
    let deviations = (0..dim).map(|at| covariance[at * dim + at].max(0.0).sqrt());
    let deviation = deviations.sum::<f64>() / dim as f64;
    let values = eigenvalues(covariance, dim);
    let total: f64 = values.iter().map(|value| value.max(0.0)).sum();
    let entropy: f64 = values
        .iter()
        .map(|value| value.max(0.0) / total.max(f64::MIN_POSITIVE))
        .filter(|share| *share > 0.0)
        .map(|share| -share * share.ln())
        .sum();
    Spread {
        deviation: deviation as f32,
        effective_rank: entropy.exp() as f32,
    }
}

/// Eigenvalues of a symmetric matrix by Jacobi's rotations.
fn eigenvalues(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    for _ in 0..12 {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                off += apq * apq;
                if apq.abs() < 1e-300 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
            }
        }
        let trace: f64 = (0..n).map(|at| a[at * n + at].powi(2)).sum();
        if off <= 1e-12 * trace {
            break;
        }
    }
    (0..n).map(|at| a[at * n + at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use echocart_phantom::Random;

    #[test]
    fn rows_in_three_directions_have_rank_three_whatever_their_place_says() {
        let (dim, places) = (12, 4);
        let mut random = Random::new(1, 1);
        let mut rows = Vec::new();
        for _ in 0..500 {
            for place in 0..places {
                let free: Vec<f32> = (0..3).map(|_| random.normal()).collect();
                rows.extend((0..dim).map(|at| free[at % 3] + (place * at) as f32));
            }
        }
        let found = spread(&rows, dim, places);
        assert!((found.effective_rank - 3.0).abs() < 0.1, "{found:?}");
        assert!((found.deviation - 1.0).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn features_that_say_nothing_of_the_clip_have_no_spread() {
        let rows: Vec<f32> = (0..100 * 8).map(|at| (at % 8) as f32).collect();
        assert!(spread(&rows, 4, 2).deviation < 1e-9);
    }
}
