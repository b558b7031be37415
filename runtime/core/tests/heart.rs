//! The heartbeat of a session: in its events, in the decision on a number, in a recording.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::{A4C, MILLI, Scripted, estimates, fill, finish, manifest, meta, start_package};
use echocart_core::clock::Pace;
use echocart_core::config::RecorderConfig;
use echocart_core::events::{Estimate, Event, HeartSource, Reason, Status};
use echocart_core::recorder::replay::{Compared, Difference, Replay};
use echocart_core::recorder::{Entry, Header, JudgedRecord, Record, RecordingReader};
use echocart_core::ring::Pushed;

const SECONDS: i64 = 24;

/// R waves whose distances are these in turn, milliseconds.
fn ecg(lengths: &[i64], at_nanos: i64) -> f32 {
    let mut onset = 0;
    for length in lengths.iter().cycle() {
        let off = (at_nanos - onset * MILLI).abs() as f32 / (50 * MILLI) as f32;
        if off < 1.0 {
            return 1.0 - off;
        }
        if onset * MILLI > at_nanos {
            return 0.0;
        }
        onset += length;
    }
    0.0
}

struct Played {
    events: Vec<Event>,
    header: Header,
    entries: Vec<Entry>,
}

/// A view that holds, clips of 1.5 s, and an ECG of these beats; none without.
fn play(lengths: &[i64]) -> Played {
    let mut manifest = manifest();
    manifest.sampling.rate_hz = 2.0;
    let engine = Scripted::engine(|_| A4C);
    let (session, mut producer, events) = start_package(manifest, engine, Pace::Max, |config| {
        config.recorder = Some(RecorderConfig {
            budget_mib: 64,
            folder: ".".into(),
        });
    });
    let recorder = session.recorder().unwrap();
    for i in 0..SECONDS * 25 {
        let mut meta = meta(i * 40 * MILLI);
        meta.host.ecg_millivolts = (!lengths.is_empty()).then(|| ecg(lengths, meta.capture_nanos));
        while producer.offer(meta, fill(&meta)).unwrap() == Pushed::RingFull {
            std::thread::yield_now();
        }
    }
    let (_, events) = finish(session, producer, &events);
    let mut bytes = Vec::new();
    recorder.snapshot().unwrap().write(&mut bytes).unwrap();
    let mut reader = RecordingReader::new(bytes.as_slice()).unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        entries.push(entry);
    }
    Played {
        events,
        header: reader.header().clone(),
        entries,
    }
}

fn replay(header: &Header, entries: &[Entry]) -> Result<Compared, Box<Difference>> {
    let mut replay = Replay::new(header, None).unwrap();
    for entry in entries {
        replay.entry(entry.clone())?;
    }
    Ok(replay.compared())
}

impl Played {
    /// Estimates from the time on at which the heartbeat is known.
    fn known(&self) -> Vec<&Estimate> {
        let mut all = estimates(&self.events);
        let from = all.iter().position(|e| e.heart.is_some());
        all.split_off(from.unwrap_or(all.len()))
    }

    /// The last seconds, in which the evidence is as long as it gets.
    fn late(&self) -> Vec<&Estimate> {
        let late = |e: &&Estimate| {
            let segments = &e.view.evidence.segments;
            segments
                .iter()
                .any(|s| s.last_capture_nanos > 14_000 * MILLI)
        };
        self.known().into_iter().filter(late).collect()
    }
}

#[test]
fn a_regular_ecg_is_told_and_lets_a_number_pass() {
    let played = play(&[800]);
    let late = played.late();
    assert!(late.len() > 5, "{}", late.len());
    for estimate in late {
        let heart = estimate.heart.unwrap();
        assert_eq!(heart.from, HeartSource::Ecg);
        assert!((heart.bpm - 75.0).abs() < 1.0, "{heart:?}");
        assert_eq!(estimate.lvef.status, Status::Value, "{:?}", estimate.lvef);
        let text = serde_json::to_value(estimate).unwrap();
        assert_eq!(text["heart"]["from"], "ecg");
    }
}

#[test]
fn without_an_ecg_or_an_imaging_area_nothing_is_told() {
    let played = play(&[]);
    assert!(played.known().is_empty());
    let all = estimates(&played.events);
    let text = serde_json::to_string(all.last().unwrap()).unwrap();
    assert!(!text.contains("heart"), "{text}");
    assert_eq!(all.last().unwrap().lvef.status, Status::Value);
}

#[test]
fn a_rate_outside_the_tested_range_is_not_permitted() {
    for lengths in [[350], [1800]] {
        let played = play(&lengths);
        let late = played.late();
        assert!(late.len() > 5, "{lengths:?}: {}", late.len());
        for estimate in late {
            assert_eq!(
                estimate.lvef.reason,
                Some(Reason::NotPermitted),
                "{lengths:?}"
            );
        }
    }
}

#[test]
fn an_irregular_rhythm_needs_five_beats() {
    let few = play(&[820, 1310, 940, 1490, 730, 1330, 1160]);
    let reasons: Vec<_> = few.late().iter().map(|e| e.lvef.reason).collect();
    // without one whole beat within a clip nothing can be said of the rhythm
    let fits = |r: &Option<Reason>| matches!(r, Some(Reason::Rhythm | Reason::WarmingUp));
    assert!(reasons.iter().all(fits), "{reasons:?}");
    assert!(reasons.contains(&Some(Reason::Rhythm)), "{reasons:?}");
    let many = play(&[500, 700, 420, 640, 560, 380]);
    let late = many.late();
    let values = late.iter().filter(|e| e.lvef.status == Status::Value);
    assert!(values.count() > 5, "{}", late.len());
}

#[test]
fn a_heartbeat_is_recorded_and_decides_again() {
    let played = play(&[820, 1010, 640, 1190, 730, 1330, 560, 1130]);
    let compared = replay(&played.header, &played.entries).unwrap();
    assert_eq!(compared.estimates, estimates(&played.events).len() as u64);
    let known = |entry: &Entry| match entry {
        Entry::Record(Record::Judged(judged)) => judged.facts.heart.is_some(),
        _ => false,
    };
    let mut altered = played.entries.clone();
    let at = altered.iter().rposition(known).unwrap();
    let Entry::Record(Record::Judged(judged)) = &mut altered[at] else {
        panic!("a judged clip");
    };
    let heart = judged.facts.heart.as_mut().unwrap();
    assert!(heart.onsets.times().len() > 5);
    heart.onsets = Default::default();
    let mut broken = judged.clone();
    broken.facts.heart.as_mut().unwrap().bpm = f64::NAN;
    assert!(Record::Judged(broken).check().is_err());
    let clip = format!("clip {}", judged.facts.number);
    let difference = replay(&played.header, &altered).unwrap_err();
    assert!(difference.what.contains(&clip), "{difference}");
}

#[test]
fn a_recording_of_before_it_was_measured_is_read() {
    let played = play(&[800]);
    let known = played.entries.iter().rev().find_map(|entry| match entry {
        Entry::Record(Record::Judged(judged)) if judged.facts.heart.is_some() => Some(judged),
        _ => None,
    });
    let mut text = serde_json::to_value(known.unwrap()).unwrap();
    text["facts"].as_object_mut().unwrap().remove("heart");
    let before: JudgedRecord = serde_json::from_value(text).unwrap();
    assert_eq!(before.facts.heart, None);
    assert!(!serde_json::to_string(&before).unwrap().contains("heart"));
}
