//! The pipeline from pushed frames to events, over a scripted engine.

mod common;

use common::*;
use echocart_core::clock::{self, Pace};
use echocart_core::events::{Event, Reason, StateKind, Status};
use echocart_core::frame::FrameMeta;
use echocart_core::ring::{MAX_CAPTURE_NANOS, PushError, Pushed};
use std::time::Duration;

#[test]
fn every_clip_of_a_steady_source_is_a_value() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    push_all(&mut producer, frames(120, 25));
    let (summary, events) = finish(session, producer, &events);
    let estimates = estimates(&events);
    assert!(estimates.len() > 8, "{}", estimates.len());
    for e in &estimates {
        assert_eq!(e.view.status, Status::Value);
        let segment = &e.view.evidence.segments[0];
        let span = segment.last_capture_nanos - segment.first_capture_nanos;
        assert!((span - 375 * MILLI).abs() <= 25 * MILLI, "span {span}");
        assert!(e.sent_nanos.is_none() && e.view.evidence.age_newest_nanos.is_none());
    }
    assert_eq!(summary.values["view"], estimates.len() as u64);
    assert_eq!(summary.counters.in_flight, 0);
    assert_identity(&summary.counters);
    assert!(matches!(events.last(), Some(Event::Summary(_))));
}

#[test]
fn the_two_segments_of_a_number_share_no_frame() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    push_all(&mut producer, frames(200, 25));
    let (_, events) = finish(session, producer, &events);
    let numbers: Vec<_> = estimates(&events)
        .into_iter()
        .filter(|e| e.lvef.has_value())
        .collect();
    assert!(numbers.len() > 5);
    for e in numbers {
        let segments = &e.lvef.evidence.segments;
        assert!(segments.len() >= 4 && segments.len().is_multiple_of(2));
        for pair in segments.windows(2) {
            assert!(pair[0].last_frame < pair[1].first_frame);
            assert_eq!(pair[0].view.as_deref(), Some("A4C"));
        }
        let value = e.lvef.value.as_ref().unwrap();
        assert_eq!(value.readings as usize, segments.len() / 2);
        assert_eq!((value.agreeing, value.spread), (value.readings, 0.0));
        let percent = e.lvef.value.as_ref().unwrap().percent;
        assert!((percent - 55.0).abs() < 1e-5, "{percent}");
    }
    assert_eq!(estimates(&events)[0].lvef.reason, Some(Reason::WarmingUp));
}

#[test]
fn a_number_needs_its_view() {
    for (logits, view, lvef) in [
        ([5.0, 0.0], None, Reason::WrongView),
        ([0.1, 0.0], Some(Reason::Uncertain), Reason::Uncertain),
    ] {
        let script = move |_| Act::Say(logits, 0.0);
        let (session, mut producer, events) = start(Scripted::engine(script), Pace::Max, |_| {});
        push_all(&mut producer, frames(100, 25));
        let (_, events) = finish(session, producer, &events);
        for e in estimates(&events) {
            assert_eq!((e.view.reason, e.lvef.reason), (view, Some(lvef)));
            assert!(e.raw.as_ref().unwrap().lvef.is_none());
        }
    }
}

#[test]
fn one_odd_clip_does_not_change_the_view_and_gives_no_number() {
    let script = |n| match n {
        12 => Act::Say([3.0, 0.0], 0.0),
        _ => A4C,
    };
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Max, |_| {});
    push_all(&mut producer, frames(240, 25));
    let (_, events) = finish(session, producer, &events);
    let estimates = estimates(&events);
    for e in &estimates {
        let label = e.view.value.as_ref().map(|v| v.label.as_str());
        assert!(label.is_none_or(|l| l == "A4C"), "clip {}", e.clip);
    }
    assert!(!estimates[12].lvef.has_value());
    assert!(estimates.last().unwrap().lvef.has_value());
}

