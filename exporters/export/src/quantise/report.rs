//! `report.json`: what each variant costs, and how that was measured.

use super::clip::Origin;
use super::compose::Rule;
use super::measure::{HeadDistance, TokenDistance};
use super::number::quantises_activations;
use super::range::RangeRule;
use echocart_core::manifest::{Precision, Tolerance};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the format.
pub const REPORT_FORMAT: u32 = 1;

/// What a variant is held to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// Least mean cosine between a token and its fp32 one.
    pub cosine_mean: f64,
    /// Least cosine of any token.
    pub cosine_worst: f64,
    /// Largest relative RMS error of the tokens.
    pub relative_rms: f64,
}

impl Targets {
    /// Of 8-bit variants.
    pub const INT8: Self = Self {
        cosine_mean: 0.998,
        cosine_worst: 0.99,
        relative_rms: 6e-2,
    };

    /// What a precision is held to: 8-bit activations to these, others to the relative RMS error
    /// that the manifest tolerates.
    pub fn of(precision: Precision) -> Self {
        if quantises_activations(precision) {
            return Self::INT8;
        }
        Self {
            cosine_mean: -1.0,
            cosine_worst: -1.0,
            relative_rms: Tolerance::of(precision).tokens_relative_rms,
        }
    }

    /// Whether a distance is within them.
    pub fn met(&self, found: &TokenDistance) -> bool {
        found.cosine_mean >= self.cosine_mean
            && found.cosine_worst >= self.cosine_worst
            && found.relative_rms <= self.relative_rms
    }
}

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// Id of the package the variants were made from.
    pub parent: String,
    /// SHA-256 of its `package.toml`.
    pub parent_sha256: String,
    /// The command that makes the same again, files without their folders.
    pub command: String,
    /// Provider and library that ran calibration and measurement.
    pub ran_on: String,
    /// Clips that ranges, migrations and sensitivities were measured on.
    pub calibration: Vec<Origin>,
    /// Clips that nothing was chosen by; the distances are measured on these.
    pub held_out: Vec<Origin>,
    /// How the held-out clips were picked.
    pub held_out_rule: String,
    /// What 8-bit variants are held to.
    pub targets: Targets,
    /// By name.
    pub variants: BTreeMap<String, VariantReport>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantReport {
    /// Number format.
    pub precision: Precision,
    /// Providers it is made for.
    pub providers: Vec<String>,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Size of the fp32 variant's files in bytes.
    pub fp32_bytes: u64,
    /// What was measured on the held-out clips, or why nothing was.
    pub outcome: Outcome,
    /// How layers were left in fp32, for 8-bit variants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// Each try with a smaller budget: what it was and what the calibration clips gave.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rounds: Vec<Round>,
    /// Layers, graph by graph in order, for 8-bit variants.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub layers: Vec<LayerReport>,
    /// What stays in fp32, for 16-bit variants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub islands: Option<String>,
}

/// What was measured on the held-out clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// It ran.
    Run {
        /// Tokens beside those of fp32.
        tokens: TokenDistance,
        /// Heads beside those of fp32, each variant's heads on its own tokens.
        heads: BTreeMap<String, HeadDistance>,
        /// Whether the targets are met: those of 8-bit variants, or the manifest's tolerance.
        targets_met: bool,
    },
    /// No provider here runs it.
    NotRun {
        /// Why.
        why: String,
    },
}

/// One try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The rule's budget.
    pub budget: f64,
    /// Root of the sum of squared block errors of what is quantised in the encoder.
    pub predicted: f64,
    /// What the check clips gave.
    pub tokens: TokenDistance,
}

/// A layer or an attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// `encoder`, or the head's name.
    pub graph: String,
    /// Name in the graph.
    pub name: String,
    /// Whether it is quantised in the variant.
    pub quantised: bool,
    /// Relative RMS error of its block's output when it alone is quantised.
    pub block_error: f64,
    /// Signal over noise of its own output on sampled rows, for linear layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_to_noise_db: Option<f64>,
    /// Largest input magnitude told apart, after migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_limit: Option<f32>,
    /// How that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<RangeRule>,
    /// Share of each channel's magnitude that moved into the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration_alpha: Option<f32>,
    /// Whether its bias is corrected.
    pub bias_corrected: bool,
}

impl LayerReport {
    /// Relative RMS error as signal over noise, in decibels; at most 120.
    pub fn block_db(&self) -> f64 {
        (-20.0 * self.block_error.max(1e-6).log10()).max(0.0)
    }
}
