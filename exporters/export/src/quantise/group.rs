//! The layers that read one activation: their common range, migration and corrections.
//!
//! Every choice is made by what it does to files it was not made from: statistics of all folds but
//! one, errors of the layers' outputs on sampled rows of that one, the worst fold counts.

use super::range::{RangeRule, candidates};
use crate::variant::Format;
use ndarray::{Array2, ArrayView2};

/// Shares of a channel's magnitude that move from the activation into the weights.
const ALPHAS: [f32; 3] = [0.35, 0.5, 0.65];
/// A larger share or a range below the largest magnitude is taken only if it leaves less than this
/// of the noise: other images reach further than those seen.
const WORTH_CUTTING: f64 = 0.9;
/// Likewise to let quiet channels go by what was seen of them alone.
const WORTH_TRUSTING: f64 = 0.5;
const LEAST_FACTOR: f32 = 1e-4;
const MOST_FACTOR: f32 = 1e4;
/// How much further than the largest magnitude seen a measured range reaches, at least and at most.
const LEAST_ROOM: f32 = 1.1;
const MOST_ROOM: f32 = 1.5;

/// A layer of the group.
pub(super) struct Member {
    /// `[inputs, outputs]`.
    pub weight: Array2<f32>,
    pub has_bias: bool,
}

/// What the clips of one fold gave.
pub(super) struct Fold<'a> {
    /// Largest magnitude of each channel.
    pub limits: &'a [f32],
    /// Sampled rows `[rows, inputs]`.
    pub sample: Array2<f32>,
}

/// The layers that read one activation, and what is known of it.
pub(super) struct Group<'a> {
    pub members: Vec<Member>,
    pub folds: Vec<Fold<'a>>,
    /// What each channel reaches on some images, whether those seen were such or not.
    pub floors: Option<Vec<f32>>,
    /// Whether factors may move into the normalisation before it.
    pub movable: bool,
    /// The largest magnitude the activation can have, where that is known without looking.
    pub known_limit: Option<f32>,
}

/// What was chosen for a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// The share that made the factors.
    pub alpha: Option<f32>,
    pub rule: RangeRule,
    /// Of each member: squared error of the outputs over their squares, on rows of folds that the
    /// numbers did not come from.
    pub noise: Vec<f64>,
    /// Folds in the order of the noise on them, the noisiest first.
    pub noisy: Vec<usize>,
    /// The numbers, from all folds.
    pub whole: Numbers,
    /// The numbers from all folds but one, by that one.
    pub without: Vec<Numbers>,
}

/// The numbers of a choice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    /// What the activation is divided by; none if nothing moves.
    pub factors: Option<Vec<f32>>,
    /// Largest magnitude told apart, after migration.
    pub limit: f32,
    /// Of each member: one per output, or empty.
    pub bias_shifts: Vec<Vec<f32>>,
}

/// How numbers are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    pub alpha: Option<f32>,
    pub floored: bool,
    pub rule: RangeRule,
}

/// Factors and rounded weights from some of the folds.
pub(super) struct Prepared {
    pub factors: Option<Vec<f32>>,
    pub weights: Vec<Array2<f32>>,
    /// How far the folds reach after migration, and how much further others may.
    reach: f32,
    room: f32,
}

