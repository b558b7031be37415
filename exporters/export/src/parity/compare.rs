//! Comparison of one output with its expected array.

use ndarray::ArrayD;
use serde::Serialize;

/// Largest relative RMS of tokens: a few units in the last place of f32 after 24 blocks.
pub const TOKENS_TOLERANCE: f64 = 1e-5;
/// Largest difference of a head's value, over the larger of 1 and its magnitude.
pub const HEAD_TOLERANCE: f64 = 1e-4;

/// What became of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    /// Within the tolerance.
    #[serde(rename = "pass")]
    Pass,
    /// Outside, or not comparable.
    #[serde(rename = "fail")]
    Fail,
    /// Not computed by this version.
    #[serde(rename = "not checked")]
    NotChecked,
}

impl Status {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotChecked => "not checked",
        }
    }
}

/// One output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub output: String,
    /// Largest difference; absent if it could not be compared.
    pub max_abs: Option<f64>,
    /// RMS of the differences over the RMS of the expected values; absent likewise.
    pub relative_rms: Option<f64>,
    /// Whether it passed.
    pub status: Status,
    /// Why it could not be compared.
    #[serde(skip)]
    pub note: Option<String>,
}

impl Row {
    pub(super) fn not_checked(output: String) -> Self {
        Self {
            output,
            max_abs: None,
            relative_rms: None,
            status: Status::NotChecked,
            note: None,
        }
    }

    pub(super) fn failed(output: &str, note: String) -> Self {
        Self {
            output: output.to_owned(),
            max_abs: None,
            relative_rms: None,
            status: Status::Fail,
            note: Some(note),
        }
    }
}

struct Difference {
    max_abs: f64,
    relative_rms: f64,
    worst_head: f64,
}

fn difference(found: &[f32], expected: &[f32]) -> Result<Difference, String> {
    if let Some(value) = expected.iter().find(|v| !v.is_finite()) {
        return Err(format!("expected.npz holds {value}"));
    }
    if let Some(value) = found.iter().find(|v| !v.is_finite()) {
        return Err(format!("the engine gave {value}"));
    }
    let (mut max_abs, mut worst_head) = (0f64, 0f64);
    let (mut square, mut reference) = (0f64, 0f64);
    for (&found, &expected) in found.iter().zip(expected) {
        let (found, expected) = (f64::from(found), f64::from(expected));
        let absolute = (found - expected).abs();
        max_abs = max_abs.max(absolute);
        worst_head = worst_head.max(absolute / expected.abs().max(1.0));
        square += absolute * absolute;
        reference += expected * expected;
    }
    let relative_rms = if square == 0.0 {
        0.0
    } else {
        (square / reference).sqrt()
    };
    Ok(Difference {
        max_abs,
        relative_rms,
        worst_head,
    })
}

fn row(
    output: &str,
    found: &[f32],
    shape: &[usize],
    expected: Result<ArrayD<f32>, String>,
    within: impl Fn(&Difference) -> bool,
) -> Row {
    let expected = match expected {
        Ok(expected) => expected,
        Err(note) => return Row::failed(output, note),
    };
    if expected.shape() != shape {
        let note = format!(
            "expected.npz: expected shape {shape:?}, found {:?}",
            expected.shape()
        );
        return Row::failed(output, note);
    }
    if found.len() != expected.len() || found.is_empty() {
        let note = format!(
            "the engine gave {} values of {}",
            found.len(),
            expected.len()
        );
        return Row::failed(output, note);
    }
    let expected: Vec<f32> = expected.iter().copied().collect();
    match difference(found, &expected) {
        Ok(difference) => Row {
            output: output.to_owned(),
            max_abs: Some(difference.max_abs),
            relative_rms: Some(difference.relative_rms).filter(|v| v.is_finite()),
            status: if within(&difference) {
                Status::Pass
            } else {
                Status::Fail
            },
            note: None,
        },
        Err(note) => Row::failed(output, note),
    }
}

