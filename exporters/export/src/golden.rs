//! The golden clips of a package: frames, and what the graphs just written make of them.

use crate::error::ExportError;
use crate::plain::PlainVariant;
use crate::progress::Steps;
use echocart_core::dump::{DumpError, DumpWriter};
use echocart_core::engine::Engine;
use echocart_core::frame::{Frame, FrameMeta};
use echocart_core::golden::{self, Answers, Expected, GoldenClip, GoldenError, MOST_CLIPS};
use echocart_core::hash::sha256_hex;
use echocart_core::manifest::{FileEntry, Golden, Manifest, Measured, Tokens, Variant};
use echocart_core::package::Package;
use echocart_core::signature::Signed;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

mod heart;
mod measured;

/// Makes an engine on ONNX Runtime's CPU provider over the named variant of a package whose files
/// are written but perhaps not yet hashed, whichever providers the variant is for.
pub type MakeGoldenEngine<'a> =
    &'a mut dyn FnMut(&Package, &str) -> Result<Box<dyn Engine>, String>;

/// Which frames the golden clips are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoldenFrames {
    /// Two simulated hearts.
    Synthetic,
    /// Frames of one or two sources, each from its beginning.
    Given {
        /// Frames by source.
        clips: Vec<Vec<Frame>>,
        /// Who permits their distribution, in words. Goes into the card.
        permission: String,
    },
}

/// How the golden clips of an export are made.
pub struct GoldenPlan<'a> {
    /// Which frames.
    pub frames: GoldenFrames,
    /// What runs the graphs.
    pub make_engine: MakeGoldenEngine<'a>,
    /// Variants to make beside fp32 and to compare with it on these clips.
    pub variants: Vec<PlainVariant>,
}

impl GoldenPlan<'_> {
    /// Checks what can be checked before anything is written.
    pub(crate) fn check(&self) -> Result<(), ExportError> {
        let GoldenFrames::Given { clips, permission } = &self.frames else {
            return Ok(());
        };
        let request = |what: &str, expected: String, found: String| {
            Err(ExportError::Request {
                what: what.to_owned(),
                expected,
                found,
            })
        };
        if permission.trim().is_empty() {
            let expected = "words that say who permits the distribution of the images";
            return request("golden clips", expected.to_owned(), "none".to_owned());
        }
        if clips.is_empty() || clips.len() > MOST_CLIPS {
            let expected = format!("1 to {MOST_CLIPS} sources");
            return request("golden clips", expected, clips.len().to_string());
        }
        Ok(())
    }

    /// Steps that [`add`] takes.
    pub(crate) fn steps(&self, manifest: &Manifest) -> usize {
        let clips = match &self.frames {
            GoldenFrames::Synthetic => heart::CLIPS.len(),
            GoldenFrames::Given { clips, .. } => clips.len(),
        };
        let graphs = |v: &Variant| v.heads.values().map(|by| by.len()).sum::<usize>();
        let graphs = manifest.variants.values().map(graphs).sum::<usize>();
        let buckets: BTreeSet<usize> = self.variants.iter().filter_map(|v| v.tokens()).collect();
        (1 + clips * (1 + graphs)) * (1 + self.variants.len() + buckets.len())
    }
}

/// Writes the golden clips into the package at `dir` and enters them in its manifest.
pub(crate) fn add(
    dir: &Path,
    manifest: &mut Manifest,
    variant: &str,
    plan: &mut GoldenPlan<'_>,
    steps: &mut Steps<'_>,
) -> Result<(), ExportError> {
    steps.step("load the graphs for the golden clips")?;
    let (dumps, origin) = dumps(&plan.frames, manifest)?;
    let mut clips: Vec<GoldenClip> = Vec::with_capacity(dumps.len());
    for (name, dump) in &dumps {
        clips.push(clip(manifest, name, dump)?);
    }
    let package = Package {
        dir: dir.to_owned(),
        manifest: manifest.clone(),
        hash: "0".repeat(64),
        signed: Signed::No,
    };
    let engine_failed = |message: String| ExportError::Engine { message };
    let mut engine = (plan.make_engine)(&package, variant).map_err(engine_failed)?;
    let Some(entry) = manifest.variants.get(variant) else {
        return Err(engine_failed(format!(
            "the package has no variant {variant}"
        )));
    };
    let mut step = |what: &str| match steps.step(what) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let mut run = |entry: &Variant| {
        let answers = golden::run(engine.as_mut(), manifest, entry, &clips, &mut step);
        answers.map_err(|error| match error {
            GoldenError::Interrupted => ExportError::Interrupted,
            error => engine_failed(error.to_string()),
        })
    };
    let answers = run(entry)?;
    let mut buckets: BTreeMap<usize, Vec<Answers>> = BTreeMap::new();
    for tokens in plan.variants.iter().filter_map(|v| v.tokens()) {
        let fixed = Variant {
            tokens: Tokens::Exactly(tokens),
            ..entry.clone()
        };
        let few = golden::bucket(&manifest.encoder, &fixed).is_some();
        if few && !buckets.contains_key(&tokens) {
            buckets.insert(tokens, run(&fixed)?);
        }
    }
    drop(engine);
    for (at, ((name, dump), answers)) in dumps.iter().zip(&answers).enumerate() {
        let kept = buckets.iter();
        let kept = kept.filter_map(|(&tokens, all)| Some((tokens, all.get(at)?.clone())));
        let expected = Expected {
            whole: answers.clone(),
            kept: kept.collect(),
        };
        let all = std::iter::once(answers).chain(expected.kept.values());
        let mut values = all.flat_map(|a| a.heads.values().flatten().chain(&a.tokens));
        if let Some(value) = values.find(|v| !v.is_finite()) {
            let message = format!("expected finite outputs, found {value} for golden clip {name}");
            return Err(engine_failed(message));
        }
        let npz = expected
            .to_npz()
            .map_err(|e| engine_failed(e.to_string()))?;
        let golden = Golden {
            frames: format!("golden.{name}.frames"),
            expected: format!("golden.{name}.npz"),
            origin: origin.clone(),
        };
        for (file, content) in [(&golden.frames, dump), (&golden.expected, &npz)] {
            let path = dir.join(file);
            fs::write(&path, content).map_err(ExportError::write(&path))?;
            let entry = FileEntry {
                bytes: content.len() as u64,
                sha256: sha256_hex(content),
            };
            manifest.files.insert(file.clone(), entry);
        }
        manifest.golden.insert(name.clone(), golden);
    }
    let names: Vec<String> = plan.variants.iter().map(|v| v.name()).collect();
    for name in names {
        steps.step(&format!("load the graphs of {name}"))?;
        let bucket = manifest.variants.get(&name);
        let bucket = bucket.and_then(|entry| golden::bucket(&manifest.encoder, entry));
        let expected = bucket.and_then(|ids| buckets.get(&ids.len()));
        let expected = expected.unwrap_or(&answers);
        let measured = compared(&package, &name, plan, &clips, expected, steps)?;
        if let Some(entry) = manifest.variants.get_mut(&name) {
            entry.measured = measured;
        }
    }
    if let GoldenFrames::Given { permission, .. } = &plan.frames {
        let text = &mut manifest.card.text;
        *text = format!(
            "{}\nThe golden clips of this package are recorded images. Distribution permitted: {}\n",
            text.trim_end(),
            permission.trim()
        );
    }
    Ok(())
}

