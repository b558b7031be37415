//! The objective: a student predicts what a slow copy of itself makes of the parts it cannot see.

use echocart_phantom::Random;

use crate::masks::{GENERATORS, Mask};
use crate::net::attention::Tokens;
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

    /// Mean loss of a batch and its gradients.
    pub fn batch(
        &self,
        params: &[F],
        teacher: &[F],
        examples: &[Example<F>],
        threads: usize,
    ) -> (F, Vec<F>) {
        let scale = F::one() / F::of(examples.len().max(1) as f64);
        let parts = parallel::map(examples.chunks(CLIPS_AT_ONCE), threads, |chunk| {
            let mut grads = vec![F::zero(); params.len()];
            let targets = self.targets(teacher, chunk);
            let mut loss = F::zero();
            for index in 0..GENERATORS.len() {
                loss += self.one_mask((params, &mut grads), chunk, index, &targets, scale);
            }
            (loss, grads)
        });
        let mut sum = vec![F::zero(); params.len()];
        let mut loss = F::zero();
        for (part, grads) in parts {
            loss += part;
            add(&mut sum, &grads);
        }
        (loss, sum)
    }

    /// What the teacher makes of whole clips, normalised.
    fn targets(&self, teacher: &[F], chunk: &[Example<F>]) -> Vec<Vec<F>> {
        let size = self.encoder.size;
        let mut tokens = Tokens::default();
        let all: Vec<usize> = (0..size.tokens()).collect();
        let mut patches = Vec::new();
        for example in chunk {
            tokens.push(&all);
            patches.extend_from_slice(&example.patches);
        }
        let features = self.encoder.infer(teacher, &patches, &tokens);
        let unit = standardise(&features, size.dim, TARGET_EPS).into_rows();
        unit.chunks_exact(size.tokens() * size.dim)
            .map(<[F]>::to_vec)
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
            let mask = &example.masks[index];
            seen.push(&mask.seen);
            hidden.push(&mask.hidden);
            patches.extend(gather(&example.patches, vit::PATCH, &mask.seen));
            wanted.extend(gather(target, dim, &mask.hidden));
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

/// Moves the teacher towards the student.
pub fn follow(teacher: &mut [f32], student: &[f32], momentum: f32) {
    for (slow, &fast) in teacher.iter_mut().zip(student) {
        *slow += (1.0 - momentum) * (fast - *slow);
    }
}
