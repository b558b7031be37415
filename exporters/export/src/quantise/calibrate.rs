//! One graph, calibrated block by block: statistics over all clips, then ranges, then what each
//! layer alone does to its block.

use super::attention::{Largest, Operands, plan, shares};
use super::compose::MOST_ATTENTION_ERROR;
use super::fold::Folds;
use super::group::{Choice, Fold, Group, Member, Numbers};
use super::layers::{AttentionMeasure, GraphMeasure, LayerMeasure, LayerPlan};
use super::plan::{GraphPlan, LinearPlan};
use super::range::RangeRule;
use super::runner::{GraphRunner, Output};
use super::stats::TensorStats;
use super::trial::Trial;
use super::walk::{Feed, Feeds, Segment, engine, load, run, segments, take};
use crate::error::ExportError;
use crate::progress::{Progress, go_on};
use crate::variant::{Attention, Format, Linear, Model, Norm};
use echocart_core::manifest::Precision;
use ndarray::ArrayView2;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Layers with fewer outputs stay in fp32: they cost nothing.
const LEAST_OUTPUTS: usize = 64;
/// Folds that a layer is tried on alone, those with the most noise of its own.
const TRIED: usize = 2;
/// An attention this many times beyond what is allowed is not tried with other ranges of its shares.
const HOPELESS: f64 = 4.0;
/// What any channel of a normalisation is taken to reach on some image, in its standard deviations.
const DEVIATIONS: f32 = 4.0;

/// Makes a variant of a part of a graph: the part, the precision, the plan.
pub(super) type Rewrite<'a> =
    &'a dyn Fn(&Model, Precision, &GraphPlan) -> Result<Model, ExportError>;

/// What calibration of one graph needs.
pub(super) struct Calibration<'a> {
    pub model: &'a Model,
    pub precisions: &'a [Precision],
    pub runner: &'a mut dyn GraphRunner,
    pub rewrite: Rewrite<'a>,
    pub progress: Progress<'a>,
    /// Words that stand before a block's name in the progress.
    pub what: &'a str,
    /// Steps behind and in all.
    pub steps: (usize, usize),
    /// Which clips are left out together.
    pub folds: &'a Folds,
    /// A graph input and the largest magnitude it can have.
    pub known: Option<(&'a str, f32)>,
}

/// What calibration of one graph gave.
pub(super) struct Calibrated {
    pub measures: BTreeMap<Precision, GraphMeasure>,
    /// The graph's output, by clip.
    pub outputs: Vec<Output>,
}

struct Parts {
    linears: Vec<Linear>,
    attentions: Vec<Attention>,
    /// By the value it gives.
    norms: BTreeMap<String, Norm>,
}

impl Parts {
    fn of(model: &Model) -> Self {
        let mut linears = model.linear_layers();
        linears.retain(|linear| linear.outputs >= LEAST_OUTPUTS);
        let norms = model.norms().into_iter();
        Self {
            linears,
            attentions: model.attentions(),
            norms: norms.map(|norm| (norm.output.clone(), norm)).collect(),
        }
    }

    fn taps(&self) -> Vec<&str> {
        let linears = self.linears.iter().map(|linear| linear.input.as_str());
        let attentions = self.attentions.iter();
        let operands = attentions.flat_map(|a| [&a.query, &a.key, &a.value]);
        let all: BTreeSet<&str> = linears.chain(operands.map(String::as_str)).collect();
        all.into_iter().collect()
    }
}

/// How many steps [`Calibration::run`] shows.
pub(super) fn steps(model: &Model) -> usize {
    segments(model).len()
}

fn matrix(values: &[f32], columns: usize) -> ArrayView2<'_, f32> {
    let rows = values.len() / columns.max(1);
    ArrayView2::from_shape((rows, columns), values)
        .unwrap_or_else(|_| ArrayView2::from(&[[0.0f32; 0]; 0]))
}

struct Seen {
    stats: BTreeMap<String, TensorStats>,
    /// By attention: its shares on the clip that each fold is tried on.
    shares: BTreeMap<String, Vec<Vec<f32>>>,
    /// What the clips that layers are tried on gave in fp32.
    exact: Vec<Output>,
}

