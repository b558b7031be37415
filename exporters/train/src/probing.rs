//! Probes for views and ejection fraction on frozen features, and what they reach on new hearts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::cache::{Clips, Label, Split};
use crate::fit::{Fitted, Item, Plan, Target};
use crate::measure::{self, Ejection, Views};
use crate::net::params::Layout;
use crate::net::probe::softmax;
use crate::net::vit::Vit;
use crate::pretrain::{features, start};
use crate::render::MIXED;
use crate::settings::read_settings;
use crate::store::{Width, tensors, write};
use crate::supervised::Objective;
use crate::{TrainError, encoder_file, parallel, progress, render};

/// The view classes in the order of the probe's outputs.
pub const VIEWS: [&str; 13] = [
    "A2C",
    "A3C",
    "A4C",
    "A5C",
    "Other",
    "PLAX",
    "PSAX-AP",
    "PSAX-AV",
    "PSAX-MV",
    "PSAX-PM",
    "SSN",
    "Subcostal",
    "TEE",
];

/// Classes that the phantom cannot make: no clip of them is seen in training.
pub const UNSUPPORTED: [&str; 2] = ["SSN", "TEE"];

/// What an ejection fraction is standardised with; the recipe says the same.
pub const EF_MEAN: f64 = 50.0;
/// Likewise.
pub const EF_STD: f64 = 15.0;

/// Views whose clips the ejection fraction is learned from.
const EF_TRAINING: [&str; 4] = ["A2C", "A3C", "A4C", "A5C"];
/// The view that it is stated for.
pub const EF_VIEW: &str = "A4C";

/// Labelled clips of the small test, and how often they are drawn.
const FEW: (usize, u64) = (60, 5);

/// Share of new hearts whose interval is to hold the truth.
pub const COVERAGE: f64 = 0.9;

/// What the probes reach on hearts that nothing was fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What the features come from.
    pub encoder: String,
    /// Clips that the probes were fitted on.
    pub training_clips: usize,
    /// View with all labels.
    pub view: Views,
    /// What the view's logits are divided by, from the calibration hearts.
    pub temperature: f32,
    /// View accuracy with 60 labels, one number per draw.
    pub view_accuracy_60: Vec<f64>,
    /// Ejection fraction in four-chamber views.
    pub ejection: Option<Ejection>,
    /// Clips of the training by view.
    pub training_views: BTreeMap<String, usize>,
    /// Classes without any.
    pub unsupported: Vec<String>,
}

/// How the probes are fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probing {
    /// Passes over the clips.
    pub epochs: usize,
    /// Attention heads.
    pub heads: usize,
    /// Seed.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// Whether the encoder keeps the weights it started from, to compare with.
    pub random_encoder: bool,
    /// Most clips of a split.
    pub most: usize,
    /// Highest learning rate.
    pub rate: f32,
    /// Weight decay.
    pub decay: f32,
    /// Passes over the labels of the small test.
    pub few_epochs: usize,
    /// Whether figures are of the validation hearts, to choose settings on.
    pub screen: bool,
}

/// The class of a clip's view.
pub fn class(label: &Label) -> Option<usize> {
    let view = label.view.as_deref()?;
    VIEWS.iter().position(|name| *name == view)
}

/// The standardised ejection fraction of a clip that it can be learned from.
pub fn ejection_target(label: &Label) -> Option<f32> {
    let learned = EF_TRAINING.contains(&label.view.as_deref()?);
    let z = (label.ef_percent? - EF_MEAN) / EF_STD;
    learned.then_some(z as f32)
}

/// The order in which draw number `draw` takes labels.
pub fn drawn(count: usize, draw: u64) -> Vec<usize> {
    render::shuffled(count, 1, 1000 + draw)
}

/// A split's features with its labels.
struct Part {
    clips: Clips,
    features: Vec<Vec<f32>>,
}