/// Compares tokens `[tokens, dim]`, or those rows of them that `index` lists.
pub(super) fn compare_tokens(
    output: &str,
    found: &[f32],
    [tokens, dim]: [usize; 2],
    expected: Result<ArrayD<f32>, String>,
    index: Option<(&str, Result<Vec<i64>, String>)>,
) -> Row {
    if found.len() != tokens * dim {
        let note = format!("the engine gave {} values of {}", found.len(), tokens * dim);
        return Row::failed(output, note);
    }
    let rows: Result<Vec<usize>, String> = match index {
        None => Ok((0..tokens).collect()),
        Some((name, index)) => index.and_then(|index| {
            let place = |&row: &i64| {
                let place = usize::try_from(row).ok().filter(|&row| row < tokens);
                place.ok_or_else(|| {
                    format!("{name}: expected 0 to {}, found {row}", tokens.max(1) - 1)
                })
            };
            index.iter().map(place).collect()
        }),
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(note) => return Row::failed(output, note),
    };
    let found: Vec<f32> = rows
        .iter()
        .flat_map(|&row| &found[row * dim..(row + 1) * dim])
        .copied()
        .collect();
    let within = |d: &Difference| d.relative_rms <= TOKENS_TOLERANCE;
    row(output, &found, &[1, rows.len(), dim], expected, within)
}

/// Compares a head's values.
pub(super) fn compare_head(
    output: &str,
    found: &[f32],
    values: usize,
    expected: Result<ArrayD<f32>, String>,
) -> Row {
    row(output, found, &[1, values], expected, |d| {
        d.worst_head <= HEAD_TOLERANCE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::IxDyn;

    fn array(shape: &[usize], values: &[f32]) -> Result<ArrayD<f32>, String> {
        Ok(ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap())
    }

    #[test]
    fn equal_values_pass_and_a_difference_beyond_the_tolerance_fails() {
        let row = compare_head("o", &[1.0, 2.0], 2, array(&[1, 2], &[1.0, 2.0]));
        assert_eq!((row.status, row.max_abs), (Status::Pass, Some(0.0)));
        let row = compare_head("o", &[1.0, 2.0003], 2, array(&[1, 2], &[1.0, 2.0]));
        assert_eq!(row.status, Status::Fail);
        let row = compare_tokens(
            "o",
            &[1.0, 2.00005],
            [1, 2],
            array(&[1, 1, 2], &[1.0, 2.0]),
            None,
        );
        assert_eq!(row.status, Status::Fail);
    }

    #[test]
    fn a_head_tolerance_grows_with_the_reference_alone() {
        let row = compare_head("o", &[1000.05], 1, array(&[1, 1], &[1000.0]));
        assert_eq!(row.status, Status::Pass);
        let row = compare_head("o", &[0.0002], 1, array(&[1, 1], &[0.0]));
        assert_eq!(row.status, Status::Fail);
    }

    #[test]
    fn what_cannot_be_compared_fails() {
        for expected in [
            array(&[2], &[1.0, 2.0]),
            array(&[1, 3], &[1.0, 2.0, 3.0]),
            array(&[1, 2], &[1.0, f32::NAN]),
            array(&[1, 2], &[1.0, f32::INFINITY]),
            Err("missing".to_owned()),
        ] {
            let row = compare_head("o", &[1.0, 2.0], 2, expected);
            assert_eq!((row.status, row.max_abs), (Status::Fail, None));
            assert!(row.note.is_some());
        }
        for found in [&[1.0, f32::NAN][..], &[1.0], &[]] {
            let row = compare_head("o", found, 2, array(&[1, 2], &[1.0, 2.0]));
            assert_eq!(row.status, Status::Fail);
        }
    }

    #[test]
    fn an_index_picks_rows_and_one_outside_fails() {
        let tokens = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let picked = array(&[1, 2, 2], &[5.0, 6.0, 1.0, 2.0]);
        let row = compare_tokens(
            "o",
            &tokens,
            [3, 2],
            picked.clone(),
            Some(("index", Ok(vec![2, 0]))),
        );
        assert_eq!(row.status, Status::Pass);
        let row = compare_tokens(
            "o",
            &tokens,
            [3, 2],
            picked.clone(),
            Some(("index", Ok(vec![2, 3]))),
        );
        assert_eq!(row.status, Status::Fail);
        let row = compare_tokens(
            "o",
            &tokens,
            [3, 2],
            picked,
            Some(("index", Ok(vec![2, -1]))),
        );
        assert_eq!(row.status, Status::Fail);
        let none = compare_tokens(
            "o",
            &tokens,
            [3, 2],
            array(&[1, 0, 2], &[]),
            Some(("index", Ok(vec![]))),
        );
        assert_eq!(none.status, Status::Fail);
    }

    #[test]
    fn rows_are_written_with_four_keys() {
        let row = compare_head("o", &[1.0], 1, array(&[1, 1], &[1.0]));
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(
            json,
            r#"{"output":"o","max_abs":0.0,"relative_rms":0.0,"status":"pass"}"#
        );
        let json = serde_json::to_string(&Row::not_checked("k".to_owned())).unwrap();
        assert!(json.ends_with(r#""status":"not checked"}"#));
    }
}
