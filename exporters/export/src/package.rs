//! The package writer.

use crate::checkpoint::{Best, ENCODER_KEY, read_encoder, read_probe};
use crate::error::ExportError;
use crate::golden::{self, GoldenPlan};
use crate::graph;
use crate::layout::{self, Probe};
use crate::onnx::weights::WeightFile;
use crate::output::Staging;
use crate::plain;
use crate::progress::{Progress, Steps};
use crate::recipe::{
    MoreGraphs, Recipe, RecipeHead, RecipeOutput, VARIANT, encoder_graph, encoder_weights,
    head_graph, head_weights,
};
use crate::source::{WeightSource, Weights};
use echocart_core::hash::sha256_hex;
use echocart_core::manifest::{Checkpoint, FileEntry, Manifest, Trained};
use echocart_core::package::MANIFEST;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// What no checkpoint holds.
    pub recipe: Recipe,
    /// The encoder's weights.
    pub encoder: WeightSource,
    /// The probes' weights: one entry per head of the recipe.
    pub probes: BTreeMap<String, WeightSource>,
    /// The package's folder.
    pub out_dir: PathBuf,
    /// Whether a package that is already there may be replaced.
    pub replace: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportReport {
    /// The package's folder.
    pub dir: PathBuf,
    /// The manifest as written.
    pub manifest: Manifest,
    /// SHA-256 of `package.toml`.
    pub hash: String,
    /// Size of all files in bytes.
    pub bytes: u64,
}

struct OpenHead {
    weights: Weights,
    probe: Probe,
    index: usize,
    choice: String,
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Writes a package without golden clips, which `package verify` then refuses.
///
/// # Errors
/// As [`export_with_golden`].
pub fn export(
    request: &ExportRequest,
    progress: Progress<'_>,
) -> Result<ExportReport, ExportError> {
    export_with_golden(request, None, progress)
}

/// Writes a package: graphs, weights, golden clips and `package.toml`.
///
/// `progress` is called as it goes on and can stop it.
/// The folder appears when it is complete; the same request gives the same bytes.
/// Where any weights are generated, the card says untrained whatever the recipe says.
///
/// # Errors
/// [`ExportError`], in every case before the output folder has been touched or with it unchanged;
/// [`ExportError::Interrupted`] if `progress` stops it.
pub fn export_with_golden(
    request: &ExportRequest,
    golden: Option<GoldenPlan<'_>>,
    progress: Progress<'_>,
) -> Result<ExportReport, ExportError> {
    export_with_graphs(request, golden, &MoreGraphs::new(), progress)
}

/// As [`export_with_golden`], with head graphs for more numbers of clips.
pub(crate) fn export_with_graphs(
    request: &ExportRequest,
    mut golden: Option<GoldenPlan<'_>>,
    more: &MoreGraphs,
    progress: Progress<'_>,
) -> Result<ExportReport, ExportError> {
    let recipe = &request.recipe;
    golden.as_ref().map_or(Ok(()), GoldenPlan::check)?;
    recipe.check()?;
    if let Some(plan) = &golden {
        plain::check_variants(&plan.variants, &[], recipe.encoder.tokens())?;
    }
    recipe.check_scales()?;
    check_heads(request)?;
    let mut manifest = recipe.manifest(more);
    let staging = Staging::create(&request.out_dir, request.replace)?;
    let mut steps = Steps::new(progress);
    steps.step("read the checkpoint")?;
    let (mut encoder, key) = match &request.encoder {
        WeightSource::Checkpoint(path) => {
            let checked = read_encoder(path, &recipe.encoder)?;
            (Weights::File(checked.state), checked.key)
        }
        WeightSource::Generated(tag) => {
            let layout = layout::encoder(&recipe.encoder);
            (Weights::generated(tag, "encoder", layout), ENCODER_KEY)
        }
    };
    let mut heads = BTreeMap::new();
    for (name, source) in &request.probes {
        if let Some(head) = recipe.heads.get(name) {
            heads.insert(
                name.clone(),
                open_head(name, head, recipe.encoder.dim, source, &mut steps)?,
            );
        }
    }

    let total = layout::encoder(&recipe.encoder).len()
        + heads
            .values()
            .map(|head| layout::probe(&head.probe).len())
            .sum::<usize>()
        + manifest.files.len()
        + golden.as_ref().map_or(0, |plan| plan.steps(&manifest))
        + 1;
    let plain = golden
        .as_ref()
        .map_or_else(Vec::new, |plan| plan.variants.clone());
    steps.count(total + plain::steps(&plain, &manifest));

    manifest.checkpoint = checkpoint(&request.encoder, key, &mut steps)?;
    let dir = staging.path();
    let file = WeightFile::create(dir, &encoder_weights())?;
    let bytes = graph::encoder::write(&recipe.encoder, &mut encoder, file, &mut |key| {
        steps.step(key)
    })?;
    write(dir, &encoder_graph(), &bytes)?;
    for (name, head) in &mut heads {
        let file = WeightFile::create(dir, &head_weights(name))?;
        let tensors = graph::head::write(&head.probe, &mut head.weights, file, &mut |key| {
            steps.step(key)
        })?;
        for clips in recipe
            .heads
            .get(name)
            .map_or_else(Vec::new, |head| head.graphs(more.get(name)))
        {
            let bytes = graph::head::graph(&head.probe, tensors.clone(), clips);
            write(dir, &head_graph(name, clips), &bytes)?;
        }
        if let Some(entry) = manifest.heads.get_mut(name) {
            entry.classifier_index = head.index;
            entry.classifier_choice.clone_from(&head.choice);
        }
    }
    for (name, entry) in &mut manifest.files {
        steps.step(&format!("hash {name}"))?;
        let (sha256, bytes) = steps.hash(&dir.join(name))?;
        *entry = FileEntry { bytes, sha256 };
    }
    if let Some(source) = manifest.variants.get(VARIANT).cloned() {
        plain::add(dir, &mut manifest, &source, &plain, &mut steps)?;
    }
    if let Some(plan) = &mut golden {
        golden::add(dir, &mut manifest, VARIANT, plan, &mut steps)?;
    }
    if let Some(kept) = &recipe.calibration {
        kept.apply(&mut manifest)?;
    }
    mark_untrained(request, &mut manifest);
    publish(staging, manifest, &request.out_dir, &mut steps)
}

/// Writes the manifest beside the files that it names, and lets the package appear.
pub(crate) fn publish(
    staging: Staging,
    manifest: Manifest,
    out_dir: &Path,
    steps: &mut Steps<'_>,
) -> Result<ExportReport, ExportError> {
    manifest.validate()?;
    let text = toml::to_string(&manifest).map_err(|e| ExportError::Request {
        what: MANIFEST.to_owned(),
        expected: "a manifest that can be written".to_owned(),
        found: e.to_string(),
    })?;
    write(staging.path(), MANIFEST, text.as_bytes())?;
    steps.check()?;
    staging.publish()?;
    steps.done();
    let files: u64 = manifest.files.values().map(|entry| entry.bytes).sum();
    Ok(ExportReport {
        dir: out_dir.to_owned(),
        manifest,
        hash: sha256_hex(text.as_bytes()),
        bytes: files + text.len() as u64,
    })
}

pub(crate) fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
    let path = dir.join(name);
    fs::write(&path, bytes).map_err(ExportError::write(&path))
}

