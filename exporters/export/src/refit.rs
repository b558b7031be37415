//! Packages that differ from their parent in one head.

use crate::checkpoint::{Best, read_probe};
use crate::derived::copy;
use crate::error::ExportError;
use crate::golden::{self, GoldenPlan};
use crate::graph::{self, head::Clips};
use crate::layout::{PROBE_MLP_RATIO, Probe, ProbeKind};
use crate::onnx::weights::WeightFile;
use crate::output::Staging;
use crate::package::{ExportReport, publish, write};
use crate::progress::{Progress, Steps};
use crate::recipe::{VARIANT, encoder_weights, head_graph, head_weights};
use crate::source::Weights;
use echocart_core::manifest::{FileEntry, Head, HeadOutput, Manifest, Variant};
use echocart_core::package::Package;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A head that takes another one's place: an attentive probe of depth 1.
#[derive(Debug, Clone)]
pub struct NewHead {
    /// The head's name in the package. What it gives stays as it is.
    pub name: String,
    /// Probe file.
    pub weights: PathBuf,
    /// Attention heads.
    pub heads: usize,
    /// Id of the new package.
    pub id: String,
    /// What the card is to say of it.
    pub about: String,
}

/// The head of that name, if it is one that can be replaced.
///
/// # Errors
/// [`ExportError::Request`] for a package without it, or for a multi-view head.
pub fn replaceable<'a>(manifest: &'a Manifest, name: &str) -> Result<&'a Head, ExportError> {
    let head = manifest.heads.get(name);
    head.filter(|head| head.slots.is_none())
        .ok_or_else(|| ExportError::Request {
            what: "head".to_owned(),
            expected: "a head of the package for one view".to_owned(),
            found: name.escape_debug().to_string(),
        })
}

/// Writes a package with `package`'s encoder and other heads in fp32 and with a new head, with
/// golden clips of its own. Other variants and what was measured with the old head stay behind.
///
/// # Errors
/// [`ExportError`], with the output folder unchanged.
pub fn refit(
    package: &Package,
    new: &NewHead,
    mut plan: GoldenPlan<'_>,
    (out_dir, replace): (&Path, bool),
    progress: Progress<'_>,
) -> Result<ExportReport, ExportError> {
    let old = replaceable(&package.manifest, &new.name)?;
    let (probe, best) = probe(old, package.manifest.encoder.dim, new.heads);
    let variant = package.manifest.variants.get(VARIANT);
    let variant = variant.cloned().ok_or_else(|| ExportError::Request {
        what: "variant".to_owned(),
        expected: VARIANT.to_owned(),
        found: "none".to_owned(),
    })?;
    let staging = Staging::create(out_dir, replace)?;
    let dir = staging.path();
    let mut manifest = package.manifest.clone();
    let kept = kept_files(&manifest, &variant, &new.name);
    manifest.files.retain(|name, _| kept.contains(name));
    manifest.variants.retain(|name, _| name == VARIANT);
    manifest.golden.clear();
    manifest.calibration.clear();
    manifest.kept_tokens.clear();
    manifest.parent = Some(package.hash.clone());
    manifest.id.clone_from(&new.id);
    manifest.card.text = format!("{}\n{}\n", manifest.card.text.trim_end(), new.about);

    let mut steps = Steps::new(progress);
    let tensors = crate::layout::probe(&probe).len();
    steps.count(2 * kept.len() + tensors + plan.steps(&manifest) + 4);
    for (name, entry) in &manifest.files {
        copy(package, (name, entry), dir, &mut steps)?;
    }
    let mut chosen = read_probe(&new.weights, &probe, best)?;
    let (sha256, _) = steps.hash(&new.weights)?;
    chosen.choice = format!("fitted by `echocart probe fit` (sha256 {sha256})");
    let file = WeightFile::create(dir, &head_weights(&new.name))?;
    let mut weights = Weights::File(chosen.state);
    let tensors = graph::head::write(&probe, &mut weights, file, &mut |key| steps.step(key))?;
    let mut made = vec![head_weights(&new.name)];
    for key in variant.heads.get(&new.name).into_iter().flatten() {
        let Ok(segments) = key.0.parse() else {
            continue;
        };
        let clips = Clips::Segments(segments);
        let bytes = graph::head::graph(&probe, tensors.clone(), clips);
        write(dir, &head_graph(&new.name, clips), &bytes)?;
        made.push(head_graph(&new.name, clips));
    }
    for name in made {
        let (sha256, bytes) = steps.hash(&dir.join(&name))?;
        manifest.files.insert(name, FileEntry { bytes, sha256 });
    }
    if let Some(head) = manifest.heads.get_mut(&new.name) {
        head.probe = ProbeKind::Attentive;
        (head.heads, head.depth) = (probe.heads, probe.depth);
        (head.classifier_index, head.classifier_choice) = (0, chosen.choice);
    }
    golden::add(dir, &mut manifest, VARIANT, &mut plan, &mut steps)?;
    publish(staging, manifest, out_dir, &mut steps)
}

fn probe(head: &Head, dim: usize, heads: usize) -> (Probe, Best) {
    let (last, outputs, best) = match &head.output {
        HeadOutput::Classification { labels } => ("linear", labels.len(), Best::Highest),
        HeadOutput::Regression { .. } => ("regressor", 1, Best::Lowest),
    };
    let probe = Probe {
        kind: ProbeKind::Attentive,
        dim,
        depth: 1,
        heads,
        hidden: PROBE_MLP_RATIO * dim,
        last,
        outputs,
        places: None,
    };
    (probe, best)
}

/// The variant's files but those of the head.
fn kept_files(manifest: &Manifest, variant: &Variant, head: &str) -> BTreeSet<String> {
    let others = || variant.heads.iter().filter(|(name, _)| *name != head);
    let graphs = others().flat_map(|(_, graphs)| graphs.values().cloned());
    let weights = others().map(|(name, _)| head_weights(name));
    let encoder = [variant.encoder.clone(), encoder_weights()];
    let all = encoder.into_iter().chain(graphs).chain(weights);
    all.filter(|name| manifest.files.contains_key(name))
        .collect()
}
