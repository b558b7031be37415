//! The desk, with a clock of the test's own.

mod captures;
mod heart;

use super::wire::Exam;
use super::wire::*;
use super::{Desk, Told};
use axum::body::Bytes;
use echocart_core::config::ExamConfig;
use echocart_core::events::*;
use echocart_core::frame::ExamToken;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const SECOND: i64 = 1_000_000_000;
const PACKAGE: &str = "test@0123456789ab";

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

fn now() -> i64 {
    NOW.get()
}

fn config(folder: &Path) -> ExamConfig {
    ExamConfig {
        state_folder: folder.join("exam"),
        guidance: true,
        measurement: true,
        own_first: false,
        language: "en".to_owned(),
        capture_keys: vec!["c".to_owned()],
        freeze_keys: vec!["f".to_owned()],
        auto_capture_millis: 2000,
        auto_capture_signal_percent: 50,
        ask_after_seconds: 60,
    }
}

struct Room {
    desk: Desk,
    clip: u64,
    folder: tempfile::TempDir,
}

/// What one estimate of a test says.
#[derive(Clone)]
struct Says {
    view: Result<(&'static str, f32), Reason>,
    lvef: Result<f32, Reason>,
    status: Status,
    signal: Option<f32>,
    heart: Option<HeartRate>,
    token: ExamToken,
}

impl Default for Says {
    fn default() -> Self {
        Self {
            view: Ok(("A4C", 0.9)),
            lvef: Ok(52.0),
            status: Status::Value,
            signal: None,
            heart: None,
            token: ExamToken::default(),
        }
    }
}

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        NOW.set(100 * SECOND);
        let desk = open(folder.path());
        Self {
            desk,
            clip: 0,
            folder,
        }
    }

    /// The process ends and begins again.
    fn restarted(self) -> Self {
        let Self { desk, clip, folder } = self;
        drop(desk);
        let desk = open(folder.path());
        Self { desk, clip, folder }
    }

    /// Half a second of images, then an estimate of the last two seconds.
    fn say(&mut self, says: &Says) -> Option<Event> {
        self.say_with(says, |_| {})
    }

    /// The same, of an estimate that is edited.
    fn say_with(&mut self, says: &Says, edit: impl FnOnce(&mut Estimate)) -> Option<Event> {
        for _ in 0..15 {
            NOW.set(now() + SECOND / 30);
            let jpeg = [vec![0; 16], vec![7; 100]].concat();
            self.desk.image(&Bytes::from(jpeg), 16, now());
        }
        self.clip += 1;
        let mut estimate = estimate(self.clip, says);
        edit(&mut estimate);
        let event = Event::Estimate(Box::new(estimate));
        let Told { event, .. } = self.desk.event(&event);
        event.map(std::borrow::Cow::into_owned)
    }

    fn exam(&self) -> Exam {
        let message: serde_json::Value = serde_json::from_str(&self.desk.text()).unwrap();
        serde_json::from_value(message["exam"].clone()).unwrap()
    }

    fn ask(&self, command: Command) -> Result<(), Refused> {
        self.desk.command(&command)
    }

    fn newest(&self) -> Capture {
        self.exam().captures.last().cloned().expect("a capture")
    }
}

fn open(folder: &Path) -> Desk {
    let map = ["A4C", "PLAX"].map(|v| (v.to_owned(), v.to_owned()));
    Desk::open(&config(folder), &BTreeMap::from(map), now).unwrap()
}

