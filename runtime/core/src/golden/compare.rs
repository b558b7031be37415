//! Expected and found answers side by side.

use super::{Answers, Tolerance};
use serde::Serialize;

/// One output of one golden clip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Name of the golden clip.
    pub clip: String,
    /// `tokens`, or `head NAME KEY`.
    pub output: String,
    /// Tokens: relative RMS. Heads: largest difference over the larger of 1 and the expected
    /// value. Absent if they cannot be compared.
    pub difference: Option<f64>,
    /// Largest difference that passes.
    pub limit: f64,
    /// Why it fails whatever the difference.
    pub note: Option<String>,
}

impl Check {
    /// True if the output is the expected one within the tolerance.
    pub fn passed(&self) -> bool {
        self.note.is_none() && self.difference.is_some_and(|d| d <= self.limit)
    }
}

/// Compares answers clip by clip. `names`, `expected` and `found` go together.
///
/// A head that answers different clips bit for bit alike, while the expected answers differ, fails
/// whatever the tolerance: a graph without its weights does that.
pub fn compare(
    names: &[&String],
    expected: &[Answers],
    found: &[Answers],
    tolerance: &Tolerance,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let (Some(expected_one), Some(found_one)) = (expected.get(at), found.get(at)) else {
            continue;
        };
        checks.push(tokens(name, expected_one, found_one, tolerance));
        for (graph, values) in &found_one.heads {
            let output = format!("head {} {}", graph.0, graph.1);
            let wanted = expected_one.heads.get(graph).map(Vec::as_slice);
            let mut check = Check {
                clip: (*name).clone(),
                output,
                difference: None,
                limit: tolerance.heads,
                note: None,
            };
            match comparable(wanted, values) {
                Ok(wanted) => check.difference = Some(worst(wanted, values)),
                Err(note) => check.note = Some(note),
            }
            let other = |answers: &[Answers]| {
                let other = answers.iter().position(|a| {
                    let one = answers.get(at).and_then(|one| one.heads.get(graph));
                    a.heads.get(graph) != one
                });
                other.is_some()
            };
            if check.note.is_none() && other(expected) && !other(found) {
                check.note = Some("it answers every clip alike".to_owned());
            }
            checks.push(check);
        }
    }
    checks
}

fn tokens(name: &str, expected: &Answers, found: &Answers, tolerance: &Tolerance) -> Check {
    let mut check = Check {
        clip: name.to_owned(),
        output: "tokens".to_owned(),
        difference: None,
        limit: tolerance.tokens_relative_rms,
        note: None,
    };
    if expected.places != found.places {
        check.note = Some("the expected ones are of other places".to_owned());
        return check;
    }
    match comparable(Some(&expected.tokens), &found.tokens) {
        Ok(wanted) => check.difference = relative_rms(wanted, &found.tokens),
        Err(note) => check.note = Some(note),
    }
    if check.difference.is_none() && check.note.is_none() {
        check.note = Some("the expected ones are all 0".to_owned());
    }
    check
}

fn comparable<'a>(expected: Option<&'a [f32]>, found: &[f32]) -> Result<&'a [f32], String> {
    let expected = expected.ok_or("no output is expected of this graph")?;
    if expected.len() != found.len() || found.is_empty() {
        let (expected, found) = (expected.len(), found.len());
        return Err(format!("expected {expected} values, found {found}"));
    }
    match expected.iter().chain(found).find(|v| !v.is_finite()) {
        Some(value) => Err(format!("expected finite numbers, found {value}")),
        None => Ok(expected),
    }
}

fn worst(expected: &[f32], found: &[f32]) -> f64 {
    let difference = |(&e, &f): (&f32, &f32)| {
        let (e, f) = (f64::from(e), f64::from(f));
        (e - f).abs() / e.abs().max(1.0)
    };
    expected
        .iter()
        .zip(found)
        .map(difference)
        .fold(0.0, f64::max)
}

fn relative_rms(expected: &[f32], found: &[f32]) -> Option<f64> {
    let square = |v: f64| v * v;
    let pairs = expected.iter().zip(found);
    let error: f64 = pairs
        .map(|(&e, &f)| square(f64::from(e) - f64::from(f)))
        .sum();
    let power: f64 = expected.iter().map(|&e| square(f64::from(e))).sum();
    (power > 0.0).then(|| (error / power).sqrt())
}
