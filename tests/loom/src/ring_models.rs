//! The ring between the thread that pushes and the one that takes.

use crate::exam::NewestExam;
use crate::ring::{FrameProducer, PushError, Pushed, frame_ring};
use crate::{BUFFERS, consume, exam, explore, push, push_leased};
use loom::sync::{Arc, Notify};
use loom::thread;

/// Leases until none is left: the buffers that are at home.
fn at_home(producer: &mut FrameProducer) -> usize {
    let one = || {
        let mut lease = None;
        producer.lease(1, &mut lease).ok()?;
        lease
    };
    std::iter::from_fn(one).count()
}

#[test]
fn every_frame_is_taken_once_or_counted_as_dropped_and_the_taker_always_wakes() {
    explore(|| {
        let (mut producer, mut frames) = frame_ring(1, 1, &NewestExam::default());
        producer.wake(thread::current());
        let source = thread::spawn(move || {
            let queued = (0..2).filter(|at| {
                let pushed = push(&mut producer, *at, 0).unwrap();
                matches!(pushed, Pushed::Queued { .. })
            });
            queued.count() as u64
        });
        let mut numbers = Vec::new();
        consume(&mut frames, |frame| numbers.push(frame.number));
        let queued = source.join().unwrap();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(numbers.len() as u64, queued);
        assert_eq!(frames.counts(), (2, 2 - queued));
    });
}

/// One thread pushes two frames while the other takes; then all buffers are at home.
fn comes_home(push_two: fn(&mut FrameProducer)) {
    explore(move || {
        let (mut producer, mut frames) = frame_ring(1, 1, &NewestExam::default());
        let source = thread::spawn(move || {
            push_two(&mut producer);
            producer
        });
        let mut taken = 0;
        while taken == 0 {
            if let Some(queued) = frames.take() {
                frames.give_back(queued);
                taken += 1;
            }
            thread::yield_now();
        }
        let mut producer = source.join().unwrap();
        if let Some(queued) = frames.take() {
            frames.give_back(queued);
        }
        assert_eq!(at_home(&mut producer), BUFFERS);
    });
}

#[test]
fn every_buffer_comes_home_from_pushes_and_leases() {
    comes_home(|producer| {
        push_leased(producer, 1).unwrap();
        push(producer, 2, 0).unwrap();
    });
}

#[test]
fn every_buffer_comes_home_from_a_frame_like_the_one_before() {
    comes_home(|producer| {
        push(producer, 1, 0).unwrap();
        push_leased(producer, 2).unwrap();
    });
}

#[test]
fn a_frame_of_a_new_exam_is_never_seen_before_the_old_exam_is_over() {
    explore(|| {
        let newest = NewestExam::default();
        let (mut producer, mut frames) = frame_ring(2, 1, &newest);
        producer.wake(thread::current());
        let source = thread::spawn(move || {
            push(&mut producer, 1, 7).unwrap();
            push(&mut producer, 2, 8).unwrap();
        });
        consume(&mut frames, |frame| {
            let before = frame.exam.number.checked_sub(1);
            assert!(before.is_none_or(|old| newest.is_over(&exam(old))));
        });
        source.join().unwrap();
    });
}

#[test]
fn a_push_into_a_pipeline_that_ends_is_queued_or_refused() {
    explore(|| {
        let (mut producer, frames) = frame_ring(1, 1, &NewestExam::default());
        let pipeline = thread::spawn(move || drop(frames));
        let first = push(&mut producer, 1, 0);
        assert!(matches!(
            first,
            Ok(Pushed::Queued { .. }) | Err(PushError::Ended)
        ));
        pipeline.join().unwrap();
        assert_eq!(push(&mut producer, 2, 0), Err(PushError::Ended));
    });
}

#[test]
fn a_push_wakes_a_taker_that_dozes() {
    explore(|| {
        let (mut producer, mut frames) = frame_ring(1, 1, &NewestExam::default());
        producer.wake(thread::current());
        let taken = Arc::new(Notify::new());
        let told = taken.clone();
        let source = thread::spawn(move || {
            push(&mut producer, 1, 0).unwrap();
            told.wait();
        });
        consume(&mut frames, |_| taken.notify());
        source.join().unwrap();
    });
}

#[test]
fn so_does_a_frame_like_the_one_before() {
    explore(|| {
        let (mut producer, mut frames) = frame_ring(2, 1, &NewestExam::default());
        producer.wake(thread::current());
        push(&mut producer, 1, 0).unwrap();
        let first = frames.take().unwrap();
        frames.give_back(first);
        let taken = Arc::new(Notify::new());
        let told = taken.clone();
        let source = thread::spawn(move || {
            push_leased(&mut producer, 2).unwrap();
            told.wait();
        });
        consume(&mut frames, |_| taken.notify());
        source.join().unwrap();
    });
}