impl Calibration<'_> {
    fn go_on(&mut self, segment: &Segment, at: usize) -> Result<(), ExportError> {
        let (behind, total) = self.steps;
        let what = format!("{} {}", self.what, segment.name);
        go_on((self.progress)(&what, behind + at, total))
    }

    /// Calibrates on `clips`, each the values of the graph's inputs.
    pub fn run(mut self, mut clips: Vec<Feeds>) -> Result<Calibrated, ExportError> {
        let mut measures: BTreeMap<Precision, GraphMeasure> = BTreeMap::new();
        let segments = segments(self.model);
        let mut outputs = Vec::new();
        for (at, segment) in segments.iter().enumerate() {
            self.go_on(segment, at)?;
            let plain = segment.model(self.model, &[])?;
            let parts = Parts::of(&plain);
            let places = self.folds.tried().into_iter();
            let feeds: Vec<Feeds> = places.filter_map(|at| clips.get(at).cloned()).collect();
            let (seen, ends) = self.observe(segment, &parts, &mut clips, at)?;
            outputs = ends;
            let precisions = self.precisions.iter();
            for precision in precisions.copied().collect::<Vec<_>>() {
                let Some(format) = Format::of(precision) else {
                    continue;
                };
                let measure = measures.entry(precision).or_default();
                let trial = Trial {
                    plain: &plain,
                    precision,
                    output: &segment.output,
                    feeds: &feeds,
                    exact: &seen.exact,
                    rewrite: self.rewrite,
                };
                for mut layer in self.layers(&parts, &seen, format)? {
                    self.go_on(segment, at)?;
                    let alone = |fold| {
                        let mut plan = GraphPlan::default();
                        layer.add_to(&mut plan, Some(fold));
                        plan
                    };
                    let noisy = layer.noisy.get(..TRIED).unwrap_or(&layer.noisy);
                    layer.block_error =
                        trial.block_error(self.runner, noisy, f64::INFINITY, &alone)?;
                    measure.layers.push(layer);
                }
                for attention in &parts.attentions {
                    let mut best: Option<AttentionMeasure> = None;
                    for rule in [RangeRule::MinMax, RangeRule::Percentile, RangeRule::Mse] {
                        self.go_on(segment, at)?;
                        let planned = planned(attention, &seen, rule, format, self.folds.count());
                        let Some(mut found) = planned else {
                            continue;
                        };
                        let alone = |fold| {
                            let mut plan = GraphPlan::default();
                            found.add_to(&mut plan, Some(fold));
                            plan
                        };
                        let folds: Vec<usize> = (0..self.folds.count()).collect();
                        found.block_error =
                            trial.block_error(self.runner, &folds, MOST_ATTENTION_ERROR, &alone)?;
                        let hopeless = found.block_error > HOPELESS * MOST_ATTENTION_ERROR;
                        if best
                            .as_ref()
                            .is_none_or(|b| found.block_error < b.block_error)
                        {
                            best = Some(found);
                        }
                        if hopeless {
                            break;
                        }
                    }
                    measure.attentions.extend(best);
                }
            }
        }
        Ok(Calibrated { measures, outputs })
    }

    /// Runs every clip through a segment; `clips` then hold the values of the next one.
    fn observe(
        &mut self,
        segment: &Segment,
        parts: &Parts,
        clips: &mut [Feeds],
        at: usize,
    ) -> Result<(Seen, Vec<Output>), ExportError> {
        let taps = parts.taps();
        let model = segment.model(self.model, &taps)?;
        let mut graph = load(self.runner, &model)?;
        let mut seen = Seen {
            stats: BTreeMap::new(),
            shares: BTreeMap::new(),
            exact: Vec::new(),
        };
        let places = self.folds.tried();
        let (mut ends, count) = (Vec::new(), clips.len());
        for (clip, feeds) in clips.iter_mut().enumerate() {
            self.go_on(segment, at)?;
            let mut outputs = run(graph.as_mut(), &model, feeds)?;
            for tap in &taps {
                if let Some(output) = outputs.iter().find(|o| o.name == *tap) {
                    let channels = output.shape.last().copied().unwrap_or(1).max(1);
                    let folds = self.folds.count();
                    let stats = seen.stats.entry((*tap).to_owned());
                    let stats =
                        stats.or_insert_with(|| TensorStats::new(tap, channels, count, folds));
                    stats.observe(self.folds.fold(clip), &output.values)?;
                }
            }
            let tried = places.contains(&clip);
            for attention in parts.attentions.iter().filter(|_| tried) {
                let own = seen.shares.entry(attention.name.clone()).or_default();
                own.extend(operands(attention, &outputs).map(|o| shares(attention, &o)));
            }
            let end = take(&mut outputs, &segment.output)?;
            if tried {
                seen.exact.push(end.clone());
            }
            if self.model.outputs().contains(&end.name.as_str()) {
                ends.push(end);
            } else {
                feeds.retain(|(name, feed)| {
                    Some(name) != segment.input.as_ref() && matches!(feed, Feed::Integers(..))
                });
                let feed = Feed::Floats(end.shape, Arc::new(end.values));
                feeds.push((end.name, feed));
            }
        }
        Ok((seen, ends))
    }

    /// The known limit of a graph input that is only reshaped on its way to `value`.
    fn known_limit(&self, value: &str) -> Option<f32> {
        let (name, limit) = self.known?;
        let node = self.model.producer(value)?;
        let reshaped = node.op_type() == "Reshape" && node.input.first().is_some_and(|i| i == name);
        reshaped.then_some(limit)
    }

    fn layers(
        &self,
        parts: &Parts,
        seen: &Seen,
        format: Format,
    ) -> Result<Vec<LayerMeasure>, ExportError> {
        let mut inputs: Vec<&str> = Vec::new();
        for linear in &parts.linears {
            if !inputs.contains(&linear.input.as_str()) {
                inputs.push(&linear.input);
            }
        }
        let mut groups = Vec::new();
        for input in inputs {
            let Some(stats) = seen.stats.get(input) else {
                continue;
            };
            let own = || parts.linears.iter().filter(|l| l.input == input);
            let member = |linear: &Linear| -> Result<Member, ExportError> {
                let weight = self.model.floats(&linear.weight)?;
                Ok(Member {
                    weight: matrix(&weight, linear.outputs).to_owned(),
                    has_bias: linear.bias.is_some(),
                })
            };
            let fold = |(limits, sample)| Fold { limits, sample };
            let norm = parts.norms.get(input);
            let group = Group {
                members: own().map(member).collect::<Result<_, _>>()?,
                folds: stats.folds().into_iter().map(fold).collect(),
                floors: norm.map(|norm| self.floors(norm)).transpose()?,
                movable: norm.is_some_and(|norm| norm.movable),
                known_limit: self.known_limit(input),
            };
            groups.push((input, group));
        }
        let choices: Vec<Choice> = std::thread::scope(|scope| {
            let threads: Vec<_> = groups
                .iter()
                .map(|(_, group)| scope.spawn(move || group.choose(format)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    let failed = |_| engine("a range search failed".to_owned());
                    thread.join().map_err(failed)
                })
                .collect::<Result<_, _>>()
        })?;
        let mut layers = Vec::new();
        for ((input, _), choice) in groups.iter().zip(choices) {
            let norm = parts.norms.get(*input).map(|norm| &norm.name);
            let own = parts.linears.iter().filter(|l| l.input == *input);
            for (at, linear) in own.enumerate() {
                let plan = |numbers: &Numbers| LayerPlan {
                    plan: LinearPlan {
                        input_limit: numbers.limit,
                        bias_shift: numbers.bias_shifts.get(at).cloned().unwrap_or_default(),
                    },
                    migration: norm.cloned().zip(numbers.factors.clone()),
                };
                layers.push(LayerMeasure {
                    name: linear.name.clone(),
                    whole: plan(&choice.whole),
                    without: choice.without.iter().map(plan).collect(),
                    alpha: choice.alpha,
                    rule: choice.rule,
                    noisy: choice.noisy.clone(),
                    noise: choice.noise.get(at).copied().unwrap_or(f64::INFINITY),
                    block_error: 0.0,
                    inputs: linear.inputs,
                    outputs: linear.outputs,
                });
            }
        }
        let order = |name: &str| parts.linears.iter().position(|l| l.name == name);
        layers.sort_by_key(|layer| order(&layer.name));
        Ok(layers)
    }

    /// What each channel of a normalisation is taken to reach on some image.
    fn floors(&self, norm: &Norm) -> Result<Vec<f32>, ExportError> {
        let (scale, bias) = (
            self.model.floats(&norm.scale)?,
            self.model.floats(&norm.bias)?,
        );
        let pairs = scale.iter().zip(&bias);
        Ok(pairs.map(|(s, b)| DEVIATIONS * s.abs() + b.abs()).collect())
    }
}

