//! Every interleaving of the threads around the frame ring, its pool and the bridge's intake.
//!
//! The sources under test are the shipped ones, compiled here with loom's atomics, mutexes and
//! threads in the place of the standard library's. Two things are modelled, not run: the queue of
//! `ringbuf` (`spsc.rs`), whose atomics loom cannot see, and the channel of notices, which no model
//! uses. What a thread writes shortly after a SeqCst fence counts for loom as written before it, so
//! it sees less there than hardware may do. A thread that sleeps and is not woken is a deadlock that
//! loom reports, since here a sleep has no timeout.
#![cfg(test)]
#![allow(dead_code, reason = "the models use a part of the sources")]
#![allow(clippy::unwrap_used, reason = "models and their helpers")]

mod fault;
mod intake_models;
mod ring_models;
mod spsc;
mod sync;

#[path = "../../../firmware-bridge/src/codes.rs"]
mod codes;
#[path = "../../../runtime/core/src/exam.rs"]
mod exam;
#[path = "../../../firmware-bridge/src/intake.rs"]
mod intake;
#[path = "../../../runtime/core/src/pool.rs"]
mod pool;
#[path = "../../../runtime/core/src/ring/mod.rs"]
mod ring;

pub(crate) use echocart_core::{buffer, events, frame, lines, rare, source};

use events::Exam;
use frame::{FrameMeta, FrameMoment, HostMeta, PixelFormat, PixelLayout};
use ring::{FrameConsumer, FrameProducer, Pushed, Queued};

/// Buffers of a ring of one place.
const BUFFERS: usize = 5;

/// Switches away from a thread that could go on, at most; without a limit they take hours.
const PREEMPTIONS: usize = 3;

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

fn meta(at: i64, exam: u8) -> FrameMeta {
    FrameMeta {
        width_px: 1,
        height_px: 1,
        format: PixelFormat::Gray8,
        capture_nanos: at,
        pass: 0,
        host: HostMeta {
            exam: frame::ExamToken([exam; 16]),
            ..HostMeta::default()
        },
    }
}

fn push(producer: &mut FrameProducer, at: i64, exam: u8) -> Result<Pushed, ring::PushError> {
    producer.push(meta(at, exam), |pixels| {
        pixels.clear();
        pixels.push(at as u8);
    })
}

fn push_leased(producer: &mut FrameProducer, at: i64) -> Option<Pushed> {
    let mut lease = None;
    producer.lease(1, &mut lease).ok()?;
    lease.as_mut()?.pixels()[0] = at as u8;
    let meta = meta(at, 0);
    let layout = PixelLayout::packed(&meta);
    let shape = producer.shape(&meta, layout).ok()?;
    let moment = FrameMoment {
        capture_nanos: meta.capture_nanos,
        pass: meta.pass,
        host: meta.host,
    };
    if let Some(number) = producer.push_alike(&shape, &moment, &mut lease) {
        if let Some(next) = lease {
            producer.give_back(next);
        }
        return Some(Pushed::Queued { number });
    }
    let (pushed, lease) = producer.push_leased(&shape, moment, lease?, true);
    if let Some(left) = lease {
        producer.give_back(left);
    }
    pushed.ok()
}

/// Takes every frame as the assembler does, but sleeps until it is woken, however long that is.
fn consume(frames: &mut FrameConsumer, mut see: impl FnMut(&Queued)) {
    loop {
        let closed = frames.is_closed();
        if let Some(queued) = frames.take() {
            assert_eq!(i64::from(queued.pixels[0]), queued.meta.capture_nanos);
            see(&queued);
            frames.give_back(queued);
        } else if closed {
            frames.settle();
            return;
        } else if frames.doze() {
            loom::thread::park();
        }
    }
}

fn exam(number: u64) -> Exam {
    Exam {
        number,
        ..Exam::default()
    }
}
