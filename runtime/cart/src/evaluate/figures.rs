//! What all recordings come to.

use super::file::{FileResult, Rules};
use echocart_core::agreement::{Agreement, LIMITS, bland_altman, wilson};
use serde::Serialize;
use std::collections::BTreeMap;

/// Figures over all recordings that were evaluated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Recordings in the label file.
    pub files: usize,
    /// Those evaluated.
    pub evaluated: usize,
    /// Those skipped, each named in the list of files.
    pub skipped: usize,
    /// Views, of all clips of a file together.
    pub view_before_gating: Option<Share>,
    /// Views as released; a file without one counts as not right.
    pub view_after_gating: Option<Share>,
    /// Labelled files without a released view.
    pub view_withheld: usize,
    /// Released views by label.
    pub confusion: Option<Confusion>,
    /// EF before gating, minus label.
    pub lvef_before_gating: Option<Agreement>,
    /// EF after gating, minus label.
    pub lvef_after_gating: Option<Agreement>,
    /// Labelled files without a released EF.
    pub lvef_withheld: usize,
    /// EF after gating, by label.
    pub lvef_bands: Vec<Band>,
    /// How often intervals hold the label.
    pub interval: Option<IntervalFigures>,
    /// Beside another implementation.
    pub reference: Option<ReferenceFigures>,
}

/// A share with Wilson's 95 % bounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub right: usize,
    /// Of how many.
    pub count: usize,
    /// Bounds of the share.
    pub bounds: Option<[f64; 2]>,
}

/// Released views by label; the last column is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// Labels of rows and columns.
    pub labels: Vec<String>,
    /// Files by label, then by released view.
    pub counts: Vec<Vec<usize>>,
}

/// EF of the files whose label lies in a band.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Band {
    /// The band in words.
    pub label: &'static str,
    /// EF after gating, minus label.
    pub after_gating: Option<Agreement>,
    /// How often intervals hold the label.
    pub interval: Option<IntervalFigures>,
}

/// How often intervals hold the label: mean over patients of the share of their estimates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntervalFigures {
    /// Patients; a file without a patient is one of its own.
    pub patients: usize,
    /// Estimates with an interval.
    pub estimates: usize,
    /// Mean share.
    pub coverage: f64,
    /// Released estimates outside the calibrated domain, which have none.
    pub outside_domain: usize,
}

/// Beside another implementation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReferenceFigures {
    /// Evaluated files that it has an answer for.
    pub joined: usize,
    /// Evaluated files that it has none for.
    pub missing: Vec<String>,
    /// Its paths that are not in the label file.
    pub unknown: Vec<String>,
    /// Files where both say the same view, ours before gating.
    pub view: Option<Share>,
    /// Our EF before gating minus its.
    pub lvef: Option<Agreement>,
    /// Its EF minus label.
    pub lvef_to_label: Option<Agreement>,
}

type InBand = fn(f64) -> bool;
const BANDS: [(&str, InBand); 3] = [
    ("below 40", |ef| ef < 40.0),
    ("40 to 50", |ef| (40.0..=50.0).contains(&ef)),
    ("above 50", |ef| ef > 50.0),
];