/// The sum of squares.
pub(super) fn energy(values: ArrayView2<'_, f32>) -> f64 {
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

impl Prepared {
    fn divided(&self, sample: &Array2<f32>) -> Array2<f32> {
        let mut sample = sample.clone();
        if let Some(factors) = &self.factors {
            for (mut column, &factor) in sample.columns_mut().into_iter().zip(factors) {
                column.mapv_inplace(|value| value / factor);
            }
        }
        sample
    }

    pub fn rounded(&self, sample: &Array2<f32>, limit: f32, format: Format) -> Array2<f32> {
        let step = format.step_for(limit);
        let mut sample = self.divided(sample);
        sample.mapv_inplace(|value| format.nearest(value, step));
        sample
    }
}

impl Group<'_> {
    /// The folds but one; all of them if there is no other.
    pub(super) fn others(&self, without: Option<usize>) -> Vec<usize> {
        let all = 0..self.folds.len();
        let without = without.filter(|_| self.folds.len() > 1);
        all.filter(|&at| Some(at) != without).collect()
    }

    fn weight_limits(&self) -> Vec<f32> {
        let channels = self.folds.first().map_or(0, |fold| fold.limits.len());
        let mut limits = vec![0.0f32; channels];
        for member in &self.members {
            for (limit, row) in limits.iter_mut().zip(member.weight.rows()) {
                *limit = row.iter().fold(*limit, |most, value| most.max(value.abs()));
            }
        }
        limits
    }

    /// Largest magnitude of each channel over `folds`.
    fn limits(&self, folds: &[usize], floored: bool) -> Vec<f32> {
        let mut limits = self.floors.clone().filter(|_| floored).unwrap_or_default();
        for fold in folds.iter().filter_map(|&at| self.folds.get(at)) {
            limits.resize(fold.limits.len(), 0.0);
            for (limit, own) in limits.iter_mut().zip(fold.limits) {
                *limit = limit.max(*own);
            }
        }
        limits
    }

    /// How much further than the other `folds` the one that goes furthest beyond them reaches.
    fn room(&self, folds: &[usize], factors: Option<&[f32]>, floored: bool) -> f32 {
        let beyond = |&fold: &usize| {
            let others: Vec<usize> = folds.iter().copied().filter(|&at| at != fold).collect();
            let own = reach(&self.limits(&[fold], false), factors);
            let others = reach(&self.limits(&others, floored), factors);
            if others > 0.0 { own / others } else { 1.0 }
        };
        let most = folds.iter().map(beyond).fold(0.0, f32::max);
        let most = if folds.len() > 1 { most } else { LEAST_ROOM };
        most.clamp(LEAST_ROOM, MOST_ROOM)
    }

    pub(super) fn prepare(
        &self,
        without: Option<usize>,
        recipe: Recipe,
        format: Format,
    ) -> Prepared {
        let folds = self.others(without);
        let limits = self.limits(&folds, recipe.floored);
        let factors = recipe.alpha.map(|alpha| {
            let weights = self.weight_limits();
            let pairs = limits.iter().zip(&weights);
            pairs
                .map(|(&a, &w)| factor(a, w, alpha))
                .collect::<Vec<f32>>()
        });
        let mut weights: Vec<Array2<f32>> = self.members.iter().map(|m| m.weight.clone()).collect();
        for weight in &mut weights {
            for (mut row, &factor) in weight.rows_mut().into_iter().zip(factors.iter().flatten()) {
                row.mapv_inplace(|value| value * factor);
            }
            round_columns(weight, format);
        }
        Prepared {
            reach: reach(&limits, factors.as_deref()),
            room: self.room(&folds, factors.as_deref(), recipe.floored),
            factors,
            weights,
        }
    }

    /// The largest magnitude told apart, from all folds but one.
    pub(super) fn limit(
        &self,
        prepared: &Prepared,
        without: Option<usize>,
        rule: RangeRule,
        format: Format,
    ) -> f32 {
        if let Some(limit) = self.known_limit {
            return limit;
        }
        if rule == RangeRule::MinMax {
            return prepared.reach * prepared.room;
        }
        let folds = self.others(without).into_iter();
        let samples = folds.filter_map(|at| self.folds.get(at));
        let values: Vec<f32> = samples
            .flat_map(|fold| prepared.divided(&fold.sample).into_iter())
            .collect();
        let found = candidates(&values, prepared.reach, format).into_iter();
        let limit = found
            .filter(|(own, _)| *own == rule)
            .map(|(_, limit)| limit);
        limit.fold(0.0, f32::max).max(f32::MIN_POSITIVE) * prepared.room
    }

    /// Each fold's mean over the layers of squared error over squared output.
    pub(super) fn noises(
        &self,
        prepared: &[Prepared],
        rule: RangeRule,
        exact: &[Vec<Array2<f32>>],
        format: Format,
    ) -> Vec<f64> {
        let folds = self.folds.iter().zip(prepared).zip(exact).enumerate();
        let noise = folds.map(|(at, ((fold, prepared), exact))| {
            let limit = self.limit(prepared, Some(at), rule, format);
            let input = prepared.rounded(&fold.sample, limit, format);
            let layers = prepared.weights.iter().zip(exact);
            let noise = layers.map(|(weight, exact)| {
                let error = input.dot(weight) - exact;
                energy(error.view()) / energy(exact.view()).max(f64::MIN_POSITIVE)
            });
            noise.sum::<f64>() / self.members.len().max(1) as f64
        });
        noise.collect()
    }

    fn noise(
        &self,
        prepared: &[Prepared],
        rule: RangeRule,
        exact: &[Vec<Array2<f32>>],
        format: Format,
    ) -> f64 {
        let noises = self.noises(prepared, rule, exact, format).into_iter();
        noises.fold(0.0, f64::max)
    }

    fn prepare_all(&self, recipe: Recipe, format: Format) -> Vec<Prepared> {
        let folds = 0..self.folds.len();
        folds
            .map(|at| self.prepare(Some(at), recipe, format))
            .collect()
    }

    /// Chooses migration, then the range, then the corrections.
    pub fn choose(&self, format: Format) -> Choice {
        let outputs = |fold: &Fold<'_>| -> Vec<Array2<f32>> {
            let members = self.members.iter();
            members.map(|m| fold.sample.dot(&m.weight)).collect()
        };
        let exact: Vec<Vec<Array2<f32>>> = self.folds.iter().map(outputs).collect();
        let mut recipe = Recipe {
            alpha: None,
            floored: self.floors.is_some(),
            rule: self
                .known_limit
                .map_or(RangeRule::MinMax, |_| RangeRule::Known),
        };
        let mut prepared = self.prepare_all(recipe, format);
        let mut noise = self.noise(&prepared, recipe.rule, &exact, format);
        let mut others: Vec<Recipe> = Vec::new();
        if self.movable {
            let moved = |&alpha: &f32| Recipe {
                alpha: Some(alpha),
                ..recipe
            };
            others.extend(ALPHAS.iter().map(moved));
        }
        for other in others {
            let found = self.prepare_all(other, format);
            let less = self.noise(&found, other.rule, &exact, format);
            if less < noise * WORTH_CUTTING {
                (noise, recipe, prepared) = (less, other, found);
            }
        }
        if recipe.floored {
            let other = Recipe {
                floored: false,
                ..recipe
            };
            let found = self.prepare_all(other, format);
            let less = self.noise(&found, other.rule, &exact, format);
            if less < noise * WORTH_TRUSTING {
                (noise, recipe, prepared) = (less, other, found);
            }
        }
        if recipe.rule == RangeRule::MinMax && self.floors.is_none() {
            for rule in [RangeRule::Percentile, RangeRule::Mse] {
                let less = self.noise(&prepared, rule, &exact, format);
                if less < noise * WORTH_CUTTING {
                    (noise, recipe.rule) = (less, rule);
                }
            }
        }
        self.numbers(recipe, &prepared, &exact, format)
    }
}

