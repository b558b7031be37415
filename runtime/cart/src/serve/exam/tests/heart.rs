//! Heart rate and beats of a capture.

use super::*;

fn beating(bpm: f32) -> Says {
    Says {
        heart: Some(HeartRate {
            bpm,
            from: HeartSource::Image,
        }),
        ..Says::default()
    }
}

#[test]
fn a_capture_has_the_heart_rate_and_the_whole_beats_of_its_images() {
    let mut room = Room::new();
    (0..6).for_each(|_| drop(room.say(&beating(71.5))));
    room.ask(Command::Capture).unwrap();
    let capture = room.newest();
    assert_eq!(capture.heart_rate_bpm, Some(71.5));
    assert!(
        (1900..=2000).contains(&capture.millis),
        "{}",
        capture.millis
    );
    assert_eq!(capture.beats, Some(2));
    room.ask(Command::Accept { id: capture.id }).unwrap();
    let exported = serde_json::to_value(room.desk.export()).unwrap();
    assert_eq!(exported["captures"][0]["heart_rate_bpm"], 71.5);
    assert_eq!(exported["captures"][0]["beats"], 2);
}

#[test]
fn a_rate_that_is_no_longer_known_is_not_kept() {
    let mut room = Room::new();
    room.say(&beating(71.5));
    room.say(&Says::default());
    room.ask(Command::Capture).unwrap();
    let capture = room.newest();
    assert_eq!((capture.heart_rate_bpm, capture.beats), (None, None));
    let text = serde_json::to_string(&capture).unwrap();
    assert!(!text.contains("heart") && !text.contains("beats"), "{text}");

    room.say(&beating(71.5));
    NOW.set(now() + 4 * SECOND);
    let jpeg = [vec![0; 16], vec![7; 100]].concat();
    room.desk.image(&Bytes::from(jpeg), 16, now());
    room.ask(Command::Capture).unwrap();
    assert_eq!(room.newest().heart_rate_bpm, None);
}

#[test]
fn whose_heart_it_is_must_be_known() {
    let mut room = Room::new();
    room.say(&beating(71.5));
    room.ask(Command::Capture).unwrap();
    room.desk.save();
    let mut room = room.restarted();
    assert!(room.exam().asking.is_some());
    let Some(Event::Estimate(told)) = room.say(&beating(71.5)) else {
        panic!("an estimate");
    };
    assert_eq!(told.heart, None);
    room.ask(Command::SamePatient).unwrap();
    let Some(Event::Estimate(told)) = room.say(&beating(71.5)) else {
        panic!("an estimate");
    };
    assert_eq!(told.heart.map(|h| h.bpm), Some(71.5));
}
