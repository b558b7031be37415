//! `echocart quantise`: more variants of a package, chosen and measured on real cines.

mod cine;
mod clips;
mod runner;

use crate::exit::{Because, Cause, Failure};
use crate::export::{Bar, failure, interrupted, print, stop_flag};
use crate::run::library;
use clap::Args;
use clips::Clips;
use echocart_core::config::PackageConfig;
use echocart_core::manifest::Precision;
use echocart_core::package::Package;
use echocart_export::ExportError;
use echocart_export::quantise::{Outcome, QuantiseReport, QuantiseRequest, quantise as make};
use runner::OrtRunner;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
A new package is written; the old one is not touched. Ranges, migrations and the layers that stay in
fp32 are chosen on the calibration clips and the package's golden clips alone; report.json and
report.md say how far each variant is from fp32 on clips that were held out, whole files where there
is more than one. Golden clips that an export took from a recording (--golden-from) count as seen:
hold out another one. A file that is no DICOM ultrasound, that is shorter than a clip, that stands
still, or whose images show nothing after the package's mask is refused; whether it shows a heart is
not looked at.

Examples:
  echocart quantise --package pkg --calibrate a.dcm b.mp4 c.dcm --variants int8 --out pkg-int8
  echocart quantise --package pkg --calibrate *.dcm --held-out check/*.dcm \\
      --variants int8,fp8,fp16,weight_int8 --out pkg-all

Exit codes: 0 done, 1 a file could not be written or a target is missed, 2 usage, 3 a calibration
file, 4 package, 5 ONNX Runtime library, 130 interrupted (nothing is left behind).";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct QuantiseArgs {
    /// Package with an fp32 variant.
    #[arg(long, value_name = "DIR")]
    package: PathBuf,
    /// Cines to calibrate on: DICOM ultrasound multi-frame or video files, or simulated hearts.
    #[arg(long, value_name = "FILES", num_args = 1.., required = true)]
    calibrate: Vec<String>,
    /// Cines to measure on. Without it: the last quarter of the calibration files, at least one;
    /// of a single file, the last quarter of its clips.
    #[arg(long, value_name = "FILES", num_args = 1..)]
    held_out: Vec<String>,
    /// Variants to make: int8, fp8, fp16, weight_int8, weight_int4.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = precision, required = true)]
    variants: Vec<Precision>,
    /// Package folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Most calibration clips, spread over the files.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clips: u16,
    /// Most held-out clips.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    held_out_clips: u16,
    /// Id of the new package. Without it: the old one's with `-quantised`.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Replace a package that is already there.
    #[arg(long)]
    replace: bool,
    /// Frame rate to assume for files that do not state one.
    #[arg(long, value_name = "FPS", value_parser = crate::cli::positive)]
    assume_fps: Option<f64>,
    /// Threads of one graph run.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// ONNX Runtime library; its SHA-256 must be one this version knows.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

fn precision(text: &str) -> Result<Precision, String> {
    let all = [
        Precision::Int8,
        Precision::Fp8,
        Precision::Fp16,
        Precision::WeightInt8,
        Precision::WeightInt4,
    ];
    let names: Vec<&str> = all.iter().map(|p| p.as_str()).collect();
    let found = all.into_iter().find(|p| p.as_str() == text);
    found.ok_or_else(|| format!("expected one of {}, found {text:?}", names.join(", ")))
}

/// Calibrates, writes and measures the variants, showing progress and what came out.
pub fn quantise(args: &QuantiseArgs) -> Result<ExitCode, Failure> {
    let stop = stop_flag()?;
    for (at, precision) in args.variants.iter().enumerate() {
        if args.variants.iter().skip(at + 1).any(|p| p == precision) {
            let text = format!("--variants: {} is named twice", precision.as_str());
            return Err(Failure::text(Cause::Usage, text));
        }
    }
    let package = Package::open(&args.package, &PackageConfig::ANY).because(Cause::Package)?;
    let library = library(args.library.as_deref())?;
    let mut bar = Bar::new(stop);
    let mut progress = |what: &str, done, total| bar.show(what, done, total);
    let clips = Clips::read(args, &package.manifest, &mut progress);
    let Some(mut clips) = clips? else {
        bar.clear();
        return Ok(interrupted());
    };
    let golden = clips::golden(&package)?;
    let golden_clips = golden.len();
    clips.calibration.extend(golden);
    let id = args
        .id
        .clone()
        .unwrap_or_else(|| format!("{}-quantised", package.manifest.id));
    let request = QuantiseRequest {
        command: command(args, &id),
        id,
        package: &package,
        precisions: args.variants.clone(),
        calibration: clips.calibration,
        golden: golden_clips,
        held_out: clips.held_out,
        held_out_rule: clips.rule,
        out_dir: args.out.clone(),
        replace: args.replace,
    };
    let mut runner = OrtRunner::new(library, usize::from(args.threads));
    let made = make(&request, &mut runner, &mut progress);
    bar.clear();
    let report = match made {
        Err(ExportError::Interrupted) => return Ok(interrupted()),
        made => made.map_err(failure)?,
    };
    let _ = print(&words(&report));
    let missed = report.report.variants.values().any(|variant| {
        let Outcome::Run { targets_met, .. } = &variant.outcome else {
            return false;
        };
        !*targets_met
    });
    Ok(ExitCode::from(u8::from(missed)))
}

fn name(file: &str) -> String {
    let name = Path::new(file).file_name();
    name.map_or_else(|| file.to_owned(), |n| n.to_string_lossy().into_owned())
}

/// The command without folders, so that it is the same wherever the files lie.
fn command(args: &QuantiseArgs, id: &str) -> String {
    let mut words = vec!["echocart quantise --package PACKAGE --calibrate".to_owned()];
    words.extend(args.calibrate.iter().map(|file| name(file)));
    if !args.held_out.is_empty() {
        words.push("--held-out".to_owned());
        words.extend(args.held_out.iter().map(|file| name(file)));
    }
    let variants: Vec<&str> = args.variants.iter().map(|p| p.as_str()).collect();
    words.push(format!(
        "--variants {} --clips {} --held-out-clips {} --id {id}",
        variants.join(","),
        args.clips,
        args.held_out_clips
    ));
    if let Some(fps) = args.assume_fps {
        words.push(format!("--assume-fps {fps}"));
    }
    words.push("--out OUT".to_owned());
    words.join(" ")
}

fn words(made: &QuantiseReport) -> String {
    let mut text = format!(
        "package: {} ({}), made from {}\n",
        made.dir.display(),
        made.hash.get(..12).unwrap_or_default(),
        made.report.parent
    );
    for (name, variant) in &made.report.variants {
        let size = format!(
            "{:.1} MB (fp32 {:.1} MB)",
            variant.bytes as f64 / 1e6,
            variant.fp32_bytes as f64 / 1e6
        );
        let _ = match &variant.outcome {
            Outcome::NotRun { why } => writeln!(text, "{name}: {size}, not run: {why}"),
            Outcome::Run {
                tokens,
                targets_met,
                ..
            } => {
                let met = if *targets_met {
                    ", targets met"
                } else {
                    ", TARGETS MISSED"
                };
                writeln!(
                    text,
                    "{name}: {size}, token cosine mean {:.5} worst {:.5}, relative RMS {:.2e}{met}",
                    tokens.cosine_mean, tokens.cosine_worst, tokens.relative_rms
                )
            }
        };
    }
    let _ = writeln!(text, "report: {}", made.dir.join("report.md").display());
    text
}
