//! What calibration found out about a graph's layers and attentions.

use super::plan::{AttentionPlan, GraphPlan, LinearPlan};
use super::range::RangeRule;

/// The numbers of a layer, and the norm before it with the factors that move, if any do.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LayerPlan {
    pub plan: LinearPlan,
    pub migration: Option<(String, Vec<f32>)>,
}

/// A layer as it was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayerMeasure {
    pub name: String,
    /// From all folds.
    pub whole: LayerPlan,
    /// From all folds but one, by that one.
    pub without: Vec<LayerPlan>,
    pub alpha: Option<f32>,
    pub rule: RangeRule,
    /// Folds, those with the most noise first.
    pub noisy: Vec<usize>,
    /// Squared error over squares of its own output, on sampled rows of left-out folds.
    pub noise: f64,
    /// Relative RMS error of its block's output when it alone is quantised, on the worst clip; the
    /// numbers come from the other folds.
    pub block_error: f64,
    pub inputs: usize,
    pub outputs: usize,
}

/// An attention as it was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AttentionMeasure {
    pub name: String,
    pub whole: AttentionPlan,
    pub without: Vec<AttentionPlan>,
    pub block_error: f64,
    /// Channels of all heads.
    pub width: usize,
}

/// A graph's layers in order, in one precision.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct GraphMeasure {
    pub layers: Vec<LayerMeasure>,
    pub attentions: Vec<AttentionMeasure>,
}

impl LayerMeasure {
    fn planned(&self, without: Option<usize>) -> &LayerPlan {
        let one = without.and_then(|fold| self.without.get(fold));
        one.unwrap_or(&self.whole)
    }

    /// Adds the layer to a plan, its numbers from all folds but one.
    pub fn add_to(&self, plan: &mut GraphPlan, without: Option<usize>) {
        let own = self.planned(without);
        plan.linears.insert(self.name.clone(), own.plan.clone());
        plan.migrations.extend(own.migration.clone());
    }
}

impl AttentionMeasure {
    /// Adds the attention to a plan, its numbers from all folds but one.
    pub fn add_to(&self, plan: &mut GraphPlan, without: Option<usize>) {
        let one = without.and_then(|fold| self.without.get(fold));
        let own = one.unwrap_or(&self.whole);
        plan.attentions.insert(self.name.clone(), *own);
    }
}
