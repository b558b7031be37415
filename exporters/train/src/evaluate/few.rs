//! View probes from few labels.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::model::{Model, Shape};
use crate::cache::Shelf;
use crate::fit::{Fitted, Item, Plan, Target};
use crate::probing::{VIEWS, class, drawn};
use crate::{TrainError, parallel, progress};

/// Clips of the training that labels are drawn from.
const OF: usize = 6000;

/// Clips that are taken between two lines of progress.
const BATCH: usize = 64;

/// How many labels, and how often they are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labels {
    /// Labels.
    pub count: usize,
    /// Draws.
    pub draws: usize,
    /// Passes over them.
    epochs: usize,
}

/// One percent and ten percent.
pub const FEW: [Labels; 2] = [
    Labels {
        count: 60,
        draws: 5,
        epochs: 60,
    },
    Labels {
        count: 600,
        draws: 1,
        epochs: 30,
    },
];

/// A clip's class and its pixels.
pub type Example = (usize, Vec<u8>);

/// The clips of every draw of every member of [`FEW`].
pub type Drawn = Vec<Vec<Vec<Example>>>;

/// Takes or renders the clips. Nothing if it was stopped.
///
/// # Errors
/// [`TrainError`].
pub fn draw(shelf: &Shelf, threads: usize, stop: &AtomicBool) -> Result<Option<Drawn>, TrainError> {
    let started = Instant::now();
    let total = FEW
        .iter()
        .map(|labels| labels.draws * wanted(labels.count))
        .sum();
    let mut done = 0;
    let mut all = Drawn::new();
    for labels in FEW {
        let mut draws = Vec::new();
        for draw in 0..labels.draws as u64 {
            let order = drawn(OF, draw);
            let mut examples = Vec::new();
            for part in order[..wanted(labels.count)].chunks(BATCH) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                for clip in parallel::map(part, threads, |index| shelf.clip(**index)) {
                    let (label, pixels) = clip?;
                    examples.extend(class(&label).map(|class| (class, pixels)));
                }
                done += part.len();
                progress::line("evaluate", "clips with labels", (0, done, total), started);
            }
            examples.truncate(labels.count);
            draws.push(examples);
        }
        all.push(draws);
    }
    Ok(Some(all))
}

/// Some clips carry no label: a few more are looked at.
fn wanted(count: usize) -> usize {
    count + count / 5
}

/// Fits a probe on each draw, on features of `model`. Nothing if it was stopped.
///
/// # Errors
/// [`TrainError`].
pub fn fit(
    model: &Model,
    shape: Shape,
    (labels, draws): (Labels, &[Vec<Example>]),
    threads: usize,
    stop: &AtomicBool,
) -> Result<Option<Vec<Fitted>>, TrainError> {
    let mut all = Vec::new();
    for (examples, seed) in draws.iter().zip(1..) {
        let features = parallel::map(examples, threads, |(_, pixels)| {
            model.features(pixels, None)
        });
        let items: Vec<Item<'_>> = examples
            .iter()
            .zip(&features)
            .map(|((class, _), x)| (x.as_slice(), Target::Class(*class)))
            .collect();
        let size = (shape.encoder.dim, shape.heads[0]);
        let mut probe = Fitted::start(size, "linear", VIEWS.len(), seed);
        let plan = Plan {
            epochs: labels.epochs,
            batch: 16,
            rate: 1e-3,
            decay: 0.05,
            seed,
            threads,
        };
        let name = format!("{} view, {} labels", model.name, labels.count);
        if !probe.fit((&name, &items), plan, stop)? {
            return Ok(None);
        }
        all.push(probe);
    }
    Ok(Some(all))
}
