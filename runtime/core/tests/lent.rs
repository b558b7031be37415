//! Frames that are lent: the same answers as of frames that are copied, and every loan ends.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::heart::heart;
use common::{A4C, MILLI, Scripted, assert_identity, fill, finish, meta, start};
use echocart_core::buffer::{FrameBuffer, Lender, Loan};
use echocart_core::clock::{Pace, now_nanos};
use echocart_core::events::Event;
use echocart_core::frame::{ExamToken, FrameMeta};
use echocart_core::ring::{FrameProducer, Pushed};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Lends pictures by their place and counts those that are out.
struct Shelf {
    pictures: Vec<Vec<u8>>,
    lent: AtomicUsize,
}

impl Shelf {
    fn new(pictures: Vec<Vec<u8>>) -> Arc<Self> {
        Arc::new(Self {
            pictures,
            lent: AtomicUsize::new(0),
        })
    }

    fn lent(&self) -> usize {
        self.lent.load(Ordering::SeqCst)
    }

    fn loan(self: &Arc<Self>, place: usize) -> Loan {
        self.lent.fetch_add(1, Ordering::SeqCst);
        Loan::new(self.clone(), place as u32, self.pictures[place].len())
    }
}

impl Lender for Shelf {
    fn pixels(&self, place: u32, bytes: usize) -> &[u8] {
        &self.pictures[place as usize][..bytes]
    }

    fn take_back(&self, _: u32) {
        self.lent.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the frames give, lent or copied: events, what the encoder was given last and the bytes that
/// pooled buffers took.
fn played(metas: &[FrameMeta], shelf: &Arc<Shelf>, lends: bool) -> (Vec<Event>, Vec<f32>, u64) {
    let rows = common::Rows::default();
    let engine = Scripted::noting(|_| A4C, rows.clone());
    let (session, mut producer, events) = start(engine, Pace::Max, |_| {});
    let mut pixels = FrameBuffer::default();
    for (place, meta) in metas.iter().enumerate() {
        match lends {
            true => pixels.lend(shelf.loan(place)),
            false => pixels.refill().clone_from(&shelf.pictures[place]),
        }
        while producer.push_buffer(*meta, &mut pixels, false).unwrap() == Pushed::RingFull {
            std::thread::yield_now();
        }
    }
    drop(pixels);
    let pool = producer.pool();
    let (summary, events) = finish(session, producer, &events);
    assert_identity(&summary.counters);
    assert!(summary.counters.used > 0, "{summary:?}");
    assert_eq!(shelf.lent(), 0);
    let rows = rows.lock().unwrap().clone();
    (events, rows, pool.bytes())
}

/// What an event says without the time it took.
fn said(events: &[Event]) -> Vec<String> {
    let estimates = common::estimates(events).into_iter();
    estimates
        .map(|e| format!("{:?} {:?}", e.view, e.lvef))
        .collect()
}

#[test]
fn lent_frames_give_what_copied_ones_give_and_are_copied_only_to_be_changed() {
    for (tint, changes) in [([255; 3], false), ([255, 190, 110], true)] {
        let (metas, pictures) = heart(tint, 2);
        let shelf = Shelf::new(pictures.clone());
        let (copied, rows, _) = played(&metas, &shelf, false);
        let (lent, rows_lent, bytes) = played(&metas, &shelf, true);
        assert!(rows == rows_lent, "{tint:?}");
        assert_eq!(said(&lent), said(&copied));
        assert_eq!(bytes > 0, changes, "{tint:?}: {bytes} bytes");
        assert!(shelf.pictures == pictures, "what is lent was changed");
    }
}

fn push(producer: &mut FrameProducer, shelf: &Arc<Shelf>, place: usize, meta: FrameMeta) -> Pushed {
    let mut pixels = FrameBuffer::default();
    pixels.lend(shelf.loan(place));
    producer.push_buffer(meta, &mut pixels, true).unwrap()
}

#[test]
fn a_full_ring_an_exam_a_refusal_and_a_stop_end_every_loan() {
    let now = now_nanos();
    let metas: Vec<FrameMeta> = (0..400)
        .map(|at| {
            let mut meta = meta(now + at * MILLI / 4);
            meta.host.exam = ExamToken([(at / 150) as u8; 16]);
            if at % 7 == 3 {
                meta.capture_nanos = now;
            }
            meta
        })
        .collect();
    let pictures = metas.iter().map(|meta| {
        let mut pixels = Vec::new();
        fill(meta)(&mut pixels);
        pixels
    });
    let shelf = Shelf::new(pictures.collect());
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Real, |_| {});
    let mut full = 0;
    for (place, meta) in metas.iter().enumerate() {
        full += u64::from(push(&mut producer, &shelf, place, *meta) == Pushed::RingFull);
    }
    let (summary, _) = finish(session, producer, &events);
    assert_identity(&summary.counters);
    assert_eq!(summary.counters.captured, 400);
    assert_eq!(summary.counters.dropped_ring_full, full);
    assert_eq!(shelf.lent(), 0);
}

#[test]
fn a_session_that_is_stopped_with_frames_in_its_ring_ends_their_loans() {
    let metas: Vec<FrameMeta> = (0..8).map(|at| meta(now_nanos() + at * MILLI)).collect();
    let pictures = metas.iter().map(|meta| vec![1; meta.frame_bytes()]);
    let shelf = Shelf::new(pictures.collect());
    let (session, mut producer, _events) = start(Scripted::engine(|_| A4C), Pace::Real, |_| {});
    for (place, meta) in metas.iter().enumerate() {
        push(&mut producer, &shelf, place, *meta);
    }
    session.stop();
    drop(producer);
    assert_eq!(shelf.lent(), 0);
}
