//! What a capture holds: its own images, and the EF that stood.

use super::*;

#[test]
fn a_scanner_that_freezes_again_is_captured_again() {
    let mut room = Room::new();
    for captures in 1..3 {
        room.say(&elsewhere());
        room.say(&unsure(Reason::Frozen));
        room.say(&unsure(Reason::Frozen));
        assert_eq!(room.exam().captures.len(), captures);
    }
}

#[test]
fn a_held_view_is_not_captured_before_its_images_reach_back_as_far_as_its_clip() {
    let mut room = Room::new();
    for _ in 0..6 {
        // Nobody looks: there are estimates and no images.
        NOW.set(now() + SECOND / 2);
        room.clip += 1;
        let event = Event::Estimate(Box::new(estimate(room.clip, &Says::default())));
        room.desk.event(&event);
    }
    let mut says = 0;
    while room.exam().captures.is_empty() {
        room.say(&Says::default());
        says += 1;
        assert!(says < 10);
    }
    let capture = room.newest();
    assert_eq!(capture.how, How::Auto);
    assert!(capture.millis >= 1900, "{} ms", capture.millis);
}

#[test]
fn a_capture_beside_a_guide_has_its_view_and_the_other_package_s_ef() {
    let mut room = Room::new();
    let tell = |room: &mut Room, guide: bool| {
        room.say_with(&elsewhere(), |estimate| match guide {
            true => estimate.lvef = Output::not_due(estimate.lvef.evidence.clone()),
            false => {
                estimate.package = "measure@0123456789ab".to_owned();
                let evidence = estimate.view.evidence.clone();
                estimate.view = Output::not_due(evidence);
            }
        })
    };
    for guide in [true, true, true, true, false, true] {
        tell(&mut room, guide);
    }
    room.ask(Command::Capture).unwrap();
    let capture = room.newest();
    assert_eq!(
        (capture.clip, capture.package.as_str()),
        (Some(5), "measure@0123456789ab")
    );
    assert_eq!(capture.lvef.value.unwrap().percent, 52.0);
    assert_eq!(capture.label.unwrap().label, "SSN");
    room.ask(Command::Best).unwrap();
    let best = room.newest();
    assert_eq!((best.clip, best.how), (Some(5), How::Best));
}
