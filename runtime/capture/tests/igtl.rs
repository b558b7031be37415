//! OpenIGTLink: the reader on bytes, the client against a server.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test helpers")]

mod cines;
mod igtl_server;

use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cines::{frames, opened};
use echocart_capture::igtl::{ImageReader, Item};
use echocart_capture::{Arrival, OpenOptions, Polled, Source, open};
use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::PixelFormat;
use igtl_server::{Message, Server, Step, message};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

fn items(bytes: Vec<u8>) -> (Vec<Item>, String) {
    let mut reader = ImageReader::new(Cursor::new(bytes));
    let mut pixels = Vec::new();
    let mut items = Vec::new();
    loop {
        match reader.read(&mut pixels) {
            Ok(Item::Pending) => {}
            Ok(item) => items.push(item),
            Err(error) => return (items, error.to_string()),
        }
    }
}

fn image(width_px: u32, height_px: u32, format: PixelFormat, stamp_nanos: Option<i64>) -> Item {
    Item::Image {
        device: "Probe".to_owned(),
        width_px,
        height_px,
        format,
        stamp_nanos,
    }
}

/// The next frame, passing over silence.
fn frame(source: &mut dyn Source, pixels: &mut FrameBuffer) -> Arrival {
    match source.poll(pixels, PATIENCE).unwrap() {
        Polled::Frame(arrival) => arrival,
        other => panic!("expected a frame, found {other:?}"),
    }
}

#[test]
fn images_of_both_versions_are_read_and_other_messages_passed_over() {
    let plain = Message::grey(3, 2, 1_500_000_000 * SECOND + 250_000_000, (0..6).collect());
    let colour = Message {
        version: 2,
        components: 3,
        stamp_nanos: 0,
        pixels: (0..18).collect(),
        ..plain.clone()
    };
    let transform = message(1, "TRANSFORM", "Probe", 5, &[7; 48], 0);
    let spoiled = Message {
        spoil_crc: true,
        ..plain.clone()
    };
    let parts = [plain.bytes(), transform, spoiled.bytes(), colour.bytes()];
    let (items, end) = items(parts.concat());
    let stamp = Some(1_500_000_000 * SECOND + 250_000_000);
    assert_eq!(
        items,
        [
            image(3, 2, PixelFormat::Gray8, stamp),
            Item::Other,
            Item::Damaged,
            image(3, 2, PixelFormat::Rgb24, None),
        ]
    );
    assert!(end.ends_with("found it closed"), "{end}");
}