fn operands<'a>(attention: &Attention, outputs: &'a [Output]) -> Option<Operands<'a>> {
    let output = |name: &str| outputs.iter().find(|o| o.name == name);
    let (query, key) = (output(&attention.query)?, output(&attention.key)?);
    Some(Operands {
        query: matrix(&query.values, *query.shape.last()?),
        key: matrix(&key.values, *key.shape.last()?),
    })
}

/// An attention with a rule for its shares, not tried yet.
fn planned(
    attention: &Attention,
    seen: &Seen,
    rule: RangeRule,
    format: Format,
    folds: usize,
) -> Option<AttentionMeasure> {
    let (shares, query) = (
        seen.shares.get(&attention.name)?,
        seen.stats.get(&attention.query)?,
    );
    let (key, value) = (
        seen.stats.get(&attention.key)?,
        seen.stats.get(&attention.value)?,
    );
    let plan = |without: Option<usize>| {
        let without = without.filter(|_| folds > 1);
        let others = shares
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != without);
        let others: Vec<f32> = others.flat_map(|(_, s)| s.iter().copied()).collect();
        let largest = Largest {
            query: query.largest(without),
            key: key.largest(without),
            value: value.largest(without),
        };
        plan(&others, largest, rule, format)
    };
    Some(AttentionMeasure {
        name: attention.name.clone(),
        whole: plan(None)?,
        without: (0..folds)
            .map(|fold| plan(Some(fold)))
            .collect::<Option<_>>()?,
        block_error: 0.0,
        width: query.channels(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn values_become_rows() {
        let rows: Array2<f32> = matrix(&[1.0, 2.0, 3.0, 4.0], 2).to_owned();
        assert_eq!(rows[[1, 0]], 3.0);
    }
}
