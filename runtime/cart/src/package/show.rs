//! `echocart package show`.

use super::{ShowArgs, report, size};
use crate::exit::{Because, Cause, Failure};
use crate::export::{clip_words, variant_words};
use echocart_core::config::PackageConfig;
use echocart_core::manifest::{Calibration, Head, HeadOutput, Manifest, Mask, Step, Variant};
use echocart_core::package::Package;
use echocart_export::engines::{EngineList, read_engines};
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

#[derive(Debug, Serialize)]
struct Shown<'a> {
    package: String,
    hash: &'a str,
    signature: String,
    bytes: u64,
    engines: Option<EngineList>,
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
        engines: read_engines(&package).because(Cause::Package)?,
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
    if manifest.calibration.is_empty() {
        writeln!(t, "calibration: none")?;
    }
    for (variant, of_variant) in &manifest.calibration {
        calibration(t, variant, of_variant)?;
    }
    for variant in manifest.variants.keys() {
        match manifest.may_keep_fewer(variant) {
            Ok(()) => writeln!(t, "tokens of {variant}: those in the imaging area")?,
            Err(why) => writeln!(t, "tokens of {variant}: all: {why}")?,
        }
    }
    match &shown.engines {
        None => writeln!(t, "engines: none")?,
        Some(list) => engines(t, list)?,
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
        Mask::Boxes { after_steps, boxes } => {
            format!("{} boxes blackened after {after_steps} steps", boxes.len())
        }
        Mask::Sector => "everything outside the imaging area blackened first".to_owned(),
    };
    writeln!(t, "geometry: {}; {mask}", steps.join(", "))?;
    if let Mask::Boxes { boxes, .. } = &preprocess.mask {
        for [x, y, width, height] in boxes {
            writeln!(
                t,
                "  box at {x}, {y} of {width} x {height} (fractions of the image)"
            )?;
        }
    }
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
    writeln!(t, "{}", variant_words(name, variant))?;
    let tolerance = &variant.tolerance;
    writeln!(
        t,
        "  may differ from fp32 by {:e} (relative RMS of tokens) and {:e} (heads)",
        tolerance.tokens_relative_rms, tolerance.heads
    )
}

fn calibration(t: &mut String, variant: &str, calibration: &Calibration) -> std::fmt::Result {
    writeln!(t, "calibration of {variant}: {}", calibration.words())?;
    if let Some(view) = &calibration.view {
        writeln!(
            t,
            "  view: temperature {:.4} from {} clips of {} patients",
            view.temperature, view.clips, view.patients
        )?;
    }
    if let Some(lvef) = &calibration.lvef {
        writeln!(
            t,
            "  EF: {} estimates of {} patients in views {}, labels from {} to {}",
            lvef.estimates,
            lvef.patients,
            lvef.views.join(", "),
            lvef.range[0],
            lvef.range[1]
        )?;
    }
    let domain = &calibration.domain;
    let views: Vec<String> = domain
        .views
        .iter()
        .map(|(view, files)| format!("{view} {files}"))
        .collect();
    writeln!(
        t,
        "  domain: {} files, {} clips; files by view: {}; split: {}",
        domain.files,
        domain.clips,
        if views.is_empty() {
            "none labelled".to_owned()
        } else {
            views.join(", ")
        },
        domain.split
    )
}

fn engines(t: &mut String, list: &EngineList) -> std::fmt::Result {
    writeln!(
        t,
        "engines: {} by {} (library sha256 {})",
        list.engines.len(),
        list.compiler,
        list.compiler_sha256
    )?;
    for engine in &list.engines {
        writeln!(
            t,
            "  {}: variant {}, {}, {} tokens, from {}",
            engine.target, engine.variant, engine.file, engine.tokens, engine.graph
        )?;
    }
    Ok(())
}
