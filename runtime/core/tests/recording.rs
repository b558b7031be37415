//! Recordings of whole sessions: their decisions come out again, bit for bit.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::seated::seated;
use common::{
    A4C, Act, MILLI, Scripted, calibration, estimates, fill_with, finish, manifest, meta, start,
    start_package,
};
use echocart_core::clock::{Pace, now_nanos};
use echocart_core::config::{
    ApexSide, AreaConfig, CartConfig, MarkerSide, RecorderConfig, ScreenConfig,
};
use echocart_core::engine::Standing;
use echocart_core::events::{Estimate, Event, Reason};
use echocart_core::frame::ExamToken;
use echocart_core::recorder::replay::{Compared, Difference, Replay};
use echocart_core::recorder::{Answer, Entry, Header, JudgedRecord, Record, RecordingReader};
use echocart_core::ring::Pushed;
use echocart_core::screen::sector::{Outline, SectorMask};
use echocart_core::source::Notice;
use proptest::prelude::*;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A recording as read.
#[derive(Clone)]
struct Recorded {
    header: Header,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

fn read(bytes: &[u8]) -> Recorded {
    let mut reader = RecordingReader::new(bytes).unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        entries.push(entry);
    }
    assert!(reader.is_whole());
    Recorded {
        header: reader.header().clone(),
        entries,
        bytes: bytes.to_vec(),
    }
}

fn replay(recorded: &Recorded) -> Result<Compared, Box<Difference>> {
    let mut replay = Replay::new(&recorded.header, None).unwrap();
    for entry in &recorded.entries {
        replay.entry(entry.clone())?;
    }
    Ok(replay.compared())
}

fn record(config: &mut CartConfig) {
    config.recorder = Some(RecorderConfig {
        budget_mib: 64,
        folder: ".".into(),
    });
}