#[test]
fn images_that_do_not_fit_are_refused_with_what_was_found() {
    let plain = Message::grey(3, 2, 0, (0..6).collect());
    let with = |change: &dyn Fn(&mut Message)| {
        let mut message = plain.clone();
        change(&mut message);
        items(message.bytes()).1
    };
    for (error, expected) in [
        (with(&|m| m.scalar = 5), "found unsigned 16 bits (5)"),
        (with(&|m| m.scalar = 99), "found an unknown type (99)"),
        (
            with(&|m| m.components = 4),
            "components: expected 1 or 3, found 4",
        ),
        (with(&|m| m.size = [0, 0, 1]), "found 0x0x1"),
        (with(&|m| m.size = [3, 2, 9]), "found 3x2x9"),
        (with(&|m| m.part = [1, 1, 1]), "found 1x1x1 at [0, 0, 0]"),
        (
            with(&|m| m.pixels.truncate(5)),
            "expected 6 bytes for 3x2 GRAY8, found 5",
        ),
        (
            items(message(1, "IMAGE", "", 0, &[0; 9], 0)).1,
            "72 bytes, found 9",
        ),
        (
            items(message(2, "IMAGE", "", 0, &[255; 90], 0)).1,
            "65535 bytes before",
        ),
        (
            items(message(9, "IMAGE", "", 0, &[], 0)).1,
            "expected version 1 or 2, found 9",
        ),
    ] {
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
    let mut endless = message(1, "IMAGE", "", 0, &[], 0);
    endless[42..50].copy_from_slice(&u64::MAX.to_be_bytes());
    assert!(items(endless).1.contains("at most 134217728 bytes"));
}

#[test]
fn frames_come_through_the_client_with_their_stamps() {
    let at = |index: i64| 9 * SECOND + index * SECOND / 4;
    let steps = (0..3)
        .map(|index| Step::Send(Message::grey(2, 2, at(index), vec![index as u8; 4]).bytes()));
    let server = Server::start(steps.collect());
    let mut source = open(&server.location, &OpenOptions::default()).unwrap();
    let info = source.describe();
    assert_eq!(
        (info.kind, info.width_px, info.frames),
        ("OpenIGTLink", 2, None)
    );
    let mut pixels = FrameBuffer::default();
    for index in 0..3 {
        let arrival = frame(&mut *source, &mut pixels);
        assert_eq!(arrival.device_nanos, Some(at(index)));
        assert_eq!(*pixels, [index as u8; 4]);
    }
}

#[test]
fn a_device_can_be_chosen_and_otherwise_the_first_stays() {
    let from = |device: &str, level| Message {
        device: device.to_owned(),
        ..Message::grey(1, 1, SECOND, vec![level])
    };
    let steps: Vec<Step> = [from("A", 1), from("B", 2), from("A", 3), from("B", 4)]
        .iter()
        .map(|m| Step::Send(m.bytes()))
        .collect();
    for (suffix, expected) in [("", [1, 3]), ("/B", [2, 4])] {
        let server = Server::start(steps.clone());
        let location = format!("{}{suffix}", server.location);
        let mut source = open(&location, &OpenOptions::default()).unwrap();
        for level in expected {
            let mut pixels = FrameBuffer::default();
            frame(&mut *source, &mut pixels);
            assert_eq!(*pixels, [level]);
        }
    }
}

#[test]
fn a_lost_connection_is_told_and_found_again() {
    let picture = |level| Step::Send(Message::grey(1, 1, SECOND, vec![level]).bytes());
    let half = Step::Send(Message::grey(1, 1, SECOND, vec![0]).bytes()[..60].to_vec());
    let steps = vec![picture(1), half, Step::HangUp, Step::HangUp, picture(2)];
    let server = Server::start(steps);
    let mut source = open(&server.location, &OpenOptions::default()).unwrap();
    let mut pixels = FrameBuffer::default();
    frame(&mut *source, &mut pixels);
    assert_eq!(*pixels, [1]);
    let lost = source.poll(&mut pixels, PATIENCE).unwrap();
    let Polled::Lost { why } = lost else {
        panic!("{lost:?}")
    };
    assert!(why.ends_with("found it closed"), "{why}");
    let back = source.poll(&mut pixels, PATIENCE).unwrap();
    assert!(
        matches!(back, Polled::Back { away_nanos } if away_nanos > 0),
        "{back:?}"
    );
    frame(&mut *source, &mut pixels);
    assert_eq!(*pixels, [2]);
    assert_eq!(server.accepted.load(Ordering::SeqCst), 3);
}

#[test]
fn a_damaged_image_is_counted_with_the_next_one() {
    let good = Message::grey(1, 1, SECOND, vec![5]);
    let spoiled = Message {
        spoil_crc: true,
        ..good.clone()
    };
    let steps = [&good, &spoiled, &spoiled, &good].map(|m| Step::Send(m.bytes()));
    let server = Server::start(steps.into());
    let mut source = open(&server.location, &OpenOptions::default()).unwrap();
    let mut pixels = FrameBuffer::default();
    assert_eq!(frame(&mut *source, &mut pixels).missed, 0);
    assert_eq!(frame(&mut *source, &mut pixels).missed, 2);
}

#[test]
fn a_wrong_location_or_a_server_that_gives_nothing_is_one_line() {
    let gone = Server::start(vec![]).location.clone();
    let wide = Message {
        scalar: 5,
        ..Message::grey(1, 1, 0, vec![0, 0])
    };
    let deep = Server::start(vec![Step::Send(wide.bytes())]);
    let mute = Server::start(vec![Step::HangUp]);
    for (location, expected) in [
        ("igtl://", "expected igtl://HOST:PORT"),
        ("igtl://localhost", "expected igtl://HOST:PORT"),
        ("igtl://localhost:0", "expected igtl://HOST:PORT"),
        ("igtl://:18944", "expected igtl://HOST:PORT"),
        ("igtl://localhost:18944/", "expected igtl://HOST:PORT"),
        (gone.as_str(), "cannot connect"),
        (deep.location.as_str(), "found unsigned 16 bits (5)"),
        (mute.location.as_str(), "found it closed"),
    ] {
        let refused = open(location, &OpenOptions::default());
        let error = refused.err().unwrap().to_string();
        assert!(
            error.contains(expected) && error.ends_with(location),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_recorded_sequence_arrives_as_it_was_recorded() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/non-cardiac");
    let recording = data.join("plus_UltrasonixCurvilinearScanConvertedData.igs.mha");
    if !recording.is_file() {
        println!("skipped: no recordings beside the checkout");
        return;
    }
    let mut file = opened(&recording).unwrap();
    let recorded: Vec<_> = frames(&mut *file).unwrap().into_iter().take(12).collect();
    let mut steps = Vec::new();
    for (meta, pixels) in &recorded {
        let (width, height) = (meta.width_px as u16, meta.height_px as u16);
        let stamp = meta.capture_nanos + 1_700_000_000 * SECOND;
        let mut message = Message::grey(width, height, stamp, pixels.clone());
        message.components = meta.format.bytes() as u8;
        steps.push(Step::Send(message.bytes()));
        steps.push(Step::Wait(Duration::from_millis(30)));
    }
    let server = Server::start(steps);
    let mut source = open(&server.location, &OpenOptions::default()).unwrap();
    let mut received = Vec::new();
    let mut missed = 0;
    while received.len() as u64 + missed < recorded.len() as u64 {
        let mut pixels = FrameBuffer::default();
        let arrival = frame(&mut *source, &mut pixels);
        missed += arrival.missed;
        received.push((
            arrival.device_nanos.unwrap() - 1_700_000_000 * SECOND,
            pixels.to_vec(),
        ));
    }
    assert!(!received.is_empty());
    for (nanos, pixels) in received {
        let sent = recorded
            .iter()
            .find(|(meta, _)| meta.capture_nanos.abs_diff(nanos) <= 1);
        assert_eq!(sent.map(|(_, sent)| sent == &pixels), Some(true), "{nanos}");
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_error_and_never_in_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        changes in proptest::collection::vec((0_usize..300, any::<u8>()), 0..6),
        version in 1_u16..=2,
    ) {
        let (found, _) = items(bytes);
        prop_assert!(found.iter().all(|item| item != &Item::Pending));
        let plain = Message::grey(3, 2, SECOND, vec![7; 6]);
        let mut spoiled = [Message { version, ..plain.clone() }.bytes(), plain.bytes()].concat();
        for (at, byte) in changes {
            let at = at % spoiled.len();
            spoiled[at] = byte;
        }
        let (_, error) = items(spoiled);
        prop_assert!(!error.contains('\n'), "{}", error);
    }
}
