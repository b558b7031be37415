//! Two packages in one session: a guide says the view, the other one measures while both agree.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::{A4C, Act, Scripted, assert_identity, finish, frames, manifest, meta, push_all};
use crossbeam_channel::Receiver;
use echocart_core::clock::{self, Pace};
use echocart_core::config::{CartConfig, RecorderConfig};
use echocart_core::events::{Estimate, Event, Reason, StateKind, Status};
use echocart_core::frame::{ExamToken, FrameMeta};
use echocart_core::kept::Kept;
use echocart_core::manifest::{Manifest, Step};
use echocart_core::ring::FrameProducer;
use echocart_core::session::{GuideSetup, Session, SessionError, SessionSetup};
use echocart_core::signature::Signed;
use std::time::{Duration, Instant};

const GUIDE: &str = "guide@000000000000";
const MEASURE: &str = "measure@000000000000";
const A2C: Act = Act::Say([5.0, 0.0], 0.5);
const UNSURE: Act = Act::Say([1.0, 1.0], 0.5);

type Script = fn(u64) -> Act;

fn guide_manifest() -> Manifest {
    let mut manifest = manifest();
    manifest.id = "guide".to_owned();
    (manifest.encoder.width_px, manifest.encoder.height_px) = (32, 32);
    manifest.preprocess.steps = vec![Step::Squash {
        width_px: 32,
        height_px: 32,
    }];
    manifest
}

fn start_with(
    (guide, measure): (Script, Script),
    pace: Pace,
    edit: impl FnOnce(&mut CartConfig, &mut Manifest),
) -> Result<(Session, FrameProducer, Receiver<Event>), SessionError> {
    let mut config = CartConfig::demo().unwrap();
    config.pipeline.event_queue = 65_536;
    let mut guides = guide_manifest();
    edit(&mut config, &mut guides);
    Session::start(SessionSetup {
        manifest: manifest(),
        package: MEASURE.to_owned(),
        signed: Signed::No,
        config,
        engine: Scripted::engine(measure),
        pace,
        kept: Kept::AsAllowed,
        guide: Some(GuideSetup {
            manifest: guides,
            package: GUIDE.to_owned(),
            signed: Signed::No,
            engine: Scripted::engine(guide),
        }),
    })
}

/// Everything said of `count` frames, 50 a second, in virtual time.
fn played(guide: Script, measure: Script, count: i64) -> Vec<Event> {
    let (session, mut producer, events) =
        start_with((guide, measure), Pace::Max, |_, _| {}).unwrap();
    push_all(&mut producer, frames(count, 20));
    let (summary, events) = finish(session, producer, &events);
    assert_identity(&summary.counters);
    assert!(summary.counters.used > 0);
    events
}

fn of<'a>(events: &'a [Event], package: &str) -> Vec<&'a Estimate> {
    let all = common::estimates(events).into_iter();
    all.filter(|e| e.package == package).collect()
}

fn last(events: &[Event]) -> (&Estimate, &Estimate) {
    (
        of(events, GUIDE).last().unwrap(),
        of(events, MEASURE).last().unwrap(),
    )
}

#[test]
fn the_guide_says_the_view_and_the_other_one_the_ef() {
    let events = played(|_| A4C, |_| A4C, 400);
    let (guide, measure) = last(&events);
    assert_eq!(guide.view.value.as_ref().unwrap().label, "A4C");
    assert_eq!(guide.lvef.status, Status::NotDue);
    assert_eq!(measure.view.status, Status::NotDue);
    assert!(measure.lvef.has_value(), "{:?}", measure.lvef);
    assert!(measure.raw.as_ref().unwrap().view.is_some());
    assert_eq!(guide.clip, measure.clip);
    let pairs = of(&events, GUIDE).len();
    assert!(pairs > 10 && pairs == of(&events, MEASURE).len());
    let Event::State(started) = &events[0] else {
        panic!("{:?}", events[0])
    };
    assert_eq!(started.session.as_ref().unwrap().package, MEASURE);
    assert_eq!(started.guide.as_ref().unwrap().package, GUIDE);
}

#[test]
fn an_ef_is_withheld_while_the_two_do_not_agree() {
    for (guide, measure, reason) in [
        ((|_| A2C) as Script, (|_| A4C) as Script, Reason::WrongView),
        (|_| A4C, |_| A2C, Reason::WrongView),
        (|_| UNSURE, |_| A4C, Reason::Uncertain),
    ] {
        let events = played(guide, measure, 400);
        assert!(
            common::estimates(&events)
                .iter()
                .all(|e| !e.lvef.has_value())
        );
        assert_eq!(last(&events).1.lvef.reason, Some(reason));
    }
}

#[test]
fn a_view_that_the_guide_loses_takes_the_ef_with_it() {
    let turns: Script = |clip| if clip < 12 { A4C } else { A2C };
    let events = played(turns, |_| A4C, 400);
    let shown = of(&events, MEASURE)
        .iter()
        .rposition(|e| e.lvef.has_value());
    let shown = of(&events, MEASURE)[shown.unwrap()].clip;
    let lost = |e: &&&Estimate| e.lvef.status == Status::Withheld && e.clip > shown;
    let guides = of(&events, GUIDE);
    let first = guides.iter().find(lost).unwrap();
    assert_eq!(first.clip, shown + 1);
    let reason = first.lvef.reason;
    assert!(matches!(
        reason,
        Some(Reason::WrongView | Reason::Uncertain)
    ));
    let (guide, _) = last(&events);
    assert_eq!(guide.view.value.as_ref().unwrap().label, "A2C");
    assert_eq!(guide.lvef.reason, Some(Reason::WrongView));
}

