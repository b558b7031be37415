//! Candidates for the largest magnitude of an activation that is told apart.

use crate::variant::Format;
use serde::{Deserialize, Serialize};

const PERCENTILE: f64 = 0.9999;
/// Each MSE candidate is this much of the one before.
const SHRINK: f32 = 0.94;
const SHRINKS: usize = 24;
/// Values that the tensor's own error is measured on.
const MOST_VALUES: usize = 1 << 16;

/// How a range was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeRule {
    /// The largest magnitude the value can have: of pixels after normalisation.
    Known,
    /// The largest magnitude seen.
    MinMax,
    /// The magnitude that 99.99 % of the sampled values do not exceed.
    Percentile,
    /// The limit with the least squared error of the tensor itself.
    Mse,
}

/// The candidates for values with the largest magnitude `largest`, of which `sample` is known.
pub(super) fn candidates(sample: &[f32], largest: f32, format: Format) -> Vec<(RangeRule, f32)> {
    let mut found = vec![(RangeRule::MinMax, largest)];
    let mut magnitudes: Vec<f32> = sample.iter().map(|v| v.abs()).collect();
    let place = (magnitudes.len() as f64 * PERCENTILE) as usize;
    if place < magnitudes.len() {
        let (_, limit, _) = magnitudes.select_nth_unstable_by(place, f32::total_cmp);
        found.push((RangeRule::Percentile, *limit));
    }
    let stride = sample.len().div_ceil(MOST_VALUES).max(1) | 1;
    let few: Vec<f32> = sample.iter().copied().step_by(stride).collect();
    let limits = (0..SHRINKS).map(|power| largest * SHRINK.powi(power as i32));
    let errors = limits.map(|limit| (squared_error(&few, limit, format), limit));
    if let Some((_, limit)) = errors.min_by(|a, b| a.0.total_cmp(&b.0)) {
        found.push((RangeRule::Mse, limit));
    }
    found.retain(|(rule, limit)| *rule == RangeRule::MinMax || (*limit > 0.0 && *limit < largest));
    found
}

fn squared_error(values: &[f32], limit: f32, format: Format) -> f64 {
    let step = format.step_for(limit);
    let error = |&value: &f32| f64::from(format.nearest(value, step) - value).powi(2);
    values.iter().map(error).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_far_value_makes_the_other_rules_look_away_from_it() {
        let mut values: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.37).sin()).collect();
        values[77] = 50.0;
        let found = candidates(&values, 50.0, Format::Int8);
        assert_eq!(found[0], (RangeRule::MinMax, 50.0));
        assert_eq!(found[1].0, RangeRule::Percentile);
        assert!(found[1].1 <= 1.0, "{found:?}");
        assert!(
            found[2].0 == RangeRule::Mse && found[2].1 < 50.0,
            "{found:?}"
        );
    }

    #[test]
    fn a_tensor_of_zeros_has_one_candidate() {
        assert_eq!(
            candidates(&[0.0; 8], 0.0, Format::E4m3),
            [(RangeRule::MinMax, 0.0)]
        );
    }
}
