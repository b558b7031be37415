//! `echocart calibrate`: view temperature and EF interval from labelled recordings.

mod fit;
mod split;

use crate::evaluate::Rules;
use crate::exit::{Because, Cause, Failure};
use crate::export::{interrupted, print, stop_flag};
use crate::labelled::{LabelledArgs, NewPackage, Outcome, Ready, leave_interrupted, play_all};
use clap::Args;
use echocart_core::calibration::{COVERAGES, CalibrationError};
use echocart_core::manifest::{Calibration, Domain, Manifest};
use echocart_export::ExportReport;
use fit::{Gate, LvefFit, Recording, ViewFit};
use regex_lite::Regex;
use split::{Split, patients};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::ExitCode;

const HELP: &str = "\
Recordings run through the live path. The patients are split: one part fits, the other checks, and no
patient is in both. The temperature is that of maximum likelihood. The interval is split conformal:
half its width is the residual of rank ceil((n + 1) x coverage) among n patients, the estimates of one
patient sharing one rank. Too few patients for the coverage are refused. The result goes into a new
package with the old one's hash as its parent, for the variant that ran and no other.

Examples:
  echocart calibrate --labels val.csv --package pkg --out pkg-calibrated
  echocart calibrate --labels val.csv --patient-from '^([^/]+)/' --coverage 0.95 \\
      --package pkg --variant int8 --out pkg-calibrated

Exit codes: 0 done, 1 a file was skipped or could not be written, 2 usage, configuration, labels or
too few patients, 4 package, 5 ONNX Runtime library, 130 interrupted (nothing is left behind).";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CalibrateArgs {
    #[command(flatten)]
    labelled: LabelledArgs,
    /// Where the patient stands in a path of the label file: the pattern's first group. Instead of
    /// a patient column.
    #[arg(long, value_name = "REGEX", value_parser = one_group)]
    patient_from: Option<Regex>,
    /// Share of new patients' estimates whose interval shall hold the true value; 1 - alpha.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = coverage)]
    coverage: f64,
    /// Share of the patients that only check the result.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share)]
    held_out: f64,
    /// Where the recordings come from, in words, for the calibration's domain.
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    #[command(flatten)]
    new: NewPackage,
}

fn one_group(text: &str) -> Result<Regex, String> {
    let pattern = Regex::new(text).map_err(|e| e.to_string())?;
    match pattern.captures_len() {
        2.. => Ok(pattern),
        _ => Err("expected a pattern with a group, found none".to_owned()),
    }
}

fn coverage(text: &str) -> Result<f64, String> {
    let error = |found| CalibrationError::Coverage { found }.to_string();
    let value = text.parse().map_err(|_| error(f64::NAN))?;
    COVERAGES
        .contains(&value)
        .then_some(value)
        .ok_or_else(|| error(value))
}

fn share(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok();
    let fits = value.filter(|v| (0.0..1.0).contains(v));
    fits.ok_or_else(|| format!("expected 0 or more and less than 1, found {text:?}"))
}

/// Calibrates and prints what came out.
pub fn calibrate(args: &CalibrateArgs) -> Result<ExitCode, Failure> {
    let stop = stop_flag()?;
    args.new.check()?;
    let mut ready = args.labelled.open(&stop)?;
    let patients = patients(&ready.labels, args.patient_from.as_ref())?;
    let Some(outcomes) = play_all(&mut ready, &stop, &mut None)? else {
        leave_interrupted();
    };
    let variant = ready.player.engine_info().variant;
    let fitted = fit_all(args, &ready, &patients, &outcomes)?;
    let Fitted { calibration, .. } = &fitted;
    let edit = |manifest: &mut Manifest| {
        let of_variant = calibration.clone();
        manifest.calibration.insert(variant.clone(), of_variant);
    };
    let Some(report) = args.new.write(&ready.package, edit, stop)? else {
        return Ok(interrupted());
    };
    let skipped: Vec<(&str, &str)> = ready
        .labels
        .rows
        .iter()
        .zip(&outcomes)
        .filter_map(|(row, outcome)| match outcome {
            Outcome::Skipped(reason) => Some((row.shown.as_str(), reason.as_str())),
            Outcome::Played(_) => None,
        })
        .collect();
    print(&words(&report, &ready, &variant, &fitted, &skipped)).because(Cause::Other)?;
    Ok(if skipped.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Cause::Other as u8)
    })
}

struct Fitted {
    view: Result<Option<ViewFit>, CalibrationError>,
    lvef: Option<LvefFit>,
    calibration: Calibration,
}

