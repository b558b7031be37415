//! An engine that comes, goes and comes again as another one.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::seated::seated;
use common::{A4C, assert_identity, estimates, fill, finish, meta, start};
use echocart_core::clock::{Pace, now_nanos};
use echocart_core::engine::Standing;
use echocart_core::events::{Event, Reason, StateKind};
use echocart_core::ring::FrameProducer;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Pushes live frames until an event is as wanted.
fn until(
    producer: &mut FrameProducer,
    events: &crossbeam_channel::Receiver<Event>,
    all: &mut Vec<Event>,
    wanted: impl Fn(&Event) -> bool,
) {
    for _ in 0..3000 {
        let meta = meta(now_nanos());
        producer.push(meta, fill(&meta)).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        let from = all.len();
        all.extend(events.try_iter());
        if all[from..].iter().any(&wanted) {
            return;
        }
    }
    panic!("never came: {all:?}");
}

fn has(reason: Reason) -> impl Fn(&Event) -> bool {
    move |e| matches!(e, Event::Estimate(e) if e.view.reason == Some(reason))
}

fn with_value(event: &Event) -> bool {
    matches!(event, Event::Estimate(e) if e.view.has_value())
}

fn states(events: &[Event], kind: StateKind) -> Vec<String> {
    let states = events.iter().filter_map(|e| match e {
        Event::State(s) if s.state == kind => Some(s),
        _ => None,
    });
    states
        .inspect(|s| assert!(s.session.is_some()))
        .map(|s| s.detail.clone())
        .collect()
}

#[test]
fn an_engine_is_told_as_it_comes_goes_and_comes_as_another_one() {
    let (engine, board) = seated(|_| A4C);
    let (session, mut producer, events) = start(engine, Pace::Real, |_| {});
    let mut all = Vec::new();
    let mut run = |all: &mut Vec<Event>, wanted: &dyn Fn(&Event) -> bool| {
        until(&mut producer, &events, all, wanted);
    };
    run(&mut all, &has(Reason::WarmingUp));
    board.post(Standing::WarmingUp("proving".to_owned()));
    run(&mut all, &has(Reason::WarmingUp));
    board.serve("ONE");
    run(&mut all, &with_value);
    board.post(Standing::Down("it was ended by signal 9".to_owned()));
    run(&mut all, &has(Reason::EngineDown));
    board.serve("TWO");
    run(&mut all, &with_value);
    let (summary, rest) = finish(session, producer, &events);
    all.extend(rest);
    assert_identity(&summary.counters);
    let Event::State(first) = &all[0] else {
        panic!("{:?}", all[0]);
    };
    assert_eq!(first.state, StateKind::Started);
    let banners = &first.session.as_ref().unwrap().banners;
    assert!(banners.iter().any(|b| b.contains("loading")), "{banners:?}");
    assert_eq!(states(&all, StateKind::EngineWarmingUp), ["proving"]);
    let down = states(&all, StateKind::EngineDown);
    assert_eq!(down, ["it was ended by signal 9"]);
    assert_eq!(states(&all, StateKind::EngineReady).len(), 2);
    assert!(states(&all, StateKind::LadderChanged).is_empty());
    let mut served = "none";
    for e in estimates(&all) {
        match e.view.has_value() {
            true => served = &e.provider,
            false => assert!(e.lvef.value.is_none()),
        }
        if e.view.reason == Some(Reason::EngineDown) {
            assert_eq!(e.degraded.as_deref(), Some("it was ended by signal 9"));
        }
    }
    assert_eq!(served, "TWO");
}

#[test]
fn numbers_of_two_engines_never_share_evidence() {
    let (engine, board) = seated(|_| A4C);
    board.serve("ONE");
    let (session, mut producer, events) = start(engine, Pace::Real, |_| {});
    let mut all = Vec::new();
    let with_ef = |e: &Event| matches!(e, Event::Estimate(e) if e.lvef.has_value());
    until(&mut producer, &events, &mut all, with_ef);
    board.serve("TWO");
    let of_two = |e: &Event| matches!(e, Event::Estimate(e) if e.provider == "TWO");
    until(&mut producer, &events, &mut all, |e| {
        of_two(e) && with_ef(e)
    });
    let (_, rest) = finish(session, producer, &events);
    all.extend(rest);
    let last_of_one = estimates(&all)
        .iter()
        .filter(|e| e.provider == "ONE" && e.raw.is_some())
        .filter_map(|e| e.view.evidence.segments.last().map(|s| s.last_frame))
        .max()
        .unwrap();
    let first_of_two = estimates(&all)
        .iter()
        .filter(|e| e.provider == "TWO" && e.raw.is_some())
        .filter_map(|e| e.view.evidence.segments.first().map(|s| s.last_frame))
        .min()
        .unwrap();
    assert!(first_of_two > last_of_one);
    for e in estimates(&all).iter().filter(|e| e.provider == "TWO") {
        for s in &e.lvef.evidence.segments {
            assert!(s.last_frame >= first_of_two, "{e:?}");
        }
    }
}

#[test]
fn an_engine_is_told_of_a_new_exam_also_while_it_is_down() {
    let (engine, board) = seated(|_| A4C);
    board.post(Standing::Down("off until the next exam".to_owned()));
    let (session, mut producer, events) = start(engine, Pace::Real, |_| {});
    let mut all = Vec::new();
    until(&mut producer, &events, &mut all, has(Reason::EngineDown));
    assert_eq!(board.exams.load(Ordering::SeqCst), 0);
    let mut next = meta(now_nanos());
    next.host.exam.0 = [7; 16];
    producer.push(next, fill(&next)).unwrap();
    let (summary, _) = finish(session, producer, &events);
    assert_eq!(board.exams.load(Ordering::SeqCst), 1);
    assert_identity(&summary.counters);
}
