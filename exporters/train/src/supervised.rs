//! The supervised training: the same encoder, taught views and ejection fractions, and where the chambers are.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::augment::KINDS;
use crate::fit::{Target, slope};
use crate::net::Real;
use crate::net::attention::Tokens;
use crate::net::linear::Linear;
use crate::net::params::Layout;
use crate::net::probe::{Probe, softmax};
use crate::net::trunk::add;
use crate::net::vit::{PATCH, Size, Vit};
use crate::parallel;
use crate::probing::VIEWS;

/// Clips that one thread takes through the network at once.
const CLIPS_AT_ONCE: usize = 4;

/// What an encoder is trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// To predict its own features of hidden parts.
    Jepa,
    /// To say view and ejection fraction.
    Supervised,
}

/// Encoder and two probes that are trained together.
#[derive(Debug, Clone)]
pub struct Supervised<F> {
    /// Places of all tensors, those of the encoder first.
    pub layout: Layout,
    encoder: Vit<F>,
    view: Probe,
    lvef: Probe,
    chambers: Linear,
    weights: Weights,
}

/// What counts how much beside the view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of the ejection fraction.
    pub ejection: f64,
    /// Of the chambers' places.
    pub chambers: f64,
}

/// Losses of a batch, each before its weight: the sum over the clips that have the label, by the number of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Of the view.
    pub view: f32,
    /// Of the ejection fraction.
    pub ejection: f32,
    /// Of the chambers' places.
    pub chambers: f32,
}

/// One clip's input and what is to be said of it.
#[derive(Debug, Clone)]
pub struct Labelled<F> {
    /// `[tokens, 512]`.
    pub patches: Vec<F>,
    /// The tokens that are seen.
    pub window: Range<usize>,
    /// `[tokens, 6]`, the shares of the chambers; empty where they are not taught.
    pub chambers: Vec<F>,
    /// Its class.
    pub view: Option<usize>,
    /// Its standardised ejection fraction.
    pub ejection: Option<f32>,
}

impl From<[f32; 3]> for Losses {
    fn from([view, ejection, chambers]: [f32; 3]) -> Self {
        Self {
            view,
            ejection,
            chambers,
        }
    }
}

impl<F: Real> Supervised<F> {
    /// Lays out the networks; the probes have `heads` heads.
    pub fn new(size: Size, heads: usize, weights: Weights) -> Self {
        let mut layout = Layout::default();
        let encoder = Vit::new(&mut layout, size);
        let probe = |layout: &mut Layout, name: &str, last: &str, outputs| {
            let first = layout.entries().len();
            let probe = Probe::new(layout, (size.dim, heads), last, outputs);
            layout.prefix(first, name);
            probe
        };
        Self {
            view: probe(&mut layout, "view.", "linear", VIEWS.len()),
            lvef: probe(&mut layout, "lvef.", "regressor", 1),
            chambers: Linear::new(&mut layout, "chambers", size.dim, KINDS, 0.02),
            weights,
            layout,
            encoder,
        }
    }

    /// Mean loss of a batch, its gradients, and what it is made of: [`Losses`] in the order of its fields.
    pub fn batch(
        &self,
        params: &[F],
        examples: &[Labelled<F>],
        threads: usize,
    ) -> (F, Vec<F>, [F; 3]) {
        let scale = F::one() / F::of(examples.len().max(1) as f64);
        let parts = parallel::map(examples.chunks(CLIPS_AT_ONCE), threads, |chunk| {
            let mut grads = vec![F::zero(); params.len()];
            let losses = self.chunk((params, &mut grads), chunk, scale);
            (losses, grads)
        });
        let mut sum = vec![F::zero(); params.len()];
        let mut losses = [F::zero(); 3];
        for (part, grads) in parts {
            add(&mut losses, &part);
            add(&mut sum, &grads);
        }
        let [view, ejection, chambers] = losses;
        let loss = view
            + F::of(self.weights.ejection) * ejection
            + F::of(self.weights.chambers) * chambers;
        (loss, sum, losses)
    }

    fn chunk(&self, (params, grads): (&[F], &mut [F]), chunk: &[Labelled<F>], scale: F) -> [F; 3] {
        let dim = self.encoder.size.dim;
        let (mut tokens, mut patches) = (Tokens::default(), Vec::new());
        for Labelled { window, .. } in chunk {
            tokens.push(&window.clone().collect::<Vec<_>>());
        }
        for example in chunk {
            patches.extend_from_slice(rows(&example.patches, &example.window, PATCH));
        }
        let (x, tape) = self.encoder.forward(params, patches, &tokens);
        let mut dx = vec![F::zero(); x.len()];
        let mut losses = [F::zero(); 3];
        let mut from = 0;
        for example in chunk {
            let clip = from..from + example.window.len() * dim;
            from = clip.end;
            let (x, dx) = (&x[clip.clone()], &mut dx[clip]);
            let targets = [
                (&self.view, example.view.map(Target::Class), 1.0),
                (
                    &self.lvef,
                    example.ejection.map(Target::Value),
                    self.weights.ejection,
                ),
            ];
            for ((probe, target, weight), sum) in targets.into_iter().zip(&mut losses) {
                let Some(target) = target else { continue };
                let (y, tape) = probe.forward(params, x);
                let (part, mut dy) = slope(&y, target);
                *sum += scale * part;
                for d in &mut dy {
                    *d *= scale * F::of(weight);
                }
                add(dx, &probe.backward(params, &tape, &dy, grads));
            }
            if !example.chambers.is_empty() {
                let shares = rows(&example.chambers, &example.window, KINDS);
                losses[2] += self.places((params, grads), (x, dx), shares, scale);
            }
        }
        self.encoder.backward(params, &tokens, &tape, &dx, grads);
        losses
    }

    /// Cross-entropy of the chambers, the mean of all tokens.
    fn places(
        &self,
        (params, grads): (&[F], &mut [F]),
        (x, dx): (&[F], &mut [F]),
        shares: &[F],
        scale: F,
    ) -> F {
        let tokens = (shares.len() / KINDS).max(1);
        let scale = scale / F::of(tokens as f64);
        let weight = F::of(self.weights.chambers);
        let mut loss = F::zero();
        let mut dy = self.chambers.forward(params, x);
        let pairs = dy.chunks_exact_mut(KINDS).zip(shares.chunks_exact(KINDS));
        for (y, shares) in pairs {
            softmax(y);
            for (y, &share) in y.iter_mut().zip(shares) {
                loss -= scale * share * y.max(F::of(1e-30)).ln();
                *y = weight * scale * (*y - share);
            }
        }
        add(dx, &self.chambers.backward(params, x, &dy, grads));
        loss
    }
}

fn rows<'a, F>(all: &'a [F], window: &Range<usize>, width: usize) -> &'a [F] {
    &all[window.start * width..window.end * width]
}
