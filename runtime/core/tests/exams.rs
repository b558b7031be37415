//! Exams: nothing of one reaches the next.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::{A4C, Act, MILLI, Scripted, assert_identity, fill, finish, meta, push_all, start};
use crossbeam_channel::bounded;
use echocart_core::clock::{Pace, now_nanos};
use echocart_core::events::{Estimate, Event, Reason, Status};
use echocart_core::frame::{ExamToken, FrameMeta};
use std::time::Duration;

const A: ExamToken = ExamToken([0xA; 16]);
const B: ExamToken = ExamToken([0xB; 16]);

fn of_exam(mut meta: FrameMeta, exam: ExamToken, id: u64) -> FrameMeta {
    meta.host.exam = exam;
    meta.host.frame_id = Some(id);
    meta
}

fn estimates(events: Vec<Event>) -> Vec<Estimate> {
    events
        .into_iter()
        .filter_map(|e| match e {
            Event::Estimate(e) => Some(*e),
            _ => None,
        })
        .collect()
}

/// No segment joins two exams; frames of the host carry the exam they were pushed with.
#[track_caller]
fn assert_apart(estimates: &[Estimate], first_of_b: u64) {
    for estimate in estimates {
        let both = [&estimate.view.evidence, &estimate.lvef.evidence];
        let mut tokens = Vec::new();
        for segment in both.iter().flat_map(|e| &e.segments) {
            let ends = (
                segment.first_host_frame.unwrap(),
                segment.last_host_frame.unwrap(),
            );
            match segment.exam.token {
                A => assert!(ends.1 < first_of_b, "{ends:?}"),
                _ => assert!(ends.0 >= first_of_b, "{ends:?}"),
            }
            tokens.push(segment.exam.token);
        }
        tokens.dedup();
        assert!(tokens.len() <= 1, "an estimate of two exams");
    }
}

#[test]
fn a_switch_after_any_number_of_frames_joins_no_two_exams() {
    let mut all_refused = 0;
    for switch in (1..120).step_by(7) {
        let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
        let metas = (0..160).map(|i| {
            let exam = if i < switch { A } else { B };
            of_exam(meta(i * 40 * MILLI), exam, i as u64)
        });
        push_all(&mut producer, metas);
        let (summary, events) = finish(session, producer, &events);
        assert_identity(&summary.counters);
        let estimates = estimates(events);
        let blanked = |e: &&Estimate| e.lvef.reason == Some(Reason::NewExam);
        assert_eq!(estimates.iter().filter(blanked).count(), 1, "{switch}");
        assert_apart(&estimates, switch as u64);
        let refused = summary.counters.rejected.get(&Reason::NewExam).copied();
        all_refused += refused.unwrap_or(0);
        let of_b = estimates.iter().filter(|e| {
            e.lvef.has_value() && e.lvef.evidence.segments.iter().all(|s| s.exam.token == B)
        });
        assert!(of_b.count() > 0 || switch > 80, "{switch}");
        let first_of_b = estimates
            .iter()
            .find(|e| e.view.evidence.segments.iter().any(|s| s.exam.token == B))
            .unwrap();
        assert_eq!(first_of_b.lvef.reason, Some(Reason::WarmingUp), "{switch}");
    }
    assert!(all_refused > 0);
}

#[test]
fn a_clip_in_inference_when_a_new_exam_begins_gives_no_event() {
    let (entered_in, entered) = bounded(8);
    let (go, wait) = bounded::<()>(8);
    let engine = Scripted::engine(move |clip| {
        if clip == 0 {
            entered_in.send(()).unwrap();
            wait.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        A4C
    });
    let (session, mut producer, events) = start(engine, Pace::Real, |_| {});
    let begin = now_nanos();
    let mut id = 0;
    let mut push = |exam| {
        // Evenly, however late a slow machine pushes: a gap would be an event of A of its own.
        let meta = of_exam(meta(begin + id as i64 * 20 * MILLI), exam, id);
        producer.push(meta, fill(&meta)).unwrap();
        id += 1;
        std::thread::sleep(Duration::from_millis(20));
    };
    while entered.is_empty() {
        push(A);
    }
    push(B);
    assert!(session.newest_exam().number() == 1);
    go.send(()).unwrap();
    for _ in 0..3 {
        push(B);
    }
    let first_of_b = id - 4;
    let (summary, events) = finish(session, producer, &events);
    assert_identity(&summary.counters);
    assert_eq!(summary.counters.used, 0);
    let estimates = estimates(events);
    assert_apart(&estimates, first_of_b);
    let of_a = |e: &&Estimate| e.view.evidence.segments.iter().any(|s| s.exam.token == A);
    assert_eq!(estimates.iter().filter(of_a).count(), 0);
}

#[test]
fn colour_and_freeze_withhold_what_they_are_part_of() {
    for (reason, colour_on) in [(Reason::ColourOn, true), (Reason::Frozen, false)] {
        let engine = Scripted::engine(|_| Act::Say([0.0, 5.0], 0.5));
        let (session, mut producer, events) = start(engine, Pace::Max, |_| {});
        let metas = (0..80).map(|i| {
            let mut meta = of_exam(meta(i * 40 * MILLI), A, i as u64);
            meta.host.colour_on = colour_on && (40..42).contains(&i);
            meta.host.frozen = !colour_on && (40..50).contains(&i);
            meta
        });
        push_all(&mut producer, metas);
        let (summary, events) = finish(session, producer, &events);
        assert_identity(&summary.counters);
        let estimates = estimates(events);
        let withheld: Vec<&Estimate> = estimates
            .iter()
            .filter(|e| e.view.reason == Some(reason))
            .collect();
        assert!(!withheld.is_empty() && withheld.len() < estimates.len());
        for estimate in withheld {
            assert_eq!(estimate.view.status, Status::Withheld);
            assert!(estimate.raw.is_none());
        }
    }
}

#[test]
fn a_token_is_never_printed() {
    let shown = format!("{:?}", of_exam(meta(0), ExamToken([0x5A; 16]), 0));
    assert!(
        !shown.contains("90") && !shown.to_lowercase().contains("5a"),
        "{shown}"
    );
}
