//! View probes from few labels.

use std::sync::atomic::AtomicBool;

use super::model::{Model, Shape};
use crate::cache::{Label, Shelf};
use crate::fit::{Fitted, Item, Plan, Target};
use crate::probing::VIEWS;
use crate::{TrainError, parallel, render};

/// Clips of the training that labels are drawn from.
pub const OF: usize = 6000;

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

/// A clip's class and its features.
type Example = (usize, Vec<f32>);

/// Fits a probe for every draw of `labels`, on features of `model`. Nothing if it was stopped.
///
/// # Errors
/// [`TrainError`].
pub fn fit(
    model: &Model,
    shape: Shape,
    shelf: &Shelf,
    labels: Labels,
    threads: usize,
    stop: &AtomicBool,
) -> Result<Option<Vec<Fitted>>, TrainError> {
    let mut all = Vec::new();
    for draw in 0..labels.draws as u64 {
        let examples = examples(model, shelf, (labels.count, draw), threads)?;
        let items: Vec<Item<'_>> = examples
            .iter()
            .map(|(class, x)| (x.as_slice(), Target::Class(*class)))
            .collect();
        let seed = 1 + draw;
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

/// The drawn clips. Some clips carry no label: a few more are looked at.
fn examples(
    model: &Model,
    shelf: &Shelf,
    (count, draw): (usize, u64),
    threads: usize,
) -> Result<Vec<Example>, TrainError> {
    let order = render::shuffled(OF, 1, 1000 + draw);
    let clips = order.into_iter().take(count + count / 5);
    let made = parallel::map(clips, threads, |&index| -> Result<_, TrainError> {
        let (label, pixels) = shelf.clip(index)?;
        Ok(class(&label).map(|class| (class, model.features(&pixels, None))))
    });
    let made: Result<Vec<Option<Example>>, TrainError> = made.into_iter().collect();
    Ok(made?.into_iter().flatten().take(count).collect())
}

/// The class of a clip that carries a label.
pub fn class(label: &Label) -> Option<usize> {
    let view = label.view.as_deref()?;
    VIEWS.iter().position(|name| *name == view)
}
