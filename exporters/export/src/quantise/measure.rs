//! Whole variants on whole clips, beside fp32.

use super::clip::Clip;
use super::runner::{GraphRunner, Input, LoadedGraph};
use super::walk::{Feed, Feeds};
use crate::error::ExportError;
use crate::graph::encoder::{IDS, ROWS};
use crate::progress::{Progress, go_on};
use echocart_core::manifest::{Encoder, Head, HeadOutput, Variant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What a variant gave for a list of clips.
#[derive(Debug, Clone, Default)]
pub(super) struct Outputs {
    /// `[tokens, dim]` of each clip.
    pub tokens: Vec<Vec<f32>>,
    /// By head, for each clip together with those after it.
    pub heads: BTreeMap<String, Vec<Vec<f32>>>,
}

/// Tokens of a variant beside those of fp32.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenDistance {
    /// Mean cosine between a token and its fp32 one.
    pub cosine_mean: f64,
    /// Smallest of them.
    pub cosine_worst: f64,
    /// Relative RMS error over all tokens.
    pub relative_rms: f64,
}

impl TokenDistance {
    /// The worse of two, number by number.
    pub(super) fn worse(&self, other: &Self) -> Self {
        Self {
            cosine_mean: self.cosine_mean.min(other.cosine_mean),
            cosine_worst: self.cosine_worst.min(other.cosine_worst),
            relative_rms: self.relative_rms.max(other.relative_rms),
        }
    }
}

/// A head's outputs beside those of fp32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadDistance {
    /// Largest difference of a raw output.
    pub max_abs: f64,
    /// Outputs compared: one set per clip.
    pub compared: usize,
    /// For labels: how often the most probable one is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_label: Option<usize>,
    /// For a value: its largest difference, in its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_shift: Option<f64>,
}

/// How many clips a head's graph takes, and which key of the manifest it has.
pub(super) fn head_graph(
    head: &Head,
    graphs: &BTreeMap<String, String>,
) -> Option<(String, usize)> {
    let key = match &head.slots {
        None => head.segments.to_string(),
        Some(slots) => {
            let most = slots.allowed.iter().max_by_key(|set| set.len())?;
            echocart_core::manifest::Slots::key(most)
        }
    };
    graphs.contains_key(&key).then(|| {
        let clips = key.split('+').count().max(head.segments);
        (
            key,
            if head.slots.is_some() {
                clips
            } else {
                head.segments
            },
        )
    })
}

/// What is run: a variant of the package in a folder.
pub(super) struct Subject<'a> {
    pub dir: &'a Path,
    pub variant: &'a Variant,
    pub encoder: &'a Encoder,
    pub heads: &'a BTreeMap<String, Head>,
    /// Words for the progress.
    pub what: &'a str,
}

/// Why there are no outputs.
pub(super) enum Failure {
    /// No provider here runs the graphs; the reason.
    NotRun(String),
    /// Anything else.
    Export(ExportError),
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self::Export(error)
    }
}

