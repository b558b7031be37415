//! From raw head outputs to outputs that a person may be shown: pure functions.

use crate::decide::{Combined, EjectionRules, ViewDecision, ViewRules, ViewSmoother};
use crate::events::{
    Calibrated, Estimate, Evidence, Interval, LvefValue, Output, Reason, Segment, Status, ViewValue,
};
use crate::manifest::{Calibration, HeadOutput, LvefCalibration, Manifest, Trained};

/// Temperature of the view logits: 1 without a calibration of it.
pub fn temperature(calibration: Option<&Calibration>) -> f64 {
    let view = calibration.and_then(|c| c.view.as_ref());
    view.map_or(1.0, |v| v.temperature)
}

/// Softmax of `logits` over `temperature`, computed in f64 by the same operations on every machine.
pub fn softmax(logits: &[f32], temperature: f64) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |l: &f32| libm::exp(f64::from(l - most) / temperature);
    let powers: Vec<f64> = logits.iter().map(power).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| (p / sum) as f32).collect()
}

/// What a value of such a package is worth; `simulated` says that all frames are of a simulated
/// heart.
pub fn worth(trained: Trained, simulated: bool) -> Status {
    match (trained, simulated) {
        (Trained::Clinical, _) | (Trained::Simulated, true) => Status::Value,
        (Trained::Simulated, false) | (Trained::Untrained, _) => Status::Demonstration,
    }
}

fn evidence(segments: Vec<Segment>) -> Evidence {
    Evidence {
        segments,
        ..Evidence::default()
    }
}

/// When a package's view label is shown and given up.
pub fn view_rules(manifest: &Manifest) -> ViewRules {
    let threshold = f64::from(manifest.view.threshold);
    ViewRules {
        newest_weight: 0.5,
        enter: threshold,
        leave: 0.75 * threshold,
        clips: 1,
    }
}

/// When a package's EF is shown: its own range within that of [`EjectionRules`].
pub fn ejection_rules(range: [f64; 2]) -> EjectionRules {
    let rules = EjectionRules::default();
    let [low, high] = rules.range_percent;
    EjectionRules {
        range_percent: [low.max(range[0]), high.min(range[1])],
        ..rules
    }
}

/// Index of the label that one clip speaks for by itself, at the package's threshold.
pub fn clip_label(manifest: &Manifest, probabilities: &[f32]) -> Option<usize> {
    let mut best = None;
    for (at, p) in probabilities.iter().enumerate() {
        if best.is_none_or(|(_, most)| *p > most) {
            best = Some((at, *p));
        }
    }
    let (at, most) = best?;
    (most >= manifest.view.threshold).then_some(at)
}

/// The `view` output for what the clips so far say.
pub fn view(
    manifest: &Manifest,
    smoother: &ViewSmoother,
    segment: Segment,
    status: Status,
    valid_for_nanos: i64,
) -> Output<ViewValue> {
    let valid_until = segment.last_capture_nanos.saturating_add(valid_for_nanos);
    let evidence = evidence(vec![segment]);
    let label = match smoother.decision() {
        ViewDecision::WarmingUp => return Output::withheld(Reason::WarmingUp, evidence),
        ViewDecision::Uncertain => return Output::withheld(Reason::Uncertain, evidence),
        ViewDecision::Shown(label) => manifest.view_labels().get(label).cloned(),
    };
    let Some(label) = label else {
        return Output::withheld(Reason::EngineDown, evidence);
    };
    Output {
        status,
        reason: None,
        value: Some(ViewValue {
            label,
            probabilities: smoother.means().iter().map(|p| *p as f32).collect(),
        }),
        evidence,
        valid_until_nanos: Some(valid_until),
    }
}

/// EF in percent of a regression head's standardised output, neither clamped nor checked.
pub fn percent(output: &HeadOutput, raw: &[f32]) -> Option<f64> {
    match (output, raw) {
        (HeadOutput::Regression { mean, std, .. }, [z]) => Some(f64::from(*z) * std + mean),
        _ => None,
    }
}

