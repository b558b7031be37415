//! Recipes: `configs/models/*.toml`, what a package says that no checkpoint holds.

use crate::error::ExportError;
use crate::input::{MOST_TEXT_BYTES, read_text};
use crate::layout::{PROBE_MLP_RATIO, Probe, ProbeKind, encoder_hidden};
use echocart_core::manifest::{
    Card, Checkpoint, Encoder, FileEntry, Head, HeadOutput, Limits, Manifest, ManifestError,
    Measured, Precision, Preprocess, Sampling, Slots, Tokens, Tolerance, Variant, ViewRule,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) const VARIANT: &str = "fp32";
const SEGMENTS: [usize; 2] = [1, 2];
const GIANT_DIM_AND_DEPTH: (usize, usize) = (1408, 40);
const GIANT_HEADS: usize = 22;

/// Oldest echocart that runs what this one exports.
const MIN_VERSION: &str = "0.1.0";

/// Stands where the checkpoint's name will be once one is read.
const UNREAD: &str = "not read yet";

/// A recipe. No key has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of the manifest format it is written for.
    pub format: u32,
    /// Id of the package.
    pub id: String,
    /// What a person must know.
    pub card: Card,
    /// The encoder's sizes; a checkpoint must agree.
    pub encoder: Encoder,
    /// Which frames make a clip.
    pub sampling: Sampling,
    /// How a frame becomes the encoder's image.
    pub preprocess: Preprocess,
    /// When the view head's answer counts.
    pub view: ViewRule,
    /// The heads, by name.
    pub heads: BTreeMap<String, RecipeHead>,
    /// What the package may be used on.
    pub limits: Limits,
}

/// One head of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeHead {
    /// Clips it is given in live use.
    pub segments: usize,
    /// How the probe pools; a probe file must agree.
    pub probe: ProbeKind,
    /// Attention heads of an attentive probe, and of no other; no file holds them.
    pub heads: Option<usize>,
    /// Blocks of an attentive probe, the cross-attention block included, and of no other; a probe
    /// file must agree.
    pub depth: Option<usize>,
    /// Views and clips that have places of their own, for a multi-view probe.
    pub slots: Option<Slots>,
    /// What it gives.
    pub output: HeadOutput,
}

impl RecipeHead {
    pub(crate) fn probe(&self, dim: usize) -> Probe {
        let (last, outputs) = match &self.output {
            HeadOutput::Classification { labels } => ("linear", labels.len()),
            HeadOutput::Regression { .. } => ("regressor", 1),
        };
        let hidden = match self.probe {
            ProbeKind::Attentive => PROBE_MLP_RATIO * dim,
            ProbeKind::Linear | ProbeKind::Mlp => dim,
        };
        Probe {
            kind: self.probe,
            dim,
            depth: self.depth.unwrap_or(0),
            heads: self.heads.unwrap_or(1),
            hidden,
            last,
            outputs,
        }
    }

    fn check(&self, key: &str) -> Result<(), ManifestError> {
        let attentive = self.probe == ProbeKind::Attentive;
        for (part, value, most) in [("heads", self.heads, 256), ("depth", self.depth, 64)] {
            let (fits, expected) = if attentive {
                let fits = value.is_some_and(|value| (1..=most).contains(&value));
                (fits, format!("1 to {most} for an attentive probe"))
            } else {
                let kind = self.probe.as_str();
                (
                    value.is_none(),
                    format!("no such key for probe = \"{kind}\""),
                )
            };
            if !fits {
                return Err(ManifestError {
                    key: format!("{key}.{part}"),
                    expected,
                    found: value.map_or_else(|| "none".to_owned(), |value| value.to_string()),
                });
            }
        }
        Ok(())
    }
}

pub(crate) fn encoder_graph() -> String {
    format!("encoder.{VARIANT}.onnx")
}

pub(crate) fn encoder_weights() -> String {
    format!("encoder.{VARIANT}.weights")
}

pub(crate) fn head_graph(name: &str, segments: usize) -> String {
    format!("head.{name}.s{segments}.{VARIANT}.onnx")
}

