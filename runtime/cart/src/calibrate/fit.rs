//! From played recordings to a calibration.

use super::split::Split;
use crate::evaluate::Rules;
use crate::labelled::{Label, Played, PlayedClip};
use echocart_core::calibration::{
    CalibrationError, LabelledClip, certainty_error, conformal_half_width, fit_temperature,
    view_loss,
};
use echocart_core::judge;
use echocart_core::manifest::{HeadOutput, LVEF, LvefCalibration, Manifest, ViewCalibration};
use std::collections::{BTreeMap, BTreeSet};

/// One played recording.
pub struct Recording<'a> {
    pub label: &'a Label,
    pub patient: &'a str,
    pub played: &'a Played,
}

/// A fitted temperature and how it does on the held-out patients.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewFit {
    pub calibration: ViewCalibration,
    pub check: Option<ViewCheck>,
}

/// Loss and certainty error of the held-out clips, without and with the temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewCheck {
    pub patients: usize,
    pub loss: [f64; 2],
    pub certainty_error: [f64; 2],
}

/// An EF interval and how often it holds the held-out patients' labels.
#[derive(Debug, Clone, PartialEq)]
pub struct LvefFit {
    pub calibration: LvefCalibration,
    pub check: Option<LvefCheck>,
}

/// Mean share of the held-out patients' estimates whose interval holds the label.
#[derive(Debug, Clone, PartialEq)]
pub struct LvefCheck {
    pub patients: usize,
    pub estimates: usize,
    pub coverage: f64,
    /// Estimates beyond the calibrated range, which have no interval.
    pub outside: usize,
}

/// Fits the temperature; none without labelled views.
pub fn view(recordings: &[Recording], split: &Split) -> Result<Option<ViewFit>, CalibrationError> {
    let fitted = view_clips(recordings, &split.fitted);
    if fitted.clips.is_empty() {
        return Ok(None);
    }
    let temperature = fit_temperature(&fitted.clips)?;
    let held_out = view_clips(recordings, &split.held_out);
    let both = |f: fn(&[LabelledClip], f64) -> Result<f64, CalibrationError>| {
        Ok([f(&held_out.clips, 1.0)?, f(&held_out.clips, temperature)?])
    };
    let check = match held_out.patients {
        0 => None,
        patients => Some(ViewCheck {
            patients,
            loss: both(view_loss)?,
            certainty_error: both(certainty_error)?,
        }),
    };
    Ok(Some(ViewFit {
        calibration: ViewCalibration {
            temperature,
            patients: fitted.patients,
            clips: fitted.clips.len(),
        },
        check,
    }))
}

struct ViewClips {
    patients: usize,
    clips: Vec<LabelledClip>,
}

/// Labelled clips of `patients`, who count alike.
fn view_clips(recordings: &[Recording], patients: &BTreeSet<String>) -> ViewClips {
    let own = || {
        let labelled = recordings.iter().filter_map(|r| Some((r, r.label.view?)));
        labelled.filter(|(r, _)| patients.contains(r.patient))
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (recording, _) in own() {
        *counts.entry(recording.patient).or_default() += recording.played.clips.len();
    }
    let of = |(recording, label): (&Recording, usize)| {
        let count = counts.get(recording.patient).copied().unwrap_or(1);
        let clips = recording.played.clips.iter();
        let labelled = |clip: &PlayedClip| LabelledClip {
            logits: clip.record.view.clone(),
            label,
            weight: 1.0 / count as f64,
        };
        clips.map(labelled).collect::<Vec<_>>()
    };
    ViewClips {
        clips: own().flat_map(of).collect(),
        patients: counts.len(),
    }
}

/// What decides whether an estimate is released.
pub struct Gate<'a> {
    pub manifest: &'a Manifest,
    pub rules: &'a Rules<'a>,
    pub max_segment_gap_nanos: i64,
}

struct Estimate<'a> {
    percent: f64,
    view: &'a str,
    label: f64,
}

