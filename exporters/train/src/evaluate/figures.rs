//! What answers come to.

use echocart_phantom::Random;
use serde::Serialize;

use crate::measure::{self, Ejection, Views, arg_max, mean};
use crate::perturb::Disturbance;
use crate::probing::VIEWS;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1000;

/// EF bands by their truth.
const BANDS: [(&str, f64, f64); 3] = [
    ("below 40", f64::NEG_INFINITY, 40.0),
    ("40 to 50", 40.0, 50.0),
    ("50 and above", 50.0, f64::INFINITY),
];

/// Views with all labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ViewFigures {
    /// Accuracy and certainty.
    #[serde(flatten)]
    pub views: Views,
    /// 95 % bootstrap interval of the accuracy, over hearts.
    pub accuracy_interval: [f64; 2],
    /// What the logits were divided by, from the calibration hearts.
    pub temperature: f32,
    /// Clips by true class (row) and most probable class (column), in the order of the classes.
    pub confusion: Vec<Vec<usize>>,
}

/// Views with few labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FewFigures {
    /// Labels.
    pub labels: usize,
    /// Mean accuracy over the draws.
    pub accuracy: f64,
    /// Accuracy of each draw.
    pub draws: Vec<f64>,
    /// 95 % bootstrap interval of the mean, over hearts and draws.
    pub interval: [f64; 2],
}

/// Ejection fractions of four-chamber views.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EjectionFigures {
    /// Error, bias, scatter and coverage.
    #[serde(flatten)]
    pub ejection: Ejection,
    /// 95 % bootstrap interval of the mean absolute error, over hearts.
    pub mae_interval: [f64; 2],
    /// Bias minus and plus 1.96 times the scatter.
    pub limits: [f64; 2],
    /// The same by true EF.
    pub bands: Vec<Band>,
}

/// Hearts of a band of true EF.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Band {
    /// The band.
    pub ef_percent: &'static str,
    /// Clips.
    pub clips: usize,
    /// Mean absolute error in points.
    pub mae: f64,
    /// Mean error in points.
    pub bias: f64,
    /// Share of clips whose interval holds the truth.
    pub coverage: f64,
}

/// A disturbance and what it does to the same clips.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disturbed {
    /// The disturbance.
    pub what: String,
    /// Mean absolute error in points.
    pub mae: f64,
    /// Its rise over the undisturbed clips', as a share.
    pub degradation: f64,
}

/// Compares probabilities with classes.
pub fn views(answers: &[(Vec<f32>, usize)], temperature: f32) -> ViewFigures {
    let mut confusion = vec![vec![0; VIEWS.len()]; VIEWS.len()];
    for (probabilities, class) in answers {
        confusion[*class][arg_max(probabilities)] += 1;
    }
    ViewFigures {
        views: measure::views(answers),
        accuracy_interval: bootstrap(&[right(answers)]),
        temperature,
        confusion,
    }
}

/// Compares the answers of every draw's probe with classes.
pub fn few(labels: usize, draws: &[Vec<(Vec<f32>, usize)>]) -> FewFigures {
    let right: Vec<Vec<f64>> = draws.iter().map(|answers| right(answers)).collect();
    let accuracies: Vec<f64> = right.iter().map(|right| mean(right)).collect();
    FewFigures {
        labels,
        accuracy: mean(&accuracies),
        interval: bootstrap(&right),
        draws: accuracies,
    }
}