/// What happens to the source, by numbers drawn at random.
fn play(pace: Pace, seed: u64, ticks: i64, exams: bool) -> (Recorded, Vec<Event>) {
    let script = move |n: u64| match (n + seed) % 61 {
        13 => Act::Fail,
        n if n % 31 == 0 => Act::Absent,
        n if n % 17 == 0 => Act::Say([5.0, 0.0], 0.2),
        n if n % 19 == 0 => Act::Say([0.1, 0.0], 0.2),
        n if n % 23 == 0 => Act::Say([0.0, 5.0], 9.0),
        n if n % 29 == 0 => Act::Say([f32::NAN, 0.0], 0.0),
        n => Act::Say([0.0, 3.0 + n as f32 / 50.0], n as f32 / 40.0),
    };
    let (session, mut producer, events) = start(Scripted::engine(script), pace, |config| {
        record(config);
    });
    let recorder = session.recorder().unwrap();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = move |most: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % most
    };
    let (mut at, mut picture, mut frozen_until, mut wide_until, mut exam) = (0, 0, 0, 0, 0);
    for _ in 0..ticks {
        at += 40 * MILLI;
        match below(200) {
            0 => frozen_until = at + 700 * MILLI,
            1 => wide_until = at + 1500 * MILLI,
            2 => at += 900 * MILLI,
            3 => producer.note(Notice::Reanchored, false),
            4 => {
                let why = "unplugged".to_owned();
                producer.note(Notice::Lost { why }, false);
                at += 3000 * MILLI;
                let away_nanos = 3000 * MILLI;
                producer.note(Notice::Back { away_nanos }, false);
            }
            5 if exams => exam += 1,
            _ => {}
        }
        if at > frozen_until {
            picture += 1;
        }
        let mut meta = meta(if below(97) == 0 { at / 2 } else { at });
        meta.width_px = if at < wide_until { 24 } else { 20 };
        meta.host.colour_on = below(60) == 0;
        meta.host.exam = ExamToken([exam; 16]);
        meta.host.ecg_millivolts = Some(at as f32 / 1e9);
        while producer.offer(meta, fill_with(&meta, picture)).unwrap() == Pushed::RingFull {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    let (_, events) = finish(session, producer, &events);
    let mut bytes = Vec::new();
    recorder.snapshot().unwrap().write(&mut bytes).unwrap();
    (read(&bytes), events)
}

#[track_caller]
fn assert_identical(recorded: &Recorded) -> Compared {
    match replay(recorded) {
        Ok(compared) => compared,
        Err(difference) => panic!("{difference}"),
    }
}

#[test]
fn every_decision_of_a_faulty_session_comes_out_again() {
    for seed in 1..9 {
        let (recorded, events) = play(Pace::Max, seed, 3000, false);
        let compared = assert_identical(&recorded);
        let estimates = estimates(&events).len() as u64;
        assert_eq!(compared.estimates, estimates, "{compared:?}");
        assert_eq!((compared.skipped, compared.lost), (0, 0), "{compared:?}");
        assert_eq!(compared.frames, 3000);
        assert!(compared.slots > 700 && compared.clips > 300, "{compared:?}");
    }
}

#[test]
fn a_session_in_real_pace_comes_out_again_with_its_ages_and_its_ladder() {
    let (recorded, events) = play(Pace::Real, 3, 1500, false);
    let compared = assert_identical(&recorded);
    assert!(compared.loads > 0, "{compared:?}");
    let stamped = estimates(&events);
    assert!(stamped.iter().all(|e| e.sent_nanos.is_some()));
    assert_eq!(compared.estimates + compared.skipped, stamped.len() as u64);
}

#[test]
fn a_recording_holds_the_newest_exam_only_and_never_its_token() {
    let (recorded, events) = play(Pace::Max, 5, 3000, true);
    let compared = assert_identical(&recorded);
    assert!(
        compared.frames < 3000 && compared.frames > 0,
        "{compared:?}"
    );
    assert!(recorded.header.exam > 3);
    let last = estimates(&events).pop().unwrap().clone();
    for entry in &recorded.entries {
        if let Entry::Record(Record::Frame(frame)) = entry {
            assert_eq!(frame.exam, recorded.header.exam);
        }
        let text = format!("{entry:?}");
        assert!(!text.contains("ExamToken([") && !text.contains("[7, 7, 7"));
    }
    let sent = recorded.entries.iter().rev().find_map(|e| match e {
        Entry::Record(Record::Sent(sent)) => Some(sent.clip),
        _ => None,
    });
    assert_eq!(sent, Some(last.clip));
}

#[test]
fn one_other_bit_of_an_answer_is_found() {
    let (recorded, _) = play(Pace::Max, 2, 1000, false);
    let answers = |e: &Entry| matches!(e, Entry::Record(Record::Judged(j)) if !matches!(j.view, Answer::Failed | Answer::NotAsked));
    let judged: Vec<usize> = (0..recorded.entries.len())
        .filter(|at| answers(&recorded.entries[*at]))
        .collect();
    let mut found = 0;
    for at in judged.into_iter().skip(10).step_by(9) {
        let mut altered = recorded.clone();
        let Entry::Record(Record::Judged(judged)) = &mut altered.entries[at] else {
            continue;
        };
        let Answer::Gave(bits) = &mut judged.view else {
            continue;
        };
        if f32::from_bits(bits[0]).is_nan() {
            continue;
        }
        bits[1] ^= 1 << 3;
        let clip = judged.facts.number;
        let difference = replay(&altered).unwrap_err();
        assert!(difference.what.contains(&clip.to_string()), "{difference}");
        found += 1;
    }
    assert!(found > 5, "{found}");
}

/// Alters one entry behind the first third; the replay must object.
#[track_caller]
fn assert_found(recorded: &Recorded, alter: impl Fn(&mut Record) -> bool) {
    assert_found_behind(recorded, recorded.entries.len() / 3, alter);
}

/// Alters the first entry that can be; the replay must object.
#[track_caller]
fn assert_first_found(recorded: &Recorded, alter: impl Fn(&mut Record) -> bool) {
    assert_found_behind(recorded, 0, alter);
}

#[track_caller]
fn assert_found_behind(recorded: &Recorded, skip: usize, alter: impl Fn(&mut Record) -> bool) {
    let mut altered = recorded.clone();
    let changed = altered.entries.iter_mut().skip(skip).any(|e| match e {
        Entry::Record(record) => alter(record),
        Entry::Image(_) => false,
    });
    assert!(changed);
    assert!(replay(&altered).is_err());
}

#[test]
fn each_kind_of_decision_is_looked_at() {
    let (recorded, _) = play(Pace::Max, 4, 2000, false);
    assert_identical(&recorded);
    assert_found(&recorded, |r| match r {
        Record::Frame(f) if f.refused.is_none() => {
            f.seen = Some(Reason::ColourOn);
            true
        }
        _ => false,
    });
    assert_found(&recorded, |r| match r {
        Record::Frame(f) if f.refused.is_none() => {
            f.capture_nanos += 50 * MILLI;
            true
        }
        _ => false,
    });
    assert_found(&recorded, |r| match r {
        Record::Frame(f) if f.refused == Some(Reason::BadTimestamp) => {
            f.refused = None;
            true
        }
        _ => false,
    });
    assert_found(&recorded, |r| match r {
        Record::Slot(slot) => {
            *slot = echocart_core::recorder::SlotRecord::Gap;
            true
        }
        _ => false,
    });
    assert_found(&recorded, |r| match r {
        Record::Clip(clip) => {
            clip.gone = true;
            true
        }
        _ => false,
    });
    assert_found(&recorded, |r| match r {
        Record::Announced(announced) => {
            announced.moment.engine.provider.push('X');
            true
        }
        _ => false,
    });
    assert_found(&recorded, |r| match r {
        Record::Announced(announced) if announced.reason == Reason::ColourOn => {
            announced.reason = Reason::Frozen;
            true
        }
        _ => false,
    });
    assert_found(&recorded, |r| match r {
        Record::Sent(sent) => match &mut sent.lvef.value {
            Some(value) => {
                value.percent = f32::from_bits(value.percent.to_bits() + 1);
                true
            }
            None => false,
        },
        _ => false,
    });
    let (real, _) = play(Pace::Real, 4, 600, false);
    assert_found(&real, |r| match r {
        Record::Load(load) => {
            load.after = echocart_core::decide::Level::Off;
            true
        }
        _ => false,
    });
}

/// A session whose engine warms up, serves, goes, serves as another one and panics; its frames
/// have a size in which the image signal is measured.
fn play_engines(pace: Pace) -> (Recorded, Vec<Event>) {
    let mut manifest = manifest();
    let fp32 = manifest.variants["fp32"].clone();
    for (name, temperature, range) in [("one", 1.0, [20.0, 90.0]), ("two", 1.5, [60.0, 90.0])] {
        let calibration = calibration(temperature, range);
        manifest.variants.insert(name.to_owned(), fp32.clone());
        manifest.calibration.insert(name.to_owned(), calibration);
    }
    let (engine, board) = seated(|n| match n {
        5 => Act::Absent,
        90.. => Act::PanicInHead,
        _ => Act::Say([0.0, 1.5], 0.5),
    });
    let (session, mut producer, events) = start_package(manifest, engine, pace, |config| {
        record(config);
        config.screen = fan();
    });
    let recorder = session.recorder().unwrap();
    let mut all = Vec::new();
    let mut at = 0;
    let mut show = |all: &mut Vec<Event>, enough: &dyn Fn(&[Event]) -> bool| {
        for _ in 0..4000 {
            at += 40 * MILLI;
            let mut meta = meta(if pace == Pace::Real { now_nanos() } else { at });
            (meta.width_px, meta.height_px) = (160, 120);
            while producer.offer(meta, fill_with(&meta, at as u64)).unwrap() == Pushed::RingFull {
                std::thread::sleep(Duration::from_micros(50));
            }
            if pace == Pace::Real {
                std::thread::sleep(Duration::from_millis(10));
            }
            let from = all.len();
            all.extend(events.try_iter());
            if enough(&all[from..]) {
                return;
            }
        }
        panic!("never came");
    };
    let refused = |reason| {
        move |new: &[Event]| {
            let clip = |e: &Estimate| e.raw.is_none() && !e.view.evidence.segments.is_empty();
            let mut new = estimates(new).into_iter();
            new.any(|e| e.view.reason == Some(reason) && clip(e))
        }
    };
    let read_by = |provider: &'static str| {
        move |new: &[Event]| {
            let mut new = estimates(new).into_iter();
            new.any(|e| e.provider == provider && e.lvef.has_value())
        }
    };
    show(&mut all, &refused(Reason::WarmingUp));
    board.serve("ONE");
    show(&mut all, &read_by("ONE"));
    board.post(Standing::Down("ended by signal 9".to_owned()));
    // The first may be the clip that was with the engine; the second finds it gone.
    show(&mut all, &refused(Reason::EngineDown));
    show(&mut all, &refused(Reason::EngineDown));
    board.serve("TWO");
    show(&mut all, &read_by("TWO"));
    board.serve("ONE");
    show(&mut all, &read_by("ONE"));
    if pace == Pace::Max {
        show(&mut all, &refused(Reason::EngineDown));
        for _ in 0..150 {
            show(&mut all, &|_| true);
        }
    }
    let (_, rest) = finish(session, producer, &events);
    all.extend(rest);
    let mut bytes = Vec::new();
    recorder.snapshot().unwrap().write(&mut bytes).unwrap();
    (read(&bytes), all)
}