/// Fits both probes on the encoder in `training` and writes them and `report.json` to `out`.
/// Nothing if it was stopped.
///
/// # Errors
/// [`TrainError`] for files and for splits without labelled clips.
pub fn probe(
    cache: &Path,
    (training, out): (&Path, &Path),
    plan: Probing,
    stop: &AtomicBool,
) -> Result<Option<Report>, TrainError> {
    let settings = read_settings(training)?;
    let mut layout = Layout::default();
    let encoder = Vit::new(&mut layout, settings.encoder);
    fs::create_dir_all(out).map_err(TrainError::file(out))?;
    let (name, weights) = match (plan.random_encoder, settings.objective) {
        (true, _) => {
            let clips = Clips::open(cache, Split::Train, plan.most)?;
            let weights = start(&layout, &settings, &clips);
            let path = out.join(encoder_file::NAME);
            encoder_file::write(&path, &encoder, &layout, &weights)?;
            ("random", encoder_file::read(&path, &layout, layout.len())?)
        }
        (false, objective) => {
            let path = training.join(encoder_file::NAME);
            let name = match objective {
                Objective::Jepa => "trained",
                Objective::Supervised => "supervised",
            };
            (name, encoder_file::read(&path, &layout, layout.len())?)
        }
    };
    let part = |split| Part::new(cache, split, (&encoder, &weights), plan);
    let train = part(Split::Train)?;
    let (calibration, test) = match plan.screen {
        true => (part(Split::Validation)?, part(Split::Validation)?),
        false => (part(Split::Calibration)?, part(Split::Test)?),
    };
    let size = (settings.encoder.dim, plan.heads);
    let fitting = Plan {
        epochs: plan.epochs,
        batch: 16,
        rate: plan.rate,
        decay: plan.decay,
        seed: plan.seed,
        threads: plan.threads,
    };

    let views = train.views();
    let mut view = Fitted::start(size, "linear", VIEWS.len(), plan.seed);
    if !view.fit(("view", &views), fitting, stop)? {
        return Ok(None);
    }
    let mut regressor = Fitted::start(size, "regressor", 1, plan.seed);
    if !regressor.fit(("lvef", &train.ejections(&EF_TRAINING)), fitting, stop)? {
        return Ok(None);
    }
    let few_fitting = Plan {
        epochs: plan.few_epochs,
        ..fitting
    };
    let few = few_labels((&views, &test), size, few_fitting, stop)?;
    let temperature = measure::temperature(&calibration.logits(&view, plan.threads));
    let report = Report {
        encoder: name.to_owned(),
        training_clips: train.clips.len(),
        view: measure::views(&test.probabilities(&view, temperature, plan.threads)),
        temperature,
        view_accuracy_60: few,
        ejection: ejection(&regressor, (&train, &calibration, &test), plan.threads),
        training_views: train.counts(),
        unsupported: UNSUPPORTED.map(str::to_owned).to_vec(),
    };
    for (fitted, file) in [(&view, "view"), (&regressor, "lvef")] {
        let all = tensors(&fitted.layout, &fitted.params, "");
        write(&out.join(format!("{file}.safetensors")), &all, Width::Full)?;
    }
    let path = out.join("report.json");
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    fs::write(&path, text + "\n").map_err(TrainError::file(&path))?;
    Ok(Some(report))
}

