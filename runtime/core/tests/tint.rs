//! A tinted image is to the model the grey one it was made of.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::{A4C, Rows, Scripted, finish, start};
use echocart_core::clock::Pace;
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::ring::Pushed;
use echocart_phantom::Spec;

/// Plays three seconds of a simulated heart, each channel darkened to so many 255ths; what the encoder was
/// given last.
fn seen(tint: [u16; 3]) -> Vec<f32> {
    let spec = "view=A4C,seconds=3,fps=24,skin=bare,ecg=off,size=320x240";
    let mut screen = Spec::parse(spec).unwrap().screen().unwrap();
    let rows = Rows::default();
    let engine = Scripted::noting(|_| A4C, Rows::clone(&rows));
    let (session, mut producer, events) = start(engine, Pace::Max, |_| {});
    let mut grey = vec![0; 320 * 240];
    for frame in 0..72 {
        screen.render(frame, &mut grey);
        let meta = FrameMeta {
            width_px: 320,
            height_px: 240,
            format: PixelFormat::Rgb24,
            capture_nanos: i64::from(frame) * 1_000_000_000 / 24,
            pass: 0,
            host: Default::default(),
        };
        let tinted: Vec<u8> = grey
            .iter()
            .flat_map(|v| tint.map(|t| (u16::from(*v) * t / 255) as u8))
            .collect();
        while producer.offer(meta, |to| to.clone_from(&tinted)).unwrap() == Pushed::RingFull {
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