/// An imaging area that the site knows.
fn fan() -> ScreenConfig {
    let corners = [[0.5, 0.1], [0.9, 0.7], [0.7, 0.9], [0.3, 0.9], [0.1, 0.7]];
    ScreenConfig {
        apex: ApexSide::Any,
        marker: MarkerSide::Any,
        area: Some(AreaConfig {
            shape: echocart_core::screen::sector::Shape::Phased,
            outline: corners.to_vec(),
        }),
    }
}

#[test]
fn an_engine_that_comes_goes_changes_and_panics_comes_out_again() {
    for pace in [Pace::Max, Pace::Real] {
        let (recorded, events) = play_engines(pace);
        let compared = assert_identical(&recorded);
        let sent = estimates(&events);
        assert_eq!(compared.skipped, 0, "{compared:?}");
        assert_eq!(compared.estimates, sent.len() as u64, "{compared:?}");
        let signals = sent.iter().filter(|e| e.signal.has_value()).count();
        assert!(signals > sent.len() / 2, "{signals} of {}", sent.len());
        let intervals = |provider: &str| {
            let of = sent.iter().filter(|e| e.provider == provider);
            let values = of.filter_map(|e| e.lvef.value.as_ref());
            values.filter(|v| v.interval.is_some()).count()
        };
        assert!(intervals("ONE") > 0 && intervals("TWO") == 0);
        let judged = |is: &dyn Fn(&JudgedRecord) -> bool| {
            let entries = recorded.entries.iter();
            entries
                .filter(|e| matches!(e, Entry::Record(Record::Judged(j)) if is(j)))
                .count()
        };
        assert!(judged(&|j| j.encoder == Answer::Absent) > 0);
        if pace == Pace::Max {
            assert!(judged(&|j| j.panicked) > 16);
        }
    }
}