/// Runs a variant on the clips beside what the fp32 graphs gave.
fn compared(
    package: &Package,
    name: &str,
    plan: &mut GoldenPlan<'_>,
    clips: &[GoldenClip],
    expected: &[Answers],
    steps: &mut Steps<'_>,
) -> Result<Measured, ExportError> {
    let manifest = &package.manifest;
    let not_run = |why: String| Ok(Measured::NotRun { why });
    let Some(entry) = manifest.variants.get(name) else {
        return not_run("not in the package".to_owned());
    };
    let mut engine = match (plan.make_engine)(package, name) {
        Ok(engine) => engine,
        Err(why) => return not_run(why.replace('\n', " ")),
    };
    let mut step = |what: &str| match steps.step(&format!("{name}: {what}")) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    match golden::run(engine.as_mut(), manifest, entry, clips, &mut step) {
        Err(GoldenError::Interrupted) => Err(ExportError::Interrupted),
        Err(error) => not_run(error.to_string()),
        Ok(found) => {
            let dim = manifest.encoder.dim;
            Ok(measured::measured(engine.info(), dim, expected, &found))
        }
    }
}

/// Name and frame dump of each clip, and where the frames come from.
type Dumps = (Vec<(String, Vec<u8>)>, String);

fn dumps(frames: &GoldenFrames, manifest: &Manifest) -> Result<Dumps, ExportError> {
    match frames {
        GoldenFrames::Synthetic => {
            let dump = |clip: &heart::Clip| {
                let frames = clip.frames(manifest).map_err(refused(clip.name))?;
                Ok((clip.name.to_owned(), dump(&frames)?))
            };
            let dumps: Result<Vec<_>, ExportError> = heart::CLIPS.iter().map(dump).collect();
            let origin = "synthetic: simulated hearts, no recorded image";
            Ok((dumps?, origin.to_owned()))
        }
        GoldenFrames::Given { clips, permission } => {
            let mut dumps = Vec::new();
            for (at, frames) in clips.iter().enumerate() {
                let name = format!("recorded{}", at + 1);
                let dump = shortened(manifest, &name, frames)?;
                dumps.push((name, dump));
            }
            let origin = format!(
                "recorded images, distribution permitted: {}",
                permission.trim()
            );
            Ok((dumps, origin))
        }
    }
}

fn clip(manifest: &Manifest, name: &str, dump: &[u8]) -> Result<GoldenClip, ExportError> {
    golden::clip(manifest, dump).map_err(refused(name))
}

fn refused<E: std::fmt::Display>(name: &str) -> impl Fn(E) -> ExportError {
    move |error| ExportError::Request {
        what: format!("golden clip {name}"),
        expected: "frames of one whole clip".to_owned(),
        found: error.to_string(),
    }
}

fn dump(frames: &[Frame]) -> Result<Vec<u8>, ExportError> {
    let write = || -> Result<Vec<u8>, DumpError> {
        let mut writer = DumpWriter::new(Vec::new())?;
        for frame in frames {
            writer.frame(&frame.meta, &frame.pixels)?;
        }
        writer.finish()
    };
    write().map_err(refused("frames"))
}

/// The frames that stand for the slots of the first clip and the one after each, as a dump that
/// starts at time 0 and makes the same clip.
fn shortened(manifest: &Manifest, name: &str, frames: &[Frame]) -> Result<Vec<u8>, ExportError> {
    let chosen = clip(manifest, name, &dump(frames)?)?.chosen;
    let kept: BTreeSet<u64> = chosen.iter().flat_map(|&n| [n, n + 1]).collect();
    let start_nanos = frames.first().map_or(0, |f| f.meta.capture_nanos);
    let kept: Vec<Frame> = frames
        .iter()
        .zip(0u64..)
        .filter(|(_, number)| kept.contains(number))
        .map(|(frame, _)| Frame {
            meta: FrameMeta {
                capture_nanos: frame.meta.capture_nanos - start_nanos,
                pass: 0,
                host: Default::default(),
                ..frame.meta
            },
            pixels: frame.pixels.clone(),
        })
        .collect();
    dump(&kept)
}