impl Figures {
    pub fn new(files: &[FileResult], unknown: Option<Vec<String>>, rules: &Rules) -> Self {
        let done: Vec<&FileResult> = files.iter().filter(|f| f.skipped.is_none()).collect();
        let views: Vec<&FileResult> = with(&done, |f| f.view.label.is_some());
        let fractions: Vec<&FileResult> = with(&done, |f| f.lvef.label.is_some());
        let right = |pick: fn(&FileResult) -> Option<usize>| {
            share(views.iter().map(|f| pick(f) == f.view.label))
        };
        let agreement = |files: &[&FileResult], pick: fn(&FileResult) -> Option<f64>| {
            let differences: Vec<f64> = files.iter().filter_map(|f| pick(f)).collect();
            bland_altman(&differences)
        };
        let band = |(label, inside): &(&'static str, InBand)| {
            let files = with(&fractions, |f| f.lvef.label.is_some_and(inside));
            Band {
                label,
                after_gating: agreement(&files, |f| f.lvef.difference_after),
                interval: intervals(&files),
            }
        };
        Self {
            files: files.len(),
            evaluated: done.len(),
            skipped: files.len() - done.len(),
            view_before_gating: right(|f| f.view.before),
            view_after_gating: right(|f| f.view.after),
            view_withheld: views.iter().filter(|f| f.view.after.is_none()).count(),
            confusion: (!views.is_empty()).then(|| confusion(&views, rules)),
            lvef_before_gating: agreement(&fractions, |f| f.lvef.difference_before),
            lvef_after_gating: agreement(&fractions, |f| f.lvef.difference_after),
            lvef_withheld: fractions.iter().filter(|f| f.lvef.after.is_none()).count(),
            lvef_bands: BANDS
                .iter()
                .filter(|_| !fractions.is_empty())
                .map(band)
                .collect(),
            interval: intervals(&fractions),
            reference: unknown.map(|unknown| reference(&done, unknown)),
        }
    }
}

fn with<'a>(files: &[&'a FileResult], wanted: impl Fn(&FileResult) -> bool) -> Vec<&'a FileResult> {
    files.iter().copied().filter(|f| wanted(f)).collect()
}

fn share(right: impl Iterator<Item = bool>) -> Option<Share> {
    let all: Vec<bool> = right.collect();
    let right = all.iter().filter(|r| **r).count();
    (!all.is_empty()).then(|| Share {
        right,
        count: all.len(),
        bounds: wilson(right, all.len(), LIMITS),
    })
}

fn confusion(files: &[&FileResult], rules: &Rules) -> Confusion {
    let none = rules.labels.len();
    let mut counts = vec![vec![0; none + 1]; none];
    for file in files {
        let row = file.view.label.and_then(|at| counts.get_mut(at));
        let cell = row.and_then(|r| r.get_mut(file.view.after.unwrap_or(none)));
        if let Some(cell) = cell {
            *cell += 1;
        }
    }
    Confusion {
        labels: rules.labels.to_vec(),
        counts,
    }
}

fn intervals(files: &[&FileResult]) -> Option<IntervalFigures> {
    let mut patients: BTreeMap<(bool, &str), (usize, usize)> = BTreeMap::new();
    for file in files.iter().filter(|f| f.lvef.with_interval > 0) {
        let known = file.patient.is_some();
        let key = (known, file.patient.as_deref().unwrap_or(&file.path));
        let (covered, all) = patients.entry(key).or_default();
        *covered += file.lvef.covered;
        *all += file.lvef.with_interval;
    }
    let shares = patients
        .values()
        .map(|(covered, all)| *covered as f64 / *all as f64);
    let count = patients.len();
    (count > 0).then(|| IntervalFigures {
        patients: count,
        estimates: files.iter().map(|f| f.lvef.with_interval).sum(),
        coverage: shares.sum::<f64>() / count as f64,
        outside_domain: files.iter().map(|f| f.lvef.outside_domain).sum(),
    })
}

fn reference(files: &[&FileResult], unknown: Vec<String>) -> ReferenceFigures {
    let joined = with(files, |f| f.reference.is_some());
    let both = |f: &&FileResult| Some((f.view.before?, f.reference.as_ref()?.view?));
    let pairs = joined.iter().filter_map(both);
    let ours = joined
        .iter()
        .filter_map(|f| f.reference.as_ref()?.difference);
    let theirs = |f: &&FileResult| Some(f.reference.as_ref()?.lvef? - f.lvef.label?);
    ReferenceFigures {
        joined: joined.len(),
        missing: with(files, |f| f.reference.is_none())
            .iter()
            .map(|f| f.path.clone())
            .collect(),
        unknown,
        view: share(pairs.map(|(a, b)| a == b)),
        lvef: bland_altman(&ours.collect::<Vec<_>>()),
        lvef_to_label: bland_altman(&joined.iter().filter_map(theirs).collect::<Vec<_>>()),
    }
}
