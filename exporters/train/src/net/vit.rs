//! The encoder: EchoJEPA's in small, for grey clips.

use serde::{Deserialize, Serialize};

use super::Real;
use super::attention::Tokens;
use super::linear::Linear;
use super::params::Layout;
use super::rope::Rope;
use super::trunk::{Trunk, TrunkTape};

/// Frames of a clip.
pub const FRAMES: usize = 16;
/// Frames of a tubelet.
pub const TUBELET: usize = 2;
/// Side of a patch.
pub const PATCH_PX: usize = 16;
/// Values of a grey tubelet.
pub const PATCH: usize = TUBELET * PATCH_PX * PATCH_PX;

/// Sizes of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Side of the image.
    pub side_px: usize,
    /// Token width.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
}

impl Size {
    /// Tokens along time, rows and columns.
    pub fn grid(&self) -> [usize; 3] {
        let side = self.side_px / PATCH_PX;
        [FRAMES / TUBELET, side, side]
    }

    /// Tokens of a clip.
    pub fn tokens(&self) -> usize {
        self.grid().into_iter().product()
    }
}

/// The encoder.
#[derive(Debug, Clone)]
pub struct Vit<F> {
    /// Its sizes.
    pub size: Size,
    rope: Rope<F>,
    embed: Linear,
    trunk: Trunk,
}

/// What the encoder leaves for its way back.
#[derive(Debug, Clone)]
pub struct VitTape<F> {
    patches: Vec<F>,
    trunk: TrunkTape<F>,
}

impl<F: Real> Vit<F> {
    /// Adds the encoder's tensors under the names of its checkpoints.
    pub fn new(layout: &mut Layout, size: Size) -> Self {
        Self {
            size,
            rope: Rope::new(size.grid(), size.dim / size.heads),
            embed: Linear::new(layout, "patch_embed.proj", PATCH, size.dim, 0.02),
            trunk: Trunk::new(layout, "", size.depth, size.dim, size.heads),
        }
    }

    /// # Shapes
    /// - `patches`: `[n, 512]`, one row a token; the result `[n, dim]`.
    pub fn forward(&self, params: &[F], patches: Vec<F>, tokens: &Tokens) -> (Vec<F>, VitTape<F>) {
        let x = self.embed.forward(params, &patches);
        let (y, trunk) = self.trunk.forward(params, x, tokens, &self.rope);
        (y, VitTape { patches, trunk })
    }

    /// The result of [`Vit::forward`] alone.
    pub fn infer(&self, params: &[F], patches: &[F], tokens: &Tokens) -> Vec<F> {
        let x = self.embed.forward(params, patches);
        self.trunk.infer(params, x, tokens, &self.rope)
    }

    /// Adds to the gradients.
    pub fn backward(
        &self,
        params: &[F],
        tokens: &Tokens,
        tape: &VitTape<F>,
        dy: &[F],
        grads: &mut [F],
    ) {
        let places = (tokens, &self.rope);
        let dx = self.trunk.backward(params, places, &tape.trunk, dy, grads);
        self.embed.backward_params(&tape.patches, &dx, grads);
    }
}

/// Cuts a grey clip into tubelets, in the encoder's order.
///
/// # Shapes
/// - `clip`: `[16, side, side]`, the result `[tokens, 512]`.
pub fn patches<F: Real>(clip: &[F], side: usize) -> Vec<F> {
    let across = side / PATCH_PX;
    let mut patches = Vec::with_capacity(FRAMES / TUBELET * across * across * PATCH);
    for depth in 0..FRAMES / TUBELET {
        for row in 0..across {
            for column in 0..across {
                for frame in TUBELET * depth..TUBELET * (depth + 1) {
                    for y in PATCH_PX * row..PATCH_PX * (row + 1) {
                        let from = (frame * side + y) * side + PATCH_PX * column;
                        patches.extend_from_slice(&clip[from..from + PATCH_PX]);
                    }
                }
            }
        }
    }
    patches
}

/// The rows of `[n, width]` at `places`.
pub fn gather<F: Real>(rows: &[F], width: usize, places: &[usize]) -> Vec<F> {
    let rows = places
        .iter()
        .flat_map(|at| &rows[at * width..(at + 1) * width]);
    rows.copied().collect()
}
