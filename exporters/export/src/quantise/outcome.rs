//! From measurements to the report and the manifest.

use super::clip::Clip;
use super::compose::{Composed, Rule};
use super::layers::GraphMeasure;
use super::measure::{Failure, Outputs, TokenDistance, head_distance, token_distance};
use super::report::{LayerReport, Outcome, REPORT_FORMAT, Report, Round, Targets};
use super::request::QuantiseRequest;
use super::walk::{Feed, Feeds};
use crate::error::ExportError;
use echocart_core::manifest::{Measured, Precision, Preprocess, Variant};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// How much better than the targets the check clips must be.
const ROOM: f64 = 0.7;

/// A variant that is written, and how it came about.
pub(super) struct Ready {
    pub variant: Variant,
    pub files: Vec<String>,
    pub composed: Option<(Composed, BTreeMap<String, Composed>)>,
    pub rounds: Vec<Round>,
    pub rule: Option<Rule>,
    pub islands: Option<String>,
}

/// Inputs of a head: the tokens of each clip together with those after it.
pub(super) fn feed_pairs(tokens: &[Arc<Vec<f32>>], dim: usize, clips: usize) -> Vec<Feeds> {
    let feed = |first: usize| -> Feeds {
        (0..clips)
            .filter_map(|segment| {
                let values = tokens.get((first + segment) % tokens.len())?;
                let shape = vec![1, values.len() / dim.max(1), dim];
                let name = crate::graph::head::input(segment);
                Some((name, Feed::Floats(shape, values.clone())))
            })
            .collect()
    };
    (0..tokens.len()).map(feed).collect()
}

/// Largest magnitude of a pixel after normalisation.
pub(super) fn largest_pixel(preprocess: &Preprocess) -> f32 {
    let channels = preprocess.mean.iter().zip(&preprocess.std);
    let ends = channels.flat_map(|(mean, std)| [mean / std, (1.0 - mean) / std]);
    ends.map(f32::abs).fold(0.0, f32::max)
}

/// By graph, then by precision.
pub(super) type Measures = BTreeMap<String, BTreeMap<Precision, GraphMeasure>>;

/// Key of the encoder's measures.
pub(super) const ENCODER: &str = "encoder";

/// A report without variants.
pub(super) fn new_report(request: &QuantiseRequest<'_>, ran: (String, String)) -> Report {
    let (provider, library) = ran;
    let origins = |clips: &[Clip]| clips.iter().map(|clip| clip.origin.clone()).collect();
    Report {
        format: REPORT_FORMAT,
        parent: request.package.manifest.id.clone(),
        parent_sha256: request.package.hash.clone(),
        command: request.command.clone(),
        ran_on: format!("{provider}, {library}"),
        calibration: origins(&request.calibration),
        held_out: origins(&request.held_out),
        held_out_rule: request.held_out_rule.clone(),
        targets: Targets::INT8,
        variants: BTreeMap::new(),
    }
}

/// What a variant's outputs are beside those of fp32.
pub(super) fn outcome(
    request: &QuantiseRequest<'_>,
    precision: Precision,
    found: Result<Outputs, Failure>,
    exact: &Outputs,
) -> Result<Outcome, ExportError> {
    let found = match found {
        Ok(found) => found,
        Err(Failure::NotRun(why)) => {
            let why = why.replace('\n', " ").chars().take(300).collect();
            return Ok(Outcome::NotRun { why });
        }
        Err(Failure::Export(error)) => return Err(error),
    };
    let manifest = &request.package.manifest;
    let tokens = token_distance(&found.tokens, &exact.tokens, manifest.encoder.dim);
    let mut heads = BTreeMap::new();
    for (name, head) in &manifest.heads {
        if let (Some(a), Some(b)) = (found.heads.get(name), exact.heads.get(name)) {
            heads.insert(name.clone(), head_distance(&head.output, a, b));
        }
    }
    Ok(Outcome::Run {
        tokens,
        heads,
        targets_met: Targets::of(precision).met(&tokens),
    })
}

/// The manifest's form of an outcome.
pub(super) fn measured(outcome: &Outcome, clips: usize, ran: (String, String)) -> Measured {
    match outcome {
        Outcome::NotRun { why } => Measured::NotRun { why: why.clone() },
        Outcome::Run { tokens, heads, .. } => {
            let (provider, library) = ran;
            Measured::Run {
                provider,
                library,
                clips,
                token_cosine_mean: tokens.cosine_mean,
                token_cosine_worst: tokens.cosine_worst,
                tokens_relative_rms: tokens.relative_rms,
                heads_max_abs: heads.values().map(|h| h.max_abs).fold(0.0, f64::max),
            }
        }
    }
}

/// Whether the check clips are well within the targets.
pub(super) fn within(found: &TokenDistance) -> bool {
    let targets = Targets::INT8;
    let room = |cosine: f64| 1.0 - (1.0 - cosine) * ROOM;
    Targets {
        cosine_mean: room(targets.cosine_mean),
        cosine_worst: room(targets.cosine_worst),
        relative_rms: targets.relative_rms * ROOM,
    }
    .met(found)
}

/// Bytes of files.
pub(super) fn sizes(dir: &Path, files: &[String]) -> Result<u64, ExportError> {
    let size = |name: &String| {
        let path = dir.join(name);
        Ok(fs::metadata(&path).map_err(ExportError::read(&path))?.len())
    };
    files.iter().map(size).sum()
}

/// What was measured and chosen, layer by layer.
pub(super) fn layer_reports(
    precision: Precision,
    measures: &Measures,
    ready: &Ready,
) -> Vec<LayerReport> {
    let Some((encoder, heads)) = &ready.composed else {
        return Vec::new();
    };
    let mut reports = Vec::new();
    let others = measures.keys().filter(|name| *name != ENCODER);
    for graph in std::iter::once(&ENCODER.to_owned()).chain(others) {
        let composed = if graph == ENCODER {
            Some(encoder)
        } else {
            heads.get(graph)
        };
        let measure = measures.get(graph).and_then(|m| m.get(&precision));
        let (Some(composed), Some(measure)) = (composed, measure) else {
            continue;
        };
        for layer in &measure.layers {
            let noise_db = -10.0 * layer.noise.max(1e-12).log10();
            reports.push(LayerReport {
                graph: graph.clone(),
                name: layer.name.clone(),
                quantised: composed.plan.linears.contains_key(&layer.name),
                block_error: layer.block_error.min(f64::MAX),
                signal_to_noise_db: Some(noise_db),
                input_limit: Some(layer.whole.plan.input_limit),
                range: Some(layer.rule),
                migration_alpha: layer.alpha,
                bias_corrected: !layer.whole.plan.bias_shift.is_empty(),
            });
        }
        for attention in &measure.attentions {
            reports.push(LayerReport {
                graph: graph.clone(),
                name: attention.name.clone(),
                quantised: composed.plan.attentions.contains_key(&attention.name),
                block_error: attention.block_error.min(f64::MAX),
                signal_to_noise_db: None,
                input_limit: None,
                range: None,
                migration_alpha: None,
                bias_corrected: false,
            });
        }
    }
    reports
}
