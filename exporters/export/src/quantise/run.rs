//! From a package and clips to a new package with more variants.

use super::calibrate::{Calibration, steps};
use super::card::{markdown, picture_name};
use super::clip::Clip;
use super::compose::{Composed, Rule, compose};
use super::fold::Folds;
use super::layers::GraphMeasure;
use super::measure::{Failure, Outputs, Subject, head_graph};
use super::number::quantises_activations;
use super::outcome::{
    ENCODER, Measures, feed_pairs, largest_pixel, layer_reports, measured, new_report, outcome,
    sizes,
};
use super::picture;
use super::plan::{GraphPlan, Plan};
use super::report::VariantReport;
use super::request::{QuantiseReport, QuantiseRequest, check, wrong};
use super::runner::GraphRunner;
use super::write::{Sources, part, put};
use crate::error::ExportError;
use crate::graph::encoder::ROWS;
use crate::output::Staging;
use crate::progress::{Progress, go_on};
use crate::recipe::VARIANT;
use crate::variant::{Islands, Model};
use echocart_core::hash::{sha256_file_checked, sha256_hex};
use echocart_core::manifest::{FileEntry, Precision, Variant};
use echocart_core::package::MANIFEST;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const REPORT: &str = "report.json";
const CARD: &str = "report.md";

/// One request on its way.
pub(super) struct Run<'a> {
    pub request: &'a QuantiseRequest<'a>,
    runner: &'a mut dyn GraphRunner,
    progress: Progress<'a>,
    source: Variant,
    pub sources: Sources,
    pub folds: Folds,
    behind: usize,
    pub total: usize,
}

/// Makes variants of a package and writes them, with a report, into a new one.
///
/// The folder appears when it is complete; the same request on the same processor and library gives
/// the same bytes.
///
/// # Errors
/// [`ExportError`], with the output folder unchanged; [`ExportError::Interrupted`] if `progress`
/// stops it.
pub fn quantise(
    request: &QuantiseRequest<'_>,
    runner: &mut dyn GraphRunner,
    progress: Progress<'_>,
) -> Result<QuantiseReport, ExportError> {
    let manifest = &request.package.manifest;
    let source = manifest.variants.get(VARIANT);
    let source = source.ok_or_else(|| wrong("package", "an fp32 variant", "none"))?;
    check(request)?;
    let staging = Staging::create(&request.out_dir, request.replace)?;
    let sources = Sources::open(&request.package.dir, source)?;
    let given = request.calibration.len().saturating_sub(request.golden);
    let given = request.calibration.get(..given).unwrap_or_default();
    let mut run = Run {
        request,
        runner,
        progress,
        source: source.clone(),
        sources,
        folds: Folds::of(given).with(request.golden),
        behind: 0,
        total: 0,
    };
    let report = run.package(staging.path())?;
    go_on((run.progress)(
        "put the package in its place",
        run.total,
        run.total,
    ))?;
    staging.publish()?;
    Ok(report)
}

