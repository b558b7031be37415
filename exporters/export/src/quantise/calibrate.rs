//! One graph, calibrated block by block: statistics over all clips, then ranges, then what each
//! layer alone does to its block.

use super::attention::{Largest, Operands, plans};
use super::group::{Choice, Group, Member};
use super::plan::{AttentionPlan, GraphPlan, LinearPlan};
use super::range::RangeRule;
use super::runner::{GraphRunner, Output};
use super::stats::TensorStats;
use super::walk::{Feed, Feeds, Segment, engine, load, run, segments, take};
use crate::error::ExportError;
use crate::progress::{Progress, go_on};
use crate::variant::{Attention, Format, Linear, Model};
use echocart_core::manifest::Precision;
use ndarray::ArrayView2;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Layers with fewer outputs stay in fp32: they cost nothing.
const LEAST_OUTPUTS: usize = 64;

/// Clips that each layer is tried on alone, the first and the last among them.
pub(super) const PROBES: usize = 3;

/// A layer as it was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayerMeasure {
    pub name: String,
    pub plan: LinearPlan,
    /// The norm before it and the factors that move, if any do.
    pub migration: Option<(String, Vec<f32>)>,
    pub alpha: Option<f32>,
    pub rule: RangeRule,
    /// Squared error over squares of its own output, on sampled rows.
    pub noise: f64,
    /// Relative RMS error of its block's output when it alone is quantised, on the worst clip.
    pub block_error: f64,
    pub inputs: usize,
    pub outputs: usize,
}

/// An attention as it was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AttentionMeasure {
    pub name: String,
    pub plan: AttentionPlan,
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
    /// By the value a movable norm gives: its name.
    norms: BTreeMap<String, String>,
}

