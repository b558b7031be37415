//! Gradients against finite differences, in double precision.

use echocart_phantom::Random;
use echocart_train::augment::KINDS;
use echocart_train::fit::{Target, slope};
use echocart_train::jepa::{Against, Example, Jepa, masks};
use echocart_train::net::params::Layout;
use echocart_train::net::predictor::PredictorSize;
use echocart_train::net::probe::Probe;
use echocart_train::net::vit::{PATCH, Size};
use echocart_train::supervised::{Labelled, Supervised, Weights};

const TINY: Size = Size {
    side_px: 64,
    dim: 24,
    depth: 2,
    heads: 2,
};

#[test]
fn the_objective_has_the_gradients_of_finite_differences_in_every_tensor() {
    let predictor = PredictorSize {
        dim: 20,
        depth: 1,
        heads: 2,
    };
    let jepa: Jepa<f64> = Jepa::new(TINY, predictor);
    let mut random = Random::new(5, 1);
    let mut noise = |size: usize, by: f64| -> Vec<f64> {
        (0..size).map(|_| by * f64::from(random.normal())).collect()
    };
    let drawn: Vec<f64> = jepa.layout.draw(3);
    let shaken = noise(drawn.len(), 0.05);
    let mut params: Vec<f64> = drawn.iter().zip(shaken).map(|(x, by)| x + by).collect();
    let teacher = noise(jepa.encoder_len, 0.1);
    let patches: Vec<Vec<f64>> = (0..2).map(|_| noise(TINY.tokens() * PATCH, 1.0)).collect();
    let examples: Vec<Example<f64>> = patches
        .into_iter()
        .zip(masks(TINY.grid(), 2, &mut Random::new(7, 1)))
        .map(|(patches, masks)| Example {
            patches,
            masks,
            window: 16..TINY.tokens(),
        })
        .collect();
    let centre: Vec<f64> = (0..TINY.tokens() * TINY.dim)
        .map(|at| 0.1 * (at as f64).sin())
        .collect();
    let equaliser: Vec<f64> = (0..TINY.dim * TINY.dim)
        .map(|at| (1.0 + at as f64).sin())
        .collect();
    let against = Against {
        teacher: &teacher,
        centre: &centre,
        equaliser: Some(&equaliser),
    };
    let (_, grads, _) = jepa.batch(&params, against, &examples, 2);
    let step = 1e-6;
    for entry in jepa.layout.entries() {
        let range = entry.range.clone();
        let mut largest = range.clone().collect::<Vec<_>>();
        largest.sort_by(|a, b| grads[*b].abs().total_cmp(&grads[*a].abs()));
        let picks = [largest[0], range.start];
        for at in picks {
            let value = params[at];
            let mut loss_at = |x: f64| {
                params[at] = x;
                jepa.batch(&params, against, &examples, 1).0
            };
            let slope = (loss_at(value + step) - loss_at(value - step)) / (2.0 * step);
            params[at] = value;
            let found = grads[at];
            assert!(
                (found - slope).abs() < 1e-4 * (slope.abs() + found.abs()) + 1e-7,
                "{} at {at}: {found} against {slope}",
                entry.name
            );
        }
    }
}

#[test]
fn the_supervised_training_has_the_gradients_of_finite_differences_in_every_tensor() {
    let network: Supervised<f64> = Supervised::new(
        TINY,
        2,
        Weights {
            ejection: 3.0,
            chambers: 1.5,
        },
    );
    let mut random = Random::new(6, 1);
    let mut noise = |size: usize, by: f64| -> Vec<f64> {
        (0..size).map(|_| by * f64::from(random.normal())).collect()
    };
    let mut params = noise(network.layout.len(), 0.2);
    let examples: Vec<Labelled<f64>> = [(Some(3), Some(0.4)), (None, Some(-2.0)), (Some(12), None)]
        .into_iter()
        .map(|(view, ejection)| Labelled {
            patches: noise(TINY.tokens() * PATCH, 1.0),
            window: 16..TINY.tokens() - 16,
            chambers: match view {
                Some(view) => (0..TINY.tokens() * KINDS)
                    .map(|at| f64::from(u8::from(at % KINDS == (at / KINDS + view) % KINDS)))
                    .collect(),
                None => Vec::new(),
            },
            view,
            ejection,
        })
        .collect();
    let (loss, grads, [view, ejection, chambers]) = network.batch(&params, &examples, 2);
    assert!((view + 3.0 * ejection + 1.5 * chambers - loss).abs() < 1e-12);
    assert!(view > 0.0 && ejection > 0.0 && chambers > 0.0);
    for entry in network.layout.entries() {
        let range = entry.range.clone();
        let largest = range
            .clone()
            .max_by(|a, b| grads[*a].abs().total_cmp(&grads[*b].abs()));
        for at in [largest.unwrap_or(range.start), range.start] {
            let value = params[at];
            let mut loss_at = |x: f64| {
                params[at] = x;
                network.batch(&params, &examples, 1).0
            };
            let slope = (loss_at(value + 1e-5) - loss_at(value - 1e-5)) / 2e-5;
            params[at] = value;
            let found = grads[at];
            assert!(
                (found - slope).abs() < 1e-4 * (slope.abs() + found.abs()) + 1e-7,
                "{} at {at}: {found} against {slope}",
                entry.name
            );
        }
    }
}

#[test]
fn the_probe_has_the_gradients_of_finite_differences_in_every_tensor() {
    let mut layout = Layout::default();
    let probe = Probe::new(&mut layout, (12, 2), "linear", 5);
    let mut random = Random::new(8, 1);
    let mut noise = |size: usize, by: f64| -> Vec<f64> {
        (0..size).map(|_| by * f64::from(random.normal())).collect()
    };
    let mut params = noise(layout.len(), 0.3);
    let x = noise(7 * 12, 1.0);
    for target in [Target::Class(3), Target::Value(0.4), Target::Value(9.0)] {
        let (y, tape) = probe.forward(&params, &x);
        let (_, mut dy) = slope(&y, target);
        dy.resize(5, 0.0);
        let mut grads = vec![0.0; layout.len()];
        probe.backward(&params, &tape, &dy, &mut grads);
        for entry in layout.entries() {
            for at in [entry.range.start, entry.range.end - 1] {
                let value = params[at];
                let mut loss_at = |x_at: f64| {
                    params[at] = x_at;
                    slope(&probe.forward(&params, &x).0, target).0
                };
                let found = (loss_at(value + 1e-5) - loss_at(value - 1e-5)) / 2e-5;
                params[at] = value;
                let right = grads[at];
                let room = 1e-5 * (found.abs() + right.abs()) + 1e-8;
                assert!(
                    (found - right).abs() < room,
                    "{} {right} {found}",
                    entry.name
                );
            }
        }
    }
}
