//! Transformer blocks, one after the other.

use super::Real;
use super::attention::{Attention, AttentionTape, Tokens};
use super::linear::Linear;
use super::norm::{Norm, NormTape};
use super::params::Layout;
use super::rope::Rope;

/// Epsilon of the encoder's and predictor's normalisations.
pub const EPS: f64 = 1e-6;

/// Two linear layers with GELU in between.
#[derive(Debug, Clone)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

/// What the two layers leave for their way back.
#[derive(Debug, Clone, Default)]
pub struct MlpTape<F> {
    active: Vec<F>,
    slope: Vec<F>,
}

impl Mlp {
    /// Adds `name.fc1` and `name.fc2`, four times as wide in between.
    pub fn new(layout: &mut Layout, name: &str, dim: usize, std: f32) -> Self {
        Self {
            fc1: Linear::new(layout, &format!("{name}.fc1"), dim, 4 * dim, 0.02),
            fc2: Linear::new(layout, &format!("{name}.fc2"), 4 * dim, dim, std),
        }
    }

    /// # Shapes
    /// - `x`: `[n, dim]`, the result alike.
    pub fn forward<F: Real>(&self, params: &[F], x: &[F]) -> (Vec<F>, MlpTape<F>) {
        let mut active = self.fc1.forward(params, x);
        let mut slope = vec![F::zero(); active.len()];
        for (value, slope) in active.iter_mut().zip(&mut slope) {
            (*value, *slope) = value.gelu();
        }
        let y = self.fc2.forward(params, &active);
        (y, MlpTape { active, slope })
    }

    /// Adds to the gradients, and gives that of the input.
    pub fn backward<F: Real>(
        &self,
        params: &[F],
        x: &[F],
        tape: &MlpTape<F>,
        dy: &[F],
        grads: &mut [F],
    ) -> Vec<F> {
        let mut dhidden = self.fc2.backward(params, &tape.active, dy, grads);
        for (d, &slope) in dhidden.iter_mut().zip(&tape.slope) {
            *d *= slope;
        }
        self.fc1.backward(params, x, &dhidden, grads)
    }
}

/// What a block leaves for its way back.
#[derive(Debug, Clone)]
struct BlockTape<F> {
    norm1: NormTape<F>,
    attention: AttentionTape<F>,
    norm2: NormTape<F>,
    mlp: MlpTape<F>,
}

#[derive(Debug, Clone)]
struct Block {
    norm1: Norm,
    attention: Attention,
    norm2: Norm,
    mlp: Mlp,
}

/// Blocks and a last normalisation.
#[derive(Debug, Clone)]
pub struct Trunk {
    blocks: Vec<Block>,
    norm: Norm,
}

/// What a trunk leaves for its way back.
#[derive(Debug, Clone)]
pub struct TrunkTape<F> {
    blocks: Vec<BlockTape<F>>,
    norm: NormTape<F>,
}

impl Block {
    fn new(layout: &mut Layout, name: &str, dim: usize, heads: usize, std: f32) -> Self {
        Self {
            norm1: Norm::new(layout, &format!("{name}.norm1"), dim, EPS),
            attention: Attention::new(layout, &format!("{name}.attn"), dim, heads, std),
            norm2: Norm::new(layout, &format!("{name}.norm2"), dim, EPS),
            mlp: Mlp::new(layout, &format!("{name}.mlp"), dim, std),
        }
    }

    fn forward<F: Real>(
        &self,
        params: &[F],
        x: &mut [F],
        tokens: &Tokens,
        rope: &Rope<F>,
    ) -> BlockTape<F> {
        let (y, norm1) = self.norm1.forward(params, x);
        let (by, attention) = self.attention.forward(params, &y, tokens, rope);
        add(x, &by);
        let (y, norm2) = self.norm2.forward(params, x);
        let (by, mlp) = self.mlp.forward(params, &y);
        add(x, &by);
        BlockTape {
            norm1,
            attention,
            norm2,
            mlp,
        }
    }

    fn backward<F: Real>(
        &self,
        params: &[F],
        places: (&Tokens, &Rope<F>),
        tape: &BlockTape<F>,
        dx: &mut [F],
        grads: &mut [F],
    ) {
        let y = self.norm2.scaled(params, &tape.norm2);
        let dy = self.mlp.backward(params, &y, &tape.mlp, dx, grads);
        self.norm2.backward(params, &tape.norm2, &dy, grads, dx);
        let y = self.norm1.scaled(params, &tape.norm1);
        let attention = &self.attention;
        let dy = attention.backward(params, &y, places, &tape.attention, dx, grads);
        self.norm1.backward(params, &tape.norm1, &dy, grads, dx);
    }
}

impl Trunk {
    /// Adds `blocks.0` and so on and `norm`, each with `prefix` before it.
    pub fn new(layout: &mut Layout, prefix: &str, depth: usize, dim: usize, heads: usize) -> Self {
        let blocks = (0..depth)
            .map(|index| {
                let std = 0.02 / ((2 * (index + 1)) as f32).sqrt();
                Block::new(layout, &format!("{prefix}blocks.{index}"), dim, heads, std)
            })
            .collect();
        let norm = Norm::new(layout, &format!("{prefix}norm"), dim, EPS);
        Self { blocks, norm }
    }

    /// # Shapes
    /// - `x`: `[n, dim]`, the result alike.
    pub fn forward<F: Real>(
        &self,
        params: &[F],
        mut x: Vec<F>,
        tokens: &Tokens,
        rope: &Rope<F>,
    ) -> (Vec<F>, TrunkTape<F>) {
        let blocks = self.blocks.iter();
        let blocks = blocks
            .map(|block| block.forward(params, &mut x, tokens, rope))
            .collect();
        let (y, norm) = self.norm.forward(params, &x);
        (y, TrunkTape { blocks, norm })
    }

    /// The result of [`Trunk::forward`] without what it takes to come back.
    pub fn infer<F: Real>(
        &self,
        params: &[F],
        mut x: Vec<F>,
        tokens: &Tokens,
        rope: &Rope<F>,
    ) -> Vec<F> {
        for block in &self.blocks {
            block.forward(params, &mut x, tokens, rope);
        }
        self.norm.forward(params, &x).0
    }

    /// Adds to the gradients, and gives that of the input.
    pub fn backward<F: Real>(
        &self,
        params: &[F],
        places: (&Tokens, &Rope<F>),
        tape: &TrunkTape<F>,
        dy: &[F],
        grads: &mut [F],
    ) -> Vec<F> {
        let mut dx = vec![F::zero(); dy.len()];
        self.norm.backward(params, &tape.norm, dy, grads, &mut dx);
        for (block, tape) in self.blocks.iter().zip(&tape.blocks).rev() {
            block.backward(params, places, tape, &mut dx, grads);
        }
        dx
    }
}

/// `x += y`.
pub fn add<F: Real>(x: &mut [F], y: &[F]) {
    for (x, &y) in x.iter_mut().zip(y) {
        *x += y;
    }
}
