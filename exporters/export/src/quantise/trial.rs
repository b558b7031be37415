//! What a plan for a few layers does to their block.

use super::calibrate::Rewrite;
use super::plan::GraphPlan;
use super::runner::{GraphRunner, Output};
use super::walk::{Feeds, load, run, take};
use crate::error::ExportError;
use crate::variant::Model;
use echocart_core::manifest::Precision;

/// A block, and one clip of each fold that its layers are tried on.
pub(super) struct Trial<'a> {
    pub plain: &'a Model,
    pub precision: Precision,
    pub output: &'a str,
    pub feeds: &'a [Feeds],
    /// What the clips gave in fp32.
    pub exact: &'a [Output],
    pub rewrite: Rewrite<'a>,
}

impl Trial<'_> {
    /// The largest error of the block's output over `folds`, up to the first beyond `enough`; each
    /// fold's clip is tried with the plan that was made without the fold.
    pub fn block_error(
        &self,
        runner: &mut dyn GraphRunner,
        folds: &[usize],
        enough: f64,
        plan: &dyn Fn(usize) -> GraphPlan,
    ) -> Result<f64, ExportError> {
        let mut worst = 0.0f64;
        for &fold in folds {
            let (Some(feeds), Some(exact)) = (self.feeds.get(fold), self.exact.get(fold)) else {
                continue;
            };
            let model = (self.rewrite)(self.plain, self.precision, &plan(fold))?;
            let mut graph = load(runner, &model)?;
            let mut outputs = run(graph.as_mut(), &model, feeds)?;
            let found = take(&mut outputs, self.output)?;
            worst = worst.max(relative_rms(&found.values, &exact.values));
            if worst > enough {
                break;
            }
        }
        Ok(worst)
    }
}

/// Relative RMS distance of `found` from `exact`.
pub(super) fn relative_rms(found: &[f32], exact: &[f32]) -> f64 {
    let error: f64 = found
        .iter()
        .zip(exact)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum();
    let energy: f64 = exact.iter().map(|&v| f64::from(v).powi(2)).sum();
    let relative = (error / energy.max(f64::MIN_POSITIVE)).sqrt();
    if found.len() == exact.len() && relative.is_finite() {
        relative
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_relative_and_shapes_must_agree() {
        assert_eq!(relative_rms(&[1.0, 1.0], &[1.0, 1.0]), 0.0);
        assert!((relative_rms(&[1.1, 0.0], &[1.0, 0.0]) - 0.1).abs() < 1e-6);
        assert_eq!(relative_rms(&[1.0], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(relative_rms(&[f32::NAN], &[1.0]), f64::INFINITY);
    }
}