#[test]
fn a_number_that_is_not_finite_is_never_shown() {
    let script = |_| Act::Say([0.0, 5.0], f32::NAN);
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Max, |_| {});
    push_all(&mut producer, frames(100, 25));
    let (summary, events) = finish(session, producer, &events);
    assert_eq!(summary.values["lvef"], 0);
    let last = estimates(&events).pop().unwrap();
    assert_eq!(last.lvef.reason, Some(Reason::EngineDown));
}

#[test]
fn a_number_outside_the_package_range_is_not_clamped() {
    let script = |_| Act::Say([0.0, 5.0], 4.0);
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Max, |_| {});
    push_all(&mut producer, frames(100, 25));
    let (_, events) = finish(session, producer, &events);
    let last = estimates(&events).pop().unwrap();
    assert_eq!(last.lvef.reason, Some(Reason::OutOfRange));
    assert!(last.lvef.value.is_none());
}

#[test]
fn a_gap_refuses_the_clips_that_cover_it() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    let without = |m: &FrameMeta| !(1000 * MILLI..1200 * MILLI).contains(&m.capture_nanos);
    push_all(&mut producer, frames(120, 25).filter(without));
    let (summary, events) = finish(session, producer, &events);
    let refused: Vec<_> = estimates(&events)
        .into_iter()
        .filter(|e| e.view.reason == Some(Reason::Gap))
        .collect();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|e| e.raw.is_none()));
    assert!(estimates(&events).last().unwrap().view.has_value());
    assert_identity(&summary.counters);
}

#[test]
fn a_clip_without_a_frame_names_none() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    let without = |m: &FrameMeta| !(1200 * MILLI..2300 * MILLI).contains(&m.capture_nanos);
    push_all(&mut producer, frames(120, 25).filter(without));
    let (_, events) = finish(session, producer, &events);
    let estimates = estimates(&events);
    let refused = estimates
        .iter()
        .filter(|e| e.view.reason == Some(Reason::Gap));
    let empty = refused
        .filter(|e| e.view.evidence.segments.is_empty())
        .count();
    assert!(empty > 0, "a clip lies within the missing second");
}

#[test]
fn an_older_clip_in_inference_is_not_shown_after_a_newer_refusal() {
    let script = |_| Act::Sleep(Duration::from_millis(300));
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Real, |_| {});
    let without = |m: &FrameMeta| !(480 * MILLI..720 * MILLI).contains(&m.capture_nanos);
    push_all(&mut producer, frames(40, 25).filter(without));
    let (_, events) = finish(session, producer, &events);
    let mut newest_refused = None;
    let mut overtaken = 0;
    for e in estimates(&events) {
        if newest_refused.is_some_and(|n| e.clip < n) {
            assert!(
                !e.view.has_value(),
                "clip {} after {newest_refused:?}",
                e.clip
            );
            overtaken += 1;
        } else if e.raw.is_none() {
            newest_refused = Some(e.clip);
        }
    }
    assert!(overtaken > 0);
}

#[test]
fn a_change_of_geometry_refuses_mixed_clips_and_recovers() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    let changed = frames(120, 25).map(|m| FrameMeta {
        width_px: if m.capture_nanos < 1500 * MILLI {
            20
        } else {
            32
        },
        ..m
    });
    push_all(&mut producer, changed);
    let (summary, events) = finish(session, producer, &events);
    let reasons: Vec<_> = estimates(&events).iter().map(|e| e.view.reason).collect();
    assert!(
        reasons.contains(&Some(Reason::SectorChanged)),
        "{reasons:?}"
    );
    assert_eq!(*reasons.last().unwrap(), None);
    for e in estimates(&events) {
        let sectors: Vec<_> = e.lvef.evidence.segments.iter().map(|s| s.sector).collect();
        assert!(sectors.windows(2).all(|w| w[0] == w[1]), "{sectors:?}");
    }
    let state = |e: &Event| matches!(e, Event::State(s) if s.state == StateKind::SectorChanged);
    assert_eq!(events.iter().filter(|e| state(e)).count(), 1);
    for event in &events {
        if let Event::State(s) = event
            && let Some(counters) = &s.counters
        {
            assert_identity(counters);
        }
    }
    assert_identity(&summary.counters);
}