/// Compares estimates with truths, both in percent.
pub fn ejection(answers: &[(f64, f64)], known_mean: f64, half_width: f64) -> EjectionFigures {
    let ejection = measure::ejection(answers, known_mean, half_width);
    let band = |&(ef_percent, from, to): &(&'static str, f64, f64)| {
        let inside = answers
            .iter()
            .filter(|(_, truth)| (from..to).contains(truth));
        let inside: Vec<(f64, f64)> = inside.copied().collect();
        let of = measure::ejection(&inside, known_mean, half_width);
        Band {
            ef_percent,
            clips: of.clips,
            mae: of.mae,
            bias: of.bias,
            coverage: of.coverage,
        }
    };
    let spread = 1.96 * ejection.scatter;
    EjectionFigures {
        mae_interval: bootstrap(&[errors(answers)]),
        limits: [ejection.bias - spread, ejection.bias + spread],
        bands: BANDS.iter().map(band).collect(),
        ejection,
    }
}

/// Compares what `changed` says of the same clips with what `answers` said.
pub fn disturbed(
    disturbance: Disturbance,
    answers: &[(f64, f64)],
    changed: &[(f64, f64)],
) -> Disturbed {
    let [before, after] = [answers, changed].map(|answers| mean(&errors(answers)));
    Disturbed {
        what: disturbance.words(),
        mae: after,
        degradation: after / before.max(1e-9) - 1.0,
    }
}

fn right(answers: &[(Vec<f32>, usize)]) -> Vec<f64> {
    let right = |(p, class): &(Vec<f32>, usize)| f64::from(u8::from(arg_max(p) == *class));
    answers.iter().map(right).collect()
}

fn errors(answers: &[(f64, f64)]) -> Vec<f64> {
    answers
        .iter()
        .map(|(found, truth)| (found - truth).abs())
        .collect()
}

/// 95 % percentile interval of the mean of `values`, over draws and over the hearts in them.
pub fn bootstrap(values: &[Vec<f64>]) -> [f64; 2] {
    let hearts = values.iter().map(Vec::len).min().unwrap_or(0);
    if hearts == 0 {
        return [0.0; 2];
    }
    let mut random = Random::new(1, 0xB007);
    let mut pick = |count: usize| (random.bits() % count as u64) as usize;
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let draws: Vec<usize> = values.iter().map(|_| pick(values.len())).collect();
            let sums = (0..hearts).map(|_| {
                let heart = pick(hearts);
                draws.iter().map(|draw| values[*draw][heart]).sum::<f64>()
            });
            sums.sum::<f64>() / (hearts * draws.len()) as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|share| means[((RESAMPLES - 1) as f64 * share).round() as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_interval_is_as_wide_as_the_sample_says() {
        let coin = |n: usize| (0..n).map(|at| (at % 2) as f64).collect::<Vec<f64>>();
        let [low, high] = bootstrap(&[coin(400)]);
        assert!(
            (high - low - 2.0 * 1.96 * 0.025).abs() < 0.02,
            "{low} {high}"
        );
        assert_eq!(bootstrap(&[vec![1.0; 9], vec![1.0; 9]]), [1.0, 1.0]);
        assert_eq!(bootstrap(&[]), [0.0, 0.0]);
    }

    #[test]
    fn draws_that_differ_widen_the_interval() {
        let same = bootstrap(&[vec![0.5; 50], vec![0.5; 50]]);
        let other = bootstrap(&[vec![0.3; 50], vec![0.7; 50]]);
        assert!(other[1] - other[0] > same[1] - same[0] + 0.3);
    }

    #[test]
    fn bands_hold_every_heart_once_and_a_disturbance_is_a_share() {
        let answers = [(30.0, 32.0), (45.0, 40.0), (60.0, 50.0), (60.0, 61.0)];
        let found = ejection(&answers, 50.0, 4.0);
        let clips: Vec<usize> = found.bands.iter().map(|band| band.clips).collect();
        assert_eq!(clips, [1, 1, 2]);
        assert_eq!(found.bands[2].coverage, 0.5);
        let worse: Vec<(f64, f64)> = answers
            .iter()
            .map(|(e, t)| (t + 1.5 * (e - t), *t))
            .collect();
        let found = disturbed(Disturbance::ALL[0], &answers, &worse);
        assert!((found.degradation - 0.5).abs() < 1e-12);
    }
}
