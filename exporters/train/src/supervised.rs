//! The supervised baseline: the same encoder, taught views and ejection fractions from scratch.

use serde::{Deserialize, Serialize};

use crate::fit::{Target, slope};
use crate::net::Real;
use crate::net::attention::Tokens;
use crate::net::params::Layout;
use crate::net::probe::Probe;
use crate::net::trunk::add;
use crate::net::vit::{Size, Vit};
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
}

/// One clip's input and what is to be said of it.
#[derive(Debug, Clone)]
pub struct Labelled<F> {
    /// `[tokens, 512]`.
    pub patches: Vec<F>,
    /// Its class.
    pub view: Option<usize>,
    /// Its standardised ejection fraction.
    pub ejection: Option<f32>,
}

impl<F: Real> Supervised<F> {
    /// Lays out the networks; the probes have `heads` heads.
    pub fn new(size: Size, heads: usize) -> Self {
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
            layout,
            encoder,
        }
    }

    /// Mean loss of a batch and its gradients.
    pub fn batch(&self, params: &[F], examples: &[Labelled<F>], threads: usize) -> (F, Vec<F>) {
        let scale = F::one() / F::of(examples.len().max(1) as f64);
        let parts = parallel::map(examples.chunks(CLIPS_AT_ONCE), threads, |chunk| {
            let mut grads = vec![F::zero(); params.len()];
            let loss = self.chunk((params, &mut grads), chunk, scale);
            (loss, grads)
        });
        let mut sum = vec![F::zero(); params.len()];
        let mut loss = F::zero();
        for (part, grads) in parts {
            loss += part;
            add(&mut sum, &grads);
        }
        (loss, sum)
    }

    fn chunk(&self, (params, grads): (&[F], &mut [F]), chunk: &[Labelled<F>], scale: F) -> F {
        let size = self.encoder.size;
        let all: Vec<usize> = (0..size.tokens()).collect();
        let (mut tokens, mut patches) = (Tokens::default(), Vec::new());
        for example in chunk {
            tokens.push(&all);
            patches.extend_from_slice(&example.patches);
        }
        let (x, tape) = self.encoder.forward(params, patches, &tokens);
        let mut dx = vec![F::zero(); x.len()];
        let mut loss = F::zero();
        let clip = size.tokens() * size.dim;
        let rows = x.chunks_exact(clip).zip(dx.chunks_exact_mut(clip));
        for (example, (x, dx)) in chunk.iter().zip(rows) {
            let targets = [
                (&self.view, example.view.map(Target::Class)),
                (&self.lvef, example.ejection.map(Target::Value)),
            ];
            for (probe, target) in targets {
                let Some(target) = target else { continue };
                let (y, tape) = probe.forward(params, x);
                let (part, mut dy) = slope(&y, target);
                loss += scale * part;
                for d in &mut dy {
                    *d *= scale;
                }
                add(dx, &probe.backward(params, &tape, &dy, grads));
            }
        }
        self.encoder.backward(params, &tokens, &tape, &dx, grads);
        loss
    }
}