#[test]
fn an_engine_that_panics_while_it_is_idle_comes_out_again() {
    let (engine, board) = seated(|_| A4C);
    board.serve("ONE");
    let (session, mut producer, events) = start(engine, Pace::Real, record);
    let recorder = session.recorder().unwrap();
    let mut all = Vec::new();
    let mut picture = 0;
    let mut until = |all: &mut Vec<Event>, enough: &dyn Fn(&Estimate) -> bool, count| {
        for _ in 0..2000 {
            let meta = meta(now_nanos());
            picture += 1;
            producer.push(meta, fill_with(&meta, picture)).unwrap();
            std::thread::sleep(Duration::from_millis(10));
            all.extend(events.try_iter());
            let mut found = estimates(all);
            found.retain(|e| enough(e));
            if found.len() >= count {
                return;
            }
        }
        panic!("never came");
    };
    until(&mut all, &|e| e.lvef.has_value(), 1);
    board.panics_idle.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(1500));
    until(&mut all, &|e| e.view.reason == Some(Reason::EngineDown), 18);
    finish(session, producer, &events);
    let mut bytes = Vec::new();
    recorder.snapshot().unwrap().write(&mut bytes).unwrap();
    let recorded = read(&bytes);
    assert_identical(&recorded);
    let at = |is: &dyn Fn(&Record) -> bool| {
        let mut entries = recorded.entries.iter();
        entries.rposition(|e| matches!(e, Entry::Record(r) if is(r)))
    };
    let panicked = at(&|r| matches!(r, Record::Panicked)).unwrap();
    let remembered = at(&|r| matches!(r, Record::Memory(_))).unwrap();
    assert!(remembered > panicked);
    let mut early = recorded.clone();
    let memory = early.entries[remembered].clone();
    early.entries.insert(panicked + 1, memory);
    assert_identical(&early);
    let mut untold = early;
    untold.entries.remove(panicked);
    assert!(replay(&untold).is_err());
}