/// The view's accuracy with few labels, drawn several times.
fn few_labels(
    (views, test): (&[Item<'_>], &Part),
    size: (usize, usize),
    plan: Plan,
    stop: &AtomicBool,
) -> Result<Vec<f64>, TrainError> {
    let mut accuracies = Vec::new();
    for draw in 0..FEW.1 {
        let order = drawn(views.len(), draw);
        let few: Vec<Item<'_>> = order.iter().take(FEW.0).map(|at| views[*at]).collect();
        let mut fitted = Fitted::start(size, "linear", VIEWS.len(), plan.seed + draw);
        if !fitted.fit(("view, 60 labels", &few), plan, stop)? {
            break;
        }
        let answers = test.probabilities(&fitted, 1.0, plan.threads);
        accuracies.push(measure::views(&answers).accuracy);
    }
    Ok(accuracies)
}

fn ejection(
    fitted: &Fitted,
    (train, calibration, test): (&Part, &Part, &Part),
    threads: usize,
) -> Option<Ejection> {
    let residuals = calibration
        .estimates(fitted, threads)
        .iter()
        .map(|(found, truth)| (found - truth).abs())
        .collect();
    let half_width = measure::conformal(residuals, COVERAGE)?;
    let truths: Vec<f64> = train
        .ejections(&[EF_VIEW])
        .iter()
        .filter_map(|(_, target)| match target {
            Target::Value(z) => Some(f64::from(*z) * EF_STD + EF_MEAN),
            Target::Class(_) => None,
        })
        .collect();
    let estimates = test.estimates(fitted, threads);
    Some(measure::ejection(
        &estimates,
        measure::mean(&truths),
        half_width,
    ))
}

impl Part {
    fn new(
        cache: &Path,
        split: Split,
        (encoder, weights): (&Vit<f32>, &[f32]),
        plan: Probing,
    ) -> Result<Self, TrainError> {
        let clips = Clips::open(cache, split, plan.most)?;
        let started = Instant::now();
        let mut all = Vec::with_capacity(clips.len());
        while all.len() < clips.len() {
            let range = all.len()..(all.len() + 256).min(clips.len());
            all.extend(parallel::map(range, plan.threads, |&clip| {
                features(encoder, weights, clips.pixels(clip))
            }));
            progress::line(
                "features",
                split.name(),
                (0, all.len(), clips.len()),
                started,
            );
        }
        Ok(Self {
            clips,
            features: all,
        })
    }

    /// Clips whose view is known, of those that show all views.
    fn labelled(&self) -> impl Iterator<Item = (&[f32], usize)> {
        let pairs = self.features.iter().zip(&self.clips.labels).take(MIXED);
        pairs.filter_map(|(x, label)| Some((x.as_slice(), class(label)?)))
    }

    fn views(&self) -> Vec<Item<'_>> {
        let pairs = self.labelled();
        pairs.map(|(x, class)| (x, Target::Class(class))).collect()
    }

    fn ejections(&self, views: &[&str]) -> Vec<Item<'_>> {
        let pairs = self.features.iter().zip(&self.clips.labels);
        pairs
            .filter_map(|(x, label)| {
                let wanted = views.contains(&label.view.as_deref()?);
                let z = ejection_target(label).filter(|_| wanted)?;
                Some((x.as_slice(), Target::Value(z)))
            })
            .collect()
    }

    fn logits(&self, fitted: &Fitted, threads: usize) -> Vec<(Vec<f32>, usize)> {
        let (clips, classes): (Vec<&[f32]>, Vec<usize>) = self.labelled().unzip();
        fitted
            .answers(&clips, threads)
            .into_iter()
            .zip(classes)
            .collect()
    }

    fn probabilities(
        &self,
        fitted: &Fitted,
        temperature: f32,
        threads: usize,
    ) -> Vec<(Vec<f32>, usize)> {
        let mut answers = self.logits(fitted, threads);
        for (logits, _) in &mut answers {
            for logit in logits.iter_mut() {
                *logit /= temperature;
            }
            softmax(logits);
        }
        answers
    }

    /// Estimates and truths of the four-chamber clips.
    fn estimates(&self, fitted: &Fitted, threads: usize) -> Vec<(f64, f64)> {
        let items = self.ejections(&[EF_VIEW]);
        let clips: Vec<&[f32]> = items.iter().map(|(x, _)| *x).collect();
        let percent = |z: f32| f64::from(z) * EF_STD + EF_MEAN;
        let answers = fitted.answers(&clips, threads).into_iter().zip(&items);
        answers
            .filter_map(|(answer, (_, target))| match target {
                Target::Value(z) => Some((percent(*answer.first()?), percent(*z))),
                Target::Class(_) => None,
            })
            .collect()
    }

    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, class) in self.labelled() {
            *counts.entry(VIEWS[class].to_owned()).or_insert(0) += 1;
        }
        counts
    }
}
