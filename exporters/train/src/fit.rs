//! Fitting a probe on frozen features.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::net::Real;
use crate::net::params::Layout;
use crate::net::probe::{Probe, softmax};
use crate::net::trunk::add;
use crate::optimiser::{AdamW, rate};
use crate::{TrainError, parallel, progress, render};

/// What a probe is to say of a clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// A class.
    Class(usize),
    /// A standardised value.
    Value(f32),
}

/// A clip's features and what is to be said of it.
pub type Item<'a> = (&'a [f32], Target);

/// How a probe is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Passes over the clips.
    pub epochs: usize,
    /// Clips a step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f32,
    /// Weight decay.
    pub decay: f32,
    /// Seed of weights and order.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
}

/// A fitted probe.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Places of its tensors.
    pub layout: Layout,
    /// Their values.
    pub params: Vec<f32>,
    probe: Probe,
}

impl Fitted {
    /// Lays out a probe with the values it starts from.
    pub fn start(size: (usize, usize), last: &str, outputs: usize, seed: u64) -> Self {
        let mut layout = Layout::default();
        let probe = Probe::new(&mut layout, size, last, outputs);
        Self {
            params: layout.draw(seed),
            layout,
            probe,
        }
    }

    /// Fits it. False if it was stopped.
    ///
    /// # Errors
    /// [`TrainError::Diverged`], [`TrainError::Setting`] without clips.
    pub fn fit(
        &mut self,
        (name, items): (&str, &[Item<'_>]),
        plan: Plan,
        stop: &AtomicBool,
    ) -> Result<bool, TrainError> {
        if items.is_empty() {
            return Err(TrainError::setting("labelled clips", "at least one", 0));
        }
        let batch = plan.batch.clamp(1, items.len());
        let steps = plan.epochs * (items.len() / batch);
        let mut adam = AdamW::new(self.layout.decaying(), plan.decay);
        let (started, mut step, mut loss) = (Instant::now(), 0, 0.0);
        for epoch in 0..plan.epochs {
            let order = render::shuffled(items.len(), plan.seed, epoch as u64);
            for places in order.chunks_exact(batch) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let (part, grads) = self.batch(items, places, plan.threads);
                if !part.is_finite() {
                    return Err(TrainError::Diverged { loss: part, step });
                }
                loss += 0.02 * (part - loss);
                let rate = rate(plan.rate, step, steps / 20, steps);
                step += 1;
                adam.step(&mut self.params, &grads, rate, step);
            }
            let left = progress::left(epoch + 1, plan.epochs - epoch - 1, started.elapsed());
            eprintln!(
                "probe {name}: pass {} of {}, loss {loss:.3}, {left} left",
                epoch + 1,
                plan.epochs
            );
        }
        Ok(true)
    }

    fn batch(&self, items: &[Item<'_>], places: &[usize], threads: usize) -> (f32, Vec<f32>) {
        let chunks = places.chunks(places.len().div_ceil(threads.max(1)));
        let parts = parallel::map(chunks, threads, |chunk| {
            let mut grads = vec![0.0; self.params.len()];
            let mut loss = 0.0;
            for &place in *chunk {
                let (x, target) = items[place];
                let (y, tape) = self.probe.forward(&self.params, x);
                let (part, mut dy) = slope(&y, target);
                for d in &mut dy {
                    *d /= places.len() as f32;
                }
                loss += part / places.len() as f32;
                self.probe.backward(&self.params, &tape, &dy, &mut grads);
            }
            (loss, grads)
        });
        let mut sum = vec![0.0; self.params.len()];
        let mut loss = 0.0;
        for (part, grads) in parts {
            loss += part;
            add(&mut sum, &grads);
        }
        (loss, sum)
    }

    /// The probe's answers.
    ///
    /// # Shapes
    /// - `clips`: each `[tokens, dim]`; the results `[outputs]`.
    pub fn answers(&self, clips: &[&[f32]], threads: usize) -> Vec<Vec<f32>> {
        parallel::map(clips, threads, |x| self.probe.forward(&self.params, x).0)
    }
}

/// Cross-entropy of a class, smooth L1 of a value, and their slopes.
pub fn slope<F: Real>(y: &[F], target: Target) -> (F, Vec<F>) {
    match target {
        Target::Class(class) => {
            let mut share = y.to_vec();
            softmax(&mut share);
            let loss = -share[class].max(F::of(1e-30)).ln();
            share[class] -= F::one();
            (loss, share)
        }
        Target::Value(value) => {
            let off = y[0] - F::of(f64::from(value));
            if off.abs() < F::one() {
                (F::of(0.5) * off * off, vec![off])
            } else {
                (off.abs() - F::of(0.5), vec![off.signum()])
            }
        }
    }
}
