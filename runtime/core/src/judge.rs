//! From raw head outputs to outputs that a person may be shown: pure functions.

use crate::events::{Evidence, LvefValue, Output, Reason, Segment, Status, ViewValue};
use crate::manifest::{HeadOutput, Manifest, Trained};

/// Softmax of `logits`, computed in f64 with the same operations on every machine that has the
/// same `exp`.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|l| f64::from(l - most).exp()).collect();
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
    logits: &[f32],
    segment: Segment,
    valid_for_nanos: i64,
) -> Output<ViewValue> {
    let labels = manifest.view_labels();
    if logits.len() != labels.len() || logits.iter().any(|l| !l.is_finite()) {
        return Output::withheld(Reason::EngineDown, evidence(vec![segment]));
    }
    let probabilities = softmax(logits);
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
/// range (never clamped).
pub fn regression(
    manifest: &Manifest,
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
    Output {
        status: status(manifest.card.trained),
        reason: None,
        value: Some(LvefValue {
            percent: value as f32,
        }),
        valid_until_nanos: newest.map(|n| n + valid_for_nanos),
        evidence: evidence(segments),
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
