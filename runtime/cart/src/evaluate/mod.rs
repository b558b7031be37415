//! `echocart evaluate`: labelled recordings through the live path, and how far it is from them.

mod figures;
mod file;
mod report;

pub use file::Rules;

use crate::exit::{Because, Cause, Failure};
use crate::export::{print, stop_flag};
use crate::labelled::{
    Label, LabelledArgs, Labels, TensorFile, TensorPlace, leave_interrupted, play_all,
};
use clap::Args;
use echocart_core::manifest::{Calibration, Trained};
use figures::Figures;
use file::FileResult;
use report::{Evaluation, OutFolder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Every file runs through the pipeline of `run --pace max`: the same sampling, preprocessing, gates and
reasons. Results stay with the file's name; a file that cannot be read or is too short for a clip is
named, skipped and counted, never replaced. \"Before gating\" takes every clip, whatever its view and
range; \"after gating\" is what a person would have seen: the view released most often and the median
of the released EF.

Examples:
  echocart evaluate --labels test.csv --package pkg
  echocart evaluate --labels test.csv --reference pytorch.csv --package pkg --out results
  echocart evaluate --labels test_ef.csv --label lvef-z --package pkg --dump-tensors clips.npz

Exit codes: 0 done, 1 a file was skipped or could not be written, 2 usage, configuration or labels,
4 package, 5 ONNX Runtime library, 130 interrupted (nothing is left behind).";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct EvaluateArgs {
    #[command(flatten)]
    labelled: LabelledArgs,
    /// Predictions of another implementation for the same paths, in the form of the labels.
    #[arg(long, value_name = "CSV")]
    reference: Option<PathBuf>,
    /// Folder for evaluation.json and files.csv.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace results that are already there.
    #[arg(long)]
    replace: bool,
    /// Write each clip's preprocessed rows, tokens, head outputs and frame times, for PyTorch.
    /// A clip of EchoJEPA-L takes 16 MB.
    #[arg(long, value_name = "FILE.npz")]
    dump_tensors: Option<PathBuf>,
}

/// Evaluates and prints what came out.
pub fn evaluate(args: &EvaluateArgs) -> Result<ExitCode, Failure> {
    let stop = stop_flag()?;
    let out = args
        .out
        .as_deref()
        .map(|dir| OutFolder::check(dir, args.replace));
    let out = out.transpose()?;
    let mut ready = args.labelled.open(&stop)?;
    let manifest = ready.package.manifest.clone();
    let reference = args
        .reference
        .as_deref()
        .map(|path| Labels::open(path, args.labelled.label, &manifest))
        .transpose()?;
    let engine = ready.player.engine_info();
    let create =
        |path: &Path| TensorFile::create(path, &ready.package.name(), &engine.variant, &manifest);
    let (mut tensors, place): (Option<TensorFile>, Option<TensorPlace>) = args
        .dump_tensors
        .as_deref()
        .map(create)
        .transpose()?
        .unzip();

    let Some(outcomes) = play_all(&mut ready, &stop, &mut tensors)? else {
        drop(place);
        leave_interrupted();
    };
    if let (Some(tensors), Some(place)) = (tensors, place) {
        tensors.finish()?;
        place.publish()?;
    }

    let calibration = manifest.calibration.get(&engine.variant);
    let rules = Rules::new(&manifest, calibration);
    let by_path = reference.as_ref().map(by_path);
    let join = |label: &Label| {
        let known = by_path.as_ref()?;
        let path = known.get(label.path.as_path());
        path.or_else(|| known.get(Path::new(&label.shown))).copied()
    };
    let rows = ready.labels.rows.iter().zip(&outcomes);
    let files: Vec<FileResult> = rows
        .map(|(label, outcome)| FileResult::new(label, outcome, join(label), &rules))
        .collect();
    let unknown = reference.as_ref().map(|r| only_in(r, &ready.labels));
    let evaluation = Evaluation {
        package: ready.package.name(),
        card: manifest.card.title.clone(),
        trained: manifest.card.trained.as_str(),
        demonstration: manifest.card.trained != Trained::Clinical,
        variant: engine.variant.clone(),
        provider: engine.provider,
        library: engine.library,
        calibration: calibration.map_or_else(|| "none".to_owned(), Calibration::words),
        labels: format!("{} (sha256 {})", ready.labels.name, ready.labels.sha256),
        view_labels: rules.labels.to_vec(),
        figures: Figures::new(&files, unknown, &rules),
        files,
    };
    if let Some(out) = out {
        out.write(&evaluation, &rules)?;
    }
    print(&evaluation.text(&rules)).because(Cause::Other)?;
    Ok(if evaluation.figures.skipped == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Cause::Other as u8)
    })
}

/// Rows by path, and by the path as it is written.
fn by_path(labels: &Labels) -> BTreeMap<&Path, &Label> {
    let rows = labels.rows.iter();
    let written = rows.clone().map(|row| (Path::new(&row.shown), row));
    written
        .chain(rows.map(|row| (row.path.as_path(), row)))
        .collect()
}

fn only_in(reference: &Labels, labels: &Labels) -> Vec<String> {
    let known = by_path(labels);
    let named = |path: &Path| known.contains_key(path);
    let unknown = |row: &&Label| !named(&row.path) && !named(Path::new(&row.shown));
    let rows = reference.rows.iter().filter(unknown);
    rows.map(|row| row.shown.clone()).collect()
}