#[test]
fn a_measuring_engine_that_fails_leaves_the_view_alone() {
    let events = played(|_| A4C, |_| Act::Fail, 400);
    let (guide, measure) = last(&events);
    assert!(guide.view.has_value());
    assert_eq!(measure.view.status, Status::NotDue);
    assert_eq!(measure.lvef.reason, Some(Reason::EngineDown));
}

#[test]
fn without_the_guide_there_is_no_view_and_no_ef() {
    for fails in [(|_| Act::Fail) as Script, |_| Act::Panic] {
        let events = played(fails, |_| A4C, 400);
        let (guide, measure) = last(&events);
        assert_eq!(guide.view.reason, Some(Reason::EngineDown));
        assert_eq!(guide.lvef.reason, Some(Reason::EngineDown));
        assert_eq!(measure.lvef.reason, Some(Reason::WarmingUp));
    }
}

#[test]
fn what_is_wrong_with_the_frames_is_said_once_for_both() {
    let (session, mut producer, events) =
        start_with((|_| A4C, |_| A4C), Pace::Max, |_, _| {}).unwrap();
    push_all(&mut producer, frames(300, 20));
    let mut wide = meta(300 * 20 * common::MILLI);
    wide.width_px += 2;
    push_all(&mut producer, [wide]);
    let (_, events) = finish(session, producer, &events);
    let changed = |e: &&&Estimate| e.view.reason == Some(Reason::SectorChanged);
    let all = common::estimates(&events);
    let blank = all.iter().find(changed).unwrap();
    assert_eq!(blank.lvef.reason, Some(Reason::SectorChanged));
    assert!(of(&events, GUIDE).iter().find(changed).is_none());
}

#[test]
fn a_slow_measurement_does_not_slow_the_guide() {
    let slow: Script = |_| Act::Sleep(Duration::from_millis(1500));
    let (session, mut producer, receiver) =
        start_with((|_| A4C, slow), Pace::Real, |_, _| {}).unwrap();
    let begin = Instant::now();
    let mut events = Vec::new();
    while begin.elapsed() < Duration::from_secs(5) {
        push_all(&mut producer, [meta(clock::now_nanos())]);
        std::thread::sleep(Duration::from_millis(20));
        events.extend(receiver.try_iter());
    }
    let (summary, rest) = finish(session, producer, &receiver);
    events.extend(rest);
    assert_identity(&summary.counters);
    let (guide, measure) = (of(&events, GUIDE).len(), of(&events, MEASURE).len());
    assert!(
        guide > 2 * measure && measure >= 2,
        "{guide} beside {measure}"
    );
}

fn of_another_exam(frame: i64) -> FrameMeta {
    let mut meta = meta(frame * 20 * common::MILLI);
    meta.host.exam = ExamToken([7; 16]);
    meta
}

#[test]
fn a_new_exam_begins_without_the_view_of_the_one_before() {
    let (session, mut producer, events) = start_with(
        (|clip| if clip < 20 { A4C } else { UNSURE }, |_| A4C),
        Pace::Max,
        |_, _| {},
    )
    .unwrap();
    push_all(&mut producer, frames(300, 20));
    push_all(&mut producer, (300..700).map(of_another_exam));
    let (summary, events) = finish(session, producer, &events);
    assert_identity(&summary.counters);
    let is_new =
        |e: &Event| matches!(e, Event::Estimate(e) if e.view.reason == Some(Reason::NewExam));
    let at = events.iter().position(is_new).unwrap();
    assert!(
        events[..at]
            .iter()
            .any(|e| matches!(e, Event::Estimate(e) if e.lvef.has_value()))
    );
    assert!(
        !events[at..]
            .iter()
            .any(|e| matches!(e, Event::Estimate(e) if e.lvef.has_value()))
    );
}

#[test]
fn packages_that_do_not_fit_and_a_recorder_are_refused() {
    let refused = |edit: fn(&mut CartConfig, &mut Manifest)| {
        let started = start_with((|_| A4C, |_| A4C), Pace::Max, edit);
        started.err().unwrap().to_string()
    };
    let sampling = refused(|_, guide| guide.sampling.rate_hz = 4.0);
    assert!(
        sampling.starts_with("guide package guide: sampling: expected 4 frames at 8 Hz, "),
        "{sampling}"
    );
    let recorded = refused(|config, _| {
        config.recorder = Some(RecorderConfig {
            budget_mib: 8,
            folder: "recordings".into(),
        });
    });
    assert!(
        recorded.contains("remove [recorder] or the guide"),
        "{recorded}"
    );
}

#[test]
fn an_engine_s_news_say_whose_they_are() {
    for (guide, measure, begins) in [
        ((|_| A4C) as Script, (|_| Act::Fail) as Script, "encoder "),
        (|_| Act::Fail, |_| A4C, "guide: encoder "),
    ] {
        let events = played(guide, measure, 200);
        let down = events.iter().find_map(|e| match e {
            Event::State(state) if state.state == StateKind::EngineDown => Some(state),
            _ => None,
        });
        let detail = &down.unwrap().detail;
        assert!(detail.starts_with(begins), "{detail}");
    }
}