impl Run<'_> {
    fn step(&mut self, what: &str) -> Result<(), ExportError> {
        self.behind += 1;
        go_on((self.progress)(what, self.behind - 1, self.total))
    }

    /// Calibration clips that plans are tried on, one of each fold.
    pub fn checks(&self) -> Vec<Clip> {
        let clips = &self.request.calibration;
        let places = self.folds.tried().into_iter();
        places
            .filter_map(|place| clips.get(place).cloned())
            .collect()
    }

    fn head_models(&self) -> Vec<(String, Model, usize)> {
        let heads = &self.request.package.manifest.heads;
        let graph = |(name, head): (&String, &echocart_core::manifest::Head)| {
            let graphs = self.source.heads.get(name)?;
            let (key, clips) = head_graph(head, graphs)?;
            let model = self.sources.heads.get(name)?.get(&key)?.clone();
            Some((name.clone(), model, clips))
        };
        heads.iter().filter_map(graph).collect()
    }

    fn calibrate(&mut self) -> Result<Measures, ExportError> {
        let precisions: Vec<Precision> = self.request.precisions.clone();
        let precisions: Vec<Precision> = precisions
            .into_iter()
            .filter(|p| quantises_activations(*p))
            .collect();
        let mut measures = Measures::new();
        if precisions.is_empty() {
            return Ok(measures);
        }
        let scratch = tempfile::Builder::new()
            .prefix("echocart-quantise-")
            .tempdir()
            .map_err(ExportError::write(&std::env::temp_dir()))?;
        let rewrite = |model: &Model, precision: Precision, plan: &GraphPlan| {
            part(model, precision, plan, scratch.path())
        };
        let encoder = &self.request.package.manifest.encoder;
        let clips = self.request.calibration.iter();
        let clips = clips.map(|clip| clip.feeds(encoder)).collect();
        let heads = self.head_models();
        let calibration = Calibration {
            model: &self.sources.encoder,
            precisions: &precisions,
            runner: self.runner,
            rewrite: &rewrite,
            progress: self.progress,
            what: "calibrate the encoder:",
            steps: (self.behind, self.total),
            folds: &self.folds,
            known: Some((
                ROWS,
                largest_pixel(&self.request.package.manifest.preprocess),
            )),
        };
        let calibrated = calibration.run(clips)?;
        self.behind += steps(&self.sources.encoder);
        measures.insert(ENCODER.to_owned(), calibrated.measures);
        let outputs = calibrated.outputs.into_iter();
        let tokens: Vec<Arc<Vec<f32>>> = outputs.map(|o| Arc::new(o.values)).collect();
        for (name, model, clips) in heads {
            let calibration = Calibration {
                model: &model,
                precisions: &precisions,
                runner: self.runner,
                rewrite: &rewrite,
                progress: self.progress,
                what: &format!("calibrate head {name}:"),
                steps: (self.behind, self.total),
                folds: &self.folds,
                known: None,
            };
            let calibrated = calibration.run(feed_pairs(&tokens, encoder.dim, clips))?;
            self.behind += steps(&model);
            measures.insert(name, calibrated.measures);
        }
        Ok(measures)
    }

    /// What a variant gives for clips.
    pub fn outputs(
        &mut self,
        dir: &Path,
        variant: &Variant,
        what: &str,
        clips: &[Clip],
    ) -> Result<Outputs, Failure> {
        self.behind += 1;
        let subject = Subject {
            dir,
            variant,
            encoder: &self.request.package.manifest.encoder,
            heads: &self.request.package.manifest.heads,
            what,
        };
        let steps = (self.behind - 1, self.total);
        subject.run(self.runner, clips, self.progress, steps)
    }

    /// Writes a variant.
    pub fn write(
        &mut self,
        plan: &Plan,
        islands: &Islands,
        dir: &Path,
    ) -> Result<(Variant, Vec<String>), ExportError> {
        let name = plan.precision.as_str();
        let (behind, total) = (self.behind, self.total);
        self.behind += 1;
        let progress = &mut *self.progress;
        let mut on_tensor =
            |tensor: &str| go_on(progress(&format!("write {name} {tensor}"), behind, total));
        self.sources
            .write(name, plan, islands, &self.source, dir, &mut on_tensor)
    }

    /// A plan for all graphs.
    pub fn plan_of(
        &self,
        precision: Precision,
        measures: &Measures,
        rule: &Rule,
    ) -> (Plan, Composed, BTreeMap<String, Composed>) {
        let tokens = self.request.package.manifest.encoder.tokens();
        let none = GraphMeasure::default();
        let composed = |graph: &str, clips: usize| {
            let measure = measures.get(graph).and_then(|m| m.get(&precision));
            compose(
                measure.unwrap_or(&none),
                rule,
                tokens * clips,
                self.folds.count(),
            )
        };
        let encoder = composed(ENCODER, 1);
        let heads: BTreeMap<String, Composed> = self
            .sources
            .heads
            .keys()
            .map(|name| (name.clone(), composed(name, 1)))
            .collect();
        let plan = Plan {
            precision,
            encoder: encoder.plan.clone(),
            heads: heads
                .iter()
                .map(|(name, composed)| (name.clone(), composed.plan.clone()))
                .collect(),
        };
        (plan, encoder, heads)
    }

    fn package(&mut self, dir: &Path) -> Result<QuantiseReport, ExportError> {
        let parent = self.request.package;
        let heads: usize = self.head_models().iter().map(|(_, m, _)| steps(m)).sum();
        let ranged = self
            .request
            .precisions
            .iter()
            .any(|p| quantises_activations(*p));
        let calibration = if ranged {
            steps(&self.sources.encoder) + heads
        } else {
            0
        };
        self.total =
            calibration + parent.manifest.files.len() + 2 + 3 * self.request.precisions.len();

        let source = self.source.clone();
        let checks = self.checks();
        let failed = |failure| match failure {
            Failure::NotRun(message) => ExportError::Engine { message },
            Failure::Export(error) => error,
        };
        let mut alone = source.clone();
        alone.heads.clear();
        let check = self
            .outputs(&parent.dir, &alone, "fp32", &checks)
            .map_err(failed)?;
        let held_out = self.request.held_out.clone();
        let exact = self
            .outputs(&parent.dir, &source, "fp32", &held_out)
            .map_err(failed)?;
        let measures = self.calibrate()?;

        let mut manifest = parent.manifest.clone();
        manifest.id.clone_from(&self.request.id);
        manifest.parent = Some(parent.hash.clone());
        let mut report = new_report(self.request, self.runner.name());
        let mut written = Vec::new();
        for precision in self.request.precisions.clone() {
            let name = precision.as_str();
            let ready = if quantises_activations(precision) {
                self.with_ranges(precision, &measures, &check, dir)?
            } else {
                self.without_ranges(precision, &check, dir)?
            };
            let found = self.outputs(dir, &ready.variant, name, &held_out);
            let outcome = outcome(self.request, precision, found, &exact)?;
            let mut variant = ready.variant.clone();
            variant.measured = measured(&outcome, held_out.len(), self.runner.name());
            let layers = layer_reports(precision, &measures, &ready);
            if !layers.is_empty() {
                let title = format!("{}: {name}", self.request.id);
                put(
                    dir,
                    &picture_name(name),
                    picture::draw(&title, &layers).as_bytes(),
                )?;
                written.push(picture_name(name));
            }
            let bytes = sizes(dir, &ready.files)?;
            report.variants.insert(
                name.to_owned(),
                VariantReport {
                    precision,
                    providers: variant.providers.clone(),
                    bytes,
                    fp32_bytes: sizes(&parent.dir, &self.source_files())?,
                    outcome,
                    rule: ready.rule,
                    rounds: ready.rounds,
                    layers,
                    islands: ready.islands,
                },
            );
            manifest.variants.insert(name.to_owned(), variant);
            written.extend(ready.files);
        }
        for name in parent.manifest.files.keys() {
            self.step(&format!("copy {name}"))?;
            let (from, to) = (parent.dir.join(name), dir.join(name));
            if ![REPORT, CARD].contains(&name.as_str()) {
                fs::copy(&from, &to).map_err(ExportError::write(&to))?;
            }
        }
        let json = serde_json::to_string_pretty(&report)
            .map_err(|e| wrong(REPORT, "a report that can be written", e.to_string()))?;
        put(dir, REPORT, (json + "\n").as_bytes())?;
        put(dir, CARD, markdown(&report).as_bytes())?;
        written.extend([REPORT.to_owned(), CARD.to_owned()]);
        for name in written {
            let entry = self.entry(&dir.join(&name))?;
            manifest.files.insert(name, entry);
        }
        manifest.validate()?;
        let text = toml::to_string(&manifest)
            .map_err(|e| wrong(MANIFEST, "a manifest that can be written", e.to_string()))?;
        put(dir, MANIFEST, text.as_bytes())?;
        Ok(QuantiseReport {
            dir: self.request.out_dir.clone(),
            manifest,
            hash: sha256_hex(text.as_bytes()),
            report,
        })
    }

    fn source_files(&self) -> Vec<String> {
        let own = |name: &&String| name.contains(".fp32.");
        let files = self.request.package.manifest.files.keys();
        files.filter(own).cloned().collect()
    }

    fn entry(&mut self, path: &Path) -> Result<FileEntry, ExportError> {
        let (sha256, bytes) =
            sha256_file_checked(path, &mut || Ok(())).map_err(ExportError::read(path))?;
        Ok(FileEntry { bytes, sha256 })
    }
}
