//! What the screen shows decides whether there are numbers.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::{
    A4C, Act, MILLI, Scripted, assert_identity, estimates, fill, fill_with, finish, frames,
    manifest, meta, push_all, start, start_package,
};
use echocart_core::clock::{Pace, now_nanos};
use echocart_core::events::{Event, Reason, StateKind, Status};
use echocart_core::frame::FrameMeta;
use echocart_core::manifest::Trained;
use echocart_core::ring::{FrameProducer, Pushed};
use echocart_core::source::{Notice, SourceTraits};
use proptest::prelude::*;

fn states(events: &[Event], kind: StateKind) -> usize {
    let is = |e: &&Event| matches!(e, Event::State(s) if s.state == kind);
    events.iter().filter(is).count()
}

/// Pushes one frame every 25 ms that shows the picture `picture` gives for it.
fn show(producer: &mut FrameProducer, count: i64, picture: impl Fn(u64) -> u64) {
    for meta in frames(count, 25) {
        let shown = picture((meta.capture_nanos / (25 * MILLI)) as u64);
        while producer.offer(meta, fill_with(&meta, shown)).unwrap() == Pushed::RingFull {
            std::thread::yield_now();
        }
    }
}

fn played(count: i64, loops: bool, picture: impl Fn(u64) -> u64) -> Vec<Event> {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    producer.declare(SourceTraits {
        simulated: false,
        loops,
    });
    show(&mut producer, count, picture);
    let (summary, events) = finish(session, producer, &events);
    assert_identity(&summary.counters);
    events
}

#[test]
fn a_frozen_image_blanks_at_once_and_gives_no_number_until_it_moves() {
    let frozen = 120..200_u64;
    let events = played(360, false, |i| match frozen.contains(&i) {
        true => 120,
        false => i + 1,
    });
    let mut during = 0;
    let mut value_before = false;
    for e in estimates(&events) {
        let Some(newest) = e.view.evidence.segments.last() else {
            assert_eq!(e.lvef.reason, Some(Reason::Frozen));
            continue;
        };
        if newest.last_frame < 120 {
            value_before |= e.lvef.has_value();
        } else if (124..200).contains(&newest.last_frame) {
            during += 1;
            assert_eq!(e.view.reason, Some(Reason::Frozen), "{newest:?}");
            assert_eq!(e.lvef.reason, Some(Reason::Frozen), "{newest:?}");
        }
    }
    assert!(value_before && during > 3);
    assert!(estimates(&events).last().unwrap().lvef.has_value());
    assert_eq!(states(&events, StateKind::ScreenChanged), 2);
    let told = events.iter().find_map(|e| match e {
        Event::State(s) if s.state == StateKind::ScreenChanged => Some(s.at_nanos),
        _ => None,
    });
    let after = told.unwrap() - 120 * 25 * MILLI;
    assert!((0..=100 * MILLI).contains(&after), "told after {after} ns");
}

#[test]
fn a_clip_across_a_freeze_joins_nothing_of_before_and_after() {
    let events = played(360, false, |i| match (120..150).contains(&i) {
        true => 120,
        false => i + 1,
    });
    for e in estimates(&events) {
        if e.lvef.has_value() {
            let segments = &e.lvef.evidence.segments;
            let before = segments.iter().any(|s| s.last_frame < 120);
            let after = segments.iter().any(|s| s.first_frame >= 150);
            let readings = segments.chunks(2).skip(1).count();
            assert!(
                readings == 0 || !(before && after && segments.len() > 4),
                "{segments:?}"
            );
        }
    }
}

#[test]
fn a_stored_loop_is_a_review_loop_unless_the_source_declares_it() {
    let events = played(400, false, |i| i % 60 + 1);
    let last = *estimates(&events).last().unwrap();
    assert_eq!(
        (last.view.reason, last.lvef.reason),
        (Some(Reason::ReviewLoop), Some(Reason::ReviewLoop))
    );
    let declared = played(400, true, |i| i % 60 + 1);
    assert!(estimates(&declared).last().unwrap().lvef.has_value());
}

fn trained(trained: Trained, simulated: bool) -> Status {
    let mut manifest = manifest();
    manifest.card.trained = trained;
    let (session, mut producer, events) =
        start_package(manifest, Scripted::engine(|_| A4C), Pace::Max, |_| {});
    producer.declare(SourceTraits {
        simulated,
        loops: false,
    });
    push_all(&mut producer, frames(160, 25));
    let (_, events) = finish(session, producer, &events);
    let last = *estimates(&events).last().unwrap();
    assert_eq!(last.view.status, last.lvef.status);
    last.lvef.status
}

