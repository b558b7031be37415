//! Layer normalisation.

use std::ops::Range;

use super::Real;
use super::matrix::{dot, sum};
use super::params::{Layout, Start};

/// What normalisation leaves for its way back.
#[derive(Debug, Clone, Default)]
pub struct NormTape<F> {
    unit: Vec<F>,
    inverse: Vec<F>,
}

/// Layer normalisation with scale and shift.
#[derive(Debug, Clone)]
pub struct Norm {
    weight: Range<usize>,
    bias: Range<usize>,
    dim: usize,
    eps: f64,
}

/// Normalises rows of `dim` values, without scale and shift.
pub fn standardise<F: Real>(x: &[F], dim: usize, eps: f64) -> NormTape<F> {
    let mut unit = x.to_vec();
    let mut inverse = Vec::with_capacity(x.len() / dim);
    let size = F::of(dim as f64);
    for row in unit.chunks_exact_mut(dim) {
        let mean = sum(row) / size;
        for value in row.iter_mut() {
            *value -= mean;
        }
        let variance = dot(row, row) / size;
        let scale = F::one() / (variance + F::of(eps)).sqrt();
        for value in row.iter_mut() {
            *value *= scale;
        }
        inverse.push(scale);
    }
    NormTape { unit, inverse }
}

impl<F> NormTape<F> {
    /// The normalised rows.
    pub fn into_rows(self) -> Vec<F> {
        self.unit
    }
}

impl Norm {
    /// Adds `name.weight` and `name.bias`.
    pub fn new(layout: &mut Layout, name: &str, dim: usize, eps: f64) -> Self {
        Self {
            weight: layout.add(format!("{name}.weight"), &[dim], Start::One),
            bias: layout.add(format!("{name}.bias"), &[dim], Start::Zero),
            dim,
            eps,
        }
    }

    /// # Shapes
    /// - `x`: `[n, dim]`, the result alike.
    pub fn forward<F: Real>(&self, params: &[F], x: &[F]) -> (Vec<F>, NormTape<F>) {
        let tape = standardise(x, self.dim, self.eps);
        (self.scaled(params, &tape), tape)
    }

    /// The result of [`Norm::forward`] again.
    pub fn scaled<F: Real>(&self, params: &[F], tape: &NormTape<F>) -> Vec<F> {
        let (weight, bias) = (&params[self.weight.clone()], &params[self.bias.clone()]);
        let mut y = tape.unit.clone();
        for row in y.chunks_exact_mut(self.dim) {
            for ((value, &scale), &shift) in row.iter_mut().zip(weight).zip(bias) {
                *value = *value * scale + shift;
            }
        }
        y
    }

    /// Adds to the gradients of scale and shift, and to `dx`.
    pub fn backward<F: Real>(
        &self,
        params: &[F],
        tape: &NormTape<F>,
        dy: &[F],
        grads: &mut [F],
        dx: &mut [F],
    ) {
        let weight = &params[self.weight.clone()];
        let size = F::of(self.dim as f64);
        let rows = dy
            .chunks_exact(self.dim)
            .zip(tape.unit.chunks_exact(self.dim));
        let mut by = vec![F::zero(); self.dim];
        for (((dy, unit), &inverse), dx) in
            rows.zip(&tape.inverse).zip(dx.chunks_exact_mut(self.dim))
        {
            let bias = &mut grads[self.bias.clone()];
            for (sum, &value) in bias.iter_mut().zip(dy) {
                *sum += value;
            }
            let scale = &mut grads[self.weight.clone()];
            for ((sum, &value), &unit) in scale.iter_mut().zip(dy).zip(unit) {
                *sum += value * unit;
            }
            for ((by, &value), &scale) in by.iter_mut().zip(dy).zip(weight) {
                *by = value * scale;
            }
            let mean = sum(&by) / size;
            let along = dot(&by, unit) / size;
            for ((dx, &by), &unit) in dx.iter_mut().zip(&by).zip(unit) {
                *dx += inverse * (by - mean - unit * along);
            }
        }
    }
}
