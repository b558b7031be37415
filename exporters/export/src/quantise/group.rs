//! The layers that read one activation: their common range, migration and corrections, each chosen
//! by the measured error of the layers' outputs on sampled rows.

use super::range::{RangeRule, candidates};
use crate::variant::Format;
use ndarray::{Array2, ArrayView2, Axis, Slice};

/// Shares of a channel's magnitude that move from the activation into the weights. With shares near
/// 1 every channel just reaches the limit, and one that was quiet in the clips seen is cut off in
/// others.
const ALPHAS: [f32; 3] = [0.35, 0.5, 0.65];
/// A larger share, or a range below the largest magnitude seen, is taken only if it leaves less than
/// this of the noise: other images reach further than those that were looked at.
const WORTH_CUTTING: f64 = 0.9;
const LEAST_FACTOR: f32 = 1e-4;
const MOST_FACTOR: f32 = 1e4;

/// A layer of the group.
pub(super) struct Member {
    pub name: String,
    /// `[inputs, outputs]`.
    pub weight: Array2<f32>,
    pub has_bias: bool,
}

/// The layers that read one activation, and what is known of it.
pub(super) struct Group<'a> {
    pub members: Vec<Member>,
    /// Sampled rows `[rows, inputs]`.
    pub sample: Array2<f32>,
    /// Largest magnitude of each channel.
    pub limits: &'a [f32],
    /// Whether factors may move into the normalisation before it.
    pub movable: bool,
    /// The largest magnitude the activation can have, where that is known without looking.
    pub known_limit: Option<f32>,
}

/// What was chosen for a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// What the activation is divided by; none if nothing moves.
    pub factors: Option<Vec<f32>>,
    /// The share that made the factors.
    pub alpha: Option<f32>,
    /// Largest magnitude told apart, after migration.
    pub limit: f32,
    pub rule: RangeRule,
    /// One per member.
    pub layers: Vec<LayerChoice>,
}

/// What was chosen for and measured of one layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayerChoice {
    pub name: String,
    /// One per output, or empty.
    pub bias_shift: Vec<f32>,
    /// Squared error of the outputs over their squares, on the sampled rows.
    pub noise: f64,
}

struct Prepared {
    factors: Option<Vec<f32>>,
    sample: Array2<f32>,
    weights: Vec<Array2<f32>>,
}

