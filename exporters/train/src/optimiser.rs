//! AdamW with a warm-up and a cosine.

use std::f32::consts::PI;

const BETAS: (f32, f32) = (0.9, 0.999);
const EPSILON: f32 = 1e-8;

/// AdamW's moments.
#[derive(Debug, Clone)]
pub struct AdamW {
    /// Running mean of the gradients.
    pub first: Vec<f32>,
    /// Running mean of their squares.
    pub second: Vec<f32>,
    decaying: Vec<bool>,
    decay: f32,
}

impl AdamW {
    /// Starts at rest; `decay` shrinks the values that `decaying` names.
    pub fn new(decaying: Vec<bool>, decay: f32) -> Self {
        Self {
            first: vec![0.0; decaying.len()],
            second: vec![0.0; decaying.len()],
            decaying,
            decay,
        }
    }

    /// Makes step `step`, counted from 1.
    pub fn step(&mut self, params: &mut [f32], grads: &[f32], rate: f32, step: usize) {
        let power = i32::try_from(step.max(1)).unwrap_or(i32::MAX);
        let (one, two) = (1.0 - BETAS.0.powi(power), 1.0 - BETAS.1.powi(power));
        let moments = self.first.iter_mut().zip(&mut self.second);
        let values = params.iter_mut().zip(grads).zip(&self.decaying);
        for ((first, second), ((param, &grad), &decays)) in moments.zip(values) {
            *first += (1.0 - BETAS.0) * (grad - *first);
            *second += (1.0 - BETAS.1) * (grad * grad - *second);
            let decay = if decays { self.decay * *param } else { 0.0 };
            let move_by = (*first / one) / ((*second / two).sqrt() + EPSILON);
            *param -= rate * (move_by + decay);
        }
    }
}

/// A learning rate that rises over `warmup` steps and falls along a cosine to nothing.
pub fn rate(peak: f32, step: usize, warmup: usize, steps: usize) -> f32 {
    if step < warmup {
        return peak * (step + 1) as f32 / warmup as f32;
    }
    let share = (step - warmup) as f32 / (steps - warmup).max(1) as f32;
    0.5 * peak * (1.0 + (PI * share.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_point_of_a_bowl_is_found() {
        let mut params = vec![3.0, -2.0];
        let mut adam = AdamW::new(vec![false; 2], 0.04);
        for step in 1..=2000 {
            let grads = [2.0 * (params[0] - 1.0), 20.0 * (params[1] - 0.5)];
            adam.step(&mut params, &grads, 0.02, step);
        }
        assert!((params[0] - 1.0).abs() < 0.01 && (params[1] - 0.5).abs() < 0.01);
    }

    #[test]
    fn only_what_decays_shrinks_without_a_gradient() {
        let mut params = vec![1.0, 1.0];
        AdamW::new(vec![true, false], 0.1).step(&mut params, &[0.0, 0.0], 0.5, 1);
        assert_eq!(params, [0.95, 1.0]);
    }

    #[test]
    fn the_rate_rises_then_falls_to_nothing() {
        assert!(rate(1.0, 0, 10, 100) < 0.11);
        assert!((rate(1.0, 10, 10, 100) - 1.0).abs() < 1e-6);
        assert!(rate(1.0, 100, 10, 100) < 1e-6);
    }
}
