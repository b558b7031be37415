//! `echocart probe fit`: a new head on a package's frozen features, from labelled recordings.

mod features;
mod trainer;

use crate::exit::{Because, Cause, Failure};
use crate::export::{Bar, failure, golden_engine, interrupted, print, stop_flag};
use crate::labelled::{Label, LabelledArgs, Outcome, Played, Ready, leave_interrupted};
use crate::run::library;
use clap::{Args, Subcommand, ValueEnum};
use echocart_core::manifest::{HeadOutput, LVEF, Manifest, VIEW};
use echocart_core::package::Package;
use echocart_export::{
    ExportError, ExportReport, GoldenFrames, GoldenPlan, NewHead, check_out_dir, refit, replaceable,
};
use features::Features;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use trainer::HeldOut;

const HELP: &str = "\
Recordings run through the live path; the encoder's answers on their clips are the features, and a new
attentive head of depth 1 learns the labels from them. The encoder does not change. One recording in
five (of a patient column: one patient in five) first checks a head fitted on the others; the head that
is written has seen all of them. The new package has the old one's hash as its parent, fp32 alone, no
calibration: `echocart calibrate` comes next, on other recordings. What cannot be read or is too short is
named, skipped and counted, never replaced.

Examples:
  echocart probe fit --labels train.csv --label view-index --package pkg --out pkg-fitted
  echocart probe fit --labels train.csv --head lvef --package pkg --out pkg-fitted

Exit codes: 0 done, 1 a file was skipped or could not be written, 2 usage, configuration, labels or one
class only, 4 package, 5 ONNX Runtime library, 130 interrupted (nothing is left behind).";

#[derive(Debug, Args)]
pub struct ProbeCommand {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Fit a head on labelled recordings.
    Fit(FitArgs),
}

#[derive(Debug, Args)]
#[command(after_help = HELP)]
struct FitArgs {
    #[command(flatten)]
    labelled: LabelledArgs,
    /// Which head is fitted anew. Without it: the one that the labels are for.
    #[arg(long, value_enum, value_name = "NAME")]
    head: Option<HeadArg>,
    /// Most clips of a recording, spread evenly over it.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clips: u16,
    /// Passes over the clips.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    epochs: u16,
    /// Package folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Id of the new package. Without it: the old one's with `-fitted`.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Replace a package that is already there.
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HeadArg {
    View,
    Lvef,
}

impl HeadArg {
    fn name(self) -> &'static str {
        match self {
            Self::View => VIEW,
            Self::Lvef => LVEF,
        }
    }

    fn labels(self, label: &Label) -> bool {
        match self {
            Self::View => label.view.is_some(),
            Self::Lvef => label.lvef.is_some(),
        }
    }
}

/// Fits and prints what came out.
pub fn probe(args: &ProbeCommand) -> Result<ExitCode, Failure> {
    let Task::Fit(args) = &args.task;
    let stop = stop_flag()?;
    check_out_dir(&args.out, args.replace).map_err(failure)?;
    let trainer = trainer::find()?;
    let mut ready = args.labelled.open(&stop)?;
    let head = head(args.head, &ready)?;
    replaceable(&ready.package.manifest, head.name()).map_err(failure)?;
    let all = ready.labels.rows.iter().filter(|row| head.labels(row));
    spread(head, all, &ready.package.manifest, &ready.labels.name)?;
    let Some(gathered) = gather(args, head, &mut ready, &stop)? else {
        leave_interrupted();
    };
    let Gathered {
        mut features,
        used,
        skipped,
    } = gathered;
    let rows = used.iter().filter_map(|at| ready.labels.rows.get(*at));
    spread(head, rows, &ready.package.manifest, &ready.labels.name)?;

    let weights = features.folder().join("head.safetensors");
    let answer = features.folder().join("answer.json");
    let manifest = &ready.package.manifest;
    let mut arguments = vec![
        format!("--features={}", features.finish()?.display()),
        format!("--clips={}", features.len()),
        format!("--dim={}", manifest.encoder.dim),
        format!("--heads={}", manifest.encoder.heads),
        format!("--epochs={}", args.epochs),
        format!("--out={}", weights.display()),
    ];
    if head == HeadArg::View {
        arguments.push(format!("--classes={}", manifest.view_labels().len()));
    }
    let Some(check) = trainer::run(&trainer, &arguments, &answer, &stop)? else {
        return Ok(interrupted());
    };
    let about = about(head, &ready, used.len(), check.as_ref());
    let new = NewHead {
        name: head.name().to_owned(),
        weights,
        heads: manifest.encoder.heads,
        id: args
            .id
            .clone()
            .unwrap_or_else(|| format!("{}-fitted", manifest.id)),
        about: about.clone(),
    };
    let report = match written(args, &ready.package, &new, stop)? {
        Some(report) => report,
        None => return Ok(interrupted()),
    };
    print(&words(
        &report,
        &ready.package,
        &about,
        used.len(),
        &skipped,
    ))
    .because(Cause::Other)?;
    Ok(match skipped.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(Cause::Other as u8),
    })
}

