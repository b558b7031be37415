//! Recipes: `configs/models/*.toml`, what a package says that no checkpoint holds.

use crate::calibration::KeptCalibration;
use crate::error::ExportError;
use crate::graph::head::Clips;
use crate::input::{MOST_TEXT_BYTES, read_text};
use crate::layout::{PROBE_MLP_RATIO, Places, Probe, ProbeKind, encoder_hidden};
use crate::scaler::read_scaler;
use echocart_core::manifest::{
    Card, Checkpoint, Encoder, FileEntry, Head, HeadOutput, Limits, Manifest, ManifestError,
    Measured, Precision, Preprocess, Sampling, Slots, Tokens, Tolerance, Variant, ViewRule,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) const VARIANT: &str = "fp32";
const SEGMENTS: [usize; 2] = [1, 2];
/// Numbers of clips that single-view heads have graphs for besides those of live use, by head.
pub(crate) type MoreGraphs = BTreeMap<String, BTreeSet<usize>>;

const GIANT_DIM_AND_DEPTH: (usize, usize) = (1408, 40);
const GIANT_HEADS: usize = 22;

/// Numbers of a recipe and a scaler that differ by no more are the same.
const SCALE_TOLERANCE: f64 = 1e-9;

/// Oldest echocart that runs what this one exports.
const MIN_VERSION: &str = "0.1.0";

/// Stands where the checkpoint's name will be once one is read.
const UNREAD: &str = "not read yet";

/// A recipe. No key has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of the manifest format it is written for.
    pub format: u32,
    /// Id of the package.
    pub id: String,
    /// What a person must know.
    #[cfg_attr(test, schemars(with = "crate::schema::Card"))]
    pub card: Card,
    /// The encoder's sizes; a checkpoint must agree.
    #[cfg_attr(test, schemars(with = "crate::schema::Encoder"))]
    pub encoder: Encoder,
    /// Which frames make a clip.
    #[cfg_attr(test, schemars(with = "crate::schema::Sampling"))]
    pub sampling: Sampling,
    /// How a frame becomes the encoder's image.
    #[cfg_attr(test, schemars(with = "crate::schema::Preprocess"))]
    pub preprocess: Preprocess,
    /// When the view head's answer counts.
    #[cfg_attr(test, schemars(with = "crate::schema::ViewRule"))]
    pub view: ViewRule,
    /// The heads, by name.
    pub heads: BTreeMap<String, RecipeHead>,
    /// What the package may be used on.
    #[cfg_attr(test, schemars(with = "crate::schema::Limits"))]
    pub limits: Limits,
    /// What recordings said about these weights, from a file of its own.
    #[serde(skip)]
    pub calibration: Option<KeptCalibration>,
}

/// One head of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecipeHead {
    /// Clips it is given in live use.
    pub segments: usize,
    /// How the probe pools; a probe file must agree.
    #[cfg_attr(test, schemars(with = "crate::schema::ProbeKind"))]
    pub probe: ProbeKind,
    /// Attention heads of an attentive probe, and of no other; no file holds them.
    pub heads: Option<usize>,
    /// Blocks of an attentive probe, the cross-attention block included, and of no other; a probe
    /// file must agree.
    pub depth: Option<usize>,
    /// Views and clips that have places of their own, for a multi-view probe.
    #[cfg_attr(test, schemars(with = "Option<crate::schema::Slots>"))]
    pub slots: Option<Slots>,
    /// What it gives.
    pub output: RecipeOutput,
}

/// What a head gives, as a recipe says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RecipeOutput {
    /// Logits over `labels`.
    Classification {
        /// Labels in order.
        labels: Vec<String>,
    },
    /// One standardised value: `value = z * std + mean`.
    Regression {
        /// Unit of the value.
        unit: String,
        /// Mean of the training targets.
        mean: Option<f64>,
        /// Standard deviation of the training targets.
        std: Option<f64>,
        /// Where mean and standard deviation come from if they are not here.
        scaler: Option<ScalerFrom>,
        /// View labels it accepts.
        required_views: Vec<String>,
        /// Range it may give; outside: OUT_OF_RANGE, never clamped.
        range: [f64; 2],
    },
}

