//! From raw head outputs to outputs that a person may be shown: pure functions.

use crate::events::{
    Calibrated, Evidence, Interval, LvefValue, Output, Reason, Segment, Status, ViewValue,
};
use crate::manifest::{Calibration, HeadOutput, LvefCalibration, Manifest, Trained};

/// Temperature of the view logits: 1 without a calibration of it.
pub fn temperature(calibration: Option<&Calibration>) -> f64 {
    let view = calibration.and_then(|c| c.view.as_ref());
    view.map_or(1.0, |v| v.temperature)
}

/// Softmax of `logits` over `temperature`, computed in f64 with the same operations on every
/// machine that has the same `exp`.
pub fn softmax(logits: &[f32], temperature: f64) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |l: &f32| (f64::from(l - most) / temperature).exp();
    let powers: Vec<f64> = logits.iter().map(power).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| (p / sum) as f32).collect()
}

fn status(trained: Trained) -> Status {
    match trained {
        Trained::Clinical => Status::Value,
        Trained::Untrained | Trained::Simulated => Status::Demonstration,
    }
}

fn evidence(segments: Vec<Segment>) -> Evidence {
    Evidence {
        segments,
        ..Evidence::default()
    }
}

/// Judges the view head's logits for one clip.
///
/// WITHHELD: ENGINE_DOWN for a number that is not finite or a wrong count, UNCERTAIN below the
/// package's threshold.
pub fn view(
    manifest: &Manifest,
    calibration: Option<&Calibration>,
    logits: &[f32],
    segment: Segment,
    valid_for_nanos: i64,
) -> Output<ViewValue> {
    let labels = manifest.view_labels();
    if logits.len() != labels.len() || logits.iter().any(|l| !l.is_finite()) {
        return Output::withheld(Reason::EngineDown, evidence(vec![segment]));
    }
    let probabilities = softmax(logits, temperature(calibration));
    let mut best = 0;
    for (at, p) in probabilities.iter().enumerate() {
        if *p > probabilities[best] {
            best = at;
        }
    }
    if probabilities[best] < manifest.view.threshold {
        return Output::withheld(Reason::Uncertain, evidence(vec![segment]));
    }
    let label = labels[best].clone();
    let valid_until = segment.last_capture_nanos + valid_for_nanos;
    Output {
        status: status(manifest.card.trained),
        reason: None,
        value: Some(ViewValue {
            label: label.clone(),
            probabilities,
        }),
        evidence: evidence(vec![Segment {
            view: Some(label),
            ..segment
        }]),
        valid_until_nanos: Some(valid_until),
    }
}

/// Judges a regression head's standardised output.
///
/// WITHHELD: ENGINE_DOWN for a number that is not finite, OUT_OF_RANGE outside the package's
/// range (never clamped). The value has an interval where `calibration` speaks for it.
pub fn regression(
    manifest: &Manifest,
    calibration: Option<&Calibration>,
    output: &HeadOutput,
    raw: &[f32],
    segments: Vec<Segment>,
    valid_for_nanos: i64,
) -> Output<LvefValue> {
    let (
        HeadOutput::Regression {
            mean, std, range, ..
        },
        [z],
    ) = (output, raw)
    else {
        return Output::withheld(Reason::EngineDown, evidence(segments));
    };
    let value = f64::from(*z) * std + mean;
    if !value.is_finite() {
        return Output::withheld(Reason::EngineDown, evidence(segments));
    }
    if value < range[0] || value > range[1] {
        return Output::withheld(Reason::OutOfRange, evidence(segments));
    }
    let newest = segments.iter().map(|s| s.last_capture_nanos).max();
    let (calibrated, interval) = match calibration.and_then(|c| c.lvef.as_ref()) {
        None => (Calibrated::None, None),
        Some(c) if speaks_for(c, value, &segments) => (Calibrated::Inside, Some(around(c, value))),
        Some(_) => (Calibrated::Outside, None),
    };
    Output {
        status: status(manifest.card.trained),
        reason: None,
        value: Some(LvefValue {
            percent: value as f32,
            interval,
            calibration: calibrated,
        }),
        valid_until_nanos: newest.map(|n| n + valid_for_nanos),
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

/// Why a head that needs a view may not run on what the view head said, if so.
pub fn view_gate(required_views: &[String], view: &Output<ViewValue>) -> Result<String, Reason> {
    match &view.value {
        Some(value) if required_views.contains(&value.label) => Ok(value.label.clone()),
        Some(_) => Err(Reason::WrongView),
        None => Err(view.reason.unwrap_or(Reason::Uncertain)),
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

/// Writes the ages of an output's evidence at `now_nanos`.
pub fn stamp_age<T>(output: &mut Output<T>, now_nanos: i64) {
    let segments = &output.evidence.segments;
    let newest = segments.iter().map(|s| s.last_capture_nanos).max();
    let oldest = segments.iter().map(|s| s.first_capture_nanos).min();
    output.evidence.age_newest_nanos = newest.map(|n| now_nanos - n);
    output.evidence.age_oldest_nanos = oldest.map(|o| now_nanos - o);
}
