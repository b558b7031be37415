//! From what each layer costs to a plan: which layers stay in fp32.

use super::layers::GraphMeasure;
use super::plan::GraphPlan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A layer that alone moves its block's output by more than this stays in fp32.
pub const MOST_BLOCK_ERROR: f64 = 0.03;
/// Likewise for an attention: its errors grow fastest on images unlike those looked at.
pub const MOST_ATTENTION_ERROR: f64 = 0.004;

/// The rule by which layers stay in fp32, and its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Largest relative RMS error of a block's output that one layer alone may cause.
    pub most_block_error: f64,
    /// Likewise one attention alone.
    pub most_attention_error: f64,
    /// Largest root of the sum of squares of all of them. Layers leave in the order of squared
    /// error per multiplication until it holds.
    pub budget: f64,
}

impl Rule {
    /// The rule in words.
    pub fn words(&self) -> String {
        format!(
            "a layer stays in fp32 if it alone moves its block's output by more than {} (relative \
             RMS, worst of the tried clips), an attention by more than {}; of the others, those \
             with the most squared error per multiplication stay, until the root of the sum of \
             squares is at most {:.4}",
            self.most_block_error, self.most_attention_error, self.budget
        )
    }
}

struct Candidate<'a> {
    name: &'a str,
    error: f64,
    most: f64,
    products: f64,
}

/// A plan and what it leaves out.
pub(super) struct Composed {
    /// The numbers come from all folds.
    pub plan: GraphPlan,
    /// The same layers with numbers from all folds but one, by that one.
    pub without: Vec<GraphPlan>,
    /// Root of the sum of squared block errors of what is in.
    pub predicted: f64,
}

/// Applies the rule. `tokens` are those an attention runs over.
pub(super) fn compose(
    measure: &GraphMeasure,
    rule: &Rule,
    tokens: usize,
    folds: usize,
) -> Composed {
    let layers = measure.layers.iter().map(|layer| Candidate {
        name: &layer.name,
        error: layer.block_error,
        most: rule.most_block_error,
        products: (layer.inputs * layer.outputs) as f64,
    });
    let attentions = measure.attentions.iter().map(|attention| Candidate {
        name: &attention.name,
        error: attention.block_error,
        most: rule.most_attention_error,
        products: (2 * tokens * attention.width) as f64,
    });
    let mut all: Vec<Candidate<'_>> = layers.chain(attentions).collect();
    let price = |c: &Candidate<'_>| c.error.powi(2) / c.products.max(1.0);
    all.sort_by(|a, b| price(b).total_cmp(&price(a)));
    let (mut left_out, mut kept) = (Vec::new(), Vec::new());
    for candidate in all {
        if candidate.error <= candidate.most {
            kept.push(candidate);
        } else {
            left_out.push(candidate.name.to_owned());
        }
    }
    let mut sum: f64 = kept.iter().map(|c| c.error.powi(2)).sum();
    let mut out = BTreeSet::new();
    for candidate in &kept {
        if sum.sqrt() <= rule.budget {
            break;
        }
        sum -= candidate.error.powi(2);
        out.insert(candidate.name);
        left_out.push(candidate.name.to_owned());
    }
    let stays = |name: &String| left_out.contains(name);
    let plan = |without: Option<usize>| {
        let mut plan = GraphPlan::default();
        for layer in measure.layers.iter().filter(|layer| !stays(&layer.name)) {
            layer.add_to(&mut plan, without);
        }
        for attention in measure.attentions.iter().filter(|a| !stays(&a.name)) {
            attention.add_to(&mut plan, without);
        }
        plan
    };
    Composed {
        plan: plan(None),
        without: (0..folds).map(|fold| plan(Some(fold))).collect(),
        predicted: sum.max(0.0).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantise::layers::{LayerMeasure, LayerPlan};
    use crate::quantise::range::RangeRule;

    fn layer(name: &str, block_error: f64, inputs: usize) -> LayerMeasure {
        LayerMeasure {
            name: name.to_owned(),
            whole: LayerPlan::default(),
            without: Vec::new(),
            noisy: Vec::new(),
            alpha: None,
            rule: RangeRule::MinMax,
            noise: 0.0,
            block_error,
            inputs,
            outputs: 10,
        }
    }

    #[test]
    fn the_worst_per_multiplication_stay_until_the_budget_holds() {
        let measure = GraphMeasure {
            layers: vec![
                layer("a", 0.01, 10),
                layer("b", 0.01, 100),
                layer("c", 0.05, 1000),
                layer("d", 0.002, 10),
            ],
            attentions: Vec::new(),
        };
        let rule = Rule {
            most_block_error: 0.03,
            most_attention_error: 0.004,
            budget: 0.011,
        };
        let composed = compose(&measure, &rule, 100, 1);
        let names: Vec<&String> = composed.plan.linears.keys().collect();
        assert_eq!(names, ["b", "d"]);
        assert!(composed.predicted <= 0.011);
    }

    #[test]
    fn an_error_that_is_no_number_stays_in_fp32() {
        let measure = GraphMeasure {
            layers: vec![layer("a", f64::INFINITY, 10), layer("b", f64::NAN, 10)],
            attentions: Vec::new(),
        };
        let rule = Rule {
            most_block_error: 0.03,
            most_attention_error: 0.004,
            budget: 0.05,
        };
        let composed = compose(&measure, &rule, 100, 1);
        assert!(composed.plan.linears.is_empty());
    }
}