/// Every second row.
fn half(rows: ArrayView2<'_, f32>, from: usize) -> ArrayView2<'_, f32> {
    let from = from.min(rows.nrows());
    rows.slice_axis_move(Axis(0), Slice::new(from as isize, None, 2))
}

fn energy(values: ArrayView2<'_, f32>) -> f64 {
    values.iter().map(|&v| f64::from(v).powi(2)).sum()
}

/// Rounds each column by its own step.
pub(super) fn round_columns(weight: &mut Array2<f32>, format: Format) {
    let mut steps = vec![0.0f32; weight.ncols()];
    for row in weight.rows() {
        for (step, value) in steps.iter_mut().zip(row) {
            *step = step.max(value.abs());
        }
    }
    for step in &mut steps {
        *step = format.step_for(*step);
    }
    for mut row in weight.rows_mut() {
        for (value, &step) in row.iter_mut().zip(&steps) {
            *value = format.nearest(*value, step);
        }
    }
}

fn rounded(sample: ArrayView2<'_, f32>, limit: f32, format: Format) -> Array2<f32> {
    let step = format.step_for(limit);
    sample.mapv(|value| format.nearest(value, step))
}

impl Group<'_> {
    fn weight_limits(&self) -> Vec<f32> {
        let mut limits = vec![0.0f32; self.limits.len()];
        for member in &self.members {
            for (limit, row) in limits.iter_mut().zip(member.weight.rows()) {
                *limit = row.iter().fold(*limit, |most, value| most.max(value.abs()));
            }
        }
        limits
    }

    fn factors(&self, alpha: f32, weights: &[f32]) -> Vec<f32> {
        let factor = |(&activation, &weight): (&f32, &f32)| {
            if activation <= 0.0 || weight <= 0.0 {
                return 1.0;
            }
            let factor = activation.powf(alpha) / weight.powf(1.0 - alpha);
            factor.clamp(LEAST_FACTOR, MOST_FACTOR)
        };
        self.limits.iter().zip(weights).map(factor).collect()
    }

    fn prepare(&self, factors: Option<Vec<f32>>, format: Format) -> Prepared {
        let mut sample = self.sample.clone();
        let mut weights: Vec<Array2<f32>> = self.members.iter().map(|m| m.weight.clone()).collect();
        if let Some(factors) = &factors {
            for (mut column, &factor) in sample.columns_mut().into_iter().zip(factors) {
                column.mapv_inplace(|value| value / factor);
            }
            for weight in &mut weights {
                for (mut row, &factor) in weight.rows_mut().into_iter().zip(factors) {
                    row.mapv_inplace(|value| value * factor);
                }
            }
        }
        for weight in &mut weights {
            round_columns(weight, format);
        }
        Prepared {
            factors,
            sample,
            weights,
        }
    }

    fn largest(&self, prepared: &Prepared) -> f32 {
        let divide = |(at, &limit): (usize, &f32)| {
            let factors = prepared.factors.as_ref();
            limit / factors.and_then(|f| f.get(at)).copied().unwrap_or(1.0)
        };
        let limits = self.limits.iter().enumerate().map(divide);
        limits.fold(0.0, f32::max)
    }

    /// The mean over the layers of squared error over squared output.
    fn noise(&self, prepared: &Prepared, limit: f32, exact: &[Array2<f32>], format: Format) -> f64 {
        let input = half(prepared.sample.view(), 0);
        let input = rounded(input, limit, format);
        let layers = prepared.weights.iter().zip(exact);
        let noise = layers.map(|(weight, exact)| {
            let exact = half(exact.view(), 0);
            let error = input.dot(weight) - exact;
            energy(error.view()) / energy(exact).max(f64::MIN_POSITIVE)
        });
        noise.sum::<f64>() / self.members.len().max(1) as f64
    }

    fn layers(
        &self,
        prepared: &Prepared,
        limit: f32,
        exact: &[Array2<f32>],
        format: Format,
    ) -> Vec<LayerChoice> {
        let input = rounded(prepared.sample.view(), limit, format);
        let members = self.members.iter().zip(&prepared.weights).zip(exact);
        let layer = |((member, weight), exact): ((&Member, &Array2<f32>), &Array2<f32>)| {
            let error = exact - &input.dot(weight);
            let shift = half(error.view(), 0).mean_axis(Axis(0));
            let corrected = shift.filter(|shift| {
                let other = half(error.view(), 1);
                member.has_bias && energy((&other - shift).view()) < energy(other)
            });
            let left = match &corrected {
                Some(shift) => energy((&error - shift).view()),
                None => energy(error.view()),
            };
            LayerChoice {
                name: member.name.clone(),
                bias_shift: corrected.map_or_else(Vec::new, |shift| shift.to_vec()),
                noise: left / energy(exact.view()).max(f64::MIN_POSITIVE),
            }
        };
        members.map(layer).collect()
    }

    /// Chooses migration, then the range, then the corrections.
    pub fn choose(&self, format: Format) -> Choice {
        let exact: Vec<Array2<f32>> = self
            .members
            .iter()
            .map(|member| self.sample.dot(&member.weight))
            .collect();
        let weights = self.weight_limits();
        let mut best = (None, self.prepare(None, format));
        let mut noise = self.noise(&best.1, self.largest(&best.1), &exact, format);
        for &alpha in ALPHAS.iter().filter(|_| self.movable) {
            let prepared = self.prepare(Some(self.factors(alpha, &weights)), format);
            let found = self.noise(&prepared, self.largest(&prepared), &exact, format);
            if found < noise * WORTH_CUTTING {
                (noise, best) = (found, (Some(alpha), prepared));
            }
        }
        let (alpha, prepared) = best;
        let largest = self.largest(&prepared);
        let sample = prepared.sample.as_slice().unwrap_or_default();
        let mut range = (RangeRule::MinMax, largest);
        let mut others = candidates(sample, largest, format);
        if let Some(limit) = self.known_limit {
            range = (RangeRule::Known, limit);
            others.clear();
        }
        for candidate in others.into_iter().skip(1) {
            let found = self.noise(&prepared, candidate.1, &exact, format);
            if found < noise * WORTH_CUTTING {
                (noise, range) = (found, candidate);
            }
        }
        Choice {
            alpha,
            limit: range.1,
            rule: range.0,
            layers: self.layers(&prepared, range.1, &exact, format),
            factors: prepared.factors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(at: usize) -> f32 {
        let bits = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((bits ^ (bits >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1 << 23) as f32
            - 1.0
    }

    fn chosen(loud: f32, movable: bool) -> Choice {
        let (rows, inputs, outputs) = (64, 32, 24);
        let factor = |channel: usize| if channel == 5 { loud } else { 1.0 };
        let sample =
            Array2::from_shape_fn((rows, inputs), |(r, c)| noise(r * inputs + c) * factor(c));
        let weight = Array2::from_shape_fn((inputs, outputs), |(r, c)| {
            noise(70_000 + r * outputs + c) / factor(r)
        });
        let limits: Vec<f32> = (0..inputs)
            .map(|c| sample.column(c).iter().fold(0.0f32, |m, v| m.max(v.abs())))
            .collect();
        let group = Group {
            members: vec![Member {
                name: "layer".to_owned(),
                weight,
                has_bias: true,
            }],
            sample,
            limits: &limits,
            movable,
            known_limit: None,
        };
        group.choose(Format::Int8)
    }

    #[test]
    fn a_loud_channel_moves_into_the_weights() {
        let quiet = chosen(1.0, true).layers[0].noise;
        let moved = chosen(40.0, true);
        let kept = chosen(40.0, false);
        assert!(moved.layers[0].noise < 1.3 * quiet, "{moved:?}");
        assert!(kept.layers[0].noise > 20.0 * quiet, "{kept:?}");
        assert_eq!(kept.factors, None);
        let factors = moved.factors.unwrap();
        assert!(factors[5] > 10.0 * factors[4], "{factors:?}");
    }
}
