//! `report.json`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::figures::{Disturbed, EjectionFigures, FewFigures, ViewFigures};

/// What the stand-in reaches on hearts that nothing was fitted on. Accuracies, coverages and
/// degradations are shares of 1, ejection fractions points.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What all of it was measured on.
    pub hearts: String,
    /// Clips of test hearts.
    pub test_clips: usize,
    /// Seed of the first test heart.
    pub first_seed: u64,
    /// What the shipped encoder was taught by: `pretrained`, `supervised` or `supervised with maps`.
    pub shipped: Option<&'static str>,
    /// Clips of hearts that temperature and interval were fitted on.
    pub calibration_clips: usize,
    /// View accuracy of the shipped probe.
    pub view_accuracy_all: Option<f64>,
    /// Mean view accuracy of probes fitted with 60 labels on the features of the pretrained encoder, which has seen no label.
    pub view_accuracy_60: Option<f64>,
    /// The same on the features of `random` weights, and of the whole network taught by the 60 labels alone: `supervised`.
    pub view_accuracy_60_baselines: BTreeMap<&'static str, f64>,
    /// Whether the interval of `view_accuracy_60` lies above those of all baselines; none without any.
    pub view_accuracy_60_disjoint: Option<bool>,
    /// Mean absolute error of the EF.
    pub ef_mae: Option<f64>,
    /// That of always saying the mean of the calibration hearts.
    pub ef_mae_predict_mean: Option<f64>,
    /// Share of hearts whose interval, made for 90 %, holds the truth.
    pub interval_coverage: Option<f64>,
    /// Mean relative rise of the EF error under the disturbances.
    pub perturbation_degradation: Option<f64>,
    /// The same of the encoder that was trained on the labels alone.
    pub perturbation_degradation_supervised: Option<f64>,
    /// The whole network taught by 60 labels alone.
    pub scratch: Option<FewFigures>,
    /// Everything, by encoder.
    pub encoders: Vec<Encoder>,
    /// The sector's tokens alone, against all.
    pub kept_tokens: Option<KeptTokens>,
    /// The exported package on phantoms through the live path: `echocart evaluate`.
    pub package: Option<Value>,
    /// INT8 against fp32 through the exported package: `echocart quantise`.
    pub int8: Option<Value>,
    /// What was not measured, in words.
    pub not_done: Vec<String>,
}

/// One encoder under the same probes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Encoder {
    /// `pretrained`, `supervised`, `supervised with maps` or `random`.
    pub name: &'static str,
    /// Views with all labels.
    pub view: Option<ViewFigures>,
    /// Views with few labels.
    pub few: Vec<FewFigures>,
    /// Ejection fractions.
    pub ejection: Option<EjectionFigures>,
    /// Ejection fractions under disturbances.
    pub disturbed: Vec<Disturbed>,
    /// Mean of the disturbances' degradations.
    pub degradation: Option<f64>,
}

/// The sector's tokens alone, against all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptTokens {
    /// Mean share of tokens kept.
    pub share: f64,
    /// Clips.
    pub clips: usize,
    /// Share of clips with the same most probable view.
    pub view_agreement: f64,
    /// View accuracy with the kept tokens.
    pub view_accuracy: f64,
    /// Mean change of the EF in points.
    pub ef_shift: f64,
    /// Mean absolute change of the EF in points.
    pub ef_shift_absolute: f64,
    /// Mean absolute error of the EF with the kept tokens.
    pub ef_mae: f64,
}
