//! `echocart export`: a package from a checkpoint or from generated weights.

use crate::cli::ExportArgs;
use crate::exit::{Cause, Failure};
use echocart_core::manifest::Manifest;
use echocart_export::{ExportError, ExportRequest, Recipe, WeightSource};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Exports, showing progress and what came out.
pub fn export(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let recipe = Recipe::open(&args.recipe).map_err(failure)?;
    let (encoder, probes) = sources(args, &recipe)?;
    let request = ExportRequest {
        recipe,
        encoder,
        probes,
        out_dir: args.out.clone(),
        replace: args.replace,
    };
    let mut bar = Bar::new();
    let report = echocart_export::export(&request, &mut |what, done, total| {
        bar.show(what, done, total);
    });
    bar.clear();
    let report = report.map_err(failure)?;
    let manifest = &report.manifest;
    println!(
        "package: {} ({})",
        &report.dir.display(),
        short(&report.hash)
    );
    println!("card: {}", manifest.card.title);
    println!("encoder: {}", manifest.encoder.words());
    for (name, head) in &manifest.heads {
        let probe = match head.depth {
            0 => "mean-pool probe".to_owned(),
            depth => format!("attentive probe of depth {depth}"),
        };
        println!(
            "head {name}: {probe}, {} segment(s), classifier {} ({})",
            head.segments, head.classifier_index, head.classifier_choice
        );
    }
    println!("clip: {}", clip_words(manifest));
    println!("size: {:.1} MB", report.bytes as f64 / 1e6);
    Ok(ExitCode::SUCCESS)
}

/// Exit code of an exporter's error.
pub fn failure(error: ExportError) -> Failure {
    let cause = match &error {
        ExportError::Settings { .. } | ExportError::Request { .. } | ExportError::Manifest(_) => {
            Cause::Usage
        }
        ExportError::Write { .. } | ExportError::Output { .. } => Cause::Other,
        ExportError::Engine { .. } => Cause::Library,
        _ => Cause::Package,
    };
    Failure::new(cause, error)
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn clip_words(manifest: &Manifest) -> String {
    let sampling = &manifest.sampling;
    let frames = manifest.encoder.frames;
    let span = (frames.saturating_sub(1)) as f64 / sampling.rate_hz;
    format!(
        "{frames} frames at {} Hz: {span} s from first to last frame",
        sampling.rate_hz
    )
}

fn sources(
    args: &ExportArgs,
    recipe: &Recipe,
) -> Result<(WeightSource, BTreeMap<String, WeightSource>), Failure> {
    if let Some(tag) = &args.generated_weights {
        let generated = || WeightSource::Generated(tag.clone());
        let probes = recipe
            .heads
            .keys()
            .map(|n| (n.clone(), generated()))
            .collect();
        return Ok((generated(), probes));
    }
    let Some(checkpoint) = &args.checkpoint else {
        let text = "weights: expected --checkpoint or --generated-weights, found neither";
        return Err(Failure::text(Cause::Usage, text));
    };
    let mut probes = BTreeMap::new();
    for (name, file) in &args.probes {
        let source = WeightSource::Checkpoint(file.clone());
        if probes.insert(name.clone(), source).is_some() {
            let text = format!("--probe: expected one file per head, found two for {name}");
            return Err(Failure::text(Cause::Usage, text));
        }
    }
    Ok((WeightSource::Checkpoint(checkpoint.clone()), probes))
}

/// A progress bar with the time left, on a terminal only.
pub struct Bar {
    terminal: bool,
    start: Instant,
    shown: Option<Instant>,
}

impl Bar {
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            start: Instant::now(),
            shown: None,
        }
    }

    pub fn show(&mut self, what: &str, done: usize, total: usize) {
        let fresh = |shown: Instant| shown.elapsed() < Duration::from_millis(100);
        if !self.terminal || total == 0 || self.shown.is_some_and(fresh) {
            return;
        }
        self.shown = Some(Instant::now());
        let filled = 30 * done / total;
        let left = if done == 0 {
            String::new()
        } else {
            let per_step = self.start.elapsed().as_secs_f64() / done as f64;
            format!(
                ", {:.0} s left",
                per_step * (total - done.min(total)) as f64
            )
        };
        let mut stderr = std::io::stderr().lock();
        let _ = write!(
            stderr,
            "\r\x1b[2K[{}{}] {done}/{total}{left}  {what}",
            "#".repeat(filled),
            ".".repeat(30 - filled.min(30))
        );
        let _ = stderr.flush();
    }

    pub fn clear(&self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}
