//! `echocart package verify`.

use super::{VerifyArgs, report, size};
use crate::exit::{Because, Cause, Failure};
use crate::export::{Bar, interrupted, stop_flag};
use crate::run::{config, library};
use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::golden::{self, Check, GoldenError};
use echocart_core::manifest::Variant;
use echocart_core::package::Package;
use echocart_infer::{EngineOptions, Library, OrtEngine, Provider, family_library_path};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

/// What became of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Pass,
    Fail,
    NotRun,
}

impl Outcome {
    fn words(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotRun => "not run",
        }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    variant: String,
    outcome: Outcome,
    /// Provider and library.
    engine: Option<String>,
    /// Why it was not run or could not be compared.
    why: Option<String>,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Report {
    package: String,
    signature: String,
    files: usize,
    bytes: u64,
    variants: Vec<Row>,
}

/// Checks a package from its signature to the numbers that its graphs give.
pub fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let stop = stop_flag()?;
    let trust = match &args.config {
        None => PackageConfig::ANY,
        path => config(path.as_deref())?.package,
    };
    let package = Package::open(&args.dir, &trust).because(Cause::Package)?;
    let manifest = &package.manifest;
    if let Some(name) = args
        .variant
        .as_ref()
        .filter(|n| !manifest.variants.contains_key(*n))
    {
        let names: Vec<&str> = manifest.variants.keys().map(String::as_str).collect();
        let text = format!(
            "--variant: expected one of {}, found {name}",
            names.join(", ")
        );
        return Err(Failure::text(Cause::Usage, text));
    }
    let wanted = |name: &String| args.variant.as_ref().is_none_or(|only| only == name);
    let wanted: Vec<(&String, &Variant)> = manifest
        .variants
        .iter()
        .filter(|(n, _)| wanted(n))
        .collect();
    let runs = |(_, v): &(&String, &Variant)| not_here(&package, v, args.provider).is_none();
    let library = match wanted.iter().any(runs) {
        true => Some(library_for(args)?),
        false => None,
    };
    let mut bar = Bar::new(stop);
    let mut rows = Vec::new();
    let graphs = |v: &Variant| 1 + v.heads.values().map(BTreeMap::len).sum::<usize>();
    let total: usize = wanted.iter().filter(|w| runs(w)).map(|w| graphs(w.1)).sum();
    let (mut behind, total) = (0, total * manifest.golden.len());
    for &(name, variant) in &wanted {
        let mut step = |what: &str| {
            behind += 1;
            bar.show(&format!("{name}: {what}"), behind - 1, total)
        };
        match run(&package, name, variant, args, library.as_ref(), &mut step) {
            Ok(row) => rows.push(row),
            Err(GoldenError::Interrupted) => return Ok(interrupted()),
            Err(error) => rows.push(Row {
                variant: name.clone(),
                outcome: Outcome::Fail,
                engine: None,
                why: Some(error.to_string()),
                checks: Vec::new(),
            }),
        }
    }
    bar.clear();
    let passed = rows.iter().any(|r| r.outcome == Outcome::Pass)
        && rows.iter().all(|r| r.outcome != Outcome::Fail);
    let result = Report {
        package: package.name(),
        signature: package.signed.to_string(),
        files: manifest.files.len(),
        bytes: manifest.files.values().map(|f| f.bytes).sum(),
        variants: rows,
    };
    report(&if args.json {
        serde_json::to_string_pretty(&result).because(Cause::Other)? + "\n"
    } else {
        text(&result).because(Cause::Other)?
    })?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Cause::Other as u8)
    })
}

fn library_for(args: &VerifyArgs) -> Result<Library, Failure> {
    if args.provider == Provider::Cpu || args.library.is_some() {
        return library(args.library.as_deref());
    }
    let path = family_library_path(Path::new(""), args.provider.family());
    library(Some(&path.because(Cause::Library)?))
}

/// Why a variant cannot be run by `provider`, none where it can.
fn not_here(package: &Package, variant: &Variant, provider: Provider) -> Option<String> {
    if !variant.providers.iter().any(|p| p == provider.as_str()) {
        let listed = variant.providers.join(", ");
        return Some(format!(
            "made for {listed}, not for {provider}; --provider chooses"
        ));
    }
    golden::why_not(&package.manifest)
}

fn run(
    package: &Package,
    name: &str,
    variant: &Variant,
    args: &VerifyArgs,
    library: Option<&Library>,
    step: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<Row, GoldenError> {
    let mut row = Row {
        variant: name.to_owned(),
        outcome: Outcome::NotRun,
        engine: None,
        why: not_here(package, variant, args.provider),
        checks: Vec::new(),
    };
    let (None, Some(library)) = (&row.why, library) else {
        return Ok(row);
    };
    row.outcome = Outcome::Fail;
    let options = EngineOptions::new(args.provider, usize::from(args.threads));
    let mut engine = match OrtEngine::open_on(library, package, name, options) {
        Ok(engine) => engine,
        Err(error) => {
            row.why = Some(error.to_string());
            return Ok(row);
        }
    };
    let info = engine.info();
    row.engine = Some(format!("{}, {}", info.provider, info.library));
    row.checks = golden::verify(package, name, &mut engine, step)?;
    if !row.checks.is_empty() && row.checks.iter().all(Check::passed) {
        row.outcome = Outcome::Pass;
    }
    Ok(row)
}

fn text(report: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "package: {}", report.package)?;
    writeln!(text, "signature: {}", report.signature)?;
    let size = size(report.bytes);
    writeln!(text, "files: {}, {size}, every hash is right", report.files)?;
    for row in &report.variants {
        let engine = row.engine.as_deref().map(|e| format!(" on {e}"));
        let why = row.why.as_deref().map(|w| format!(": {w}"));
        writeln!(
            text,
            "variant {}{}: {}{}",
            row.variant,
            engine.unwrap_or_default(),
            row.outcome.words(),
            why.unwrap_or_default()
        )?;
        if row.checks.is_empty() {
            continue;
        }
        writeln!(
            text,
            "  {:<12} {:<20} {:>10} {:>10}  result",
            "clip", "output", "difference", "limit"
        )?;
        for check in &row.checks {
            let difference = check.difference;
            let difference = difference.map_or("-".to_owned(), |d| format!("{d:.2e}"));
            let result = if check.passed() { "pass" } else { "fail" };
            let note = check.note.as_deref().map(|n| format!(": {n}"));
            writeln!(
                text,
                "  {:<12} {:<20} {difference:>10} {:>10.2e}  {result}{}",
                check.clip,
                check.output,
                check.limit,
                note.unwrap_or_default()
            )?;
        }
    }
    Ok(text)
}
