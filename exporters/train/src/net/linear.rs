//! Linear layers.

use std::ops::Range;

use super::Real;
use super::matrix::{product, view, view_mut};
use super::params::{Layout, Start};

/// `y = x W^T + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Range<usize>,
    bias: Range<usize>,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    /// Adds `name.weight` and `name.bias`. `std` is that of a layer with 1024 inputs, the width of the
    /// original; fewer inputs get larger weights, so that outputs start as large.
    pub fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize, std: f32) -> Self {
        let std = std * (1024.0 / inputs as f32).sqrt();
        Self {
            weight: layout.add(
                format!("{name}.weight"),
                &[outputs, inputs],
                Start::Normal(std),
            ),
            bias: layout.add(format!("{name}.bias"), &[outputs], Start::Zero),
            inputs,
            outputs,
        }
    }

    /// # Shapes
    /// - `x`: `[n, inputs]`, the result `[n, outputs]`.
    pub fn forward<F: Real>(&self, params: &[F], x: &[F]) -> Vec<F> {
        let rows = x.len() / self.inputs;
        let mut y = params[self.bias.clone()].repeat(rows);
        let weight = view(&params[self.weight.clone()], self.outputs, self.inputs);
        let out = view_mut(&mut y, rows, self.outputs);
        product(view(x, rows, self.inputs), weight.t(), out, true);
        y
    }

    /// Adds to the gradients of weight and bias.
    pub fn backward_params<F: Real>(&self, x: &[F], dy: &[F], grads: &mut [F]) {
        let rows = x.len() / self.inputs;
        let weight = view_mut(&mut grads[self.weight.clone()], self.outputs, self.inputs);
        let (x, by) = (view(x, rows, self.inputs), view(dy, rows, self.outputs));
        product(by.t(), x, weight, true);
        let bias = &mut grads[self.bias.clone()];
        for row in dy.chunks_exact(self.outputs) {
            for (sum, &value) in bias.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }

    /// Adds to the gradients of weight and bias, and gives that of the input.
    pub fn backward<F: Real>(&self, params: &[F], x: &[F], dy: &[F], grads: &mut [F]) -> Vec<F> {
        self.backward_params(x, dy, grads);
        let rows = x.len() / self.inputs;
        let mut dx = vec![F::zero(); x.len()];
        let weight = view(&params[self.weight.clone()], self.outputs, self.inputs);
        let out = view_mut(&mut dx, rows, self.inputs);
        product(view(dy, rows, self.outputs), weight, out, false);
        dx
    }
}
