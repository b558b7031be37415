//! `echocart package show`.

use super::{ShowArgs, report, size};
use crate::exit::{Because, Cause, Failure};
use crate::export::clip_words;
use echocart_core::config::PackageConfig;
use echocart_core::manifest::{
    AnyTokens, Head, HeadOutput, Manifest, Mask, Measured, Step, Tokens, Variant,
};
use echocart_core::package::Package;
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

#[derive(Debug, Serialize)]
struct Shown<'a> {
    package: String,
    hash: &'a str,
    signature: String,
    bytes: u64,
    manifest: &'a Manifest,
}

/// Prints what a package says of itself, after checking that its files are the ones it lists.
pub fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let package = Package::open(&args.dir, &PackageConfig::ANY).because(Cause::Package)?;
    let shown = Shown {
        package: package.name(),
        hash: &package.hash,
        signature: package.signed.to_string(),
        bytes: package.manifest.files.values().map(|f| f.bytes).sum(),
        manifest: &package.manifest,
    };
    report(&if args.json {
        serde_json::to_string_pretty(&shown).because(Cause::Other)? + "\n"
    } else {
        text(&shown).because(Cause::Other)?
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(shown: &Shown<'_>) -> Result<String, std::fmt::Error> {
    let manifest = shown.manifest;
    let mut text = String::new();
    let t = &mut text;
    writeln!(t, "package: {}", shown.package)?;
    writeln!(t, "sha256 of package.toml: {}", shown.hash)?;
    writeln!(t, "signature: {}", shown.signature)?;
    match &manifest.parent {
        Some(parent) => writeln!(t, "derived from: {parent}")?,
        None => writeln!(t, "derived from: nothing, an export")?,
    }
    writeln!(t, "needs echocart: {} or later", manifest.min_version)?;
    writeln!(t, "card: {}", manifest.card.title)?;
    for line in manifest.card.text.trim().lines() {
        writeln!(t, "  {line}")?;
    }
    writeln!(t, "trained: {}", manifest.card.trained.as_str())?;
    let checkpoint = &manifest.checkpoint;
    writeln!(
        t,
        "checkpoint: {} ({}), sha256 {}",
        checkpoint.source, checkpoint.key, checkpoint.sha256
    )?;
    writeln!(t, "encoder: {}", manifest.encoder.words())?;
    writeln!(t, "clip: {}", clip_words(manifest))?;
    let sampling = &manifest.sampling;
    writeln!(
        t,
        "  a frame may be {} ms from its grid time, a new clip starts every {} slots",
        sampling.max_skew_millis, sampling.hop_slots
    )?;
    geometry(t, manifest)?;
    for (name, head) in &manifest.heads {
        self::head(t, name, head)?;
    }
    let limits = &manifest.limits;
    let population = &limits.population;
    let (low, high) = (limits.min_fps, limits.max_fps);
    writeln!(
        t,
        "limits: {population}; sources of {low} to {high} frames/s"
    )?;
    for (name, variant) in &manifest.variants {
        self::variant(t, name, variant)?;
    }
    if manifest.golden.is_empty() {
        writeln!(t, "golden clips: none, so nothing can be verified")?;
    }
    for (name, golden) in &manifest.golden {
        writeln!(t, "golden clip {name}: {}", golden.origin)?;
    }
    writeln!(t, "files: {}, {}", manifest.files.len(), size(shown.bytes))?;
    for (name, file) in &manifest.files {
        writeln!(t, "  {:>12}  {}  {name}", file.bytes, file.sha256)?;
    }
    Ok(text)
}

fn geometry(t: &mut String, manifest: &Manifest) -> std::fmt::Result {
    let preprocess = &manifest.preprocess;
    let steps: Vec<String> = preprocess.steps.iter().map(step).collect();
    let mask = match &preprocess.mask {
        Mask::None => "no mask".to_owned(),
        Mask::Boxes { boxes, .. } => format!("{} boxes blackened", boxes.len()),
    };
    writeln!(t, "geometry: {}; {mask}", steps.join(", "))?;
    writeln!(t, "orientation: {}", preprocess.orientation)
}

fn step(step: &Step) -> String {
    match step {
        Step::Squash {
            width_px,
            height_px,
        } => format!("squash to {width_px}x{height_px}"),
        Step::ShortSide { size_px } => format!("short side to {size_px}"),
        Step::CentreCrop {
            width_px,
            height_px,
        } => format!("crop the centre {width_px}x{height_px}"),
    }
}

fn head(t: &mut String, name: &str, head: &Head) -> std::fmt::Result {
    let probe = match head.depth {
        0 => format!("{} probe", head.probe.as_str()),
        depth => format!("attentive probe of depth {depth}"),
    };
    writeln!(
        t,
        "head {name}: {probe}, {} segment(s), classifier {} ({})",
        head.segments, head.classifier_index, head.classifier_choice
    )?;
    if let Some(slots) = &head.slots {
        let views = slots.views.join(", ");
        let clips = slots.clips_per_view;
        writeln!(t, "  slots: {clips} clip(s) of each of {views}")?;
    }
    match &head.output {
        HeadOutput::Classification { labels } => writeln!(t, "  labels: {}", labels.join(", ")),
        HeadOutput::Regression {
            unit,
            mean,
            std,
            required_views,
            range,
        } => writeln!(
            t,
            "  {unit}: z x {std} + {mean}, from {} to {}, in views {}",
            range[0],
            range[1],
            required_views.join(", ")
        ),
    }
}

fn variant(t: &mut String, name: &str, variant: &Variant) -> std::fmt::Result {
    let tokens = match variant.tokens {
        Tokens::Exactly(tokens) => format!("{tokens} tokens"),
        Tokens::Any(AnyTokens::Any) => "any number of tokens".to_owned(),
    };
    writeln!(
        t,
        "variant {name}: {}, {tokens}, for {}",
        variant.precision.as_str(),
        variant.providers.join(", ")
    )?;
    let tolerance = &variant.tolerance;
    writeln!(
        t,
        "  may differ from fp32 by {:e} (relative RMS of tokens) and {:e} (heads)",
        tolerance.tokens_relative_rms, tolerance.heads
    )?;
    match &variant.measured {
        Measured::Reference => writeln!(t, "  measured: the reference of the others"),
        Measured::NotRun { why } => writeln!(t, "  measured: not run: {why}"),
        Measured::Run {
            provider,
            library,
            clips,
            token_cosine_mean,
            token_cosine_worst,
            tokens_relative_rms,
            heads_max_abs,
        } => writeln!(
            t,
            "  measured on {provider}, {library}, {clips} clip(s): token cosine \
             {token_cosine_mean:.6} (worst {token_cosine_worst:.6}), relative RMS \
             {tokens_relative_rms:.2e}, heads {heads_max_abs:.2e}"
        ),
    }
}