/// Where mean and standard deviation come from if not from the recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScalerFrom {
    /// The scaler file given at export.
    File,
}

impl RecipeOutput {
    /// Labels of classes, none of a value.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Classification { labels } => labels,
            Self::Regression { .. } => &[],
        }
    }

    /// For the manifest; a scale that is still to come from a file stands as 0 and 1.
    fn to_manifest(&self) -> HeadOutput {
        match self.clone() {
            Self::Classification { labels } => HeadOutput::Classification { labels },
            Self::Regression {
                unit,
                mean,
                std,
                scaler: _,
                required_views,
                range,
            } => HeadOutput::Regression {
                unit,
                mean: mean.unwrap_or(0.0),
                std: std.unwrap_or(1.0),
                required_views,
                range,
            },
        }
    }

    fn check(&self, key: &str) -> Result<(), ManifestError> {
        let Self::Regression {
            mean, std, scaler, ..
        } = self
        else {
            return Ok(());
        };
        let wrong = |part: &str, expected: &str, found: &str| {
            Err(ManifestError {
                key: format!("{key}.{part}"),
                expected: expected.to_owned(),
                found: found.to_owned(),
            })
        };
        match (mean, std, scaler) {
            (None, None, Some(ScalerFrom::File)) | (Some(_), Some(_), None) => Ok(()),
            (_, _, Some(_)) => wrong("scaler", "no such key beside mean and std", "\"file\""),
            (None, _, None) => wrong("mean", "a number, or scaler = \"file\"", "none"),
            (_, None, None) => wrong("std", "a number, or scaler = \"file\"", "none"),
        }
    }
}

impl RecipeHead {
    /// A view head for a package whose view does not matter.
    pub(crate) fn least() -> Self {
        let labels = vec!["any".to_owned()];
        Self {
            segments: 1,
            probe: ProbeKind::Linear,
            heads: None,
            depth: None,
            slots: None,
            output: RecipeOutput::Classification { labels },
        }
    }

    pub(crate) fn probe(&self, dim: usize) -> Probe {
        let (last, outputs) = match &self.output {
            RecipeOutput::Classification { labels } => ("linear", labels.len()),
            RecipeOutput::Regression { .. } => ("regressor", 1),
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
            places: self.slots.as_ref().map(|slots| Places {
                views: slots.views.len(),
                clips_per_view: slots.clips_per_view,
                embedding: slots.embedding,
            }),
        }
    }

    /// The clips that each of its graphs takes; a single-view head has graphs for the numbers
    /// `more` besides those of live use.
    pub(crate) fn graphs(&self, more: Option<&BTreeSet<usize>>) -> Vec<Clips<'_>> {
        match &self.slots {
            Some(slots) => slots.allowed.iter().map(|set| Clips::Slots(set)).collect(),
            None => {
                let more = more.into_iter().flatten().copied();
                let numbers: BTreeSet<usize> = more.chain(SEGMENTS).collect();
                numbers.into_iter().map(Clips::Segments).collect()
            }
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
        self.output.check(&format!("{key}.output"))
    }
}

pub(crate) fn encoder_graph() -> String {
    format!("encoder.{VARIANT}.onnx")
}

pub(crate) fn encoder_weights() -> String {
    format!("encoder.{VARIANT}.weights")
}

pub(crate) fn head_graph(name: &str, clips: Clips<'_>) -> String {
    let clips = match clips {
        Clips::Segments(segments) => format!("s{segments}"),
        Clips::Slots(slots) => format!("v{}", Slots::key(slots).replace('+', "-")),
    };
    format!("head.{name}.{clips}.{VARIANT}.onnx")
}