pub(crate) fn head_weights(name: &str) -> String {
    format!("head.{name}.{VARIANT}.weights")
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Settings`] naming the first key that is wrong, and for
    /// what is no regular file or larger than 1 MiB.
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let text = read_text("recipe", path, MOST_TEXT_BYTES)?;
        let wrong = |message: String| ExportError::Settings {
            what: "recipe",
            message,
            path: path.to_owned(),
        };
        let recipe: Self = toml::from_str(&text)
            .map_err(|e| wrong(e.to_string().trim_end().replace('\n', " ")))?;
        recipe.check().map_err(|e| wrong(e.to_string()))?;
        Ok(recipe)
    }

    /// Checks everything that types cannot hold.
    ///
    /// # Errors
    /// [`ManifestError`] with the first key that is wrong.
    pub fn check(&self) -> Result<(), ManifestError> {
        for (name, head) in &self.heads {
            head.check(&format!("heads.{name}"))?;
        }
        self.manifest().validate()?;
        let wrong = |key: &str, expected: &str, found: usize| {
            Err(ManifestError {
                key: key.to_owned(),
                expected: expected.to_owned(),
                found: found.to_string(),
            })
        };
        let head_dim = self.encoder.dim / self.encoder.heads;
        if !head_dim.is_multiple_of(2) {
            return wrong(
                "encoder.heads",
                "an even number of channels per head",
                head_dim,
            );
        }
        let giant = (self.encoder.dim, self.encoder.depth) == GIANT_DIM_AND_DEPTH;
        if giant && self.encoder.heads != GIANT_HEADS {
            let expected = "22 for an encoder of dim 1408 and depth 40 (its tensors have the same \
                            shapes with 16 heads, but no published checkpoint was trained so)";
            return wrong("encoder.heads", expected, self.encoder.heads);
        }
        match encoder_hidden(&self.encoder) {
            0 => wrong("encoder.mlp_ratio", "an MLP at least 1 wide", 0),
            _ => Ok(()),
        }
    }

    /// The manifest with everything but what the files will decide.
    pub(crate) fn manifest(&self) -> Manifest {
        let names = self.heads.keys();
        let graphs = |name: &String| {
            let by_segments = SEGMENTS
                .iter()
                .map(|&n| (n.to_string(), head_graph(name, n)))
                .collect();
            (name.clone(), by_segments)
        };
        let variant = Variant {
            precision: Precision::Fp32,
            tokens: Tokens::ANY,
            providers: vec!["CPU".to_owned(), "CUDA".to_owned()],
            encoder: encoder_graph(),
            heads: names.clone().map(graphs).collect(),
            tolerance: Tolerance::of(Precision::Fp32),
            measured: Measured::Reference,
        };
        let no_hash = "0".repeat(64);
        let files = names
            .flat_map(|name| {
                let graphs = SEGMENTS.iter().map(|&n| head_graph(name, n));
                graphs.chain([head_weights(name)])
            })
            .chain([encoder_graph(), encoder_weights()])
            .map(|name| {
                (
                    name,
                    FileEntry {
                        bytes: 0,
                        sha256: no_hash.clone(),
                    },
                )
            })
            .collect();
        let head = |(name, head): (&String, &RecipeHead)| {
            let head = Head {
                segments: head.segments,
                probe: head.probe,
                heads: head.heads.unwrap_or(1),
                depth: head.depth.unwrap_or(0),
                slots: head.slots.clone(),
                classifier_index: 0,
                classifier_choice: String::new(),
                output: head.output.clone(),
            };
            (name.clone(), head)
        };
        Manifest {
            format: self.format,
            id: self.id.clone(),
            parent: None,
            min_version: MIN_VERSION.to_owned(),
            card: self.card.clone(),
            checkpoint: Checkpoint {
                source: UNREAD.to_owned(),
                sha256: "0".repeat(64),
                key: UNREAD.to_owned(),
            },
            encoder: self.encoder.clone(),
            sampling: self.sampling.clone(),
            preprocess: self.preprocess.clone(),
            view: self.view.clone(),
            heads: self.heads.iter().map(head).collect(),
            limits: self.limits.clone(),
            variants: BTreeMap::from([(VARIANT.to_owned(), variant)]),
            golden: BTreeMap::new(),
            files,
        }
    }

    pub(crate) fn segments() -> [usize; 2] {
        SEGMENTS
    }
}
