//! The baseline of few labels: the whole network, taught by them alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use echocart_phantom::Random;

use super::few::Example;
use super::model::{Model, Shape};
use crate::augment::{Crop, cut};
use crate::fit::Fitted;
use crate::net::params::Layout;
use crate::net::vit::{Vit, patches};
use crate::optimiser::{AdamW, rate};
use crate::pretrain::frozen;
use crate::probing::VIEWS;
use crate::supervised::{Labelled, Supervised, Weights};
use crate::{TrainError, parallel, progress, render, whiten};

/// Passes over the labels.
const EPOCHS: usize = 60;
const BATCH: usize = 15;
const RATE: f32 = 7e-4;
const DECAY: f32 = 0.05;
/// Least part of a frame that a clip is cut from.
const LEAST_AREA: f32 = 0.6;

/// Teaches one network per draw. Nothing if it was stopped.
///
/// # Errors
/// [`TrainError::Diverged`].
pub fn teach(
    shape: Shape,
    draws: &[Vec<Example>],
    threads: usize,
    stop: &AtomicBool,
) -> Result<Option<Vec<Model>>, TrainError> {
    let started = Instant::now();
    let mut models = Vec::new();
    for (examples, seed) in draws.iter().zip(1..) {
        let mut pass = |pass: usize| {
            let all = (0, (seed as usize - 1) * EPOCHS + pass, draws.len() * EPOCHS);
            progress::line("evaluate", "passes from scratch", all, started);
            stop.load(Ordering::Relaxed)
        };
        match one(shape, examples, (seed, threads), &mut pass)? {
            Some(model) => models.push(model),
            None => return Ok(None),
        }
    }
    Ok(Some(models))
}

fn one(
    shape: Shape,
    examples: &[Example],
    (seed, threads): (u64, usize),
    pass: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Model>, TrainError> {
    let size = shape.encoder;
    let view_only = Weights {
        ejection: 0.0,
        chambers: 0.0,
    };
    let network = Supervised::<f32>::new(size, shape.heads[0], view_only);
    let layout = &network.layout;
    let mut params = layout.draw(seed);
    let clips: Vec<&[u8]> = examples
        .iter()
        .map(|(_, pixels)| pixels.as_slice())
        .collect();
    whiten::start(layout, &mut params, size, &clips, seed);
    let mut decaying = layout.decaying();
    for range in frozen(layout) {
        decaying[range].fill(false);
    }
    let mut adam = AdamW::new(decaying, DECAY);
    let batch = BATCH.clamp(1, examples.len().max(1));
    let steps = EPOCHS * (examples.len() / batch);
    let mut step = 0;
    for epoch in 0..EPOCHS {
        let order = render::shuffled(examples.len(), seed, epoch as u64);
        for places in order.chunks_exact(batch) {
            let mut random = Random::new(seed, 0x2_0000 + step as u64);
            let picked = places
                .iter()
                .map(|&at| (at, Crop::draw(LEAST_AREA, &mut random)));
            let picked: Vec<(usize, Crop)> = picked.collect();
            let batch = parallel::map(picked, threads, |&(at, crop)| Labelled {
                window: 0..size.tokens(),
                chambers: Vec::new(),
                patches: patches(&cut(&examples[at].1, crop, size.side_px), size.side_px),
                view: Some(examples[at].0),
                ejection: None,
            });
            let (loss, mut grads, _) = network.batch(&params, &batch, threads);
            if !loss.is_finite() {
                return Err(TrainError::Diverged { loss, step });
            }
            for range in frozen(layout) {
                grads[range].fill(0.0);
            }
            let rate = rate(RATE, step, steps / 10, steps);
            step += 1;
            adam.step(&mut params, &grads, rate, step);
        }
        if pass(epoch + 1) {
            return Ok(None);
        }
    }
    Ok(Some(split(shape, layout, &params)))
}

/// Encoder and view probe of a network that was taught as one.
fn split(shape: Shape, layout: &Layout, params: &[f32]) -> Model {
    let mut encoder = Layout::default();
    let vit = Vit::new(&mut encoder, shape.encoder);
    let size = (shape.encoder.dim, shape.heads[0]);
    let mut view = Fitted::start(size, "linear", VIEWS.len(), 0);
    let entries = layout.entries().iter();
    let of_view = entries.filter(|entry| entry.name.starts_with("view."));
    view.params = of_view
        .flat_map(|entry| params[entry.range.clone()].iter().copied())
        .collect();
    Model::new("supervised", (vit, params[..encoder.len()].to_vec()), view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::SIDE_PX;
    use crate::evaluate::model::answer;
    use crate::measure::arg_max;
    use crate::net::vit::{FRAMES, Size};

    #[test]
    fn classes_that_differ_are_learned_by_the_whole_network_and_its_parts_say_so() {
        let shape = Shape {
            encoder: Size {
                side_px: 32,
                dim: 24,
                depth: 1,
                heads: 2,
            },
            heads: [2, 2],
        };
        let plane = SIDE_PX * SIDE_PX;
        let clip = |seed: u64| -> Example {
            let (class, mut random) = (seed as usize % 2, Random::new(seed, 1));
            let pixels = (0..FRAMES * plane).map(|at| {
                let bright = (at % SIDE_PX < SIDE_PX / 2) == (class == 0);
                (if bright { 160.0 } else { 40.0 }) + 20.0 * random.normal()
            });
            (class, pixels.map(|x| x as u8).collect())
        };
        let draws = [(0..30).map(clip).collect::<Vec<_>>()];
        let models = teach(shape, &draws, 2, &AtomicBool::new(false))
            .unwrap()
            .unwrap();
        let new: Vec<Example> = (100..110).map(clip).collect();
        for (class, pixels) in new {
            let said = models[0].view.as_ref().map(|probe| {
                let x = models[0].features(&pixels, None);
                arg_max(&answer(probe, &x))
            });
            assert_eq!(said, Some(class));
        }
        assert!(
            teach(shape, &draws, 1, &AtomicBool::new(true))
                .unwrap()
                .is_none()
        );
    }
}