/// Makes the interval; none without labelled fractions.
pub fn lvef(
    recordings: &[Recording],
    split: &Split,
    gate: &Gate,
    coverage: f64,
) -> Result<Option<LvefFit>, CalibrationError> {
    if !recordings.iter().any(|r| r.label.lvef.is_some()) {
        return Ok(None);
    }
    let fitted = gate.by_patient(recordings, &split.fitted);
    let all = || fitted.values().flatten();
    let residual = |e: &Estimate| (e.percent - e.label).abs();
    let groups: Vec<Vec<f64>> = fitted
        .values()
        .map(|estimates| estimates.iter().map(residual).collect())
        .collect();
    let half_width = conformal_half_width(&groups, coverage)?;
    let low = all().map(|e| e.label).fold(f64::INFINITY, f64::min);
    let high = all().map(|e| e.label).fold(f64::NEG_INFINITY, f64::max);
    let views: BTreeSet<&str> = all().map(|e| e.view).collect();
    let calibration = LvefCalibration {
        coverage,
        half_width,
        patients: fitted.len(),
        estimates: all().count(),
        range: [low, high],
        views: views.iter().map(|v| (*v).to_owned()).collect(),
    };
    let held_out = gate.by_patient(recordings, &split.held_out);
    let check = check(&held_out, &calibration);
    Ok(Some(LvefFit { calibration, check }))
}

fn check(
    patients: &BTreeMap<&str, Vec<Estimate>>,
    calibration: &LvefCalibration,
) -> Option<LvefCheck> {
    let [low, high] = calibration.range;
    let mut found = LvefCheck {
        patients: 0,
        estimates: 0,
        coverage: 0.0,
        outside: 0,
    };
    for estimates in patients.values() {
        let known = |e: &&Estimate| {
            (low..=high).contains(&e.percent) && calibration.views.iter().any(|v| v == e.view)
        };
        let inside: Vec<&Estimate> = estimates.iter().filter(known).collect();
        found.outside += estimates.len() - inside.len();
        if inside.is_empty() {
            continue;
        }
        let holds = |e: &&&Estimate| (e.percent - e.label).abs() <= calibration.half_width;
        let covered = inside.iter().filter(holds).count();
        found.patients += 1;
        found.estimates += inside.len();
        found.coverage += covered as f64 / inside.len() as f64;
    }
    found.coverage /= found.patients as f64;
    (found.patients > 0).then_some(found)
}

impl<'a> Gate<'a> {
    /// Estimates that would be released, by patient.
    fn by_patient<'r>(
        &self,
        recordings: &'r [Recording],
        patients: &BTreeSet<String>,
    ) -> BTreeMap<&'r str, Vec<Estimate<'a>>> {
        let mut found: BTreeMap<&str, Vec<Estimate>> = BTreeMap::new();
        for recording in recordings.iter().filter(|r| patients.contains(r.patient)) {
            let Some(label) = recording.label.lvef else {
                continue;
            };
            let clips = &recording.played.clips;
            let released = clips.iter().filter_map(|clip| self.released(clip, clips));
            let estimates = released.map(|(percent, view)| Estimate {
                percent,
                view,
                label,
            });
            let estimates: Vec<Estimate> = estimates.collect();
            if !estimates.is_empty() {
                found
                    .entry(recording.patient)
                    .or_default()
                    .extend(estimates);
            }
        }
        found
    }

    /// The EF of a clip and its view, where both of its clips pass the gate as they would live.
    fn released(&self, clip: &PlayedClip, clips: &[PlayedClip]) -> Option<(f64, &'a str)> {
        let Some(HeadOutput::Regression {
            required_views,
            range,
            ..
        }) = self.manifest.heads.get(LVEF).map(|h| &h.output)
        else {
            return None;
        };
        let percent = self.rules.percent(clip.record.lvef_z?)?;
        let view = self.view(clip)?;
        let fits = required_views.iter().any(|v| v == view);
        if !fits || !(range[0]..=range[1]).contains(&percent) {
            return None;
        }
        for &at in &clip.record.lvef_from {
            let other = clips.get(at)?;
            let begin = clip.segment.first_capture_nanos;
            let gap = begin - other.segment.last_capture_nanos;
            let near = gap <= self.max_segment_gap_nanos;
            if self.view(other)? != view || !near || other.segment.sector != clip.segment.sector {
                return None;
            }
        }
        Some((percent, view))
    }

    /// The view of a clip, where it is certain enough.
    fn view(&self, clip: &PlayedClip) -> Option<&'a str> {
        let probabilities = judge::softmax(&clip.record.view, self.rules.temperature);
        let mut best = 0;
        for (at, p) in probabilities.iter().enumerate() {
            if *p > *probabilities.get(best)? {
                best = at;
            }
        }
        let certain = *probabilities.get(best)? >= self.manifest.view.threshold;
        certain.then(|| self.rules.label(Some(best)))?
    }
}
