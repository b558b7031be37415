//! The objective: a student predicts what a slow copy of itself makes of the parts it cannot see.

use std::ops::Range;

use echocart_phantom::Random;

use crate::equal::moments;
use crate::masks::{GENERATORS, Mask};
use crate::net::attention::Tokens;
use crate::net::matrix::{product, view, view_mut};
use crate::net::norm::standardise;
use crate::net::params::Layout;
use crate::net::predictor::{Predictor, PredictorSize};
use crate::net::trunk::add;
use crate::net::vit::{Size, Vit, gather};
use crate::net::{Real, vit};
use crate::parallel;

/// Epsilon of the targets' normalisation.
const TARGET_EPS: f64 = 1e-5;

/// Clips that one thread takes through the network at once.
const CLIPS_AT_ONCE: usize = 4;

/// Student, predictor and their places.
#[derive(Debug, Clone)]
pub struct Jepa<F> {
    /// Places of all tensors, those of the encoder first.
    pub layout: Layout,
    /// Values of the encoder.
    pub encoder_len: usize,
    /// The encoder of student and teacher.
    pub encoder: Vit<F>,
    predictor: Predictor<F>,
}

/// One clip's input and masks.
#[derive(Debug, Clone)]
pub struct Example<F> {
    /// `[tokens, 512]`.
    pub patches: Vec<F>,
    /// One mask per generator.
    pub masks: Vec<Mask>,
    /// The places that student and teacher are given, without gaps: a part of the time, or all of it.
    pub window: Range<usize>,
}

/// Sums of the teacher's features at every place, and how many they are of.
#[derive(Debug, Clone)]
pub struct Means<F> {
    sums: Vec<F>,
    counts: Vec<F>,
    /// `[dim, dim]`, sums of the products of features, each less what is usual at its place; none without an equaliser.
    pub moments: Vec<F>,
    /// How many features those are of.
    pub count: F,
}

/// What the student is held against.
#[derive(Debug, Clone, Copy)]
pub struct Against<'a, F> {
    /// Values of the teacher.
    pub teacher: &'a [F],
    /// `[tokens, dim]`, what is taken from the teacher's features before they are normalised.
    pub centre: &'a [F],
    /// `[dim, dim]`, what they are multiplied with after that.
    pub equaliser: Option<&'a [F]>,
}

impl<F: Real> Means<F> {
    fn new(values: usize, dim: usize) -> Self {
        Self {
            sums: vec![F::zero(); values],
            counts: vec![F::zero(); values],
            moments: vec![F::zero(); dim * dim],
            count: F::zero(),
        }
    }

    /// Moves a centre towards the means.
    pub fn pull(&self, centre: &mut [F], share: F) {
        let means = self.sums.iter().zip(&self.counts);
        for (centre, (&sum, &count)) in centre.iter_mut().zip(means) {
            if count > F::zero() {
                *centre += share * (sum / count - *centre);
            }
        }
    }
}

impl<F: Real> Jepa<F> {
    /// Lays out the networks.
    pub fn new(size: Size, predictor: PredictorSize) -> Self {
        let mut layout = Layout::default();
        let encoder = Vit::new(&mut layout, size);
        let encoder_len = layout.len();
        let predictor = Predictor::new(&mut layout, predictor, size);
        Self {
            layout,
            encoder_len,
            encoder,
            predictor,
        }
    }

    /// Mean loss of a batch, its gradients, and the teacher's mean features.
    pub fn batch(
        &self,
        params: &[F],
        against: Against<'_, F>,
        examples: &[Example<F>],
        threads: usize,
    ) -> (F, Vec<F>, Means<F>) {
        let dim = self.encoder.size.dim;
        let scale = F::one() / F::of(examples.len().max(1) as f64);
        let parts = parallel::map(examples.chunks(CLIPS_AT_ONCE), threads, |chunk| {
            let mut grads = vec![F::zero(); params.len()];
            let mut means = Means::new(against.centre.len(), dim);
            let targets = self.targets(against, chunk, &mut means);
            let mut loss = F::zero();
            for index in 0..GENERATORS.len() {
                loss += self.one_mask((params, &mut grads), chunk, index, &targets, scale);
            }
            (loss, grads, means)
        });
        let mut sum = vec![F::zero(); params.len()];
        let mut loss = F::zero();
        let mut means = Means::new(against.centre.len(), dim);
        for (part, grads, part_means) in parts {
            loss += part;
            add(&mut sum, &grads);
            add(&mut means.sums, &part_means.sums);
            add(&mut means.counts, &part_means.counts);
            add(&mut means.moments, &part_means.moments);
            means.count += part_means.count;
        }
        (loss, sum, means)
    }

