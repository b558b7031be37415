//! `package.toml`: everything that is the model's.
//!
//! No key has a default and an unknown key is an error: a package says all of it or does not load.
//! Code never repeats a size that stands here.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod calibration;
mod kept;
mod parts;
mod validate;
pub use calibration::{Calibration, Domain, LvefCalibration, ViewCalibration};
pub use kept::KeptTokens;
pub use parts::{
    AnyTokens, Golden, Mask, Measured, Precision, ProbeKind, SlotEmbedding, Slots, Tokens,
    Tolerance,
};
pub(crate) use validate::version;
pub use validate::{ManifestError, is_plain_name};

/// The manifest format this version reads and writes.
pub const FORMAT: u32 = 2;

/// `package.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Package id: lower case letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// SHA-256 of the `package.toml` this package was derived from; none for an export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Oldest echocart that may run it, `major.minor.patch`.
    pub min_version: String,
    /// What a person must know.
    pub card: Card,
    /// Where the weights came from.
    pub checkpoint: Checkpoint,
    /// The encoder's sizes.
    pub encoder: Encoder,
    /// Which frames make a clip.
    pub sampling: Sampling,
    /// How a frame becomes the encoder's image.
    pub preprocess: Preprocess,
    /// When the view head's answer counts.
    pub view: ViewRule,
    /// The heads, by name.
    pub heads: BTreeMap<String, Head>,
    /// What the package may be used on.
    pub limits: Limits,
    /// Precision variants, by name (`fp32`).
    pub variants: BTreeMap<String, Variant>,
    /// Golden clips, by name: raw frames and what the fp32 graphs made of them.
    pub golden: BTreeMap<String, Golden>,
    /// What labelled recordings said about a variant, by its name.
    pub calibration: BTreeMap<String, Calibration>,
    /// What leaving out the patches outside the imaging area does to a variant, by its name. One
    /// that does not stand here is given all tokens.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept_tokens: BTreeMap<String, KeptTokens>,
    /// Every file of the package but `package.toml` and its signature, by plain name.
    pub files: BTreeMap<String, FileEntry>,
}

/// What a person must know before using the package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// One line, shown on the page all the time.
    pub title: String,
    /// The rest, any number of lines.
    pub text: String,
    /// What the weights have learnt from.
    pub trained: Trained,
}

/// What the weights have learnt from. Decides whether a number may be called a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Trained {
    /// Nothing: generated weights. Outputs are DEMONSTRATION.
    Untrained,
    /// Simulated hearts: DEMONSTRATION on every source but the phantom.
    Simulated,
    /// Patient images.
    Clinical,
}

impl Trained {
    /// The word used in the manifest and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untrained => "untrained",
            Self::Simulated => "simulated",
            Self::Clinical => "clinical",
        }
    }
}

/// Where the weights came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// File name without folder, or `generated:TAG`.
    pub source: String,
    /// SHA-256 of the file, or of the words `generated:TAG`.
    pub sha256: String,
    /// Which weights of the file (`target_encoder`).
    pub key: String,
}

/// Sizes of the encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Always `vjepa2`: ViT with three-axis rotary positions of V-JEPA 2.
    pub family: String,
    /// Token width.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// MLP width over token width.
    pub mlp_ratio: f64,
    /// Frames of a clip.
    pub frames: usize,
    /// Image height in pixels.
    pub height_px: usize,
    /// Image width in pixels.
    pub width_px: usize,
    /// Frames of a tubelet.
    pub tubelet_frames: usize,
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// Image channels.
    pub channels: usize,
}

impl Encoder {
    /// Tubelets of a clip.
    pub fn tubelets(&self) -> usize {
        self.frames / self.tubelet_frames
    }

    /// Tokens of one tubelet.
    pub fn tokens_per_tubelet(&self) -> usize {
        (self.height_px / self.patch_px) * (self.width_px / self.patch_px)
    }

    /// Tokens of a clip.
    pub fn tokens(&self) -> usize {
        self.tubelets() * self.tokens_per_tubelet()
    }

    /// Length of a patch row: channels x tubelet frames x patch x patch.
    pub fn row(&self) -> usize {
        self.channels * self.tubelet_frames * self.patch_px * self.patch_px
    }

    /// In words, for the page and the log.
    pub fn words(&self) -> String {
        format!(
            "ViT dim {}, depth {}, heads {}, {}x{} px, {} frames",
            self.dim, self.depth, self.heads, self.width_px, self.height_px, self.frames
        )
    }
}