/// The `lvef` output for several readings as one, with an interval where `calibration` speaks for
/// it. One wider than `widest` points withholds the number.
pub fn ejection(
    calibration: Option<&Calibration>,
    widest: Option<f64>,
    combined: Result<Combined, Reason>,
    segments: Vec<Segment>,
    status: Status,
    valid_for_nanos: i64,
) -> Output<LvefValue> {
    let combined = match combined {
        Ok(combined) => combined,
        Err(reason) => return Output::withheld(reason, evidence(segments)),
    };
    let value = combined.percent;
    let newest = segments.iter().map(|s| s.last_capture_nanos).max();
    let (calibrated, interval) = match calibration.and_then(|c| c.lvef.as_ref()) {
        None => (Calibrated::None, None),
        Some(c) if speaks_for(c, value, &segments) => (Calibrated::Inside, Some(around(c, value))),
        Some(_) => (Calibrated::Outside, None),
    };
    let width = interval.map(|i| f64::from(i.high - i.low));
    if width
        .zip(widest)
        .is_some_and(|(width, widest)| width > widest)
    {
        return Output::withheld(Reason::Uncertain, evidence(segments));
    }
    Output {
        status,
        reason: None,
        value: Some(LvefValue {
            percent: value as f32,
            readings: u32::try_from(combined.independent).unwrap_or(u32::MAX),
            agreeing: u32::try_from(combined.agreeing).unwrap_or(u32::MAX),
            spread: combined.spread as f32,
            interval,
            calibration: calibrated,
        }),
        valid_until_nanos: newest.map(|n| n.saturating_add(valid_for_nanos)),
        evidence: evidence(segments),
    }
}

/// True when value and views are among those the calibration was made from.
fn speaks_for(calibration: &LvefCalibration, value: f64, segments: &[Segment]) -> bool {
    let [low, high] = calibration.range;
    let known = |s: &Segment| {
        s.view
            .as_ref()
            .is_some_and(|v| calibration.views.contains(v))
    };
    (low..=high).contains(&value) && segments.iter().all(known)
}

fn around(calibration: &LvefCalibration, value: f64) -> Interval {
    let end = |value: f64| value.clamp(0.0, 100.0) as f32;
    Interval {
        low: end(value - calibration.half_width),
        high: end(value + calibration.half_width),
        coverage: calibration.coverage as f32,
    }
}

/// Withholds a value that `reason` forbids.
pub fn withhold<T>(output: &mut Output<T>, reason: Reason) {
    if output.has_value() {
        let evidence = std::mem::take(&mut output.evidence);
        *output = Output::withheld(reason, evidence);
    }
}

/// Withholds a value that is past its time at `now_nanos`.
pub fn expire<T>(output: &mut Output<T>, now_nanos: i64) {
    if output
        .valid_until_nanos
        .is_some_and(|until| now_nanos > until)
    {
        let evidence = std::mem::take(&mut output.evidence);
        *output = Output::withheld(Reason::Stale, evidence);
    }
}

/// Stamps an estimate that leaves at `now_nanos`: what is past its time goes, ages are written.
pub fn stamp(estimate: &mut Estimate, now_nanos: i64) {
    expire(&mut estimate.view, now_nanos);
    expire(&mut estimate.lvef, now_nanos);
    expire(&mut estimate.signal, now_nanos);
    stamp_age(&mut estimate.view, now_nanos);
    stamp_age(&mut estimate.lvef, now_nanos);
    stamp_age(&mut estimate.signal, now_nanos);
    estimate.sent_nanos = Some(now_nanos);
}

/// Writes the ages of an output's evidence at `now_nanos`.
pub fn stamp_age<T>(output: &mut Output<T>, now_nanos: i64) {
    let segments = &output.evidence.segments;
    let newest = segments.iter().map(|s| s.last_capture_nanos).max();
    let oldest = segments.iter().map(|s| s.first_capture_nanos).min();
    output.evidence.age_newest_nanos = newest.map(|n| now_nanos - n);
    output.evidence.age_oldest_nanos = oldest.map(|o| now_nanos - o);
}