fn graph_key(clips: Clips<'_>) -> String {
    match clips {
        Clips::Segments(segments) => segments.to_string(),
        Clips::Slots(slots) => Slots::key(slots),
    }
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

    /// Takes mean and standard deviation of regression heads, by name, from fitted scalers.
    ///
    /// # Errors
    /// [`ExportError::Request`] for a name that is no regression head, [`ExportError::Settings`] for
    /// a file that is no scaler or that says other numbers than the recipe, [`ExportError::Read`].
    pub fn with_scalers(mut self, files: &BTreeMap<String, PathBuf>) -> Result<Self, ExportError> {
        for (name, path) in files {
            let head = self.heads.get_mut(name);
            let Some(RecipeOutput::Regression {
                mean, std, scaler, ..
            }) = head.map(|head| &mut head.output)
            else {
                return Err(ExportError::Request {
                    what: "scaler".to_owned(),
                    expected: "the name of a regression head of the recipe".to_owned(),
                    found: name.escape_debug().to_string(),
                });
            };
            let (file_mean, file_std) = read_scaler(path)?;
            for (part, stated, found) in [("mean", mean, file_mean), ("std", std, file_std)] {
                let stated = *stated.get_or_insert(found);
                if (stated - found).abs() > SCALE_TOLERANCE * found.abs().max(1.0) {
                    return Err(ExportError::Settings {
                        what: "scaler",
                        message: format!(
                            "expected the recipe's heads.{name}.output.{part} = {stated}, found \
                             {found}"
                        ),
                        path: path.clone(),
                    });
                }
            }
            *scaler = None;
        }
        Ok(self)
    }

    /// Checks that no scale is still to come from a file.
    pub(crate) fn check_scales(&self) -> Result<(), ManifestError> {
        let open = |head: &RecipeHead| matches!(&head.output, RecipeOutput::Regression { scaler, .. } if scaler.is_some());
        match self.heads.iter().find(|(_, head)| open(head)) {
            None => Ok(()),
            Some((name, _)) => Err(ManifestError {
                key: format!("heads.{name}.output.scaler"),
                expected: "a scaler file for the head".to_owned(),
                found: "none".to_owned(),
            }),
        }
    }

    /// Checks everything that types cannot hold.
    ///
    /// # Errors
    /// [`ManifestError`] with the first key that is wrong.
    pub fn check(&self) -> Result<(), ManifestError> {
        for (name, head) in &self.heads {
            head.check(&format!("heads.{name}"))?;
        }
        self.manifest(&MoreGraphs::new()).validate()?;
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
    pub(crate) fn manifest(&self, more: &MoreGraphs) -> Manifest {
        let graphs = |(name, head): (&String, &RecipeHead)| {
            let graph = |clips| (graph_key(clips), head_graph(name, clips));
            let graphs = head.graphs(more.get(name)).into_iter().map(graph);
            (name.clone(), graphs.collect())
        };
        let variant = Variant {
            precision: Precision::Fp32,
            tokens: Tokens::ANY,
            providers: vec!["CPU".to_owned(), "CUDA".to_owned()],
            encoder: encoder_graph(),
            heads: self.heads.iter().map(graphs).collect(),
            tolerance: Tolerance::of(Precision::Fp32),
            measured: Measured::Reference,
        };
        let no_hash = "0".repeat(64);
        let files = self
            .heads
            .iter()
            .flat_map(|(name, head)| {
                let graphs = head.graphs(more.get(name)).into_iter();
                let graphs = graphs.map(|clips| head_graph(name, clips));
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
                output: head.output.to_manifest(),
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
            kept_tokens: BTreeMap::new(),
            variants: BTreeMap::from([(VARIANT.to_owned(), variant)]),
            golden: BTreeMap::new(),
            calibration: BTreeMap::new(),
            files,
        }
    }
}
