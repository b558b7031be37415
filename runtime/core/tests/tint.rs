//! A tinted image is to the model the grey one it was made of.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::{A4C, Scripted, finish, start};
use echocart_core::clock::Pace;
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::ring::Pushed;
use echocart_phantom::Spec;
use std::sync::{Arc, Mutex};

/// Remembers what the encoder was given for the newest clip.
struct Seeing {
    inner: Box<dyn Engine>,
    rows: Arc<Mutex<Vec<f32>>>,
}

impl Engine for Seeing {
    fn info(&self) -> EngineInfo {
        self.inner.info()
    }

    fn slots(&self) -> usize {
        self.inner.slots()
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        let rows = tubelets.iter().flat_map(|rows| rows.iter().copied());
        *self.rows.lock().unwrap() = rows.collect();
        self.inner.encode(tubelets, slot)
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        self.inner.encode_kept(rows, ids, slot)
    }

    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        self.inner.multi_view_head(name, places, slots, out)
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.inner.head(name, slots, out)
    }

    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.inner.tokens(slot, out)
    }
}

/// Plays three seconds of a simulated heart, each channel darkened to so many 255ths; what the encoder was
/// given last.
fn seen(tint: [u16; 3]) -> Vec<f32> {
    let spec = "view=A4C,seconds=3,fps=24,skin=bare,ecg=off,size=320x240";
    let mut screen = Spec::parse(spec).unwrap().screen().unwrap();
    let rows = Arc::default();
    let engine = Box::new(Seeing {
        inner: Scripted::engine(|_| A4C),
        rows: Arc::clone(&rows),
    });
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