fn fit_all(
    args: &CalibrateArgs,
    ready: &Ready,
    patients: &[String],
    outcomes: &[Outcome],
) -> Result<Fitted, Failure> {
    let rows = ready.labels.rows.iter().zip(patients).zip(outcomes);
    let recordings: Vec<Recording> = rows
        .filter_map(|((label, patient), outcome)| match outcome {
            Outcome::Played(played) => Some(Recording {
                label,
                patient,
                played,
            }),
            Outcome::Skipped(_) => None,
        })
        .collect();
    let labelled = |r: &Recording| r.label.view.is_some() || r.label.lvef.is_some();
    let recordings: Vec<Recording> = recordings.into_iter().filter(labelled).collect();
    let all: BTreeSet<String> = recordings.iter().map(|r| r.patient.to_owned()).collect();
    let split = Split::new(&all, args.held_out);
    let view = match fit::view(&recordings, &split) {
        error @ Err(CalibrationError::NoMaximum { .. }) => error,
        view => Ok(view.because(Cause::Usage)?),
    };
    let manifest = &ready.package.manifest;
    let mut rules = Rules::new(manifest, None);
    if let Ok(Some(view)) = &view {
        rules.temperature = view.calibration.temperature;
    }
    let gate = Gate {
        manifest,
        rules: &rules,
        max_segment_gap_nanos: ready.player.max_segment_gap_nanos(),
    };
    let lvef = fit::lvef(&recordings, &split, &gate, args.coverage).because(Cause::Usage)?;
    let fitted_view = view.as_ref().ok().and_then(Option::as_ref);
    if fitted_view.is_none() && lvef.is_none() {
        let why = match &view {
            Err(error) => error.to_string(),
            Ok(_) => "expected views or ejection fractions in the labels, found none".to_owned(),
        };
        let text = format!("nothing to calibrate: {why} ({})", ready.labels.name);
        return Err(Failure::text(Cause::Usage, text));
    }
    let calibration = Calibration {
        view: fitted_view.map(|v| v.calibration.clone()),
        lvef: lvef.as_ref().map(|l| l.calibration.clone()),
        domain: domain(args, ready, &recordings, &split),
    };
    Ok(Fitted {
        view,
        lvef,
        calibration,
    })
}

fn domain(args: &CalibrateArgs, ready: &Ready, recordings: &[Recording], split: &Split) -> Domain {
    let labels = &ready.labels;
    let hash = labels.sha256.get(..12).unwrap_or_default();
    let mut sources: Vec<String> = args.source.iter().cloned().collect();
    sources.push(format!("{} (sha256 {hash})", labels.name));
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut views: BTreeMap<String, usize> = BTreeMap::new();
    let names = ready.package.manifest.view_labels();
    for recording in recordings {
        *kinds.entry(recording.played.source.kind).or_default() += 1;
        if let Some(view) = recording.label.view.and_then(|at| names.get(at)) {
            *views.entry(view.clone()).or_default() += 1;
        }
    }
    sources.extend(kinds.iter().map(|(kind, count)| format!("{count} {kind}")));
    Domain {
        sources,
        patients: split.fitted.len() + split.held_out.len(),
        files: recordings.len(),
        clips: recordings.iter().map(|r| r.played.clips.len()).sum(),
        views,
        split: split.words(),
    }
}

fn words(
    report: &ExportReport,
    ready: &Ready,
    variant: &str,
    fitted: &Fitted,
    skipped: &[(&str, &str)],
) -> String {
    let hash = |hash: &str| hash.get(..12).unwrap_or(hash).to_owned();
    let mut text = String::new();
    let domain = &fitted.calibration.domain;
    let _ = writeln!(
        text,
        "package: {} ({}), parent {} ({}), variant {variant}\ndomain: {} patients, {} files, {} \
         clips of {}\nsplit: {}",
        report.dir.display(),
        hash(&report.hash),
        ready.package.dir.display(),
        hash(&ready.package.hash),
        domain.patients,
        domain.files,
        domain.clips,
        domain.sources.join(", "),
        domain.split
    );
    view_words(&mut text, &fitted.view);
    lvef_words(&mut text, fitted.lvef.as_ref());
    let _ = writeln!(
        text,
        "files: {} used, {} skipped",
        domain.files,
        skipped.len()
    );
    for (path, reason) in skipped {
        let _ = writeln!(text, "skipped {path}: {reason}");
    }
    text
}

fn view_words(text: &mut String, view: &Result<Option<ViewFit>, CalibrationError>) {
    let fit = match view {
        Err(error) => {
            let _ = writeln!(text, "view: not calibrated: {error}");
            return;
        }
        Ok(None) => {
            let _ = writeln!(text, "view: not calibrated: no labelled view");
            return;
        }
        Ok(Some(fit)) => fit,
    };
    let of = &fit.calibration;
    let _ = writeln!(
        text,
        "view: temperature {:.4} from {} clips of {} patients",
        of.temperature, of.clips, of.patients
    );
    let _ = match &fit.check {
        None => writeln!(
            text,
            "  held out: nobody, so nothing is known of new patients"
        ),
        Some(check) => writeln!(
            text,
            "  held out: {} patients, loss {:.3} -> {:.3}, certainty error {:.3} -> {:.3}",
            check.patients,
            check.loss[0],
            check.loss[1],
            check.certainty_error[0],
            check.certainty_error[1]
        ),
    };
}

fn lvef_words(text: &mut String, fit: Option<&LvefFit>) {
    let Some(fit) = fit else {
        let _ = writeln!(text, "EF: not calibrated: no labelled ejection fraction");
        return;
    };
    let of = &fit.calibration;
    let _ = writeln!(
        text,
        "EF: plus and minus {:.2} points, coverage {} (alpha {:.3}), from {} estimates of {} \
         patients, labels {:.1} to {:.1}",
        of.half_width,
        of.coverage,
        1.0 - of.coverage,
        of.estimates,
        of.patients,
        of.range[0],
        of.range[1]
    );
    let _ = match &fit.check {
        None => writeln!(
            text,
            "  held out: nobody, so nothing is known of new patients"
        ),
        Some(check) => writeln!(
            text,
            "  held out: {} patients, {:.1} % of their {} estimates covered, {} outside the domain",
            check.patients,
            100.0 * check.coverage,
            check.estimates,
            check.outside
        ),
    };
}
