//! What quantisation moves the means of a group's layers by, and the group's final numbers.

use super::group::{Choice, Group, Numbers, Prepared, Recipe, energy};
use crate::variant::Format;
use ndarray::{Array1, Array2, Axis};

impl Group<'_> {
    /// The corrections, and the numbers as they are written.
    pub(super) fn numbers(
        &self,
        recipe: Recipe,
        prepared: &[Prepared],
        exact: &[Vec<Array2<f32>>],
        format: Format,
    ) -> Choice {
        let members = self.members.len();
        let mut errors = vec![(0.0f64, 0.0f64, 0.0f64); members];
        let mut without = Vec::new();
        for (at, prepared) in prepared.iter().enumerate() {
            let limit = self.limit(prepared, Some(at), recipe.rule, format);
            let others = self.others(Some(at));
            let shifts = self.shifts(prepared, limit, &others, exact, format);
            let own = self.errors(prepared, limit, at, exact, format);
            for (((sums, shift), error), exact) in
                errors.iter_mut().zip(&shifts).zip(&own).zip(&exact[at])
            {
                sums.0 += energy(error.view());
                sums.1 += energy((error - shift).view());
                sums.2 += energy(exact.view());
            }
            without.push(Numbers {
                factors: prepared.factors.clone(),
                limit,
                bias_shifts: shifts.into_iter().map(|shift| shift.to_vec()).collect(),
            });
        }
        let noises = self.noises(prepared, recipe.rule, exact, format);
        let mut noisy: Vec<usize> = (0..noises.len()).collect();
        noisy.sort_by(|&a, &b| noises[b].total_cmp(&noises[a]));
        let prepared = self.prepare(None, recipe, format);
        let limit = self.limit(&prepared, None, recipe.rule, format);
        let shifts = self.shifts(&prepared, limit, &self.others(None), exact, format);
        let mut whole = Numbers {
            factors: prepared.factors,
            limit,
            bias_shifts: shifts.into_iter().map(|shift| shift.to_vec()).collect(),
        };
        let mut noise = Vec::new();
        for (at, (member, (plain, corrected, signal))) in
            self.members.iter().zip(errors).enumerate()
        {
            let correct = member.has_bias && self.folds.len() > 1 && corrected < plain;
            if !correct {
                for numbers in without.iter_mut().chain([&mut whole]) {
                    numbers.bias_shifts[at].clear();
                }
            }
            let left = if correct { corrected } else { plain };
            noise.push(left / signal.max(f64::MIN_POSITIVE));
        }
        Choice {
            alpha: recipe.alpha,
            rule: recipe.rule,
            noise,
            noisy,
            whole,
            without,
        }
    }

    /// Errors of each member's outputs on the rows of one fold.
    fn errors(
        &self,
        prepared: &Prepared,
        limit: f32,
        fold: usize,
        exact: &[Vec<Array2<f32>>],
        format: Format,
    ) -> Vec<Array2<f32>> {
        let (Some(seen), Some(exact)) = (self.folds.get(fold), exact.get(fold)) else {
            return Vec::new();
        };
        let input = prepared.rounded(&seen.sample, limit, format);
        let pairs = prepared.weights.iter().zip(exact);
        pairs
            .map(|(weight, exact)| exact - &input.dot(weight))
            .collect()
    }

    /// Mean errors of each member's outputs over the rows of `folds`.
    fn shifts(
        &self,
        prepared: &Prepared,
        limit: f32,
        folds: &[usize],
        exact: &[Vec<Array2<f32>>],
        format: Format,
    ) -> Vec<Array1<f32>> {
        let outputs = prepared.weights.iter().map(|weight| weight.ncols());
        let mut sums: Vec<Array1<f32>> = outputs.map(Array1::zeros).collect();
        let mut rows = 0usize;
        for &fold in folds {
            let errors = self.errors(prepared, limit, fold, exact, format);
            rows += errors.first().map_or(0, Array2::nrows);
            for (sum, error) in sums.iter_mut().zip(errors) {
                *sum += &error.sum_axis(Axis(0));
            }
        }
        for sum in &mut sums {
            sum.mapv_inplace(|value| value / rows.max(1) as f32);
        }
        sums
    }
}
