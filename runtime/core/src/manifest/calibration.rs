//! What labelled recordings said about one variant.

use super::validate::wrong;
use super::{HeadOutput, LVEF, Manifest, ManifestError};
use crate::calibration::{COVERAGES, TEMPERATURES};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What labelled recordings said about one variant, written by `echocart calibrate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// How certain the view head is; none where no view was labelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewCalibration>,
    /// How far the ejection fraction is from the labels; none where none was labelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lvef: Option<LvefCalibration>,
    /// What the recordings were.
    pub domain: Domain,
}

/// How certain the view head is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ViewCalibration {
    /// What the logits are divided by before the softmax.
    pub temperature: f64,
    /// Patients it was fitted on.
    pub patients: usize,
    /// Clips of theirs.
    pub clips: usize,
}

/// How far the ejection fraction is from the labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LvefCalibration {
    /// Share of new patients' estimates whose interval holds the label, at least.
    pub coverage: f64,
    /// The interval is the estimate plus and minus this.
    pub half_width: f64,
    /// Patients whose absolute residuals it is the conformal quantile of.
    pub patients: usize,
    /// Estimates of theirs.
    pub estimates: usize,
    /// Lowest and highest label among them. An estimate outside has no interval.
    pub range: [f64; 2],
    /// Views that the estimates were made in.
    pub views: Vec<String>,
}

/// What the recordings were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Where they came from, in words.
    pub sources: Vec<String>,
    /// Patients used, none of them in both parts of the split.
    pub patients: usize,
    /// Files used.
    pub files: usize,
    /// Clips used.
    pub clips: usize,
    /// Files by labelled view.
    pub views: BTreeMap<String, usize>,
    /// How the patients were split, in words.
    pub split: String,
}

impl Calibration {
    /// In words, for the page and the log.
    pub fn words(&self) -> String {
        let view = match &self.view {
            Some(v) => format!("view at temperature {:.2}", v.temperature),
            None => "view not calibrated".to_owned(),
        };
        let lvef = match &self.lvef {
            Some(l) => format!(
                "EF plus and minus {:.1} points in {} % of patients",
                l.half_width,
                100.0 * l.coverage
            ),
            None => "EF not calibrated".to_owned(),
        };
        let Domain {
            patients, sources, ..
        } = &self.domain;
        format!(
            "{view}; {lvef}; from {patients} patients of {}",
            sources.join(", ")
        )
    }
}

impl Manifest {
    pub(super) fn validate_calibration(&self) -> Result<(), ManifestError> {
        for (variant, calibration) in &self.calibration {
            let key = format!("calibration.{variant}");
            if !self.variants.contains_key(variant) {
                return wrong(key, "the name of a variant", variant);
            }
            self.validate_one(&key, calibration)?;
        }
        Ok(())
    }

    fn validate_one(&self, key: &str, calibration: &Calibration) -> Result<(), ManifestError> {
        let Calibration { view, lvef, domain } = calibration;
        if view.is_none() && lvef.is_none() {
            return wrong(key, "view, lvef or both", "neither");
        }
        let nobody = domain.patients == 0 || domain.files == 0 || domain.clips == 0;
        let silent = domain.sources.is_empty() || domain.split.trim().is_empty();
        if nobody || silent {
            let expected = "patients, files, clips, sources and a split";
            return wrong(format!("{key}.domain"), expected, format!("{domain:?}"));
        }
        let labels = self.view_labels();
        if let Some(found) = domain.views.keys().find(|v| !labels.contains(v)) {
            return wrong(format!("{key}.domain.views"), "view labels", found);
        }
        if let Some(view) = view
            && !(TEMPERATURES.contains(&view.temperature) && view.patients > 0)
        {
            let found = format!("{} of {} patients", view.temperature, view.patients);
            let expected = format!("a temperature in {TEMPERATURES:?} of some patients");
            return wrong(format!("{key}.view"), expected, found);
        }
        let Some(lvef) = lvef else { return Ok(()) };
        let key = format!("{key}.lvef");
        let head = self.heads.get(LVEF).map(|h| &h.output);
        if !matches!(head, Some(HeadOutput::Regression { .. })) {
            return wrong(key, "a package with a regression head lvef", "none");
        }
        let [low, high] = lvef.range;
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return wrong(
                format!("{key}.range"),
                "low <= high",
                format!("{:?}", lvef.range),
            );
        }
        if !COVERAGES.contains(&lvef.coverage) {
            let expected = format!("a share in {COVERAGES:?}");
            return wrong(format!("{key}.coverage"), expected, lvef.coverage);
        }
        if !(lvef.half_width.is_finite() && lvef.half_width >= 0.0 && lvef.patients > 0) {
            let found = format!("{} of {} patients", lvef.half_width, lvef.patients);
            return wrong(key, "a half width of some patients", found);
        }
        if lvef.views.is_empty() || lvef.views.iter().any(|v| !labels.contains(v)) {
            let found = format!("{:?}", lvef.views);
            return wrong(format!("{key}.views"), "view labels", found);
        }
        Ok(())
    }
}
