//! How good answers are.

use serde::{Deserialize, Serialize};

/// How well views are told apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Views {
    /// Clips with a label.
    pub clips: usize,
    /// Share whose most probable class is the label.
    pub accuracy: f64,
    /// Mean over classes of the share of a class's clips that are right.
    pub balanced: f64,
    /// Expected calibration error in 15 bins of the highest probability.
    pub ece: f64,
}

/// How well ejection fractions are estimated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ejection {
    /// Clips.
    pub clips: usize,
    /// Mean absolute error in points.
    pub mae: f64,
    /// Mean error in points.
    pub bias: f64,
    /// Standard deviation of the error in points.
    pub scatter: f64,
    /// Mean absolute error of always saying the training clips' mean.
    pub mae_predict_mean: f64,
    /// Half width of the interval in points.
    pub half_width: f64,
    /// Share of clips whose interval holds the truth.
    pub coverage: f64,
}

/// Compares probabilities with classes.
pub fn views(answers: &[(Vec<f32>, usize)]) -> Views {
    let classes = answers.first().map_or(0, |(p, _)| p.len());
    let mut by_class = vec![(0.0, 0.0); classes];
    let mut bins = [(0.0, 0.0, 0.0); 15];
    for (probabilities, class) in answers {
        let best = arg_max(probabilities);
        let right = f64::from(u8::from(best == *class));
        if let Some((hits, all)) = by_class.get_mut(*class) {
            *hits += right;
            *all += 1.0;
        }
        let sure = f64::from(probabilities.get(best).copied().unwrap_or(0.0));
        let (count, hits, sum) = &mut bins[((15.0 * sure) as usize).min(14)];
        *count += 1.0;
        *hits += right;
        *sum += sure;
    }
    let clips = answers.len().max(1) as f64;
    let seen = by_class.iter().filter(|(_, all)| *all > 0.0);
    let shares: Vec<f64> = seen.map(|(hits, all)| hits / all).collect();
    Views {
        clips: answers.len(),
        accuracy: by_class.iter().map(|(hits, _)| hits).sum::<f64>() / clips,
        balanced: mean(&shares),
        ece: bins
            .iter()
            .map(|(_, hits, sum): &(f64, f64, f64)| (hits - sum).abs() / clips)
            .sum(),
    }
}

/// Compares estimates with truths, both in percent.
pub fn ejection(answers: &[(f64, f64)], training_mean: f64, half_width: f64) -> Ejection {
    let errors: Vec<f64> = answers.iter().map(|(found, truth)| found - truth).collect();
    let absolute: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    let bias = mean(&errors);
    let squares: Vec<f64> = errors.iter().map(|error| (error - bias).powi(2)).collect();
    let constant: Vec<f64> = answers
        .iter()
        .map(|(_, truth)| (truth - training_mean).abs())
        .collect();
    let held = absolute.iter().filter(|error| **error <= half_width);
    Ejection {
        clips: answers.len(),
        mae: mean(&absolute),
        bias,
        scatter: mean(&squares).sqrt(),
        mae_predict_mean: mean(&constant),
        half_width,
        coverage: held.count() as f64 / answers.len().max(1) as f64,
    }
}

/// The half width that holds new clips of the same kind with probability `coverage`: split
/// conformal, nothing for too few residuals.
pub fn conformal(mut residuals: Vec<f64>, coverage: f64) -> Option<f64> {
    residuals.sort_by(f64::total_cmp);
    let rank = ((residuals.len() + 1) as f64 * coverage).ceil() as usize;
    residuals.get(rank.checked_sub(1)?).copied()
}

/// The temperature that makes held-out logits most probable, by golden section.
pub fn temperature(answers: &[(Vec<f32>, usize)]) -> f32 {
    let loss = |log: f64| -> f64 {
        let scale = (-log).exp() as f32;
        let one = |(logits, class): &(Vec<f32>, usize)| {
            let mut p: Vec<f32> = logits.iter().map(|x| x * scale).collect();
            crate::net::probe::softmax(&mut p);
            -f64::from(p.get(*class).copied().unwrap_or(1.0).max(1e-30).ln())
        };
        answers.iter().map(one).sum()
    };
    let (mut from, mut to) = (-2.0_f64, 3.0_f64);
    for _ in 0..40 {
        let third = (to - from) / 3.0;
        if loss(from + third) < loss(to - third) {
            to -= third;
        } else {
            from += third;
        }
    }
    (0.5 * (from + to)).exp() as f32
}

/// The place of the largest value.
pub fn arg_max(values: &[f32]) -> usize {
    let pairs = values.iter().enumerate();
    pairs
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map_or(0, |(at, _)| at)
}

/// The mean, 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_residual_of_its_rank() {
        let residuals: Vec<f64> = (1..=99).rev().map(f64::from).collect();
        assert_eq!(conformal(residuals, 0.9), Some(90.0));
        assert_eq!(conformal(vec![1.0; 5], 0.9), None);
    }

    #[test]
    fn overconfident_logits_get_a_temperature_above_one() {
        let answers: Vec<(Vec<f32>, usize)> = (0..100)
            .map(|at| (vec![8.0, 0.0], usize::from(at % 4 == 0)))
            .collect();
        let found = temperature(&answers);
        let expected = 8.0 / 3.0_f32.ln();
        assert!((found - expected).abs() < 0.05, "{found} {expected}");
    }

    #[test]
    fn a_constant_estimate_is_no_better_than_the_mean() {
        let answers: Vec<(f64, f64)> = (0..11).map(|ef| (50.0, 45.0 + f64::from(ef))).collect();
        let found = ejection(&answers, 50.0, 3.0);
        assert_eq!((found.mae, found.bias), (found.mae_predict_mean, 0.0));
        assert!((found.coverage - 7.0 / 11.0).abs() < 1e-12);
    }

    #[test]
    fn accuracy_counts_the_most_probable_class() {
        let found = views(&[
            (vec![0.9, 0.1], 0),
            (vec![0.6, 0.4], 1),
            (vec![0.2, 0.8], 1),
        ]);
        assert!((found.accuracy - 2.0 / 3.0).abs() < 1e-12);
        assert!((found.balanced - 0.75).abs() < 1e-12);
    }
}