/// The head that the labels are for.
fn head(asked: Option<HeadArg>, ready: &Ready) -> Result<HeadArg, Failure> {
    let there = |head: HeadArg| ready.labels.rows.iter().any(|row| head.labels(row));
    let found = match (asked, there(HeadArg::View), there(HeadArg::Lvef)) {
        (Some(head), ..) if there(head) => return Ok(head),
        (None, true, false) => return Ok(HeadArg::View),
        (None, false, true) => return Ok(HeadArg::Lvef),
        (None, true, true) => "expected --head, found labels for view and lvef",
        _ => "expected labels for the head, found none",
    };
    let text = format!("labels: {found} ({})", ready.labels.name);
    Err(Failure::text(Cause::Usage, text))
}

/// Refuses labels from which nothing can be learned.
fn spread<'a>(
    head: HeadArg,
    rows: impl Iterator<Item = &'a Label>,
    manifest: &Manifest,
    file: &str,
) -> Result<(), Failure> {
    let names = manifest.view_labels();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let word = match head {
            HeadArg::View => row.view.and_then(|at| names.get(at)).cloned(),
            HeadArg::Lvef => row.lvef.map(|percent| format!("EF {percent:.1}")),
        };
        *counts.entry(word.unwrap_or_default()).or_default() += 1;
    }
    if counts.len() > 1 {
        return Ok(());
    }
    let expected = match head {
        HeadArg::View => "recordings of two classes or more",
        HeadArg::Lvef => "recordings of different EF",
    };
    let mut found = counts
        .iter()
        .map(|(word, count)| format!("only {word} ({count} recordings)"));
    let found = found
        .next()
        .unwrap_or_else(|| "no recording that can be used".to_owned());
    let text = format!("labels: expected {expected}, found {found} ({file})");
    Err(Failure::text(Cause::Usage, text))
}

struct Gathered {
    features: Features,
    /// Rows that gave features.
    used: Vec<usize>,
    /// Paths of the others, and why.
    skipped: Vec<(String, String)>,
}

/// Plays every labelled recording; nothing once a signal has come.
fn gather(
    args: &FitArgs,
    head: HeadArg,
    ready: &mut Ready,
    stop: &Arc<AtomicBool>,
) -> Result<Option<Gathered>, Failure> {
    let manifest = ready.package.manifest.clone();
    let mut gathered = Gathered {
        features: Features::new(manifest.encoder.dim)?,
        used: Vec::new(),
        skipped: Vec::new(),
    };
    ready.player.keep_tokens();
    let mut bar = Bar::new(stop.clone());
    let total = ready.labels.rows.len();
    let mut patients: BTreeMap<String, usize> = BTreeMap::new();
    for (at, row) in ready.labels.rows.iter().enumerate() {
        let Some(target) = target(head, row, &manifest) else {
            continue;
        };
        let tick = &mut || {
            let _ = bar.show(&row.shown, at, total);
        };
        tick();
        let outcome = ready.player.play(&row.path, &mut None, tick);
        if stop.load(Ordering::Relaxed) {
            bar.clear();
            return Ok(None);
        }
        let played = match outcome.inspect_err(|_| bar.clear())? {
            Outcome::Played(played) => played,
            Outcome::Skipped(reason) => {
                gathered.skipped.push((row.shown.clone(), reason));
                continue;
            }
        };
        let own = row.patient.clone().unwrap_or_else(|| format!("row {at}"));
        let next = patients.len();
        let group = *patients.entry(own).or_insert(next);
        let clips = clips(head, &manifest, &played, args.clips.into());
        if clips.is_empty() {
            let reason = "too short: expected two clips without a common frame, found fewer";
            gathered
                .skipped
                .push((row.shown.clone(), reason.to_owned()));
            continue;
        }
        for tokens in &clips {
            gathered.features.push(tokens, target, group)?;
        }
        gathered.used.push(at);
    }
    bar.clear();
    Ok(Some(gathered))
}

