//! Self-attention over the tokens of each clip.

use ndarray::s;

use super::Real;
use super::linear::Linear;
use super::matrix::{LANES, dot, product, sum, view, view_mut};
use super::params::Layout;
use super::rope::Rope;

/// The tokens of one or more clips, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tokens {
    /// Place of every token in its clip's grid.
    pub places: Vec<usize>,
    /// Number of tokens of every clip.
    pub lengths: Vec<usize>,
}

impl Tokens {
    /// All tokens of one clip.
    pub fn all(count: usize) -> Self {
        Self {
            places: (0..count).collect(),
            lengths: vec![count],
        }
    }

    /// Adds a clip.
    pub fn push(&mut self, places: &[usize]) {
        self.places.extend_from_slice(places);
        self.lengths.push(places.len());
    }
}

/// What attention leaves for its way back.
#[derive(Debug, Clone, Default)]
pub struct AttentionTape<F> {
    qkv: Vec<F>,
    shares: Vec<Vec<F>>,
    joined: Vec<F>,
}

/// Multi-head self-attention with fused queries, keys and values.
#[derive(Debug, Clone)]
pub struct Attention {
    qkv: Linear,
    proj: Linear,
    dim: usize,
    heads: usize,
}

impl Attention {
    /// Adds `name.qkv` and `name.proj`; the second starts at `proj_std`.
    pub fn new(layout: &mut Layout, name: &str, dim: usize, heads: usize, proj_std: f32) -> Self {
        Self {
            qkv: Linear::new(layout, &format!("{name}.qkv"), dim, 3 * dim, 0.02),
            proj: Linear::new(layout, &format!("{name}.proj"), dim, dim, proj_std),
            dim,
            heads,
        }
    }

    /// # Shapes
    /// - `x`: `[n, dim]`, the result alike.
    pub fn forward<F: Real>(
        &self,
        params: &[F],
        x: &[F],
        tokens: &Tokens,
        rope: &Rope<F>,
    ) -> (Vec<F>, AttentionTape<F>) {
        let (dim, width) = (self.dim, self.dim / self.heads);
        let mut qkv = self.qkv.forward(params, x);
        for (row, &place) in qkv.chunks_exact_mut(3 * dim).zip(&tokens.places) {
            for head in row[..2 * dim].chunks_exact_mut(width) {
                rope.turn(place, head);
            }
        }
        let mut joined = vec![F::zero(); x.len()];
        let mut shares = Vec::new();
        let mut first = 0;
        for &count in &tokens.lengths {
            let rows = view(
                &qkv[3 * dim * first..3 * dim * (first + count)],
                count,
                3 * dim,
            );
            let mut out = view_mut(&mut joined[dim * first..dim * (first + count)], count, dim);
            for head in 0..self.heads {
                let at = head * width;
                let q = rows.slice(s![.., at..at + width]);
                let k = rows.slice(s![.., dim + at..dim + at + width]);
                let v = rows.slice(s![.., 2 * dim + at..2 * dim + at + width]);
                let mut share = vec![F::zero(); count * count];
                product(q, k.t(), view_mut(&mut share, count, count), false);
                softmax(&mut share, count, F::of((width as f64).powf(-0.5)));
                let to = out.slice_mut(s![.., at..at + width]);
                product(view(&share, count, count), v, to, false);
                shares.push(share);
            }
            first += count;
        }
        let y = self.proj.forward(params, &joined);
        let tape = AttentionTape {
            qkv,
            shares,
            joined,
        };
        (y, tape)
    }

    /// Adds to the gradients, and gives that of the input.
    pub fn backward<F: Real>(
        &self,
        params: &[F],
        x: &[F],
        (tokens, rope): (&Tokens, &Rope<F>),
        tape: &AttentionTape<F>,
        dy: &[F],
        grads: &mut [F],
    ) -> Vec<F> {
        let (dim, width) = (self.dim, self.dim / self.heads);
        let joined = self.proj.backward(params, &tape.joined, dy, grads);
        let mut dqkv = vec![F::zero(); tape.qkv.len()];
        let scale = F::of((width as f64).powf(-0.5));
        let (mut first, mut shares) = (0, tape.shares.iter());
        for &count in &tokens.lengths {
            let range = 3 * dim * first..3 * dim * (first + count);
            let rows = view(&tape.qkv[range.clone()], count, 3 * dim);
            let mut to = view_mut(&mut dqkv[range], count, 3 * dim);
            let dout = view(&joined[dim * first..dim * (first + count)], count, dim);
            for (head, share) in (0..self.heads).zip(&mut shares) {
                let at = head * width;
                let part = |which: usize| s![.., which * dim + at..which * dim + at + width];
                let dout = dout.slice(part(0));
                let share_view = view(share, count, count);
                product(share_view.t(), dout, to.slice_mut(part(2)), false);
                let mut dshare = vec![F::zero(); count * count];
                let v = rows.slice(part(2));
                product(dout, v.t(), view_mut(&mut dshare, count, count), false);
                for (dshare, share) in dshare
                    .chunks_exact_mut(count)
                    .zip(share.chunks_exact(count))
                {
                    let mean = dot(dshare, share);
                    for (d, &p) in dshare.iter_mut().zip(share) {
                        *d = scale * p * (*d - mean);
                    }
                }
                let dshare = view(&dshare, count, count);
                product(dshare, rows.slice(part(1)), to.slice_mut(part(0)), false);
                product(
                    dshare.t(),
                    rows.slice(part(0)),
                    to.slice_mut(part(1)),
                    false,
                );
            }
            first += count;
        }
        for (row, &place) in dqkv.chunks_exact_mut(3 * dim).zip(&tokens.places) {
            for head in row[..2 * dim].chunks_exact_mut(width) {
                rope.turn_back(place, head);
            }
        }
        self.qkv.backward(params, x, &dqkv, grads)
    }
}

/// Softmax of `scale * x` over rows.
fn softmax<F: Real>(x: &mut [F], columns: usize, scale: F) {
    for row in x.chunks_exact_mut(columns) {
        let mut lanes = [F::neg_infinity(); LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = if x > *lane { x } else { *lane };
            }
        }
        let all = lanes.iter().chain(rest);
        let most = all.fold(
            F::neg_infinity(),
            |most, &x| if x > most { x } else { most },
        );
        for x in row.iter_mut() {
            *x = (scale * (*x - most)).fast_exp();
        }
        let inverse = F::one() / sum(row);
        for x in row {
            *x *= inverse;
        }
    }
}
