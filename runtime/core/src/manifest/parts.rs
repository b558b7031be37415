//! The smaller types of the manifest.

use serde::{Deserialize, Serialize};

/// How a probe makes one vector of the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// Self-attention blocks, then cross-attention from one learned query.
    Attentive,
    /// Mean over the tokens, normalisation, one layer.
    Linear,
    /// Mean over the tokens, normalisation, two layers with an exact GELU between them.
    Mlp,
}

impl ProbeKind {
    /// The word used in recipes and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attentive => "attentive",
            Self::Linear => "linear",
            Self::Mlp => "mlp",
        }
    }
}

/// The places of a multi-view probe: slot = view x clips per view + clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// Views in slot order, in words, for example `A4C colour`.
    pub views: Vec<String>,
    /// Clips of each view.
    pub clips_per_view: usize,
    /// What is added to the tokens of a slot.
    pub embedding: SlotEmbedding,
    /// Sets of slots the probe may be given, each ascending; one graph per set.
    pub allowed: Vec<Vec<usize>>,
}

impl Slots {
    /// Number of slots.
    pub fn count(&self) -> usize {
        self.views.len() * self.clips_per_view
    }

    /// Key of the graph for the slots `present`: `0+1`.
    pub fn key(present: &[usize]) -> String {
        let names: Vec<String> = present.iter().map(usize::to_string).collect();
        names.join("+")
    }
}

/// What a multi-view probe adds to the tokens of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SlotEmbedding {
    /// One vector of the view plus one of the clip (`view_embed`, `clip_embed`).
    Factorized,
    /// One vector per slot (`slot_embed`).
    PerSlot,
    /// Nothing.
    None,
}

/// What is blackened in a frame before the model sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mask {
    /// Nothing.
    None,
    /// Fixed boxes.
    Boxes {
        /// Number of steps that run before: 0 blackens the source frame.
        after_steps: usize,
        /// Each x, y, width, height as fractions of the image, edges truncated to whole pixels.
        boxes: Vec<[f64; 4]>,
    },
    /// Everything outside the imaging area, in the source frame. Only for packages that were
    /// trained so: a frame without an area that is found for sure gives no clip.
    Sector,
}

/// Number format of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floating point throughout.
    Fp32,
    /// 16-bit floating point, with 32-bit islands.
    Fp16,
    /// 8-bit integers in linear layers (and attention where measured safe), between
    /// QuantizeLinear and DequantizeLinear.
    Int8,
    /// 8-bit floating point (E4M3), likewise.
    Fp8,
    /// 8-bit integer weights, floating point activations.
    WeightInt8,
    /// 4-bit integer weights, floating point activations.
    WeightInt4,
}

impl Precision {
    /// The word used in manifests and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
            Self::Fp8 => "fp8",
            Self::WeightInt8 => "weight_int8",
            Self::WeightInt4 => "weight_int4",
        }
    }
}

/// Tokens of a clip that a variant's graphs take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Tokens {
    /// This many, no more and no fewer: a bucket.
    Exactly(usize),
    /// Any number.
    Any(AnyTokens),
}

impl Tokens {
    /// Any number.
    pub const ANY: Self = Self::Any(AnyTokens::Any);
}

/// The word `any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AnyTokens {
    /// `any`.
    Any,
}

/// Distance from the fp32 outputs on the golden clips beyond which a variant does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Relative RMS error of the tokens.
    pub tokens_relative_rms: f64,
    /// Largest difference of any head output, over the larger of 1 and the expected value.
    pub heads: f64,
}

impl Tolerance {
    /// What a precision is held to unless measured closer.
    pub fn of(precision: Precision) -> Self {
        let (tokens_relative_rms, heads) = match precision {
            Precision::Fp32 => (1e-5, 1e-4),
            Precision::Fp16 => (3e-3, 3e-2),
            Precision::Int8 | Precision::Fp8 => (6e-2, 0.3),
            Precision::WeightInt8 => (2e-2, 0.1),
            Precision::WeightInt4 => (1.5e-1, 0.5),
        };
        Self {
            tokens_relative_rms,
            heads,
        }
    }
}

/// What a variant gave beside the fp32 graphs when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub enum Measured {
    /// It is the fp32 variant that the others are compared with.
    Reference,
    /// It ran.
    Run {
        /// Provider, for example `CPU`.
        provider: String,
        /// Library name and version.
        library: String,
        /// Clips compared.
        clips: usize,
        /// Mean cosine between a token and its fp32 one.
        token_cosine_mean: f64,
        /// Smallest of them.
        token_cosine_worst: f64,
        /// Relative RMS error of the tokens.
        tokens_relative_rms: f64,
        /// Largest difference of any head output.
        heads_max_abs: f64,
    },
    /// Nothing here could run it.
    NotRun {
        /// Why.
        why: String,
    },
}

/// A golden clip: raw frames with their times, and what the fp32 graphs made of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// File with the frames, in the format of `--dump-frames`.
    pub frames: String,
    /// File with the expected outputs (`.npz`).
    pub expected: String,
    /// Where the frames come from: `synthetic: ...`, or the stated right to distribute them.
    pub origin: String,
}
