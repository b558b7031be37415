//! What one recording's clips come to.

use crate::labelled::{Label, Outcome, Played, word};
use echocart_core::agreement::median;
use echocart_core::events::{Calibrated, Output, Status};
use echocart_core::judge;
use echocart_core::manifest::{Calibration, HeadOutput, LVEF, Manifest};
use serde::Serialize;
use std::collections::BTreeMap;

/// How a package turns head outputs into numbers.
pub struct Rules<'a> {
    pub labels: &'a [String],
    pub temperature: f64,
    /// Mean and standard deviation of the EF head's targets.
    scale: Option<(f64, f64)>,
}

impl<'a> Rules<'a> {
    pub fn new(manifest: &'a Manifest, calibration: Option<&Calibration>) -> Self {
        Self {
            labels: manifest.view_labels(),
            temperature: judge::temperature(calibration),
            scale: match manifest.heads.get(LVEF).map(|h| &h.output) {
                Some(HeadOutput::Regression { mean, std, .. }) => Some((*mean, *std)),
                _ => None,
            },
        }
    }

    /// The EF in percent of a head output.
    pub fn percent(&self, z: f32) -> Option<f64> {
        let (mean, std) = self.scale?;
        Some(f64::from(z) * std + mean).filter(|v| v.is_finite())
    }

    pub fn label(&self, view: Option<usize>) -> Option<&'a str> {
        self.labels.get(view?).map(String::as_str)
    }
}

/// One recording, evaluated or skipped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileResult {
    /// Path as the label file writes it.
    pub path: String,
    /// Whose it is.
    pub patient: Option<String>,
    /// Why it was not evaluated.
    pub skipped: Option<String>,
    /// Frames of the recording.
    pub frames: usize,
    /// Clips inferred.
    pub clips: usize,
    /// Clips refused before inference, by reason.
    pub refused: BTreeMap<String, usize>,
    /// The view.
    pub view: ViewResult,
    /// The ejection fraction.
    pub lvef: LvefResult,
    /// Another implementation's answer.
    pub reference: Option<Reference>,
}

/// Views of one recording, as indices of labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ViewResult {
    /// True view.
    pub label: Option<usize>,
    /// Most probable view of the clips' mean probabilities: before gating.
    pub before: Option<usize>,
    /// Its mean probability.
    pub probability: Option<f64>,
    /// View most often released: after gating.
    pub after: Option<usize>,
    /// How many clips were what, by status and reason.
    pub outputs: BTreeMap<String, usize>,
}

/// Ejection fractions of one recording, in percent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LvefResult {
    /// True value.
    pub label: Option<f64>,
    /// Median over all clips, whatever their view and range: before gating.
    pub before: Option<f64>,
    /// Median of the released estimates: after gating.
    pub after: Option<f64>,
    /// `before` minus `label`.
    pub difference_before: Option<f64>,
    /// `after` minus `label`.
    pub difference_after: Option<f64>,
    /// How many estimates were what, by status and reason.
    pub outputs: BTreeMap<String, usize>,
    /// Released estimates with an interval.
    pub with_interval: usize,
    /// Those whose interval holds the label.
    pub covered: usize,
    /// Released estimates outside the calibrated domain.
    pub outside_domain: usize,
}

/// Another implementation's answer for one recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reference {
    /// Its view.
    pub view: Option<usize>,
    /// Its ejection fraction in percent.
    pub lvef: Option<f64>,
    /// Our EF before gating minus its.
    pub difference: Option<f64>,
}

impl FileResult {
    pub fn new(label: &Label, outcome: &Outcome, reference: Option<&Label>, rules: &Rules) -> Self {
        let mut result = Self {
            path: label.shown.clone(),
            patient: label.patient.clone(),
            skipped: None,
            frames: 0,
            clips: 0,
            refused: BTreeMap::new(),
            view: ViewResult {
                label: label.view,
                ..ViewResult::default()
            },
            lvef: LvefResult {
                label: label.lvef,
                ..LvefResult::default()
            },
            reference: None,
        };
        match outcome {
            Outcome::Skipped(reason) => result.skipped = Some(reason.clone()),
            Outcome::Played(played) => result.played(played, rules),
        }
        result.reference = reference.map(|r| Reference {
            view: r.view,
            lvef: r.lvef,
            difference: difference(result.lvef.before, r.lvef),
        });
        result
    }

    fn played(&mut self, played: &Played, rules: &Rules) {
        self.frames = played.frames;
        self.clips = played.clips.len();
        self.refused = played.refused.iter().map(|(r, n)| (word(r), *n)).collect();
        self.views(played, rules);
        self.fractions(played, rules);
    }

    fn views(&mut self, played: &Played, rules: &Rules) {
        let mut means = vec![0.0; rules.labels.len()];
        let mut released = vec![0usize; rules.labels.len()];
        for clip in &played.clips {
            let probabilities = judge::softmax(&clip.record.view, rules.temperature);
            for (mean, p) in means.iter_mut().zip(&probabilities) {
                *mean += f64::from(*p) / played.clips.len() as f64;
            }
            let label = clip.view.value.as_ref().map(|v| &v.label);
            let at = rules.labels.iter().position(|l| Some(l) == label);
            if let Some(count) = at.and_then(|at| released.get_mut(at)) {
                *count += 1;
            }
            *self.view.outputs.entry(told(&clip.view)).or_default() += 1;
        }
        let best = |order: &dyn Fn(usize) -> (usize, f64)| {
            let places = (0..means.len()).rev();
            places.max_by(|&a, &b| {
                let ((n, p), (m, q)) = (order(a), order(b));
                n.cmp(&m).then(p.total_cmp(&q))
            })
        };
        self.view.before = best(&|at| (0, means[at]));
        self.view.probability = self.view.before.map(|at| means[at]);
        self.view.after = best(&|at| (released[at], means[at])).filter(|&at| released[at] > 0);
    }

    fn fractions(&mut self, played: &Played, rules: &Rules) {
        let lvef = &mut self.lvef;
        let raw = |z: Option<f32>| z.and_then(|z| rules.percent(z));
        let before = played.clips.iter().filter_map(|c| raw(c.record.lvef_z));
        lvef.before = median(&before.collect::<Vec<_>>());
        let mut released = Vec::new();
        for clip in &played.clips {
            *lvef.outputs.entry(told(&clip.lvef)).or_default() += 1;
            let Some(value) = &clip.lvef.value else {
                continue;
            };
            released.push(f64::from(value.percent));
            lvef.outside_domain += usize::from(value.calibration == Calibrated::Outside);
            if let (Some(interval), Some(label)) = (value.interval, lvef.label) {
                let range = f64::from(interval.low)..=f64::from(interval.high);
                lvef.with_interval += 1;
                lvef.covered += usize::from(range.contains(&label));
            }
        }
        lvef.after = median(&released);
        lvef.difference_before = difference(lvef.before, lvef.label);
        lvef.difference_after = difference(lvef.after, lvef.label);
    }
}

fn difference(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    Some(ours? - theirs?)
}

/// The status of an output, or the reason it was withheld for.
fn told<T>(output: &Output<T>) -> String {
    match (output.status, output.reason) {
        (Status::Withheld, Some(reason)) => word(&reason),
        (status, _) => word(&status),
    }
}
