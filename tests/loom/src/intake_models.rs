//! The bridge's way in: a thread that pushes, one that pauses or stops, and the pipeline.

use crate::codes::Code;
use crate::exam::NewestExam;
use crate::intake::{Intake, Phase};
use crate::ring::{FrameConsumer, Pushed, frame_ring};
use crate::{consume, explore, push};
use loom::sync::Arc;
use loom::thread;

fn running() -> (Arc<Intake>, FrameConsumer) {
    let (mut producer, frames) = frame_ring(1, 1, &NewestExam::default());
    producer.wake(thread::current());
    let intake = Arc::new(Intake::new(producer));
    intake.change(&[Phase::Created], Phase::Running).unwrap();
    (intake, frames)
}

fn push_one(intake: &Intake, at: i64) -> Result<Pushed, Code> {
    let pushed = intake.with(|producer| push(producer, at, 0));
    pushed.map(Result::unwrap)
}

#[test]
fn a_stop_beside_pushes_loses_no_frame_that_was_taken_and_ends_the_pipeline() {
    explore(|| {
        let (intake, mut frames) = running();
        let host = intake.clone();
        let host = thread::spawn(move || {
            let outcomes = [1, 2].map(|at| push_one(&host, at));
            let late = outcomes[0].is_err() && outcomes[1].is_ok();
            assert!(!late, "{outcomes:?}");
            outcomes.map(|outcome| match outcome {
                Ok(pushed) => matches!(pushed, Pushed::Queued { .. }),
                Err(code) => {
                    assert_eq!(code, Code::Closed);
                    false
                }
            })
        });
        let stopper = thread::spawn(move || intake.close());
        let mut taken = 0;
        consume(&mut frames, |_| taken += 1);
        let queued = host.join().unwrap();
        stopper.join().unwrap();
        assert_eq!(taken, queued.into_iter().filter(|q| *q).count());
        assert_eq!(frames.counts().0 - frames.counts().1, taken as u64);
    });
}

#[test]
fn nothing_is_taken_after_a_pause_has_returned() {
    explore(|| {
        let (intake, mut frames) = running();
        let session = intake.clone();
        let session = thread::spawn(move || {
            session.change(&[Phase::Running], Phase::Paused).unwrap();
        });
        let outcome = push_one(&intake, 1);
        assert!(matches!(outcome, Ok(_) | Err(Code::Paused)), "{outcome:?}");
        session.join().unwrap();
        assert_eq!(push_one(&intake, 2), Err(Code::Paused));
        intake.change(&[Phase::Paused], Phase::Running).unwrap();
        intake.close();
        let mut taken = 0;
        consume(&mut frames, |_| taken += 1);
        assert_eq!(taken, usize::from(outcome.is_ok()));
    });
}

#[test]
fn a_lease_goes_back_or_is_dropped_but_neither_waits_nor_stays_when_the_session_stops() {
    explore(|| {
        let (intake, mut frames) = running();
        let host = intake.clone();
        let host = thread::spawn(move || {
            let mut lent = None;
            let _ = host.with(|producer| producer.lease(1, &mut lent));
            if let Some(lent) = lent {
                host.give_back(lent);
            }
        });
        let stopper = thread::spawn(move || intake.close());
        consume(&mut frames, |_| panic!("nothing was pushed"));
        host.join().unwrap();
        stopper.join().unwrap();
    });
}