fn estimate(clip: u64, says: &Says) -> Estimate {
    let segment = |view: Option<&str>| Segment {
        first_frame: 0,
        last_frame: 1,
        first_capture_nanos: now() - 2 * SECOND,
        last_capture_nanos: now(),
        sector: 0,
        view: view.map(str::to_owned),
        seam: false,
        first_host_frame: None,
        last_host_frame: None,
        exam: echocart_core::events::Exam {
            number: 0,
            token: says.token,
        },
    };
    let label = says.view.ok().map(|v| v.0);
    let evidence = Evidence {
        segments: vec![segment(label)],
        ..Evidence::default()
    };
    let valid = Some(now() + 3 * SECOND);
    let given = |reason: Option<Reason>| match reason {
        Some(_) => Status::Withheld,
        None => says.status,
    };
    Estimate {
        schema: SCHEMA,
        clip,
        provider: "CPU".to_owned(),
        degraded: None,
        package: PACKAGE.to_owned(),
        config: "0".to_owned(),
        sent_nanos: Some(now()),
        raw: None,
        view: Output {
            status: given(says.view.err()),
            reason: says.view.err(),
            value: says.view.ok().map(|(label, p)| ViewValue {
                label: label.to_owned(),
                probabilities: vec![p, 1.0 - p],
            }),
            evidence: evidence.clone(),
            valid_until_nanos: says.view.is_ok().then_some(valid).flatten(),
        },
        lvef: Output {
            status: given(says.lvef.err()),
            reason: says.lvef.err(),
            value: says.lvef.ok().map(|percent| LvefValue {
                percent,
                readings: 1,
                agreeing: 1,
                spread: 0.0,
                interval: None,
                calibration: Calibrated::None,
            }),
            evidence,
            valid_until_nanos: says.lvef.is_ok().then_some(valid).flatten(),
        },
        signal: match says.signal {
            Some(meter) => Output {
                status: Status::Value,
                reason: None,
                value: Some(signal(meter)),
                evidence: Evidence::default(),
                valid_until_nanos: valid,
            },
            None => Output::quiet(Status::Off),
        },
        heart: says.heart,
        tokens: None,
    }
}

fn signal(meter: f32) -> SignalValue {
    serde_json::from_value(serde_json::json!({ "meter": meter })).unwrap()
}

fn unsure(reason: Reason) -> Says {
    Says {
        view: Err(reason),
        lvef: Err(reason),
        ..Says::default()
    }
}

/// Held for long enough, but of a view that is not on the list.
fn elsewhere() -> Says {
    Says {
        view: Ok(("SSN", 0.9)),
        ..Says::default()
    }
}

#[test]
fn a_capture_keeps_the_last_valid_ef_with_its_images_and_no_older_one() {
    let mut room = Room::new();
    assert_eq!(room.ask(Command::Capture), Err(Refused::NoImage));
    room.say(&elsewhere());
    room.ask(Command::Capture).unwrap();
    let capture = room.newest();
    assert_eq!((capture.clip, capture.how), (Some(1), How::Capture));
    assert_eq!(capture.lvef.value.as_ref().unwrap().percent, 52.0);
    assert_eq!(
        (capture.ef_decision, capture.view),
        (Decision::Pending, None)
    );
    assert_eq!(capture.images, 15);
    assert_eq!(room.desk.images(capture.id).unwrap().len(), 15);
    assert_eq!(capture.heart_rate_bpm, None);

    NOW.set(now() + 4 * SECOND);
    room.ask(Command::Capture).unwrap();
    let late = room.newest();
    assert_eq!(
        (late.lvef.reason, late.lvef.value),
        (Some(Reason::Stale), None)
    );
    assert_eq!(late.ef_decision, Decision::None);
}

#[test]
fn a_frozen_scanner_moves_the_last_valid_ef_to_a_capture_once() {
    let mut room = Room::new();
    room.say(&elsewhere());
    for _ in 0..3 {
        room.say(&unsure(Reason::Frozen));
    }
    let captures = room.exam().captures;
    assert_eq!(captures.len(), 1);
    assert_eq!((captures[0].how, captures[0].clip), (How::Freeze, Some(1)));
    room.say(&elsewhere());
    room.say(&unsure(Reason::SectorChanged));
    room.say(&unsure(Reason::Frozen));
    assert_eq!(
        room.exam().captures.len(),
        1,
        "an EF of another sector was kept"
    );
}

#[test]
fn a_held_view_is_captured_once_and_again_after_a_retake() {
    let mut room = Room::new();
    for _ in 0..4 {
        room.say(&Says::default());
    }
    assert!(room.exam().captures.is_empty());
    assert!(
        room.exam()
            .hold
            .is_some_and(|h| h.view == "A4C" && h.share > 0.7 && h.share < 1.0)
    );
    for _ in 0..8 {
        room.say(&Says::default());
    }
    let capture = room.newest();
    assert_eq!(
        (capture.how, capture.view.as_deref()),
        (How::Auto, Some("A4C"))
    );
    assert_eq!(capture.view_by, Some(By::Model));
    assert_eq!(room.exam().captures.len(), 1);
    room.ask(Command::Retake { id: capture.id }).unwrap();
    assert_eq!(room.exam().target.as_deref(), Some("A4C"));
    assert!(room.desk.images(capture.id).is_none());
    for _ in 0..6 {
        room.say(&Says::default());
    }
    assert_eq!(room.exam().captures.len(), 1);
}