#[test]
fn a_time_stamp_that_goes_back_is_rejected_and_counted() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    let mut metas: Vec<_> = frames(60, 25).collect();
    metas[30].capture_nanos = metas[10].capture_nanos;
    metas[31].capture_nanos = metas[29].capture_nanos;
    push_all(&mut producer, metas);
    let (summary, _) = finish(session, producer, &events);
    assert_eq!(summary.counters.rejected[&Reason::BadTimestamp], 2);
    assert_identity(&summary.counters);
}

#[test]
fn a_failing_engine_withholds_and_the_next_clip_is_tried() {
    let script = |n| if n == 1 { Act::Fail } else { A4C };
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Max, |_| {});
    push_all(&mut producer, frames(100, 25));
    let (summary, events) = finish(session, producer, &events);
    let estimates = estimates(&events);
    assert_eq!(estimates[1].view.reason, Some(Reason::EngineDown));
    assert!(estimates[2].view.has_value());
    assert_identity(&summary.counters);
}

#[test]
fn a_panicking_engine_is_never_asked_again_and_loses_no_frame() {
    let script = |n| if n == 2 { Act::Panic } else { A4C };
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Max, |_| {});
    push_all(&mut producer, frames(100, 25));
    let (summary, events) = finish(session, producer, &events);
    let estimates = estimates(&events);
    assert!(estimates[1].view.has_value());
    assert!(
        estimates[2..]
            .iter()
            .all(|e| e.view.reason == Some(Reason::EngineDown))
    );
    assert_eq!(summary.counters.in_flight, 0);
    assert_identity(&summary.counters);
}

#[test]
fn the_same_frames_give_the_same_events_in_virtual_time() {
    let run = || {
        let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
        push_all(&mut producer, frames(300, 17));
        let (_, events) = finish(session, producer, &events);
        events
            .iter()
            .map(|e| serde_json::to_string(e).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_slow_engine_supersedes_clips_and_every_frame_is_accounted_for() {
    let script = |_| Act::Sleep(Duration::from_millis(3));
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Real, |_| {});
    let mut dropped = 0;
    for meta in frames(4000, 25) {
        let pushed = producer.push(meta, fill(&meta)).unwrap();
        dropped += u64::from(pushed == Pushed::RingFull);
        assert_identity(&session.counters());
    }
    let (summary, events) = finish(session, producer, &events);
    assert_eq!(summary.counters.captured, 4000);
    assert_eq!(summary.counters.dropped_ring_full, dropped);
    assert_eq!(summary.counters.in_flight, 0);
    assert_identity(&summary.counters);
    for event in &events {
        if let Event::State(s) = event {
            assert_identity(s.counters.as_ref().unwrap_or(&Default::default()));
        }
    }
}

#[test]
fn a_source_that_is_always_late_has_no_gaps() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Real, |c| {
        c.pipeline.valid_for_millis = 100;
    });
    let _ = clock::now_nanos();
    std::thread::sleep(Duration::from_millis(900));
    for meta in frames(80, 25) {
        let _ = producer.push(meta, fill(&meta)).unwrap();
        std::thread::sleep(Duration::from_millis(25));
    }
    let (_, events) = finish(session, producer, &events);
    let reasons: Vec<_> = estimates(&events).iter().map(|e| e.view.reason).collect();
    assert!(
        reasons.len() > 3 && !reasons.contains(&Some(Reason::Gap)),
        "{reasons:?}"
    );
    assert!(reasons.contains(&Some(Reason::Stale)), "{reasons:?}");
}