    /// What the teacher makes of the windows, normalised.
    fn targets(
        &self,
        against: Against<'_, F>,
        chunk: &[Example<F>],
        means: &mut Means<F>,
    ) -> Vec<Vec<F>> {
        let Against {
            teacher, centre, ..
        } = against;
        let dim = self.encoder.size.dim;
        let mut tokens = Tokens::default();
        let mut patches = Vec::new();
        for Example {
            patches: all,
            window,
            ..
        } in chunk
        {
            tokens.push(&window.clone().collect::<Vec<_>>());
            patches.extend_from_slice(&all[window.start * vit::PATCH..window.end * vit::PATCH]);
        }
        let mut features = self.encoder.infer(teacher, &patches, &tokens);
        for (row, &place) in features.chunks_exact_mut(dim).zip(&tokens.places) {
            let range = place * dim..(place + 1) * dim;
            add(&mut means.sums[range.clone()], row);
            for (value, &mean) in row.iter_mut().zip(&centre[range.clone()]) {
                *value -= mean;
            }
            for count in &mut means.counts[range] {
                *count += F::one();
            }
        }
        if let Some(equaliser) = against.equaliser {
            let (unequal, rows) = (features.clone(), tokens.places.len());
            moments(&unequal, dim, &mut means.moments);
            means.count += F::of(rows as f64);
            let by = view(equaliser, dim, dim);
            let to = view_mut(&mut features, rows, dim);
            product(view(&unequal, rows, dim), by.t(), to, false);
        }
        let mut unit = standardise(&features, dim, TARGET_EPS).into_rows();
        let windows = chunk.iter().map(|example| example.window.len() * dim);
        windows
            .map(|values| {
                let rest = unit.split_off(values);
                std::mem::replace(&mut unit, rest)
            })
            .collect()
    }

    fn one_mask(
        &self,
        (params, grads): (&[F], &mut [F]),
        chunk: &[Example<F>],
        index: usize,
        targets: &[Vec<F>],
        scale: F,
    ) -> F {
        let dim = self.encoder.size.dim;
        let (mut seen, mut hidden) = (Tokens::default(), Tokens::default());
        let (mut patches, mut wanted) = (Vec::new(), Vec::new());
        for (example, target) in chunk.iter().zip(targets) {
            let mask = example.masks[index].within(&example.window);
            seen.push(&mask.seen);
            hidden.push(&mask.hidden);
            patches.extend(gather(&example.patches, vit::PATCH, &mask.seen));
            let first = example.window.start * dim;
            let from = |place: &usize| place * dim - first..(place + 1) * dim - first;
            wanted.extend(mask.hidden.iter().flat_map(|at| &target[from(at)]).copied());
        }
        let (x, encoder_tape) = self.encoder.forward(params, patches, &seen);
        let (y, tape) = self.predictor.forward(params, &x, &seen, &hidden);
        let mut loss = F::zero();
        let mut dy = vec![F::zero(); y.len()];
        let mut first = 0;
        for &count in &hidden.lengths {
            let range = first * dim..(first + count) * dim;
            let share = scale / F::of((range.len() * GENERATORS.len()) as f64);
            let rows = y[range.clone()].iter().zip(&wanted[range.clone()]);
            for ((&y, &wanted), dy) in rows.zip(&mut dy[range]) {
                loss += share * (y - wanted).abs();
                *dy = share * (y - wanted).signum();
            }
            first += count;
        }
        let dx = self
            .predictor
            .backward(params, (&x, &seen, &hidden), &tape, &dy, grads);
        self.encoder
            .backward(params, &seen, &encoder_tape, &dx, grads);
        loss
    }
}

/// The masks of a batch, one per generator for every clip.
pub fn masks(grid: [usize; 3], clips: usize, random: &mut Random) -> Vec<Vec<Mask>> {
    let drawn = GENERATORS.map(|generator| generator.draw(grid, clips, random));
    (0..clips)
        .map(|clip| drawn.iter().map(|masks| masks[clip].clone()).collect())
        .collect()
}

/// A part of the time, `tubelets` long, at a drawn place.
pub fn window(grid: [usize; 3], tubelets: usize, random: &mut Random) -> Range<usize> {
    let [depth, rows, columns] = grid;
    let tubelets = tubelets.clamp(1, depth);
    let first = (random.bits() % (depth - tubelets + 1) as u64) as usize;
    let plane = rows * columns;
    first * plane..(first + tubelets) * plane
}

/// Moves the teacher towards the student.
pub fn follow(teacher: &mut [f32], student: &[f32], momentum: f32) {
    for (slow, &fast) in teacher.iter_mut().zip(student) {
        *slow += (1.0 - momentum) * (fast - *slow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_the_equaliser_makes_one_channel_of_the_target() {
        let size = Size {
            side_px: 32,
            dim: 8,
            depth: 1,
            heads: 1,
        };
        let predictor = PredictorSize {
            dim: 8,
            depth: 1,
            heads: 1,
        };
        let jepa: Jepa<f64> = Jepa::new(size, predictor);
        let teacher: Vec<f64> = jepa.layout.draw(4);
        let centre: Vec<f64> = (0..size.tokens() * 8)
            .map(|at| 0.1 * (at as f64).sin())
            .collect();
        let patches = (0..size.tokens() * vit::PATCH).map(|at| (at as f64).cos());
        let clip = [Example {
            patches: patches.collect(),
            masks: Vec::new(),
            window: 4..size.tokens(),
        }];
        // Channel c of the target comes from channel c + 3.
        let mut turned = vec![0.0; 64];
        (0..8).for_each(|to| turned[8 * to + (to + 3) % 8] = 1.0);
        let targets = |equaliser| {
            let against = Against {
                teacher: &teacher[..jepa.encoder_len],
                centre: &centre,
                equaliser,
            };
            let mut means = Means::new(centre.len(), 8);
            let found = jepa.targets(against, &clip, &mut means);
            (found.concat(), means)
        };
        let ((plain, without), (found, with)) = (targets(None), targets(Some(&turned[..])));
        for (at, value) in found.iter().enumerate() {
            let expected = plain[at / 8 * 8 + (at % 8 + 3) % 8];
            assert!((value - expected).abs() < 1e-12, "{at}");
        }
        assert_eq!((without.count, with.count), (0.0, 28.0));
        assert!(without.moments.iter().all(|x| *x == 0.0) && with.moments[0] > 0.0);
    }
}
