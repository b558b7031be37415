//! `echocart export`: a package from a checkpoint or from generated weights.

use crate::cli::ExportArgs;
use crate::exit::{Because, Cause, Failure};
use crate::run::library;
use echocart_capture::OpenOptions;
use echocart_core::engine::Engine;
use echocart_core::frame::Frame;
use echocart_core::manifest::{AnyTokens, HeadOutput, Manifest, Measured, Slots, Tokens, Variant};
use echocart_core::package::Package;
use echocart_export::{
    ExportError, ExportReport, ExportRequest, GoldenFrames, GoldenPlan, KeptCalibration,
    MOST_TEXT_BYTES, Recipe, WeightSource, check_variants, export_with_golden, read_text,
};
use echocart_infer::{EngineOptions, Library, OrtEngine, Provider};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::BTreeMap;
use std::io::{ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Exit code of a command stopped by a signal, by the shells' convention for SIGINT.
const INTERRUPTED: u8 = 130;
/// Fixed, so that the golden clips' expected outputs are the same bytes on the same CPU.
const GOLDEN_THREADS: usize = 2;

/// Exports, showing progress and what came out.
pub fn export(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let stop = stop_flag()?;
    let recipe = Recipe::open(&args.recipe).because(Cause::Usage)?;
    let scalers = by_head("--scaler", &args.scalers, |file| file)?;
    let mut recipe = recipe.with_scalers(&scalers).because(Cause::Usage)?;
    if let Some(file) = &args.calibration {
        recipe.calibration = Some(KeptCalibration::open(file).because(Cause::Usage)?);
    }
    if let Some(file) = &args.card {
        let text = read_text("card", file, MOST_TEXT_BYTES).because(Cause::Usage)?;
        recipe.card.text = format!("{}\n{}", recipe.card.text.trim_end(), text);
    }
    let (encoder, probes) = sources(args, &recipe)?;
    let all = recipe.encoder.tokens();
    check_variants(&args.variants, &args.target, all).because(Cause::Usage)?;
    let request = ExportRequest {
        recipe,
        encoder,
        probes,
        out_dir: args.out.clone(),
        replace: args.replace,
    };
    let frames = golden_frames(args, &request.recipe)?;
    let library = library(args.library.as_deref())?;
    let mut make_engine = |package: &Package, name: &str| golden_engine(&library, package, name);
    let golden = GoldenPlan {
        frames,
        make_engine: &mut make_engine,
        variants: args.variants.clone(),
    };
    let mut bar = Bar::new(stop);
    let report = export_with_golden(&request, Some(golden), &mut |what, done, total| {
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

/// What runs the golden clips of a package that is being written.
pub fn golden_engine(
    library: &Library,
    package: &Package,
    variant: &str,
) -> Result<Box<dyn Engine>, String> {
    let options = EngineOptions {
        small_memory: true,
        any_variant: true,
        ..EngineOptions::new(Provider::Cpu, GOLDEN_THREADS)
    };
    let engine = OrtEngine::open_on(library, package, variant, options);
    Ok(Box::new(engine.map_err(|e| e.to_string())?))
}

/// Reads as much of each recording as one clip of the recipe takes.
fn golden_frames(args: &ExportArgs, recipe: &Recipe) -> Result<GoldenFrames, Failure> {
    let Some(permission) = args.distribution_permitted.clone() else {
        return Ok(GoldenFrames::Synthetic);
    };
    let slots = recipe.encoder.frames as f64 + 1.0;
    let span_nanos = (slots * 1e9 / recipe.sampling.rate_hz) as i64;
    let mut clips = Vec::new();
    for file in &args.golden_from {
        let name = file.to_string_lossy();
        let options = OpenOptions { assume_fps: None };
        let mut source = echocart_capture::open(&name, &options).because(Cause::Source)?;
        let (mut frames, mut pixels) = (Vec::new(), Vec::new());
        while let Some(meta) = source.next(&mut pixels).because(Cause::Source)? {
            let pixels = std::mem::take(&mut pixels);
            frames.push(Frame { meta, pixels });
            if meta.capture_nanos > span_nanos {
                break;
            }
        }
        clips.push(frames);
    }
    Ok(GoldenFrames::Given { clips, permission })
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
        let clips = match &head.slots {
            None => format!("{} segment(s)", head.segments),
            Some(slots) => {
                let sets: Vec<String> = slots.allowed.iter().map(|set| Slots::key(set)).collect();
                let views = slots.views.join(", ");
                format!("{} slots ({views}), sets {}", slots.count(), sets.join(" "))
            }
        };
        lines.push(format!(
            "head {name}: {probe}, {clips}, classifier {} ({})",
            head.classifier_index, head.classifier_choice
        ));
        if let HeadOutput::Regression {
            unit, mean, std, ..
        } = &head.output
        {
            lines.push(format!("  value: z x {std} + {mean} {unit}"));
        }
    }
    for (name, variant) in &manifest.variants {
        lines.push(variant_words(name, variant));
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
pub fn failure(error: ExportError) -> Failure {
    let cause = match &error {
        ExportError::Settings { .. } | ExportError::Request { .. } | ExportError::Manifest(_) => {
            Cause::Usage
        }
        ExportError::Write { .. } | ExportError::Output { .. } | ExportError::Tool { .. } => {
            Cause::Other
        }
        ExportError::Engine { .. } => Cause::Library,
        _ => Cause::Package,
    };
    Failure::new(cause, error)
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// A variant in words: what it is for, and how far it was from fp32.
pub fn variant_words(name: &str, variant: &Variant) -> String {
    let tokens = match variant.tokens {
        Tokens::Exactly(tokens) => format!("{tokens} tokens"),
        Tokens::Any(AnyTokens::Any) => "any number of tokens".to_owned(),
    };
    let measured = match &variant.measured {
        Measured::Reference => "the reference of the others".to_owned(),
        Measured::NotRun { why } => format!("not run: {why}"),
        Measured::Run {
            provider,
            library,
            clips,
            token_cosine_mean,
            token_cosine_worst,
            tokens_relative_rms,
            heads_max_abs,
        } => format!(
            "on {provider}, {library}, {clips} clip(s): token cosine {token_cosine_mean:.6} \
             (worst {token_cosine_worst:.6}), relative RMS {tokens_relative_rms:.2e}, heads \
             {heads_max_abs:.2e}"
        ),
    };
    let precision = variant.precision.as_str();
    let providers = variant.providers.join(", ");
    format!("variant {name}: {precision}, {tokens}, for {providers}\n  measured: {measured}")
}

/// Sampling in words, with the real-time span of a clip.
pub fn clip_words(manifest: &Manifest) -> String {
    let sampling = &manifest.sampling;
    let frames = manifest.encoder.frames;
    let span = (frames.saturating_sub(1)) as f64 / sampling.rate_hz;
    let span = (span * 1000.0).round() / 1000.0;
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
        let end = if args.outliers {
            echocart_export::OUTLIERS
        } else {
            ""
        };
        let generated = || WeightSource::Generated(format!("{tag}{end}"));
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
    let probes = by_head("--probe", &args.probes, WeightSource::Checkpoint)?;
    Ok((WeightSource::Checkpoint(checkpoint.clone()), probes))
}

/// The files of an option that is given once per head.
fn by_head<T>(
    option: &str,
    files: &[(String, PathBuf)],
    make: impl Fn(PathBuf) -> T,
) -> Result<BTreeMap<String, T>, Failure> {
    let mut by_head = BTreeMap::new();
    for (name, file) in files {
        if by_head.insert(name.clone(), make(file.clone())).is_some() {
            let text = format!("{option}: expected one file per head, found two for {name}");
            return Err(Failure::text(Cause::Usage, text));
        }
    }
    Ok(by_head)
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
        if !self.terminal || self.shown.is_some_and(fresh) {
            return;
        }
        self.shown = Some(Instant::now());
        if total == 0 {
            let _ = write!(std::io::stderr(), "\r\x1b[2K{what}");
            return;
        }
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