#[test]
fn a_view_is_not_held_without_signal_through_another_or_while_one_by_hand_is_wanted() {
    let mut room = Room::new();
    let weak = Says {
        signal: Some(0.4),
        ..Says::default()
    };
    let strong = Says {
        signal: Some(0.6),
        ..Says::default()
    };
    for at in 0..20 {
        room.say(if at % 4 == 3 { &weak } else { &strong });
    }
    assert!(room.exam().captures.is_empty());
    room.ask(Command::Target {
        view: Some("SC-IVC".to_owned()),
    })
    .unwrap();
    for _ in 0..20 {
        room.say(&strong);
    }
    assert!(room.exam().captures.is_empty());
    room.ask(Command::Capture).unwrap();
    assert_eq!(room.newest().view.as_deref(), Some("SC-IVC"));
    assert_eq!(room.newest().view_by, Some(By::Operator));
    let unknown = Command::Target {
        view: Some("LAX".to_owned()),
    };
    assert_eq!(room.ask(unknown), Err(Refused::NoSuchView));
}

#[test]
fn a_minute_without_ultrasound_withholds_the_ef_until_it_is_answered() {
    let mut room = Room::new();
    room.say(&elsewhere());
    room.ask(Command::Capture).unwrap();
    for _ in 0..119 {
        room.say(&unsure(Reason::NotUltrasound));
        assert!(!room.desk.tick());
    }
    NOW.set(now() + SECOND);
    assert!(room.desk.tick());
    assert_eq!(room.exam().asking, Some(Asking::NoUltrasound));
    let Some(Event::Estimate(told)) = room.say(&Says::default()) else {
        panic!("readers are told of the estimate");
    };
    assert_eq!(
        (told.lvef.status, told.lvef.reason),
        (Status::Withheld, Some(Reason::NewExam))
    );
    assert!(told.view.has_value() && told.raw.is_none());
    for command in [
        Command::Capture,
        Command::Freeze,
        Command::Best,
        Command::Accept { id: 0 },
    ] {
        assert_eq!(room.ask(command), Err(Refused::AnswerFirst));
    }
    room.ask(Command::SamePatient).unwrap();
    assert_eq!(room.exam().captures.len(), 1);
    let Some(Event::Estimate(told)) = room.say(&Says::default()) else {
        panic!("readers are told of the estimate");
    };
    assert!(told.lvef.has_value());
}

#[test]
fn a_new_patient_erases_everything_and_lets_no_older_estimate_through() {
    let mut room = Room::new();
    room.say(&elsewhere());
    room.ask(Command::Freeze).unwrap();
    let id = room.newest().id;
    assert_eq!(room.exam().frozen, Some(id));
    assert_eq!(room.ask(Command::Capture), Err(Refused::Frozen));
    room.ask(Command::NewPatient).unwrap();
    let exam = room.exam();
    assert!(exam.captures.is_empty() && exam.frozen.is_none() && exam.number == 1);
    assert!(room.desk.images(id).is_none());
    assert_eq!(room.ask(Command::Capture), Err(Refused::NoImage));
    assert_eq!(
        room.say(&Says::default()),
        None,
        "an estimate of the exam before"
    );
    let token = room.desk.ticket().token();
    assert_ne!(token, ExamToken::default());
    assert!(
        room.say(&Says {
            token,
            ..Says::default()
        })
        .is_some()
    );
    assert_eq!(room.exam().captures.len(), 0);
}

#[test]
fn a_source_with_tokens_ends_exams_itself_and_is_never_asked_about() {
    let mut room = Room::new();
    let of = |byte: u8| Says {
        token: ExamToken([byte; 16]),
        ..elsewhere()
    };
    room.say(&of(1));
    room.ask(Command::Capture).unwrap();
    NOW.set(now() + 600 * SECOND);
    assert!(!room.desk.tick());
    room.say(&of(1));
    assert_eq!(room.exam().captures.len(), 1);
    room.say(&of(2));
    assert!(room.exam().captures.is_empty());
}

