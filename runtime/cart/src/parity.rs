//! `echocart parity`: exported graphs against the original model's outputs.

use crate::cli::ParityArgs;
use crate::exit::{Because, Cause, Failure};
use crate::export::{Bar, interrupted, print, stop_flag};
use crate::run::library;
use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::package::Package;
use echocart_export::ExportError;
use echocart_export::parity::{self, ParityReport};
use echocart_infer::OrtEngine;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Runs one golden case and prints a row per output.
pub fn parity(args: &ParityArgs) -> Result<ExitCode, Failure> {
    let stop = stop_flag()?;
    let library = library(args.library.as_deref())?;
    let threads = usize::from(args.threads);
    let mut engine = |dir: &Path| -> Result<Box<dyn Engine>, String> {
        let package = Package::open(dir, &PackageConfig::ANY).map_err(|e| e.to_string())?;
        let engine = OrtEngine::open(&library, &package, "fp32", threads);
        Ok(Box::new(engine.map_err(|e| e.to_string())?))
    };
    let mut bar = Bar::new(stop);
    let report = parity::run(&args.case, &mut engine, &mut |what, done, total| {
        bar.show(what, done, total)
    });
    bar.clear();
    let report = match report {
        Err(ExportError::Interrupted) => return Ok(interrupted()),
        report => report.map_err(failure)?,
    };
    let text = if args.json {
        serde_json::to_string_pretty(&report.rows).because(Cause::Other)? + "\n"
    } else {
        table(&report).because(Cause::Other)?
    };
    print(&text).map_err(|e| {
        let text = format!("cannot write the results: {e} (standard output)");
        Failure::text(Cause::Other, text)
    })?;
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Cause::Other as u8)
    })
}

/// Exit code of an error: what keeps the case from loading is the case's fault.
fn failure(error: ExportError) -> Failure {
    let cause = match &error {
        ExportError::Write { .. } | ExportError::Output { .. } => Cause::Other,
        ExportError::Engine { .. } => Cause::Library,
        _ => Cause::Package,
    };
    Failure::new(cause, error)
}

fn table(report: &ParityReport) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (what, source) in &report.sources {
        writeln!(text, "{what}: {source}")?;
    }
    writeln!(text, "engine: {}", report.engine)?;
    writeln!(
        text,
        "{:<24} {:>12} {:>12}  status",
        "output", "max abs", "rel. RMS"
    )?;
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2e}"));
    for row in &report.rows {
        let note = row
            .note
            .as_ref()
            .map(|n| format!("  {n}"))
            .unwrap_or_default();
        writeln!(
            text,
            "{:<24} {:>12} {:>12}  {}{note}",
            row.output,
            number(row.max_abs),
            number(row.relative_rms),
            row.status.as_str()
        )?;
    }
    Ok(text)
}