fn check_heads(request: &ExportRequest) -> Result<(), ExportError> {
    let wanted: Vec<&String> = request.recipe.heads.keys().collect();
    let given: Vec<&String> = request.probes.keys().collect();
    if wanted == given {
        return Ok(());
    }
    let words = |names: &[&String]| {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    Err(ExportError::Request {
        what: "probes".to_owned(),
        expected: format!("weights for the recipe's heads {}", words(&wanted)),
        found: words(&given),
    })
}

fn open_head(
    name: &str,
    head: &RecipeHead,
    dim: usize,
    source: &WeightSource,
    steps: &mut Steps<'_>,
) -> Result<OpenHead, ExportError> {
    let probe = head.probe(dim);
    match source {
        WeightSource::Generated(tag) => Ok(OpenHead {
            weights: Weights::generated(tag, name, layout::probe(&probe)),
            probe,
            index: 0,
            choice: format!("generated:{tag}, no choice"),
        }),
        WeightSource::Checkpoint(path) => {
            steps.step(&format!("read the {name} probe"))?;
            let best = match &head.output {
                RecipeOutput::Classification { .. } => Best::Highest,
                RecipeOutput::Regression { .. } => Best::Lowest,
            };
            let chosen = read_probe(path, &probe, best)?;
            let (sha256, _) = steps.hash(path)?;
            let file = file_name(path);
            Ok(OpenHead {
                weights: Weights::File(chosen.state),
                probe: chosen.probe,
                index: chosen.index,
                choice: format!("{}, in {file} (sha256 {sha256})", chosen.choice),
            })
        }
    }
}

fn checkpoint(
    source: &WeightSource,
    key: &str,
    steps: &mut Steps<'_>,
) -> Result<Checkpoint, ExportError> {
    let (source, sha256) = match source {
        WeightSource::Checkpoint(path) => {
            let name = file_name(path);
            steps.step(&format!("hash {name}"))?;
            (name, steps.hash(path)?.0)
        }
        WeightSource::Generated(tag) => {
            let words = format!("generated:{tag}");
            steps.step(&words)?;
            let sha256 = sha256_hex(words.as_bytes());
            (words, sha256)
        }
    };
    Ok(Checkpoint {
        source,
        sha256,
        key: key.to_owned(),
    })
}

fn mark_untrained(request: &ExportRequest, manifest: &mut Manifest) {
    let generated = |source: &WeightSource| matches!(source, WeightSource::Generated(_));
    let any = generated(&request.encoder) || request.probes.values().any(generated);
    if any && manifest.card.trained != Trained::Untrained {
        manifest.card.trained = Trained::Untrained;
        manifest.card.title = format!("UNTRAINED, generated weights: {}", manifest.card.title);
        let rest = &manifest.card.text;
        manifest.card.text = format!(
            "Some or all weights of this package are generated. Its outputs mean nothing, \
             whatever follows.\n{rest}"
        );
    }
}
