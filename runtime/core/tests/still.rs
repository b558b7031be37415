//! An image that stands still is no longer looked at, and looked at again as soon as it moves.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::{A4C, Scripted, estimates, finish, start};
use echocart_core::clock::Pace;
use echocart_core::events::{Estimate, Reason};
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::ring::{FrameProducer, Pushed};
use echocart_phantom::{Screen, Spec};

const FPS: i64 = 24;

fn screen(colour: &str) -> Screen {
    let spec = format!("view=A4C,seconds=3,fps={FPS},size=320x240,colour={colour}");
    Spec::parse(&spec).unwrap().screen().unwrap()
}

/// Frames one after the other.
struct Host {
    producer: FrameProducer,
    frames: i64,
}

impl Host {
    fn push(&mut self, pixels: &Vec<u8>) {
        let meta = FrameMeta {
            width_px: 320,
            height_px: 240,
            format: PixelFormat::Rgb24,
            capture_nanos: self.frames * 1_000_000_000 / FPS,
            pass: 0,
            host: Default::default(),
        };
        self.frames += 1;
        let fill = |to: &mut Vec<u8>| to.clone_from(pixels);
        while self.producer.offer(meta, fill).unwrap() == Pushed::RingFull {
            std::thread::yield_now();
        }
    }

    /// Shows three seconds; gives the last picture.
    fn play(&mut self, mut screen: Screen) -> Vec<u8> {
        let mut pixels = vec![0; 320 * 240 * 3];
        for number in 0..3 * FPS as u32 {
            screen.render(number, &mut pixels);
            self.push(&pixels);
        }
        pixels
    }
}

#[test]
fn after_a_long_freeze_a_change_of_the_image_is_seen_at_once() {
    let (session, producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    let mut host = Host {
        producer,
        frames: 0,
    };
    let still = host.play(screen("off"));
    for _ in 0..6 * FPS {
        host.push(&still);
    }
    host.play(screen("on"));
    let producer = host.producer;
    let (_, events) = finish(session, producer, &events);
    let all = estimates(&events);
    let why = |e: &Estimate| e.view.reason;
    let frozen = all.iter().position(|e| why(e) == Some(Reason::Frozen));
    let frozen = frozen.unwrap();
    assert!(all[..frozen].iter().any(|e| e.view.has_value()));
    let after = &all[frozen..];
    assert!(after.iter().all(|e| !e.view.has_value()));
    let moved = after.iter().position(|e| why(e) != Some(Reason::Frozen));
    // The colour scale beside the image is new, too: that may be said first.
    let (first, later) = after[moved.unwrap()..].split_at(3);
    assert!(first.iter().any(|e| why(e) == Some(Reason::ColourOn)));
    assert!(!later.is_empty() && later.iter().all(|e| why(e) == Some(Reason::ColourOn)));
}