#[test]
fn an_own_ef_is_marked_by_what_could_be_seen_before() {
    let mut room = Room::new();
    room.ask(Command::Switch {
        name: Switch::OwnFirst,
        on: true,
    })
    .unwrap();
    room.say(&elsewhere());
    for _ in 0..3 {
        room.ask(Command::Capture).unwrap();
    }
    let own = |id, percent| Command::OwnEf { id, percent };
    room.ask(own(0, 48)).unwrap();
    room.ask(Command::Reveal { id: 1 }).unwrap();
    room.ask(own(1, 50)).unwrap();
    assert_eq!(room.ask(own(2, 100)), Err(Refused::OutOfRange));
    assert_eq!(room.ask(own(9, 50)), Err(Refused::NoSuchCapture));
    let captures = room.exam().captures;
    assert_eq!(
        captures[0].own_ef,
        Some(OwnEf {
            percent: 48,
            before_ai: true
        })
    );
    assert_eq!(
        captures[1].own_ef,
        Some(OwnEf {
            percent: 50,
            before_ai: false
        })
    );
    assert_eq!(captures.map_shown(), [true, true, false]);
    room.ask(own(0, 55)).unwrap();
    assert!(
        !room.exam().captures[0].own_ef.unwrap().before_ai,
        "changed after the AI's was seen"
    );
}

trait Shown {
    fn map_shown(&self) -> Vec<bool>;
}

impl Shown for Vec<Capture> {
    fn map_shown(&self) -> Vec<bool> {
        self.iter().map(|c| c.ai_shown).collect()
    }
}

#[test]
fn the_export_holds_accepted_clips_and_no_ef_of_a_demonstration() {
    let mut room = Room::new();
    room.say(&elsewhere());
    for _ in 0..3 {
        room.ask(Command::Capture).unwrap();
    }
    room.ask(Command::Assign {
        id: 0,
        view: "A4C".to_owned(),
    })
    .unwrap();
    room.ask(Command::Accept { id: 0 }).unwrap();
    room.ask(Command::RejectEf {
        id: 1,
        reason: RejectReason::Foreshortened,
    })
    .unwrap();
    room.say(&Says {
        status: Status::Demonstration,
        ..elsewhere()
    });
    room.ask(Command::Capture).unwrap();
    room.ask(Command::Accept { id: 3 }).unwrap();
    let export = room.desk.export();
    let ids: Vec<u64> = export.captures.iter().map(|c| c.id).collect();
    assert_eq!(ids, [0, 1, 3]);
    assert_eq!(export.captures[0].ef_decision, Decision::Accepted);
    assert_eq!(
        export.captures[1].ef_reason,
        Some(RejectReason::Foreshortened)
    );
    let demo = &export.captures[2];
    assert_eq!(
        (demo.lvef.status, demo.ef_decision),
        (Status::Demonstration, Decision::None)
    );
    assert!(demo.lvef.value.is_none());
    assert!(export.statement.contains("research use only"));
    assert_eq!(export.missing_views.len(), 9);
}

#[test]
fn the_best_clip_is_the_surest_with_signal_that_is_still_whole() {
    let mut room = Room::new();
    assert_eq!(room.ask(Command::Best), Err(Refused::NoBest));
    for (p, meter) in [(0.99, 0.9), (0.7, 0.9), (0.9, 0.9), (0.95, 0.3), (0.6, 0.9)] {
        room.say(&Says {
            view: Ok(("SSN", p)),
            signal: Some(meter),
            ..Says::default()
        });
    }
    // The first clip begins before the first image.
    room.ask(Command::Best).unwrap();
    let best = room.newest();
    assert_eq!(best.how, How::Best);
    assert_eq!(best.clip, Some(5), "the only one whose images are all here");
    for _ in 0..3 {
        room.say(&Says {
            view: Ok(("SSN", 0.5)),
            signal: Some(0.9),
            ..Says::default()
        });
    }
    room.say(&Says {
        view: Ok(("SSN", 0.98)),
        signal: Some(0.9),
        ..Says::default()
    });
    room.say(&Says {
        view: Ok(("SSN", 0.55)),
        signal: Some(0.9),
        ..Says::default()
    });
    room.ask(Command::Best).unwrap();
    assert_eq!(room.newest().clip, Some(9));
    room.say(&unsure(Reason::NotUltrasound));
    assert_eq!(room.ask(Command::Best), Err(Refused::NoBest));
}

