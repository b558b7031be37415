//! Plans tried on whole clips until they hold.

use super::compose::{MOST_ATTENTION_ERROR, MOST_BLOCK_ERROR, Rule};
use super::measure::{Failure, Outputs, TokenDistance, token_distance};
use super::outcome::{Measures, Ready, within};
use super::plan::{GraphPlan, Plan};
use super::report::Round;
use super::run::Run;
use super::write::every_layer;
use crate::error::ExportError;
use crate::variant::Islands;
use echocart_core::manifest::Precision;
use std::collections::BTreeMap;
use std::path::Path;

const FIRST_BUDGET: f64 = 0.05;
const SMALLER: f64 = 0.7;
const MOST_ROUNDS: usize = 6;

impl Run<'_> {
    /// The worst distance of the encoder over the folds, each fold's clip run with the numbers made
    /// without the fold; none if no provider runs it.
    fn left_out(
        &mut self,
        precision: Precision,
        plans: &[GraphPlan],
        exact: &Outputs,
        dir: &Path,
        what: &str,
    ) -> Result<Option<TokenDistance>, ExportError> {
        let dim = self.request.package.manifest.encoder.dim;
        let mut worst: Option<TokenDistance> = None;
        let checks = self.checks();
        for ((clip, exact), encoder) in checks.iter().zip(&exact.tokens).zip(plans) {
            let plan = Plan {
                precision,
                encoder: encoder.clone(),
                heads: BTreeMap::new(),
            };
            self.total += 2;
            let (variant, _) = self.write(&plan, &Islands::default(), dir)?;
            let found = match self.outputs(dir, &variant, what, std::slice::from_ref(clip)) {
                Ok(found) => found,
                Err(Failure::NotRun(_)) => return Ok(None),
                Err(Failure::Export(error)) => return Err(error),
            };
            let tokens = token_distance(&found.tokens, std::slice::from_ref(exact), dim);
            worst = Some(worst.map_or(tokens, |w| w.worse(&tokens)));
        }
        Ok(worst)
    }

    /// An 8-bit variant: smaller budgets until every fold, left out, is well within the targets.
    pub fn with_ranges(
        &mut self,
        precision: Precision,
        measures: &Measures,
        exact: &Outputs,
        dir: &Path,
    ) -> Result<Ready, ExportError> {
        let mut rule = Rule {
            most_block_error: MOST_BLOCK_ERROR,
            most_attention_error: MOST_ATTENTION_ERROR,
            budget: FIRST_BUDGET,
        };
        let mut rounds: Vec<Round> = Vec::new();
        loop {
            let (plan, encoder, heads) = self.plan_of(precision, measures, &rule);
            let what = format!("try {} with budget {:.4}", precision.as_str(), rule.budget);
            let found = self.left_out(precision, &encoder.without, exact, dir, &what)?;
            let enough = found.is_none_or(|tokens| within(&tokens));
            rounds.extend(found.map(|tokens| Round {
                budget: rule.budget,
                predicted: encoder.predicted,
                tokens,
            }));
            if enough || rounds.len() >= MOST_ROUNDS || encoder.plan.linears.is_empty() {
                let (variant, files) = self.write(&plan, &Islands::default(), dir)?;
                return Ok(Ready {
                    variant,
                    files,
                    composed: Some((encoder, heads)),
                    rounds,
                    rule: Some(rule),
                    islands: None,
                });
            }
            rule.budget = rule.budget.min(encoder.predicted) * SMALLER;
        }
    }

    /// A variant without ranges: all layers, and for 16 bits with islands if it must be.
    pub fn without_ranges(
        &mut self,
        precision: Precision,
        exact: &Outputs,
        dir: &Path,
    ) -> Result<Ready, ExportError> {
        let heads = self.sources.heads.iter().filter_map(|(name, graphs)| {
            let model = graphs.values().next()?;
            Some((name.clone(), every_layer(model, precision)))
        });
        let plan = Plan {
            precision,
            heads: heads.collect(),
            encoder: every_layer(&self.sources.encoder, precision),
        };
        let dim = self.request.package.manifest.encoder.dim;
        let limit = echocart_core::manifest::Tolerance::of(precision).tokens_relative_rms;
        let checks = self.checks();
        let mut islands = Islands::default();
        let mut words = (precision == Precision::Fp16).then(|| "nothing".to_owned());
        loop {
            let (variant, files) = self.write(&plan, &islands, dir)?;
            let ready = |variant, files| Ready {
                variant,
                files,
                composed: None,
                rounds: Vec::new(),
                rule: None,
                islands: words.clone(),
            };
            if precision != Precision::Fp16 || islands.norms {
                return Ok(ready(variant, files));
            }
            let mut alone = variant.clone();
            alone.heads.clear();
            match self.outputs(dir, &alone, "try fp16 without islands", &checks) {
                Err(Failure::Export(error)) => return Err(error),
                Err(Failure::NotRun(_)) => {}
                Ok(found) => {
                    let tokens = token_distance(&found.tokens, &exact.tokens, dim);
                    if tokens.relative_rms <= limit {
                        return Ok(ready(variant, files));
                    }
                }
            }
            self.total += 2;
            islands.norms = true;
            islands.softmax = true;
            words = Some("layer normalisations and softmax".to_owned());
        }
    }
}
