//! The evaluation as a table, a JSON file and a CSV file.

use super::figures::{Confusion, Figures, IntervalFigures, Share};
use super::file::{FileResult, Rules};
use crate::exit::{Cause, Failure};
use crate::labelled::field;
use echocart_core::agreement::Agreement;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Name of the JSON file.
const JSON: &str = "evaluation.json";
/// Name of the CSV file.
const CSV: &str = "files.csv";

/// Everything `evaluate` found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// `id@hash`.
    pub package: String,
    /// Title of the package's card.
    pub card: String,
    /// `untrained`, `simulated` or `clinical`.
    pub trained: &'static str,
    /// True where results only show the path.
    pub demonstration: bool,
    /// Variant that ran.
    pub variant: String,
    /// Provider that ran it.
    pub provider: String,
    /// ONNX Runtime library.
    pub library: String,
    /// What the variant is calibrated on, in words.
    pub calibration: String,
    /// Label file and its SHA-256.
    pub labels: String,
    /// View labels; views of files are indices.
    pub view_labels: Vec<String>,
    /// Over all files.
    pub figures: Figures,
    /// One by one.
    pub files: Vec<FileResult>,
}

impl Evaluation {
    /// The table for people.
    pub fn text(&self, rules: &Rules) -> String {
        let mut text = String::new();
        self.head(&mut text);
        self.rows(&mut text, rules);
        self.views(&mut text);
        self.fractions(&mut text);
        self.beside_reference(&mut text);
        self.skipped(&mut text);
        text
    }

    fn head(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "package: {} ({}), {}\nengine: {} on {}, variant {}\ncalibration: {}\nlabels: {}",
            self.package,
            self.trained,
            self.card,
            self.provider,
            self.library,
            self.variant,
            self.calibration,
            self.labels
        );
        if self.demonstration {
            let why = "numbers show the path and have no clinical meaning";
            let _ = writeln!(
                text,
                "DEMONSTRATION: a package that is {}; {why}",
                self.trained
            );
        }
    }

    fn rows(&self, text: &mut String, rules: &Rules) {
        let name = |file: &FileResult| file.path.chars().count();
        let width = self.files.iter().map(name).max().unwrap_or(0).clamp(4, 60);
        let _ = writeln!(
            text,
            "\n{:<width$}  {:<24} {:>6} {:>6} {:>6}  EF estimates",
            "file", "view (label)", "EF", "label", "diff"
        );
        for file in self.files.iter().filter(|f| f.skipped.is_none()) {
            let view = rules.label(file.view.after).unwrap_or("-");
            let view = match rules.label(file.view.label) {
                Some(label) => format!("{view} ({label})"),
                None => view.to_owned(),
            };
            let _ = writeln!(
                text,
                "{:<width$}  {view:<24} {:>6} {:>6} {:>6}  {}",
                ending(&file.path, width),
                number(file.lvef.after),
                number(file.lvef.label),
                number(file.lvef.difference_after),
                counts(&file.lvef.outputs)
            );
        }
    }

    fn views(&self, text: &mut String) {
        let figures = &self.figures;
        for (when, share) in [
            ("before", &figures.view_before_gating),
            ("after", &figures.view_after_gating),
        ] {
            if let Some(share) = share {
                let _ = writeln!(text, "\nview {when} gating: {}", share_words(share));
            }
        }
        if let Some(confusion) = &figures.confusion {
            let _ = writeln!(
                text,
                "files without a released view: {}",
                figures.view_withheld
            );
            confusion_table(text, confusion);
        }
    }

    fn fractions(&self, text: &mut String) {
        let figures = &self.figures;
        for (when, agreement) in [
            ("before", &figures.lvef_before_gating),
            ("after", &figures.lvef_after_gating),
        ] {
            if let Some(agreement) = agreement {
                let _ = writeln!(text, "\nEF {when} gating: {}", agreement_words(agreement));
            }
        }
        if !figures.lvef_bands.is_empty() {
            let _ = writeln!(
                text,
                "files without a released EF: {}",
                figures.lvef_withheld
            );
        }
        for band in &figures.lvef_bands {
            if let Some(agreement) = &band.after_gating {
                let _ = write!(
                    text,
                    "  label {}: {}",
                    band.label,
                    agreement_words(agreement)
                );
                let _ = match &band.interval {
                    Some(interval) => writeln!(text, "; {}", interval_words(interval)),
                    None => writeln!(text),
                };
            }
        }
        if let Some(interval) = &figures.interval {
            let _ = writeln!(text, "EF intervals: {}", interval_words(interval));
        }
    }

    fn beside_reference(&self, text: &mut String) {
        let Some(reference) = &self.figures.reference else {
            return;
        };
        let _ = writeln!(text, "\nreference: {} files joined", reference.joined);
        if let Some(share) = &reference.view {
            let _ = writeln!(text, "  same view: {}", share_words(share));
        }
        if let Some(agreement) = &reference.lvef {
            let words = agreement_words(agreement);
            let _ = writeln!(text, "  EF before gating minus reference: {words}");
        }
        if let Some(agreement) = &reference.lvef_to_label {
            let words = agreement_words(agreement);
            let _ = writeln!(text, "  reference minus label: {words}");
        }
        for (what, paths) in [
            ("not in the reference", &reference.missing),
            ("only in the reference", &reference.unknown),
        ] {
            for path in paths {
                let _ = writeln!(text, "  {what}: {path}");
            }
        }
    }

    fn skipped(&self, text: &mut String) {
        let figures = &self.figures;
        let _ = writeln!(
            text,
            "\nfiles: {} evaluated, {} skipped",
            figures.evaluated, figures.skipped
        );
        for file in &self.files {
            if let Some(reason) = &file.skipped {
                let _ = writeln!(text, "skipped {}: {reason}", file.path);
            }
        }
    }

    fn csv(&self, rules: &Rules) -> String {
        let mut text = "path,patient,skipped,frames,clips,view_label,view_before,view_probability,\
                        view_after,lvef_label,lvef_before,lvef_after,difference_before,\
                        difference_after,lvef_outputs,reference_view,reference_lvef,\
                        reference_difference\n"
            .to_owned();
        let real = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
        let label = |v: Option<usize>| rules.label(v).unwrap_or_default().to_owned();
        for file in &self.files {
            let reference = file.reference.as_ref();
            let fields = [
                file.path.clone(),
                file.patient.clone().unwrap_or_default(),
                file.skipped.clone().unwrap_or_default(),
                file.frames.to_string(),
                file.clips.to_string(),
                label(file.view.label),
                label(file.view.before),
                real(file.view.probability),
                label(file.view.after),
                real(file.lvef.label),
                real(file.lvef.before),
                real(file.lvef.after),
                real(file.lvef.difference_before),
                real(file.lvef.difference_after),
                counts(&file.lvef.outputs),
                label(reference.and_then(|r| r.view)),
                real(reference.and_then(|r| r.lvef)),
                real(reference.and_then(|r| r.difference)),
            ];
            text += &fields.each_ref().map(|f| field(f)).join(",");
            text.push('\n');
        }
        text
    }
}