#[test]
fn a_restart_keeps_numbers_and_decisions_but_no_image_and_asks_who_it_is() {
    let mut room = Room::new();
    room.say(&elsewhere());
    room.ask(Command::Capture).unwrap();
    room.ask(Command::Accept { id: 0 }).unwrap();
    room.desk.save();
    let file = room.folder.path().join("exam/exam.json");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let before = room.newest();

    let mut room = room.restarted();
    assert_eq!(room.exam().asking, Some(Asking::Restarted));
    assert_eq!(
        room.newest(),
        Capture {
            images: 0,
            ..before
        }
    );
    room.ask(Command::SamePatient).unwrap();
    room.say(&elsewhere());
    room.ask(Command::Capture).unwrap();
    assert_eq!(room.newest().id, 1);
    room.ask(Command::NewPatient).unwrap();
    room.desk.save();
    assert!(!file.exists());
    assert_eq!(room.restarted().exam().asking, None);
}

#[test]
fn a_folder_that_others_can_enter_or_a_file_that_is_no_exam_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("exam");
    std::fs::create_dir(&inside).unwrap();
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o755)).unwrap();
    let open = || Desk::open(&config(folder.path()), &BTreeMap::new(), now).map(|_| ());
    assert!(open().unwrap_err().contains("serve.exam.state_folder"));
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(inside.join("exam.json"), "{}").unwrap();
    assert!(open().unwrap_err().contains("is not an exam"));
}

#[test]
fn a_folder_that_another_process_has_open_is_refused() {
    let room = Room::new();
    let again = Desk::open(&config(room.folder.path()), &BTreeMap::new(), now);
    let refusal = again.map(|_| ()).unwrap_err();
    assert!(refusal.contains("another echocart"), "{refusal}");
    let _ = room.restarted();
}

#[test]
fn what_is_switched_off_is_told_to_nobody() {
    let mut room = Room::new();
    for (name, on) in [(Switch::Guidance, false), (Switch::Measurement, false)] {
        room.ask(Command::Switch { name, on }).unwrap();
    }
    let Some(Event::Estimate(told)) = room.say(&Says::default()) else {
        panic!("readers are told of the estimate");
    };
    let statuses = [told.view.status, told.lvef.status, told.signal.status];
    assert_eq!(statuses, [Status::Off; 3]);
    room.ask(Command::Capture).unwrap();
    assert_eq!(room.newest().lvef.status, Status::Off);
    assert_eq!(room.newest().view, None);
}

#[test]
fn no_reader_is_sent_an_ef_before_the_users_own() {
    let mut room = Room::new();
    let own_first = |on| Command::Switch {
        name: Switch::OwnFirst,
        on,
    };
    room.ask(own_first(true)).unwrap();
    let Some(Event::Estimate(told)) = room.say(&Says::default()) else {
        panic!("readers are told of the estimate");
    };
    assert_eq!(told.lvef.status, Status::Off);
    assert!(told.raw.is_none());
    assert!(told.view.has_value());
    room.ask(Command::Capture).unwrap();
    assert_eq!(room.newest().lvef.status, Status::Off);
    let id = room.newest().id;
    room.ask(Command::OwnEf { id, percent: 48 }).unwrap();
    assert!(room.newest().lvef.has_value());
    room.ask(Command::Capture).unwrap();
    assert!(!room.newest().lvef.has_value());
    room.ask(own_first(false)).unwrap();
    assert!(room.newest().lvef.has_value());
    let Some(Event::Estimate(told)) = room.say(&Says::default()) else {
        panic!("readers are told of the estimate");
    };
    assert!(told.lvef.has_value());
}

#[test]
fn captures_are_bounded() {
    let mut room = Room::new();
    room.say(&elsewhere());
    for _ in 0..super::clips::CAPTURES {
        room.ask(Command::Capture).unwrap();
    }
    assert!(room.exam().full);
    assert_eq!(room.ask(Command::Capture), Err(Refused::Full));
    room.ask(Command::Delete { id: 5 }).unwrap();
    room.ask(Command::Capture).unwrap();
}
