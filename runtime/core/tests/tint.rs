//! A tinted image is to the model the grey one it was made of.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::heart::heart;
use common::{A4C, Rows, Scripted, finish, start};
use echocart_core::clock::Pace;
use echocart_core::ring::Pushed;

/// Plays three seconds of a simulated heart, each channel darkened to so many 255ths; what the encoder was
/// given last.
fn seen(tint: [u16; 3]) -> Vec<f32> {
    let rows = Rows::default();
    let engine = Scripted::noting(|_| A4C, Rows::clone(&rows));
    let (session, mut producer, events) = start(engine, Pace::Max, |_| {});
    let (metas, pictures) = heart(tint, 3);
    for (meta, tinted) in metas.into_iter().zip(&pictures) {
        while producer.offer(meta, |to| to.clone_from(tinted)).unwrap() == Pushed::RingFull {
            std::thread::yield_now();
        }
    }
    let (summary, _) = finish(session, producer, &events);
    assert!(summary.counters.used > 0, "{summary:?}");
    let rows = rows.lock().unwrap();
    assert!(rows.iter().any(|v| *v > 0.2));
    rows.clone()
}

#[test]
fn the_model_sees_a_tinted_image_as_grey() {
    let grey = seen([255; 3]);
    for tint in [[255, 190, 110], [90, 160, 255]] {
        assert!(seen(tint) == grey, "{tint:?}");
    }
}