#[test]
fn a_package_of_simulated_hearts_has_values_for_simulated_hearts_alone() {
    assert_eq!(trained(Trained::Simulated, true), Status::Value);
    assert_eq!(trained(Trained::Simulated, false), Status::Demonstration);
    assert_eq!(trained(Trained::Untrained, true), Status::Demonstration);
    assert_eq!(trained(Trained::Clinical, false), Status::Value);
}

#[test]
fn a_frame_rate_that_was_not_tested_gives_no_number() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    push_all(&mut producer, (0..1200).map(|i| meta(i * 5 * MILLI)));
    let (_, events) = finish(session, producer, &events);
    let last = *estimates(&events).last().unwrap();
    assert!(last.view.has_value());
    assert_eq!(last.lvef.reason, Some(Reason::NotPermitted));
}

#[test]
fn a_lost_source_blanks_and_the_grid_starts_anew_when_it_is_back() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    push_all(&mut producer, frames(120, 25));
    let why = "unplugged".to_owned();
    producer.note(Notice::Lost { why }, false);
    producer.note(Notice::Missed { frames: 7 }, false);
    producer.note(Notice::Back { away_nanos: 1 }, false);
    let later = (0..160).map(|i| meta((3010 + 25 * i) * MILLI));
    push_all(&mut producer, later);
    let (summary, events) = finish(session, producer, &events);
    assert_eq!(summary.counters.missed, 7);
    assert_identity(&summary.counters);
    assert_eq!(states(&events, StateKind::SourceLost), 1);
    assert_eq!(states(&events, StateKind::SourceBack), 1);
    for e in estimates(&events) {
        for s in &e.view.evidence.segments {
            assert!(s.last_frame < 120 || s.first_frame >= 120, "{s:?}");
        }
    }
    assert!(estimates(&events).last().unwrap().lvef.has_value());
}

#[test]
fn a_failed_engine_rests_says_so_and_is_not_asked_for_every_clip() {
    let script = |_| Act::Fail;
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Real, |_| {});
    let start_nanos = now_nanos();
    for mut meta in frames(200, 25) {
        meta.capture_nanos += start_nanos;
        while producer.offer(meta, fill(&meta)).unwrap() == Pushed::RingFull {
            std::thread::yield_now();
        }
    }
    let (summary, events) = finish(session, producer, &events);
    assert_identity(&summary.counters);
    assert_eq!(states(&events, StateKind::LadderChanged), 1);
    let last = *estimates(&events).last().unwrap();
    assert_eq!(last.view.reason, Some(Reason::EngineDown));
    assert_eq!(last.degraded.as_deref(), Some("image signal only"));
    assert_eq!(summary.counters.used, 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(24)
    })]

    /// Every snapshot holds, and a number's clips share no frame and one sector.
    #[test]
    fn every_frame_ends_once_whatever_the_source_does(
        steps in proptest::collection::vec((1_i64..120, 0_u8..6, 0_u8..12), 50..300),
    ) {
        let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
        let (mut at, mut picture) = (0, 0_u64);
        for (step, freeze, odd) in &steps {
            at += step * MILLI;
            picture += u64::from(*freeze > 1);
            let width_px = if *odd == 0 { 24 } else { 20 };
            let shown = FrameMeta { width_px, ..meta(if *odd == 1 { at / 2 } else { at }) };
            if *odd == 2 {
                producer.note(Notice::Reanchored, false);
            }
            let mut frozen = shown;
            frozen.host.frozen = *odd == 3;
            while producer.offer(frozen, fill_with(&frozen, picture)).unwrap() == Pushed::RingFull {
                std::thread::yield_now();
            }
        }
        let (summary, events) = finish(session, producer, &events);
        assert_identity(&summary.counters);
        prop_assert_eq!(summary.counters.in_flight, 0);
        for event in &events {
            match event {
                Event::State(s) => {
                    if let Some(counters) = &s.counters {
                        assert_identity(counters);
                    }
                }
                Event::Estimate(e) if e.lvef.has_value() => {
                    let segments = &e.lvef.evidence.segments;
                    prop_assert!(segments.windows(2).all(|w| w[0].last_frame < w[1].first_frame));
                    prop_assert!(segments.iter().all(|s| s.sector == segments[0].sector));
                }
                Event::Estimate(e) => {
                    prop_assert!(e.lvef.value.is_none());
                    prop_assert_eq!(e.lvef.reason.is_some(), e.lvef.status == Status::Withheld);
                }
                Event::Summary(_) => {}
            }
        }
    }
}
