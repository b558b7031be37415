//! An encoder with its probes.

use std::path::Path;

use crate::augment::{Crop, cut};
use crate::cache::SIDE_PX;
use crate::fit::Fitted;
use crate::net::attention::Tokens;
use crate::net::params::Layout;
use crate::net::vit::{PATCH, PATCH_PX, Size, Vit, gather, patches};
use crate::probing::VIEWS;
use crate::store::Stored;
use crate::{TrainError, encoder_file};

/// Sizes of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Of the encoder.
    pub encoder: Size,
    /// Attention heads of the view and of the EF probe.
    pub heads: [usize; 2],
}

/// An encoder with its probes.
#[derive(Debug, Clone)]
pub struct Model {
    /// What it is called in the report.
    pub name: &'static str,
    vit: Vit<f32>,
    weights: Vec<f32>,
    /// Its view probe, where there is one.
    pub view: Option<Fitted>,
    /// Its EF probe, where there is one.
    pub lvef: Option<Fitted>,
}

impl Model {
    /// An encoder and its values with a view probe.
    pub fn new(name: &'static str, (vit, weights): (Vit<f32>, Vec<f32>), view: Fitted) -> Self {
        Self {
            name,
            vit,
            weights,
            view: Some(view),
            lvef: None,
        }
    }

    /// Reads a folder's encoder and the probes that lie beside it.
    ///
    /// # Errors
    /// [`TrainError::Content`] for tensors of another shape.
    pub fn open(name: &'static str, folder: &Path, shape: Shape) -> Result<Self, TrainError> {
        let mut layout = Layout::default();
        let vit = Vit::new(&mut layout, shape.encoder);
        let probe = |file: &str, heads, last, outputs| -> Result<Option<Fitted>, TrainError> {
            let path = folder.join(format!("{file}.safetensors"));
            if !path.exists() {
                return Ok(None);
            }
            let mut fitted = Fitted::start((shape.encoder.dim, heads), last, outputs, 0);
            let count = fitted.params.len();
            fitted.params = Stored::open(&path)?.layout(&fitted.layout, "", count)?;
            Ok(Some(fitted))
        };
        Ok(Self {
            name,
            weights: encoder_file::read(&folder.join(encoder_file::NAME), &layout, layout.len())?,
            vit,
            view: probe("view", shape.heads[0], "linear", VIEWS.len())?,
            lvef: probe("lvef", shape.heads[1], "regressor", 1)?,
        })
    }

    /// The features of a clip, of all its tokens or of those at `places`.
    ///
    /// # Shapes
    /// - `pixels`: `[16, 128, 128]`; the result `[tokens, dim]`.
    pub fn features(&self, pixels: &[u8], places: Option<&[usize]>) -> Vec<f32> {
        let size = self.vit.size;
        let clip = cut(pixels, Crop::centre(size.side_px), size.side_px);
        let rows: Vec<f32> = patches(&clip, size.side_px);
        let Some(places) = places else {
            let tokens = Tokens::all(size.tokens());
            return self.vit.infer(&self.weights, &rows, &tokens);
        };
        let mut tokens = Tokens::default();
        tokens.push(places);
        let rows = gather(&rows, PATCH, places);
        self.vit.infer(&self.weights, &rows, &tokens)
    }
}

/// The tokens of a clip that are not wholly outside the imaging sector.
///
/// # Shapes
/// - `inside`: `[128, 128]`.
pub fn kept(inside: &[bool], size: Size) -> Vec<usize> {
    let [depth, rows, columns] = size.grid();
    let margin = (SIDE_PX - size.side_px) / 2;
    let seen = |row: usize, column: usize| {
        (0..PATCH_PX * PATCH_PX).any(|at| {
            let y = margin + PATCH_PX * row + at / PATCH_PX;
            let x = margin + PATCH_PX * column + at % PATCH_PX;
            inside.get(y * SIDE_PX + x).copied().unwrap_or(false)
        })
    };
    let plane = rows * columns;
    let places = (0..plane).filter(|at| seen(at / columns, at % columns));
    let places: Vec<usize> = places.collect();
    (0..depth)
        .flat_map(|tubelet| places.iter().map(move |at| tubelet * plane + at))
        .collect()
}

/// One answer of a probe.
pub fn answer(probe: &Fitted, features: &[f32]) -> Vec<f32> {
    probe.answers(&[features], 1).pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_the_sector_touches_are_kept_in_every_tubelet() {
        let size = Size {
            side_px: 112,
            dim: 8,
            depth: 1,
            heads: 1,
        };
        let mut inside = vec![false; SIDE_PX * SIDE_PX];
        assert!(kept(&inside, size).is_empty());
        inside[0] = true;
        inside[(8 + 16) * SIDE_PX + 8] = true;
        let expected: Vec<usize> = (0..8).map(|tubelet| 49 * tubelet + 7).collect();
        assert_eq!(kept(&inside, size), expected);
    }
}
