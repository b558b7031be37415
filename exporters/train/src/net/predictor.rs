//! The predictor: from the tokens that were seen to those that were hidden.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Real;
use super::attention::Tokens;
use super::linear::Linear;
use super::params::{Layout, Start};
use super::rope::Rope;
use super::trunk::{Trunk, TrunkTape};
use super::vit::Size;

/// Sizes of a predictor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictorSize {
    /// Token width.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
}

/// The predictor.
#[derive(Debug, Clone)]
pub struct Predictor<F> {
    dim: usize,
    encoder_dim: usize,
    rope: Rope<F>,
    embed: Linear,
    mask_token: Range<usize>,
    trunk: Trunk,
    project: Linear,
}

/// What the predictor leaves for its way back.
#[derive(Debug, Clone)]
pub struct PredictorTape<F> {
    joined: Tokens,
    trunk: TrunkTape<F>,
    out: Vec<F>,
}

impl<F: Real> Predictor<F> {
    /// Adds the predictor's tensors, `predictor.` before their names.
    pub fn new(layout: &mut Layout, size: PredictorSize, encoder: Size) -> Self {
        let (dim, wide) = (size.dim, encoder.dim);
        Self {
            dim,
            encoder_dim: wide,
            rope: Rope::new(encoder.grid(), dim / size.heads),
            embed: Linear::new(layout, "predictor.embed", wide, dim, 0.02),
            mask_token: layout.add("predictor.mask_token".to_owned(), &[dim], Start::Zero),
            trunk: Trunk::new(layout, "predictor.", size.depth, dim, size.heads),
            project: Linear::new(layout, "predictor.proj", dim, wide, 0.02),
        }
    }

    /// # Shapes
    /// - `x`: `[seen, encoder_dim]`; the result `[hidden, encoder_dim]`.
    pub fn forward(
        &self,
        params: &[F],
        x: &[F],
        seen: &Tokens,
        hidden: &Tokens,
    ) -> (Vec<F>, PredictorTape<F>) {
        let embedded = self.embed.forward(params, x);
        let mask = &params[self.mask_token.clone()];
        let mut joined = Tokens::default();
        let mut rows = Vec::with_capacity((seen.places.len() + hidden.places.len()) * self.dim);
        for [from, to] in pairs(seen, hidden) {
            let mut places = seen.places[from.clone()].to_vec();
            places.extend_from_slice(&hidden.places[to.clone()]);
            joined.push(&places);
            rows.extend_from_slice(&embedded[from.start * self.dim..from.end * self.dim]);
            rows.extend(mask.iter().copied().cycle().take(to.len() * self.dim));
        }
        let (y, trunk) = self.trunk.forward(params, rows, &joined, &self.rope);
        let mut out = Vec::with_capacity(hidden.places.len() * self.dim);
        for [from, to] in pairs(seen, hidden) {
            let first = from.end + to.start;
            out.extend_from_slice(&y[first * self.dim..(first + to.len()) * self.dim]);
        }
        let predicted = self.project.forward(params, &out);
        (predicted, PredictorTape { joined, trunk, out })
    }

    /// Adds to the gradients, and gives that of the tokens that were seen.
    pub fn backward(
        &self,
        params: &[F],
        (x, seen, hidden): (&[F], &Tokens, &Tokens),
        tape: &PredictorTape<F>,
        dy: &[F],
        grads: &mut [F],
    ) -> Vec<F> {
        let dim = self.dim;
        let dout = self.project.backward(params, &tape.out, dy, grads);
        let mut drows = vec![F::zero(); tape.joined.places.len() * dim];
        for [from, to] in pairs(seen, hidden) {
            let first = from.end + to.start;
            drows[first * dim..(first + to.len()) * dim]
                .copy_from_slice(&dout[to.start * dim..to.end * dim]);
        }
        let places = (&tape.joined, &self.rope);
        let drows = self
            .trunk
            .backward(params, places, &tape.trunk, &drows, grads);
        let mut dembedded = Vec::with_capacity(x.len() / self.encoder_dim * dim);
        for [from, to] in pairs(seen, hidden) {
            let first = from.start + to.start;
            let middle = first + from.len();
            dembedded.extend_from_slice(&drows[first * dim..middle * dim]);
            let rest = &drows[middle * dim..(middle + to.len()) * dim];
            for row in rest.chunks_exact(dim) {
                for (sum, &value) in grads[self.mask_token.clone()].iter_mut().zip(row) {
                    *sum += value;
                }
            }
        }
        self.embed.backward(params, x, &dembedded, grads)
    }
}

/// The rows of every clip: among those that were seen, and among the hidden ones.
fn pairs<'a>(seen: &'a Tokens, hidden: &'a Tokens) -> impl Iterator<Item = [Range<usize>; 2]> + 'a {
    let mut from = [0, 0];
    seen.lengths
        .iter()
        .zip(&hidden.lengths)
        .map(move |(&seen, &hidden)| {
            let ranges = [from[0]..from[0] + seen, from[1]..from[1] + hidden];
            from = [ranges[0].end, ranges[1].end];
            ranges
        })
}