/// Which frames make a clip: one per grid time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Grid rate: slot `k` is due at `k / rate_hz` seconds after the first frame.
    pub rate_hz: f64,
    /// Grid slots between the starts of two clips. A multiple of the tubelet's frames.
    pub hop_slots: usize,
    /// Largest distance of a frame from its grid time, milliseconds; beyond it the slot is a gap.
    pub max_skew_millis: f64,
}

/// How a frame becomes the encoder's image: 8-bit steps in order, then normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The steps in order. The last one must leave the encoder's size.
    pub steps: Vec<Step>,
    /// Mean per channel, of pixel values divided by 255.
    pub mean: [f32; 3],
    /// Standard deviation per channel, of pixel values divided by 255.
    pub std: [f32; 3],
    /// What is blackened, and when.
    pub mask: Mask,
    /// How the training images lay, in words, for example `apex up, left ventricle on the right`.
    pub orientation: String,
}

/// One 8-bit step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Bilinear resize to a fixed size, aspect ignored.
    Squash {
        /// New width.
        width_px: u32,
        /// New height.
        height_px: u32,
    },
    /// Bilinear resize of the short side to `size_px`, aspect kept, the long side truncated.
    /// Skipped when the short side already has that size.
    ShortSide {
        /// New length of the short side.
        size_px: u32,
    },
    /// Centre crop; offsets round half to even.
    CentreCrop {
        /// New width.
        width_px: u32,
        /// New height.
        height_px: u32,
    },
}

/// When the view head's answer counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ViewRule {
    /// Probability from which the most probable label is a view; below it: UNCERTAIN.
    pub threshold: f32,
    /// Standard view by label, for the labels that mean exactly one of [`STANDARD_VIEWS`]. A view
    /// without a label is captured by hand.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub standard: BTreeMap<String, String>,
}

/// The ten views of a standard exam, in the order in which they are shown.
pub const STANDARD_VIEWS: [&str; 10] = [
    "PLAX", "PSAX-AV", "PSAX-MV", "PSAX-PM", "A4C", "A5C", "A2C", "A3C", "SC-4C", "SC-IVC",
];

/// One head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Clips it is given in live use.
    pub segments: usize,
    /// How the probe pools.
    pub probe: ProbeKind,
    /// Attention heads of an attentive probe, 1 otherwise.
    pub heads: usize,
    /// Blocks of an attentive probe, the cross-attention block included, 0 otherwise.
    pub depth: usize,
    /// Views and clips that have places of their own, for a multi-view probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<Slots>,
    /// Index of the chosen entry in the probe file's `classifiers`.
    pub classifier_index: usize,
    /// Why that entry: its `val_acc_per_head`, in words.
    pub classifier_choice: String,
    /// What it gives.
    pub output: HeadOutput,
}

/// What a head gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeadOutput {
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
        mean: f64,
        /// Standard deviation of the training targets.
        std: f64,
        /// View labels it accepts. Empty does not load.
        required_views: Vec<String>,
        /// Range it may give; outside: OUT_OF_RANGE, never clamped.
        range: [f64; 2],
    },
}

/// What the package may be used on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Who, in words.
    pub population: String,
    /// Lowest source rate the sampling was tested with, frames per second.
    pub min_fps: f64,
    /// Highest source rate the sampling was tested with, frames per second.
    pub max_fps: f64,
    /// Widest EF interval with which a number may be shown, percentage points; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widest_interval: Option<f64>,
}

/// One precision variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Number format of weights and activations.
    pub precision: Precision,
    /// Tokens of a clip it takes.
    pub tokens: Tokens,
    /// Providers it is made for.
    pub providers: Vec<String>,
    /// Encoder graph file.
    pub encoder: String,
    /// Head graph files by head name, then by number of segments (`"1"`, `"2"`) or, for a
    /// multi-view probe, by present slots (`"0+1"`, see [`Slots::key`]).
    pub heads: BTreeMap<String, BTreeMap<String, String>>,
    /// How far it may be from the fp32 graphs on the golden clips before it does not serve.
    pub tolerance: Tolerance,
    /// How far it was.
    pub measured: Measured,
}

/// A file and its hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, lower case hex.
    pub sha256: String,
}

/// Name of the view head.
pub const VIEW: &str = "view";
/// Name of the ejection fraction head.
pub const LVEF: &str = "lvef";

impl Manifest {
    /// Labels of the view head, empty without one.
    pub fn view_labels(&self) -> &[String] {
        match self.heads.get(VIEW).map(|h| &h.output) {
            Some(HeadOutput::Classification { labels }) => labels,
            _ => &[],
        }
    }
}