/// The folder results go to, checked before the work starts.
pub struct OutFolder(PathBuf);

impl OutFolder {
    /// A folder that is new, empty, or may have its results replaced.
    pub fn check(dir: &Path, replace: bool) -> Result<Self, Failure> {
        let shown = dir.display();
        let wrong = |text: String| Err(Failure::text(Cause::Other, text));
        if dir.exists() && !dir.is_dir() {
            return wrong(format!("--out: expected a folder, found a file ({shown})"));
        }
        let taken = [JSON, CSV].into_iter().find(|name| dir.join(name).exists());
        if let Some(name) = taken.filter(|_| !replace) {
            let expected = "expected no results there, or --replace";
            return wrong(format!("--out: {expected}, found {name} ({shown})"));
        }
        Ok(Self(dir.to_owned()))
    }

    /// Writes both files.
    pub fn write(&self, evaluation: &Evaluation, rules: &Rules) -> Result<(), Failure> {
        let failed = |path: &Path, error: &dyn std::fmt::Display| {
            let shown = path.display();
            Failure::text(Cause::Other, format!("cannot write: {error} ({shown})"))
        };
        let Self(dir) = self;
        std::fs::create_dir_all(dir).map_err(|e| failed(dir, &e))?;
        let json = serde_json::to_string_pretty(evaluation).map_err(|e| failed(dir, &e))? + "\n";
        for (name, text) in [(JSON, json), (CSV, evaluation.csv(rules))] {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(|e| failed(&path, &e))?;
        }
        Ok(())
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"))
}

/// The end of a path that is too long for its column.
fn ending(path: &str, width: usize) -> String {
    let length = path.chars().count();
    if length <= width {
        return path.to_owned();
    }
    let tail: String = path.chars().skip(length + 3 - width).collect();
    format!("...{tail}")
}

fn counts(outputs: &BTreeMap<String, usize>) -> String {
    let words: Vec<String> = outputs
        .iter()
        .map(|(what, n)| format!("{what} {n}"))
        .collect();
    words.join(" ")
}

pub fn share_words(share: &Share) -> String {
    let percent = |v: f64| 100.0 * v;
    let rate = percent(share.right as f64 / share.count as f64);
    let [low, high] = share.bounds.unwrap_or([0.0, 1.0]).map(percent);
    format!(
        "{} of {} right, {rate:.1} % (95 % bounds {low:.1} to {high:.1})",
        share.right, share.count
    )
}

pub fn agreement_words(agreement: &Agreement) -> String {
    let limits = agreement.limits.map_or_else(String::new, |[low, high]| {
        format!(", limits of agreement {low:.1} to {high:.1}")
    });
    format!(
        "n {}, bias {:.2}{limits}, MAE {:.2}, largest {:.1}",
        agreement.count, agreement.bias, agreement.mae, agreement.max
    )
}

fn interval_words(interval: &IntervalFigures) -> String {
    format!(
        "{:.1} % of {} patients' estimates hold the label ({} estimates, {} outside the calibrated \
         domain)",
        100.0 * interval.coverage,
        interval.patients,
        interval.estimates,
        interval.outside_domain
    )
}

fn confusion_table(text: &mut String, confusion: &Confusion) {
    let labels = &confusion.labels;
    let width = labels
        .iter()
        .map(|l| l.chars().count())
        .max()
        .unwrap_or(1)
        .max(4);
    let _ = write!(text, "{:<width$}", "label");
    for label in labels.iter().map(String::as_str).chain(["-"]) {
        let _ = write!(text, " {label:>width$}");
    }
    let _ = writeln!(text);
    let rows = labels.iter().zip(&confusion.counts);
    for (label, row) in rows.filter(|(_, row)| row.iter().any(|n| *n > 0)) {
        let _ = write!(text, "{label:<width$}");
        for count in row {
            let _ = write!(text, " {count:>width$}");
        }
        let _ = writeln!(text);
    }
}