fn only(graph: &mut dyn LoadedGraph, inputs: &[(&str, Input<'_>)]) -> Result<Vec<f32>, Failure> {
    let mut outputs = graph.run(inputs).map_err(Failure::NotRun)?;
    let output = outputs.pop();
    output
        .map(|output| output.values)
        .ok_or_else(|| Failure::NotRun("the graph gave nothing".to_owned()))
}

impl Subject<'_> {
    fn encode(&self, graph: &mut dyn LoadedGraph, feeds: &Feeds) -> Result<Vec<f32>, Failure> {
        let mut inputs = Vec::new();
        for (name, feed) in feeds {
            inputs.push(match feed {
                Feed::Floats(shape, values) => (ROWS, Input::Floats { shape, values }),
                Feed::Integers(shape, values) => (IDS, Input::Integers { shape, values }),
            });
            debug_assert!([ROWS, IDS].contains(&name.as_str()));
        }
        only(graph, &inputs)
    }

    /// Runs `clips` through encoder and heads.
    pub fn run(
        &self,
        runner: &mut dyn GraphRunner,
        clips: &[Clip],
        progress: Progress<'_>,
        steps: (usize, usize),
    ) -> Result<Outputs, Failure> {
        let mut outputs = Outputs::default();
        let path = self.dir.join(&self.variant.encoder);
        go_on(progress(&format!("{}: load", self.what), steps.0, steps.1))?;
        let mut graph = runner.open(&path).map_err(Failure::NotRun)?;
        for (at, clip) in clips.iter().enumerate() {
            let what = format!("{}: clip {} of {}", self.what, at + 1, clips.len());
            go_on(progress(&what, steps.0, steps.1))?;
            let tokens = self.encode(graph.as_mut(), &clip.feeds(self.encoder))?;
            outputs.tokens.push(tokens);
        }
        drop(graph);
        for (name, head) in self.heads {
            let graphs = self.variant.heads.get(name);
            let Some((key, count)) = graphs.and_then(|graphs| head_graph(head, graphs)) else {
                continue;
            };
            let Some(file) = graphs.and_then(|graphs| graphs.get(&key)) else {
                continue;
            };
            go_on(progress(
                &format!("{}: {name}", self.what),
                steps.0,
                steps.1,
            ))?;
            let mut graph = runner.open(&self.dir.join(file)).map_err(Failure::NotRun)?;
            let names: Vec<String> = (0..count).map(crate::graph::head::input).collect();
            let mut found = Vec::new();
            for first in 0..clips.len() {
                let mut inputs = Vec::new();
                let sizes: Vec<[usize; 3]> = outputs
                    .tokens
                    .iter()
                    .map(|t| [1, t.len() / self.encoder.dim.max(1), self.encoder.dim])
                    .collect();
                for (segment, name) in names.iter().enumerate() {
                    let at = (first + segment) % clips.len();
                    if let (Some(shape), Some(values)) = (sizes.get(at), outputs.tokens.get(at)) {
                        inputs.push((name.as_str(), Input::Floats { shape, values }));
                    }
                }
                go_on(progress(
                    &format!("{}: {name}", self.what),
                    steps.0,
                    steps.1,
                ))?;
                found.push(only(graph.as_mut(), &inputs)?);
            }
            outputs.heads.insert(name.clone(), found);
        }
        Ok(outputs)
    }
}

fn most(values: &[f32]) -> Option<usize> {
    let pairs = values.iter().enumerate();
    pairs.max_by(|a, b| a.1.total_cmp(b.1)).map(|(at, _)| at)
}

/// Compares tokens, `dim` wide.
pub(super) fn token_distance(found: &[Vec<f32>], exact: &[Vec<f32>], dim: usize) -> TokenDistance {
    let (mut sum, mut worst, mut count) = (0.0, f64::INFINITY, 0usize);
    let (mut error, mut energy) = (0.0, 0.0);
    for (found, exact) in found.iter().zip(exact) {
        let rows = found.chunks_exact(dim).zip(exact.chunks_exact(dim));
        for (a, b) in rows {
            let (mut ab, mut aa, mut bb) = (0.0f64, 0.0f64, 0.0f64);
            for (&a, &b) in a.iter().zip(b) {
                let (a, b) = (f64::from(a), f64::from(b));
                ab += a * b;
                aa += a * a;
                bb += b * b;
                error += (a - b) * (a - b);
            }
            energy += bb;
            let cosine = ab / (aa * bb).sqrt().max(f64::MIN_POSITIVE);
            let cosine = if cosine.is_nan() { -1.0 } else { cosine };
            sum += cosine;
            worst = worst.min(cosine);
            count += 1;
        }
    }
    let relative_rms = (error / energy.max(f64::MIN_POSITIVE)).sqrt();
    TokenDistance {
        cosine_mean: sum / count.max(1) as f64,
        cosine_worst: if count == 0 { -1.0 } else { worst },
        relative_rms: if relative_rms.is_finite() && count > 0 {
            relative_rms
        } else {
            f64::MAX
        },
    }
}

/// Compares a head's outputs.
pub(super) fn head_distance(
    head: &HeadOutput,
    found: &[Vec<f32>],
    exact: &[Vec<f32>],
) -> HeadDistance {
    let pairs = || found.iter().zip(exact);
    let differences = pairs().flat_map(|(a, b)| a.iter().zip(b));
    let differences = differences.map(|(a, b)| {
        let difference = (f64::from(*a) - f64::from(*b)).abs();
        if difference.is_finite() {
            difference
        } else {
            f64::MAX
        }
    });
    let max_abs = differences.fold(0.0, f64::max);
    let (same_label, largest_shift) = match head {
        HeadOutput::Classification { .. } => {
            let same = pairs().filter(|(a, b)| most(a) == most(b)).count();
            (Some(same), None)
        }
        HeadOutput::Regression { std, .. } => (None, Some(max_abs * std.abs())),
    };
    HeadDistance {
        max_abs,
        compared: exact.len(),
        same_label,
        largest_shift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turned_token_is_the_worst_one() {
        let exact = vec![vec![1.0, 0.0, 0.0, 1.0]];
        let found = vec![vec![1.0, 0.0, 0.5, 1.0]];
        let distance = token_distance(&found, &exact, 2);
        assert!((distance.cosine_worst - 1.0 / 1.25f64.sqrt()).abs() < 1e-9);
        assert!((distance.cosine_mean - (1.0 + distance.cosine_worst) / 2.0).abs() < 1e-12);
        assert!((distance.relative_rms - 0.125f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn a_value_that_is_no_number_is_never_close() {
        let distance = token_distance(&[vec![f32::NAN, 1.0]], &[vec![1.0, 1.0]], 2);
        assert_eq!(distance.cosine_worst, -1.0);
        assert_eq!(distance.relative_rms, f64::MAX);
        let labels = HeadOutput::Classification {
            labels: vec!["a".to_owned(), "b".to_owned()],
        };
        let head = head_distance(&labels, &[vec![f32::NAN, 1.0]], &[vec![1.0, 0.0]]);
        assert_eq!(head.max_abs, f64::MAX);
        assert_eq!(token_distance(&[], &[], 2).cosine_worst, -1.0);
    }
}
