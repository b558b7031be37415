//! The attentive probe of depth one: a learned query looks at all tokens, then a linear layer.

use std::ops::Range;

use super::Real;
use super::linear::Linear;
use super::matrix::dot;
use super::norm::{Norm, NormTape};
use super::params::{Layout, Start};
use super::trunk::{Mlp, MlpTape, add};

/// Epsilon of the probe's normalisations, not the encoder's.
const EPS: f64 = 1e-5;

const BLOCK: &str = "pooler.cross_attention_block";

/// The probe.
#[derive(Debug, Clone)]
pub struct Probe {
    dim: usize,
    heads: usize,
    query: Range<usize>,
    norm1: Norm,
    q: Linear,
    kv: Linear,
    norm2: Norm,
    mlp: Mlp,
    last: Linear,
}

/// What the probe leaves for its way back.
#[derive(Debug, Clone)]
pub struct ProbeTape<F> {
    norm1: NormTape<F>,
    q: Vec<F>,
    kv: Vec<F>,
    share: Vec<F>,
    norm2: NormTape<F>,
    mlp: MlpTape<F>,
    out: Vec<F>,
}

impl Probe {
    /// Adds the probe's tensors under the names of its checkpoints; `last` is `linear` or
    /// `regressor`.
    pub fn new(
        layout: &mut Layout,
        (dim, heads): (usize, usize),
        last: &str,
        outputs: usize,
    ) -> Self {
        let query = layout.add(
            "pooler.query_tokens".to_owned(),
            &[1, 1, dim],
            Start::Normal(0.02),
        );
        let linear = |layout: &mut Layout, name: &str, outputs| {
            Linear::new(layout, &format!("{BLOCK}.xattn.{name}"), dim, outputs, 0.02)
        };
        Self {
            dim,
            heads,
            query,
            norm1: Norm::new(layout, &format!("{BLOCK}.norm1"), dim, EPS),
            q: linear(layout, "q", dim),
            kv: linear(layout, "kv", 2 * dim),
            norm2: Norm::new(layout, &format!("{BLOCK}.norm2"), dim, EPS),
            mlp: Mlp::new(layout, &format!("{BLOCK}.mlp"), dim, 0.02),
            last: Linear::new(layout, last, dim, outputs, 0.02),
        }
    }

    /// # Shapes
    /// - `x`: `[tokens, dim]` of one clip or of several, one after the other; the result
    ///   `[outputs]`.
    pub fn forward<F: Real>(&self, params: &[F], x: &[F]) -> (Vec<F>, ProbeTape<F>) {
        let (dim, width) = (self.dim, self.dim / self.heads);
        let (normal, norm1) = self.norm1.forward(params, x);
        let query = &params[self.query.clone()];
        let q = self.q.forward(params, query);
        let kv = self.kv.forward(params, &normal);
        let tokens = x.len() / dim;
        let scale = F::of((width as f64).powf(-0.5));
        let mut share = vec![F::zero(); self.heads * tokens];
        let mut h = query.to_vec();
        for (head, share) in share.chunks_exact_mut(tokens).enumerate() {
            let own = head * width..(head + 1) * width;
            for (score, row) in share.iter_mut().zip(kv.chunks_exact(2 * dim)) {
                *score = scale * dot(&q[own.clone()], &row[own.clone()]);
            }
            softmax(share);
            for (&share, row) in share.iter().zip(kv.chunks_exact(2 * dim)) {
                let values = &row[dim + own.start..dim + own.end];
                for (h, &value) in h[own.clone()].iter_mut().zip(values) {
                    *h += share * value;
                }
            }
        }
        let (normal, norm2) = self.norm2.forward(params, &h);
        let (wide, mlp) = self.mlp.forward(params, &normal);
        add(&mut h, &wide);
        let y = self.last.forward(params, &h);
        let tape = ProbeTape {
            norm1,
            q,
            kv,
            share,
            norm2,
            mlp,
            out: h,
        };
        (y, tape)
    }

    /// Adds to the gradients, and gives that of the tokens.
    pub fn backward<F: Real>(
        &self,
        params: &[F],
        tape: &ProbeTape<F>,
        dy: &[F],
        grads: &mut [F],
    ) -> Vec<F> {
        let (dim, width) = (self.dim, self.dim / self.heads);
        let mut dh = self.last.backward(params, &tape.out, dy, grads);
        let normal = self.norm2.scaled(params, &tape.norm2);
        let dnormal = self.mlp.backward(params, &normal, &tape.mlp, &dh, grads);
        self.norm2
            .backward(params, &tape.norm2, &dnormal, grads, &mut dh);
        let tokens = tape.share.len() / self.heads;
        let scale = F::of((width as f64).powf(-0.5));
        let mut dq = vec![F::zero(); dim];
        let mut dkv = vec![F::zero(); tape.kv.len()];
        for (head, share) in tape.share.chunks_exact(tokens).enumerate() {
            let own = head * width..(head + 1) * width;
            let values = dim + own.start..dim + own.end;
            let rows = || tape.kv.chunks_exact(2 * dim);
            let by: Vec<F> = rows()
                .map(|row| dot(&dh[own.clone()], &row[values.clone()]))
                .collect();
            let mean = dot(&by, share);
            let slopes = by.iter().zip(share);
            let changes = dkv.chunks_exact_mut(2 * dim).zip(rows());
            for ((&by, &share), (change, row)) in slopes.zip(changes) {
                let slope = scale * share * (by - mean);
                for at in own.clone() {
                    change[at] = slope * tape.q[at];
                    change[dim + at] = share * dh[at];
                    dq[at] += slope * row[at];
                }
            }
        }
        let query = &params[self.query.clone()];
        let dquery = self.q.backward(params, query, &dq, grads);
        add(&mut dh, &dquery);
        add(&mut grads[self.query.clone()], &dh);
        let normal = self.norm1.scaled(params, &tape.norm1);
        let dnormal = self.kv.backward(params, &normal, &dkv, grads);
        let mut dx = vec![F::zero(); dnormal.len()];
        self.norm1
            .backward(params, &tape.norm1, &dnormal, grads, &mut dx);
        dx
    }
}

/// Softmax of one row.
pub fn softmax<F: Real>(row: &mut [F]) {
    let most = row.iter().fold(
        F::neg_infinity(),
        |most, &x| if x > most { x } else { most },
    );
    let mut sum = F::zero();
    for x in row.iter_mut() {
        *x = (*x - most).exp();
        sum += *x;
    }
    for x in row {
        *x /= sum;
    }
}