fn factor(activation: f32, weight: f32, alpha: f32) -> f32 {
    if activation <= 0.0 || weight <= 0.0 {
        return 1.0;
    }
    let factor = activation.powf(alpha) / weight.powf(1.0 - alpha);
    factor.clamp(LEAST_FACTOR, MOST_FACTOR)
}

fn reach(limits: &[f32], factors: Option<&[f32]>) -> f32 {
    let divide = |(at, &limit): (usize, &f32)| {
        limit / factors.and_then(|f| f.get(at)).copied().unwrap_or(1.0)
    };
    limits.iter().enumerate().map(divide).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Axis;

    fn noise(at: usize) -> f32 {
        let bits = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((bits ^ (bits >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1 << 23) as f32
            - 1.0
    }

    fn chosen(loud: f32, movable: bool, floor: Option<f32>) -> Choice {
        let (rows, inputs, outputs) = (64, 32, 24);
        let factor = |channel: usize| if channel == 5 { loud } else { 1.0 };
        let sample =
            Array2::from_shape_fn((rows, inputs), |(r, c)| noise(r * inputs + c) * factor(c));
        let weight = Array2::from_shape_fn((inputs, outputs), |(r, c)| {
            noise(70_000 + r * outputs + c) / factor(r)
        });
        let halves: [ArrayView2<'_, f32>; 2] = sample.view().split_at(Axis(0), rows / 2).into();
        let limits = halves.map(|half| {
            let most = |c: usize| half.column(c).iter().fold(0.0f32, |m, v| m.max(v.abs()));
            (0..inputs).map(most).collect::<Vec<f32>>()
        });
        let folds = halves.iter().zip(&limits).map(|(half, limits)| Fold {
            limits,
            sample: half.to_owned(),
        });
        let group = Group {
            members: vec![Member {
                weight,
                has_bias: true,
            }],
            folds: folds.collect(),
            floors: floor.map(|floor| {
                (0..inputs)
                    .map(|c| if c == 5 { floor } else { 0.0 })
                    .collect()
            }),
            movable,
            known_limit: None,
        };
        group.choose(Format::Int8)
    }

    #[test]
    fn a_loud_channel_moves_into_the_weights() {
        let quiet = chosen(1.0, true, None).noise[0];
        let moved = chosen(40.0, true, None);
        let kept = chosen(40.0, false, None);
        assert!(moved.noise[0] < 1.3 * quiet, "{moved:?}");
        assert!(kept.noise[0] > 20.0 * quiet, "{kept:?}");
        assert_eq!(kept.whole.factors, None);
        let factors = moved.whole.factors.unwrap();
        assert!(factors[5] > 10.0 * factors[4], "{factors:?}");
    }

    #[test]
    fn a_channel_that_was_quiet_keeps_the_room_that_its_normalisation_gives_it() {
        let reach = |choice: &Choice| {
            let factors = choice.whole.factors.as_ref();
            choice.whole.limit * factors.map_or(1.0, |factors| factors[5])
        };
        let seen = chosen(0.6, true, None);
        let floored = chosen(0.6, true, Some(1.2));
        assert!(reach(&seen) < 1.19, "{seen:?}");
        assert!(reach(&floored) >= 1.2, "{floored:?}");
        let trusted = chosen(1e-3, true, Some(2.0));
        assert!(reach(&trusted) < 0.5, "{trusted:?}");
    }

    #[test]
    fn numbers_of_a_fold_come_from_the_others() {
        let choice = chosen(1.0, false, None);
        assert_eq!(choice.without.len(), 2);
        assert_eq!(choice.noisy.len(), 2);
        assert!(choice.without.iter().all(|one| one.limit > 0.0));
        assert_ne!(choice.without[0].limit, choice.without[1].limit);
    }
}
