//! Everything that determines a training, and its check.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::Clips;
use crate::net::predictor::PredictorSize;
use crate::net::vit::Size;
use crate::supervised::Objective;
use crate::{TrainError, probing};

/// Everything that determines a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What for.
    pub objective: Objective,
    /// SHA-256 of the encoder's file that it starts from; drawn weights without it.
    pub parent: Option<String>,
    /// The encoder.
    pub encoder: Size,
    /// The predictor; idle in a supervised training.
    pub predictor: PredictorSize,
    /// Attention heads of the probes of a supervised training.
    pub probe_heads: usize,
    /// Steps in all.
    pub steps: usize,
    /// Clips a step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f32,
    /// Steps until it is reached.
    pub warmup: usize,
    /// Weight decay.
    pub decay: f32,
    /// The teacher's momentum at the first and at the last step.
    pub momentum: [f32; 2],
    /// Share of the mean variance from which directions of the targets are made equal; 0 leaves them as they are.
    pub equal_from: f32,
    /// Least part of a frame that a clip is cut from.
    pub least_area: f32,
    /// Share of the clips that a disturbance of the image is drawn for.
    pub disturbed: f32,
    /// Steps, the first ones, on half of a clip's time.
    pub short_steps: usize,
    /// Weight of the chambers' places in a supervised training beside view and ejection fraction; 0 leaves them out.
    #[serde(default)]
    pub chambers: f32,
    /// Weight of the ejection fraction in a supervised training beside the view.
    #[serde(default = "one")]
    pub ejection: f32,
    /// Whether the student is kept as the encoder instead of the teacher.
    pub keep_student: bool,
    /// Seed of weights, order, cuts and masks.
    pub seed: u64,
}

fn one() -> f32 {
    1.0
}

/// Refuses settings that nothing can be trained by.
pub(crate) fn check(settings: &Settings, clips: &Clips) -> Result<(), TrainError> {
    let Settings {
        encoder, predictor, ..
    } = settings;
    for (what, dim, heads) in [
        ("encoder", encoder.dim, encoder.heads),
        ("predictor", predictor.dim, predictor.heads),
    ] {
        if heads == 0 || !dim.is_multiple_of(heads) || !(dim / heads).is_multiple_of(2) {
            let found = format!("{dim} over {heads}");
            return Err(TrainError::setting(
                what,
                "an even width for every head",
                found,
            ));
        }
    }
    if !settings.equal_from.is_finite() || settings.equal_from < 0.0 {
        let found = settings.equal_from;
        return Err(TrainError::setting("equal-from", "0 or more", found));
    }
    if !settings.chambers.is_finite() || settings.chambers < 0.0 {
        let found = settings.chambers;
        return Err(TrainError::setting("chambers", "0 or more", found));
    }
    if !settings.ejection.is_finite() || settings.ejection < 0.0 {
        let found = settings.ejection;
        return Err(TrainError::setting("ejection", "0 or more", found));
    }
    if settings.objective == Objective::Jepa && settings.chambers > 0.0 {
        let found = settings.chambers;
        return Err(TrainError::setting(
            "chambers",
            "0 in a pretraining, which needs no labels",
            found,
        ));
    }
    if !(0.0..=1.0).contains(&settings.disturbed) {
        let found = settings.disturbed;
        return Err(TrainError::setting("disturbed", "0 to 1", found));
    }
    let pool = pool(settings, clips).len();
    if settings.batch == 0 || settings.batch > pool {
        let expected = format!("1 to {pool} clips");
        return Err(TrainError::setting("batch", expected, settings.batch));
    }
    Ok(())
}

/// The clips that are trained on: all, or those with a label.
pub(crate) fn pool(settings: &Settings, clips: &Clips) -> Vec<usize> {
    if settings.objective == Objective::Jepa {
        return (0..clips.len()).collect();
    }
    (0..clips.len())
        .filter(|clip| probing::class(&clips.labels[*clip]).is_some())
        .collect()
}

/// The settings of a training.
///
/// # Errors
/// [`TrainError::File`], [`TrainError::Content`].
pub fn read_settings(folder: &Path) -> Result<Settings, TrainError> {
    let path: PathBuf = folder.join("settings.json");
    let text = fs::read_to_string(&path).map_err(TrainError::file(&path))?;
    serde_json::from_str(&text).map_err(|error| TrainError::Content {
        what: "settings",
        expected: "the settings of a training".to_owned(),
        found: error.to_string(),
        path,
    })
}
