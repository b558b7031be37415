//! Evidence on hearts that nothing was fitted on.

mod chart;
mod few;
mod figures;
mod files;
mod judged;
mod model;
mod report;
mod scratch;
mod table;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use echocart_core::manifest::{LVEF, VIEW};
use echocart_export::Recipe;

use crate::cache::{Clips, Shelf, Split, fill};
use crate::net::vit::Size;
use crate::settings::read_settings;
use crate::supervised::Objective;
use crate::{TrainError, encoder_file, parallel, progress};

use judged::{Heart, Judge};
use model::{Model, Shape};

pub use files::write;
pub use report::Report;

/// Hearts that are judged between two lines of progress.
const BATCH: usize = 32;

/// Fewest hearts: one of every view.
const FEWEST: usize = 18;

/// Hearts of one seed.
const HEARTS: u64 = 1_000_000;

/// Encoders that are compared: the shipped one is called by its training, the others lie in folders of these names.
const OTHERS: [&str; 3] = [PRETRAINED, SUPERVISED, RANDOM];
const PRETRAINED: &str = "pretrained";
const SUPERVISED: &str = "supervised";
/// Supervised, and taught where the chambers are.
const WITH_MAPS: &str = "supervised with maps";
const RANDOM: &str = "random";

/// What is to be evaluated, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Evaluation<'a> {
    /// Recipe of the package: sizes.
    pub recipe: &'a Path,
    /// Folder with `settings.json`, `encoder`, `view` and `lvef`; other encoders in [`OTHERS`] below.
    pub weights: &'a Path,
    /// Cache of rendered clips; what it lacks is rendered.
    pub cache: &'a Path,
    /// Test hearts.
    pub hearts: usize,
    /// Hearts that temperature and interval are fitted on.
    pub calibration: usize,
    /// 0: the test hearts of the training. Others: hearts that no training has seen either.
    pub seed: u32,
    /// Threads.
    pub threads: usize,
}

/// An evaluation with the pairs that its plots need.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The figures.
    pub report: Report,
    /// Estimated and true EF of the test hearts.
    pub fractions: Vec<(f64, f64)>,
}

/// Evaluates. Nothing if it was stopped.
///
/// # Errors
/// [`TrainError`].
pub fn evaluate(plan: Evaluation<'_>, stop: &AtomicBool) -> Result<Option<Evidence>, TrainError> {
    if plan.hearts < FEWEST || plan.hearts as u64 > HEARTS {
        let expected = format!("{FEWEST} to {HEARTS}");
        return Err(TrainError::setting("hearts", expected, plan.hearts));
    }
    let shape = shape(plan.recipe)?;
    let shelf = Shelf::open(plan.cache, Split::Train)?;
    if !fill(
        plan.cache,
        (Split::Calibration, plan.calibration),
        plan.threads,
        stop,
    )? {
        return Ok(None);
    }
    let calibration = Clips::open(plan.cache, Split::Calibration, plan.calibration)?;
    let Some(drawn) = few::draw(&shelf, plan.threads, stop)? else {
        return Ok(None);
    };
    let mut judges = Vec::new();
    for model in models(plan.weights, shape)? {
        let judge = Judge::new(model, (shape, &drawn, &calibration), plan.threads, stop)?;
        let Some(judge) = judge else {
            return Ok(None);
        };
        judges.push(judge);
    }
    let sixty = drawn.first().map_or(&[][..], Vec::as_slice);
    let Some(scratch) = scratch::teach(shape, sixty, plan.threads, stop)? else {
        return Ok(None);
    };
    let first = Split::Test.first_seed() + HEARTS * u64::from(plan.seed);
    let (started, mut hearts) = (Instant::now(), Vec::new());
    while hearts.len() < plan.hearts {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let range = hearts.len()..(hearts.len() + BATCH).min(plan.hearts);
        let batch = parallel::map(range, plan.threads, |&index| {
            Heart::new(first, index as u64, (&judges, &scratch))
        });
        for heart in batch {
            hearts.push(heart?);
        }
        progress::line(
            "evaluate",
            "hearts",
            (0, hearts.len(), plan.hearts),
            started,
        );
    }
    Ok(Some(judged::evidence(
        &judges,
        &hearts,
        &calibration,
        first,
    )))
}

/// The sizes that a recipe says.
fn shape(recipe: &Path) -> Result<Shape, TrainError> {
    let wrong = |found: String| TrainError::Content {
        what: "recipe",
        expected: "a recipe with a square encoder and attentive heads view and lvef".to_owned(),
        found,
        path: recipe.to_owned(),
    };
    let said = Recipe::open(recipe).map_err(|error| wrong(error.to_string()))?;
    let heads = |name: &str| said.heads.get(name).and_then(|head| head.heads);
    let (Some(view), Some(lvef)) = (heads(VIEW), heads(LVEF)) else {
        return Err(wrong("another one".to_owned()));
    };
    Ok(Shape {
        encoder: Size {
            side_px: said.encoder.width_px,
            dim: said.encoder.dim,
            depth: said.encoder.depth,
            heads: said.encoder.heads,
        },
        heads: [view, lvef],
    })
}

fn models(weights: &Path, shape: Shape) -> Result<Vec<Model>, TrainError> {
    let settings = read_settings(weights)?;
    let shipped = match settings.objective {
        Objective::Jepa => PRETRAINED,
        Objective::Supervised if settings.chambers > 0.0 => WITH_MAPS,
        Objective::Supervised => SUPERVISED,
    };
    let mut models = vec![Model::open(shipped, weights, shape)?];
    for name in OTHERS.into_iter().filter(|name| *name != shipped) {
        let folder = weights.join(name);
        if folder.join(encoder_file::NAME).exists() {
            models.push(Model::open(name, &folder, shape)?);
        }
    }
    Ok(models)
}
