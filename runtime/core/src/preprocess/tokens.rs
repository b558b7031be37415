//! Which patches of the encoder's image lie wholly outside an imaging area.

use super::Preprocessor;
use super::steps::Op;
use crate::screen::sector::Outline;

/// Points of a patch that are asked, across and down, its edges among them.
const POINTS: u16 = 9;

impl Preprocessor {
    /// Numbers of the patches, row by row, of which no point is inside `outline`, for frames of the
    /// geometry prepared last; all the others may be kept.
    pub fn patches_outside(&self, outline: &Outline, patch_px: usize) -> Vec<u32> {
        let Some((frame, _)) = self.geometry else {
            return Vec::new();
        };
        let patch = u32::try_from(patch_px).unwrap_or(u32::MAX).max(1);
        let (across, down) = (self.image.width_px / patch, self.image.height_px / patch);
        let source = |x: f32, y: f32| {
            let (mut x, mut y) = (x, y);
            for op in self.ops.iter().rev() {
                match *op {
                    Op::Crop { x_px, y_px } => (x, y) = (x + x_px as f32, y + y_px as f32),
                    Op::Resize { from, to } => {
                        x *= from.width_px as f32 / to.width_px as f32;
                        y *= from.height_px as f32 / to.height_px as f32;
                    }
                    Op::Blacken { .. } => {}
                }
            }
            [x / frame.width_px as f32, y / frame.height_px as f32]
        };
        let inside = |column: u32, row: u32| {
            (0..POINTS * POINTS).any(|at| {
                let [right, below] = [at % POINTS, at / POINTS];
                let along = |from: u32, point: u16| {
                    (from as f32 + f32::from(point) / f32::from(POINTS - 1)) * patch as f32
                };
                let [x, y] = source(along(column, right), along(row, below));
                outline.contains(x, y)
            })
        };
        (0..across * down)
            .filter(|at| !inside(at % across, at / across))
            .collect()
    }
}