impl Parts {
    fn of(model: &Model) -> Self {
        let mut linears = model.linear_layers();
        linears.retain(|linear| linear.outputs >= LEAST_OUTPUTS);
        let norms = model.norms().into_iter().filter(|norm| norm.movable);
        Self {
            linears,
            attentions: model.attentions(),
            norms: norms.map(|norm| (norm.output, norm.name)).collect(),
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

struct Seen {
    stats: BTreeMap<String, TensorStats>,
    /// Everything the first clip gave.
    first: Vec<Output>,
    /// What the clips that layers are tried on gave in fp32.
    exact: Vec<Output>,
}

/// A block, and the clips that its layers are tried on one by one.
struct Trial<'a> {
    plain: &'a Model,
    precision: Precision,
    output: &'a str,
    feeds: &'a [Feeds],
    exact: &'a [Output],
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
            let places = probes(clips.len(), PROBES);
            let feeds = places.iter().filter_map(|&place| clips.get(place).cloned());
            let feeds: Vec<Feeds> = feeds.collect();
            let (seen, ends) = self.observe(segment, &parts, &mut clips, at)?;
            outputs = ends;
            let precisions = self.precisions.iter();
            for precision in precisions.copied().collect::<Vec<_>>() {
                let Some(format) = Format::of(precision) else {
                    continue;
                };
                let measure = measures.entry(precision).or_default();
                let layers = self.layers(&parts, &seen, format)?;
                let trial = Trial {
                    plain: &plain,
                    precision,
                    output: &segment.output,
                    feeds: &feeds,
                    exact: &seen.exact,
                };
                for mut layer in layers {
                    self.go_on(segment, at)?;
                    layer.block_error = self.block_error(&trial, &only_layer(&layer))?;
                    measure.layers.push(layer);
                }
                for attention in &parts.attentions {
                    let mut best: Option<AttentionMeasure> = None;
                    for plan in attention_plans(attention, &seen, format) {
                        self.go_on(segment, at)?;
                        let mut alone = GraphPlan::default();
                        alone.attentions.insert(attention.name.clone(), plan);
                        let block_error = self.block_error(&trial, &alone)?;
                        if best.as_ref().is_none_or(|b| block_error < b.block_error) {
                            best = Some(AttentionMeasure {
                                name: attention.name.clone(),
                                plan,
                                block_error,
                                width: width(&seen, attention),
                            });
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
            first: Vec::new(),
            exact: Vec::new(),
        };
        let places = probes(clips.len(), PROBES);
        let (mut ends, count) = (Vec::new(), clips.len());
        for (clip, feeds) in clips.iter_mut().enumerate() {
            self.go_on(segment, at)?;
            let mut outputs = run(graph.as_mut(), &model, feeds)?;
            for tap in &taps {
                let channels = |o: &Output| o.shape.last().copied().unwrap_or(1).max(1);
                if let Some(output) = outputs.iter().find(|o| o.name == *tap) {
                    let stats = seen.stats.entry((*tap).to_owned());
                    let stats =
                        stats.or_insert_with(|| TensorStats::new(tap, channels(output), count));
                    stats.observe(&output.values)?;
                }
            }
            let end = if clip == 0 {
                let end = outputs.iter().find(|o| o.name == segment.output).cloned();
                seen.first = std::mem::take(&mut outputs);
                outputs.extend(end);
                take(&mut outputs, &segment.output)?
            } else {
                take(&mut outputs, &segment.output)?
            };
            if places.contains(&clip) {
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
                    name: linear.name.clone(),
                    weight: matrix(&weight, linear.outputs).to_owned(),
                    has_bias: linear.bias.is_some(),
                })
            };
            let group = Group {
                members: own().map(member).collect::<Result<_, _>>()?,
                sample: stats.sample(),
                limits: stats.limits(),
                movable: parts.norms.contains_key(input),
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
            for layer in choice.layers {
                let Some(linear) = parts.linears.iter().find(|l| l.name == layer.name) else {
                    continue;
                };
                let norm = parts.norms.get(*input);
                let factors = choice.factors.clone();
                layers.push(LayerMeasure {
                    name: layer.name,
                    plan: LinearPlan {
                        input_limit: choice.limit,
                        bias_shift: layer.bias_shift,
                    },
                    migration: norm.cloned().zip(factors),
                    alpha: choice.alpha,
                    rule: choice.rule,
                    noise: layer.noise,
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

    /// The largest error of the block's output over the clips that are tried.
    fn block_error(&mut self, trial: &Trial<'_>, plan: &GraphPlan) -> Result<f64, ExportError> {
        let model = (self.rewrite)(trial.plain, trial.precision, plan)?;
        let mut graph = load(self.runner, &model)?;
        let mut worst = 0.0f64;
        for (feeds, exact) in trial.feeds.iter().zip(trial.exact) {
            let mut outputs = run(graph.as_mut(), &model, feeds)?;
            let found = take(&mut outputs, trial.output)?;
            worst = worst.max(relative_rms(&found.values, &exact.values));
        }
        Ok(worst)
    }
}

/// Places of at most `most` of `count` clips, from the first to the last.
pub(super) fn probes(count: usize, most: usize) -> Vec<usize> {
    let last = count.saturating_sub(1);
    let steps = most.saturating_sub(1).max(1);
    let mut places: Vec<usize> = (0..most).map(|at| at * last / steps).collect();
    places.dedup();
    places
}

fn only_layer(layer: &LayerMeasure) -> GraphPlan {
    let mut plan = GraphPlan::default();
    plan.linears.insert(layer.name.clone(), layer.plan.clone());
    plan.migrations.extend(layer.migration.clone());
    plan
}

fn width(seen: &Seen, attention: &Attention) -> usize {
    let query = seen.first.iter().find(|o| o.name == attention.query);
    query.and_then(|o| o.shape.last().copied()).unwrap_or(1)
}

fn attention_plans(attention: &Attention, seen: &Seen, format: Format) -> Vec<AttentionPlan> {
    let output = |name: &str| seen.first.iter().find(|o| o.name == name);
    let (Some(query), Some(key)) = (output(&attention.query), output(&attention.key)) else {
        return Vec::new();
    };
    let width = width(seen, attention);
    let operands = Operands {
        query: matrix(&query.values, width),
        key: matrix(&key.values, width),
    };
    let largest = |name: &str| {
        let limits = seen.stats.get(name).map(TensorStats::limits);
        limits.map_or(0.0, |limits| limits.iter().fold(0.0f32, |a, &b| a.max(b)))
    };
    let largest = Largest {
        query: largest(&attention.query),
        key: largest(&attention.key),
        value: largest(&attention.value),
    };
    plans(attention, &operands, largest, format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn distance_is_relative_and_shapes_must_agree() {
        assert_eq!(relative_rms(&[1.0, 1.0], &[1.0, 1.0]), 0.0);
        assert!((relative_rms(&[1.1, 0.0], &[1.0, 0.0]) - 0.1).abs() < 1e-6);
        assert_eq!(relative_rms(&[1.0], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(relative_rms(&[f32::NAN], &[1.0]), f64::INFINITY);
        let rows: Array2<f32> = matrix(&[1.0, 2.0, 3.0, 4.0], 2).to_owned();
        assert_eq!(rows[[1, 0]], 3.0);
    }
}
