//! `echocart export`: a package from a checkpoint or from generated weights.

use crate::cli::ExportArgs;
use crate::exit::{Because, Cause, Failure};
use echocart_core::manifest::Manifest;
use echocart_export::{ExportError, ExportReport, ExportRequest, Recipe, WeightSource};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::BTreeMap;
use std::io::{ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Exit code of a command stopped by a signal, by the shells' convention for SIGINT.
const INTERRUPTED: u8 = 130;

/// Exports, showing progress and what came out.
pub fn export(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let stop = stop_flag()?;
    let recipe = Recipe::open(&args.recipe).because(Cause::Usage)?;
    let (encoder, probes) = sources(args, &recipe)?;
    let request = ExportRequest {
        recipe,
        encoder,
        probes,
        out_dir: args.out.clone(),
        replace: args.replace,
    };
    let mut bar = Bar::new(stop);
    let report = echocart_export::export(&request, &mut |what, done, total| {
        bar.show(what, done, total)
    });
    bar.clear();
    let report = match report {
        Err(ExportError::Interrupted) => return Ok(interrupted()),
        report => report.map_err(failure)?,
    };
    // The package is there whether or not anyone reads about it.
    let _ = print(&words(&report));
    Ok(ExitCode::SUCCESS)
}

fn words(report: &ExportReport) -> String {
    let manifest = &report.manifest;
    let mut lines = vec![
        format!(
            "package: {} ({})",
            report.dir.display(),
            short(&report.hash)
        ),
        format!("card: {}", manifest.card.title),
        format!("encoder: {}", manifest.encoder.words()),
    ];
    for (name, head) in &manifest.heads {
        let probe = match head.depth {
            0 => format!("{} probe", head.probe.as_str()),
            depth => format!("attentive probe of depth {depth}"),
        };
        lines.push(format!(
            "head {name}: {probe}, {} segment(s), classifier {} ({})",
            head.segments, head.classifier_index, head.classifier_choice
        ));
    }
    lines.push(format!("clip: {}", clip_words(manifest)));
    lines.push(format!("size: {:.1} MB", report.bytes as f64 / 1e6));
    lines.join("\n") + "\n"
}

/// Writes results to standard output. A reader that has gone away is no error.
///
/// # Errors
/// Whatever else writing gives.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e),
        _ => Ok(()),
    }
}

/// Set by SIGINT and SIGTERM; a second signal ends the process at once, wherever it hangs.
pub fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let again = i32::from(INTERRUPTED);
        signal_hook::flag::register_conditional_shutdown(signal, again, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .because(Cause::Other)?;
    }
    Ok(stop)
}

/// Says that a signal stopped the command, and gives the exit code.
pub fn interrupted() -> ExitCode {
    let text = "echocart: interrupted, nothing was written";
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(INTERRUPTED)
}

/// Exit code of an export's error.
fn failure(error: ExportError) -> Failure {
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

/// A progress bar with the time left, on a terminal only, that a signal stops.
pub struct Bar {
    stop: Arc<AtomicBool>,
    terminal: bool,
    start: Instant,
    shown: Option<Instant>,
}

impl Bar {
    pub fn new(stop: Arc<AtomicBool>) -> Self {
        Self {
            stop,
            terminal: std::io::stderr().is_terminal(),
            start: Instant::now(),
            shown: None,
        }
    }

    /// Shows where the work is; `Break` once a signal has come.
    pub fn show(&mut self, what: &str, done: usize, total: usize) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        self.draw(what, done, total);
        ControlFlow::Continue(())
    }

    fn draw(&mut self, what: &str, done: usize, total: usize) {
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