#[test]
fn a_source_that_falls_silent_gives_gaps() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Real, |_| {});
    let start = clock::now_nanos();
    for mut meta in frames(40, 25) {
        meta.capture_nanos += start;
        let _ = producer.push(meta, fill(&meta)).unwrap();
    }
    let mut seen = Vec::new();
    while !estimates(&seen)
        .iter()
        .any(|e| e.view.reason == Some(Reason::Gap))
    {
        seen.push(events.recv_timeout(Duration::from_secs(10)).expect("a gap"));
    }
    let (summary, _) = finish(session, producer, &events);
    assert_identity(&summary.counters);
}

#[test]
fn stopping_leaves_a_busy_engine_behind_and_sends_the_summary_last() {
    let script = |_| Act::Sleep(Duration::from_secs(3));
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Real, |_| {});
    for meta in frames(40, 25) {
        let _ = producer.push(meta, fill(&meta)).unwrap();
    }
    while session.counters().captured < 30 {
        std::thread::yield_now();
    }
    let summary = session.stop();
    assert!(summary.counters.in_flight > 0);
    assert_identity(&summary.counters);
    let events: Vec<_> = events.try_iter().collect();
    assert!(matches!(events.last(), Some(Event::Summary(_))));
}

#[test]
fn an_impossible_frame_is_refused_at_the_door() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |c| {
        c.pipeline.max_frame_bytes = 400;
    });
    let large = FrameMeta {
        width_px: 400,
        ..meta(0)
    };
    let error = producer.push(large, fill(&large)).unwrap_err();
    assert_eq!(
        error,
        PushError::Size {
            most: 400,
            found: 7200
        }
    );
    for _ in 0..100 {
        let error = producer.push(meta(0), |p| p.clear()).unwrap_err();
        assert!(matches!(error, PushError::Pixels { .. }));
    }
    let error = producer.push(meta(0), |p| p.clear()).unwrap_err();
    assert_eq!(
        error,
        PushError::Pixels {
            expected: 360,
            found: 0
        }
    );
    push_all(&mut producer, frames(40, 25));
    let (summary, _) = finish(session, producer, &events);
    assert_eq!(summary.counters.captured, 40);
}

#[test]
fn an_impossible_capture_time_is_refused_at_the_door() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    for time in [i64::MIN, -1, i64::MAX] {
        let error = producer.push(meta(time), fill(&meta(time))).unwrap_err();
        assert_eq!(error, PushError::Time { found: time });
    }
    let last = meta(MAX_CAPTURE_NANOS);
    push_all(&mut producer, frames(60, 25).chain([last]));
    let (summary, events) = finish(session, producer, &events);
    assert_identity(&summary.counters);
    assert!(estimates(&events)[0].view.has_value());
}

#[test]
fn a_stopped_pipeline_says_that_it_has_ended() {
    let (session, mut producer, _events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    push_all(&mut producer, frames(10, 25));
    let summary = session.stop();
    assert_eq!(
        summary.counters.captured, 10,
        "frames in the ring are in flight, not lost"
    );
    assert_identity(&summary.counters);
    let error = producer.push(meta(MILLI), fill(&meta(MILLI))).unwrap_err();
    assert_eq!(error, PushError::Ended);
}

#[test]
fn a_reader_that_lags_loses_the_oldest_events_and_is_told() {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Real, |c| {
        c.pipeline.event_queue = 16;
    });
    for meta in frames(4000, 25) {
        while producer.offer(meta, fill(&meta)).unwrap() == Pushed::RingFull {
            std::thread::yield_now();
        }
    }
    drop(producer);
    let mut session = session;
    while !session.wait_finished(Duration::from_millis(5)) {}
    let summary = session.stop();
    assert!(summary.events_dropped > 0);
    let left: Vec<_> = events.try_iter().collect();
    assert!(left.len() <= 16);
    assert!(matches!(left.last(), Some(Event::Summary(_))));
}
