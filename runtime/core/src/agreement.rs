//! How two lists of results agree: pure functions.

use crate::calibration::sum;
use serde::Serialize;

/// Half the width, in standard deviations, of limits that hold 95 % of normal differences.
pub const LIMITS: f64 = 1.96;

/// Agreement of numbers with their references.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// Pairs compared.
    pub count: usize,
    /// Mean difference.
    pub bias: f64,
    /// Standard deviation of the differences, of the sample; none of fewer than two.
    pub sd: Option<f64>,
    /// Bias minus and plus [`LIMITS`] standard deviations.
    pub limits: Option<[f64; 2]>,
    /// Mean absolute difference.
    pub mae: f64,
    /// Largest absolute difference.
    pub max: f64,
}

/// Bland-Altman figures of the differences between a method and its reference.
///
/// Nothing for no difference, or for one that is not finite.
///
/// # Source
/// Bland and Altman, Lancet 1986; 327: 307-310: limits at 1.96 standard deviations.
pub fn bland_altman(differences: &[f64]) -> Option<Agreement> {
    if differences.is_empty() || differences.iter().any(|d| !d.is_finite()) {
        return None;
    }
    let count = differences.len();
    let each = || differences.iter().copied();
    let bias = sum(each()) / count as f64;
    let sd =
        (count > 1).then(|| (sum(each().map(|d| (d - bias).powi(2))) / (count - 1) as f64).sqrt());
    Some(Agreement {
        count,
        bias,
        sd,
        limits: sd.map(|sd| [bias - LIMITS * sd, bias + LIMITS * sd]),
        mae: sum(each().map(f64::abs)) / count as f64,
        max: each().map(f64::abs).fold(0.0, f64::max),
    })
}

/// Wilson's bounds of a share of which `successes` of `trials` were seen, `z` standard deviations
/// away.
///
/// Nothing for no trial, for more successes than trials, and for a `z` that is none.
///
/// # Source
/// Wilson, J Am Stat Assoc 1927; 22: 209-212.
pub fn wilson(successes: usize, trials: usize, z: f64) -> Option<[f64; 2]> {
    if trials == 0 || successes > trials || !(z.is_finite() && z >= 0.0) {
        return None;
    }
    let (n, share) = (trials as f64, successes as f64 / trials as f64);
    let spread = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / spread;
    let half = z / spread * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let low = if successes == 0 { 0.0 } else { centre - half };
    let high = if successes == trials {
        1.0
    } else {
        centre + half
    };
    Some([low.max(0.0), high.min(1.0)])
}

/// The middle value, or the mean of the two middle ones; nothing for none and for NaN.
pub fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|v| v.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    Some((sorted.get(low)? + sorted.get(high)?) / 2.0)
}

#[cfg(test)]
mod tests;