/// The class of a recording, or its standardised EF.
fn target(head: HeadArg, row: &Label, manifest: &Manifest) -> Option<f32> {
    match (
        head,
        manifest.heads.get(head.name()).map(|head| &head.output)?,
    ) {
        (HeadArg::View, _) => row.view.map(|class| class as f32),
        (HeadArg::Lvef, HeadOutput::Regression { mean, std, .. }) => {
            row.lvef.map(|percent| ((percent - mean) / std) as f32)
        }
        (HeadArg::Lvef, HeadOutput::Classification { .. }) => None,
    }
}

/// The tokens of at most `most` clips, each with those of the clips that the head takes beside it.
fn clips<'a>(
    head: HeadArg,
    manifest: &Manifest,
    played: &'a Played,
    most: usize,
) -> Vec<Vec<&'a [f32]>> {
    let tokens = |at: usize| {
        played
            .clips
            .get(at)
            .map(|clip| clip.record.tokens.as_slice())
    };
    let segments = manifest
        .heads
        .get(head.name())
        .map_or(1, |head| head.segments);
    let of = |at: usize| -> Option<Vec<&[f32]>> {
        let from = match segments {
            1 => vec![at],
            _ => played.clips.get(at)?.record.lvef_from.clone(),
        };
        let all: Option<Vec<&[f32]>> = from.iter().map(|at| tokens(*at)).collect();
        all.filter(|all| all.len() == segments && all.iter().all(|tokens| !tokens.is_empty()))
    };
    let all: Vec<Vec<&[f32]>> = (0..played.clips.len()).filter_map(of).collect();
    let count = most.min(all.len());
    let chosen: BTreeSet<usize> = (0..count)
        .map(|at| (2 * at + 1) * all.len() / (2 * count))
        .collect();
    let all = all.into_iter().enumerate();
    all.filter(|(at, _)| chosen.contains(at))
        .map(|(_, clip)| clip)
        .collect()
}

/// Writes the package; nothing if it was stopped.
fn written(
    args: &FitArgs,
    package: &Package,
    new: &NewHead,
    stop: Arc<AtomicBool>,
) -> Result<Option<ExportReport>, Failure> {
    let library = library(args.labelled.library.as_deref())?;
    let mut make_engine = |package: &Package, name: &str| golden_engine(&library, package, name);
    let plan = GoldenPlan {
        frames: GoldenFrames::Synthetic,
        make_engine: &mut make_engine,
        variants: Vec::new(),
    };
    let mut bar = Bar::new(stop);
    let out = (args.out.as_path(), args.replace);
    let report = refit(package, new, plan, out, &mut |what, done, total| {
        bar.show(what, done, total)
    });
    bar.clear();
    match report {
        Err(ExportError::Interrupted) => Ok(None),
        report => report.map(Some).map_err(failure),
    }
}

fn about(head: HeadArg, ready: &Ready, used: usize, check: Option<&HeldOut>) -> String {
    let labels = &ready.labels;
    let hash = labels.sha256.get(..12).unwrap_or_default();
    let mut text = format!(
        "The head {} was fitted by `echocart probe fit` on {used} recordings of {} (sha256 {hash}).",
        head.name(),
        labels.name
    );
    let std = match ready
        .package
        .manifest
        .heads
        .get(head.name())
        .map(|head| &head.output)
    {
        Some(HeadOutput::Regression { std, .. }) => *std,
        _ => 1.0,
    };
    let _ = match (head, check) {
        (_, None) => write!(
            text,
            " Held out: too few, so nothing is known of new recordings."
        ),
        (HeadArg::View, Some(check)) => write!(
            text,
            " Held out: {:.1} % of {} clips right, {:.1} % by the commonest class alone.",
            100.0 * check.found,
            check.clips,
            100.0 * check.constant
        ),
        (HeadArg::Lvef, Some(check)) => write!(
            text,
            " Held out: mean absolute error {:.1} points in {} clips, {:.1} by the mean alone.",
            std * check.found,
            check.clips,
            std * check.constant
        ),
    };
    text
}

fn words(
    report: &ExportReport,
    parent: &Package,
    about: &str,
    used: usize,
    skipped: &[(String, String)],
) -> String {
    let hash = |hash: &str| hash.get(..12).unwrap_or(hash).to_owned();
    let mut text = format!(
        "package: {} ({}), parent {} ({})\n{about}\nfiles: {used} used, {} skipped\n",
        report.dir.display(),
        hash(&report.hash),
        parent.dir.display(),
        hash(&parent.hash),
        skipped.len()
    );
    for (path, reason) in skipped {
        let _ = writeln!(text, "skipped {path}: {reason}");
    }
    text
}