#[test]
fn another_engine_another_generation_and_another_signal_are_found() {
    let (recorded, _) = play_engines(Pace::Max);
    assert_identical(&recorded);
    let answered = |j: &JudgedRecord| matches!(j.lvef, Answer::Gave(_));
    assert_first_found(&recorded, |r| match r {
        Record::Judged(j) if answered(j) => {
            j.moment.engine.provider.push('X');
            true
        }
        _ => false,
    });
    assert_first_found(&recorded, |r| match r {
        Record::Judged(j) if j.moment.engine.variant.as_deref() == Some("two") => {
            j.moment.engine.variant = Some("none of them".to_owned());
            true
        }
        _ => false,
    });
    assert_first_found(&recorded, |r| match r {
        Record::Judged(j) if answered(j) => {
            j.generation += 1;
            true
        }
        _ => false,
    });
    assert_first_found(&recorded, |r| match r {
        Record::Judged(j) if answered(j) => match &mut j.moment.signal {
            Some(signal) => {
                signal.meter_bits ^= 1;
                true
            }
            None => false,
        },
        _ => false,
    });
    assert_first_found(&recorded, |r| match r {
        Record::Clip(clip) if clip.rests == Some(Reason::EngineDown) => {
            clip.moment.engine.degraded = None;
            true
        }
        _ => false,
    });
}

#[test]
fn a_frame_is_stored_with_a_sure_area_only_and_black_outside_it() {
    for known in [false, true] {
        let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |c| {
            record(c);
            c.screen = ScreenConfig {
                area: fan().area.filter(|_| known),
                ..fan()
            };
        });
        let recorder = session.recorder().unwrap();
        let mut pictures = Vec::new();
        for number in 0..60 {
            let mut meta = meta(number * 40 * MILLI);
            (meta.width_px, meta.height_px) = (160, 120);
            let mut pixels = Vec::new();
            fill_with(&meta, number as u64 + 1)(&mut pixels);
            pixels.iter_mut().for_each(|p| *p |= 1);
            pictures.push(pixels.clone());
            let offered = |to: &mut Vec<u8>| to.clone_from(&pixels);
            while producer.offer(meta, offered).unwrap() == Pushed::RingFull {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        finish(session, producer, &events);
        let mut bytes = Vec::new();
        recorder.snapshot().unwrap().write(&mut bytes).unwrap();
        let recorded = read(&bytes);
        assert_identical(&recorded);
        let mut mask = SectorMask::default();
        let outline = fan().area.unwrap().outline;
        mask.build(&Outline::new(&outline).unwrap(), 160, 120);
        let mut stored = 0;
        for entry in recorded.entries {
            let Entry::Image(image) = entry else {
                continue;
            };
            stored += 1;
            let picture = &pictures[image.number as usize];
            for (at, (kept, was)) in (0..).zip(image.pixels.iter().zip(picture)) {
                let inside = mask.contains(at % 160, at / 160);
                assert_eq!(*kept, if inside { *was } else { 0 });
            }
        }
        assert_eq!(stored > 10, known, "{stored}");
        assert!(known || stored == 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_may_begin_anywhere_and_lose_entries_anywhere(
        seed in 1_u64..5, begin in 0.0_f64..0.9, hole in 0.0_f64..0.9, missing in 1_usize..200,
    ) {
        let (mut recorded, _) = play(Pace::Max, seed, 1500, false);
        let whole = assert_identical(&recorded);
        let entries = &mut recorded.entries;
        entries.drain(..(entries.len() as f64 * begin) as usize);
        let at = (entries.len() as f64 * hole) as usize;
        let end = (at + missing).min(entries.len());
        let lost = Record::Lost { records: (end - at) as u64 };
        entries.splice(at..end, [Entry::Record(lost)]);
        let compared = assert_identical(&recorded);
        prop_assert!(compared.estimates <= whole.estimates);
        prop_assert!(compared.estimates + compared.skipped > 0);
    }
}

#[test]
fn a_session_without_a_recorder_has_none() {
    let (session, producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    assert!(session.recorder().is_none());
    finish(session, producer, &events);
}

/// `ECHOCART_WRITE_CORPUS=FOLDER cargo test -p echocart-core --test recording corpus` writes seeds
/// for `tests/fuzz`.
#[test]
fn short_sessions_for_the_corpus_come_out_again() {
    for seed in 1..9 {
        let (recorded, _) = play(
            if seed == 8 { Pace::Real } else { Pace::Max },
            seed,
            60,
            true,
        );
        assert_identical(&recorded);
        if let Some(folder) = std::env::var_os("ECHOCART_WRITE_CORPUS") {
            let path = std::path::Path::new(&folder).join(format!("session{seed}"));
            std::fs::write(path, &recorded.bytes).unwrap();
        }
    }
}
