//! The page's server, through real sockets.

mod reader;

use super::{Hub, ImageFeed, ServeError, Server, Serving, start};
use echocart_core::events::{Counters, Event, Reason, State, StateKind, Summary};
use echocart_core::frame::{FrameMeta, PixelFormat};
use reader::{Message, Reader, request};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const NOW_NANOS: i64 = 77_000_000_005;

fn at(address: &str) -> Serving {
    Serving {
        address: address.to_owned(),
        ..Serving::default()
    }
}

fn serve() -> (Hub, Server) {
    let hub = Hub::new(None);
    let server = start(&at("127.0.0.1:0"), hub.clone(), || NOW_NANOS).unwrap();
    (hub, server)
}

fn state(kind: StateKind, captured: u64) -> Event {
    Event::State(Box::new(State {
        schema: 1,
        state: kind,
        at_nanos: 0,
        detail: String::new(),
        degraded: None,
        counters: (kind == StateKind::Counters).then(|| Counters {
            captured,
            ..Counters::default()
        }),
        session: None,
        guide: None,
        area: None,
        signal: None,
    }))
}

fn summary() -> Event {
    Event::Summary(Box::new(Summary {
        schema: 1,
        counters: Counters::default(),
        estimates: 0,
        values: BTreeMap::new(),
        events_dropped: 0,
    }))
}

fn captured(event: &str) -> Option<u64> {
    let event: Event = serde_json::from_str(event).unwrap();
    match event {
        Event::State(state) => state.counters.map(|counters| counters.captured),
        _ => None,
    }
}

/// Waits until the server has noticed that readers came or left.
fn until_frames_wanted(hub: &Hub, wanted: bool) {
    while hub.wants_frames() != wanted {
        std::thread::yield_now();
    }
}

/// An estimate of `package` whose outputs have these statuses.
fn estimate(package: &str, clip: u64, [view, lvef]: [&str; 2]) -> Event {
    let output = |status: &str| {
        let reason = (status == "WITHHELD").then_some("WARMING_UP");
        serde_json::json!({"status": status, "reason": reason, "evidence": {"segments": []}, "valid_until_nanos": null})
    };
    let estimate = serde_json::json!({
        "type": "estimate", "schema": 1, "clip": clip, "provider": "CPU", "package": package, "config": "0",
        "view": output(view), "lvef": output(lvef), "signal": output("OFF"),
    });
    serde_json::from_value(estimate).unwrap()
}

#[test]
fn a_late_reader_is_told_what_each_package_said_last_and_nothing_of_before_a_refusal() {
    let hub = Hub::new(None);
    let told = || -> Vec<u64> {
        let so_far = hub.subscribe().so_far;
        let clips = so_far.iter().filter_map(|text| {
            let event: serde_json::Value = serde_json::from_str(text).unwrap();
            event["clip"].as_u64()
        });
        clips.collect()
    };
    hub.event(&estimate("guide", 1, ["WITHHELD", "NOT_DUE"]));
    hub.event(&estimate("measure", 1, ["NOT_DUE", "WITHHELD"]));
    hub.event(&estimate("guide", 3, ["WITHHELD", "NOT_DUE"]));
    assert_eq!(told(), [3, 1]);
    hub.event(&estimate("measure", 4, ["WITHHELD", "WITHHELD"]));
    assert_eq!(told(), [4]);
    hub.event(&estimate("guide", 5, ["WITHHELD", "NOT_DUE"]));
    hub.event(&estimate("guide", 5, ["NOT_DUE", "WITHHELD"]));
    assert_eq!(told(), [5, 5], "one package in both places");
}

#[test]
fn every_file_of_the_page_is_served_with_strict_headers() {
    let (_hub, server) = serve();
    let address = server.local_address();
    let own = format!("Host: {address}\r\n");
    for (path, content_type, _) in super::http::FILES {
        let answer = request(address, path, &own).to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{path}: {answer}");
        for header in [
            format!("content-type: {content_type}"),
            format!("connect-src 'self' ws://{address};"),
            "content-security-policy: default-src 'none';".to_owned(),
            "x-content-type-options: nosniff".to_owned(),
            "cache-control: no-store".to_owned(),
        ] {
            assert!(answer.contains(&header), "{path} lacks {header}: {answer}");
        }
    }
    assert!(request(address, "/nothing", &own).starts_with("HTTP/1.1 404"));
}

#[test]
fn the_page_asks_for_nothing_from_elsewhere() {
    for (path, _, text) in super::http::FILES {
        for foreign in ["http://", "https://", "//cdn", "@import"] {
            let text = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            assert!(!text.contains(foreign), "{path} contains {foreign}");
        }
    }
}

#[test]
fn a_foreign_name_for_this_machine_is_refused() {
    let (_hub, server) = serve();
    let answer = request(
        server.local_address(),
        "/",
        "Host: rebound.example:8787\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn a_page_of_another_origin_gets_no_events() {
    let (_hub, server) = serve();
    let address = server.local_address();
    for (origin, allowed) in [
        (format!("http://{address}"), true),
        ("http://example.org".to_owned(), false),
        ("http://127.0.0.1:1".to_owned(), false),
        ("null".to_owned(), false),
    ] {
        let headers = format!("Host: {address}\r\nOrigin: {origin}\r\n");
        let opened = Reader::open(address, &headers);
        assert_eq!(opened.is_ok(), allowed, "{origin}: {:?}", opened.err());
    }
    assert!(Reader::open(address, "Host: rebound.example\r\n").is_err());
}

#[test]
fn a_request_that_is_never_whole_is_ended_and_others_are_served_meanwhile() {
    let (_hub, server) = serve();
    let address = server.local_address();
    let halves = [
        "GET / HTTP/1.1\r\nHost: ".to_owned(),
        String::new(),
        format!(
            "POST /exam HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: 20\r\n\r\n{{"
        ),
    ];
    let open = halves.map(|half| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(half.as_bytes()).unwrap();
        stream
    });
    let own = format!("Host: {address}\r\n");
    assert!(request(address, "/", &own).starts_with("HTTP/1.1 200"));
    for mut stream in open {
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{answer}");
    }
}

#[test]
fn a_port_in_use_names_the_address_and_the_key() {
    let (hub, server) = serve();
    let address = server.local_address().to_string();
    let error = start(&at(&address), hub, || 0).unwrap_err();
    assert!(matches!(error, ServeError::InUse { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("serve.address") && text.ends_with(&address),
        "{text}"
    );
    assert!(!text.contains('\n'));
}

#[test]
fn only_loopback_addresses_are_served() {
    for address in ["0.0.0.0:0", "192.0.2.1:80", "localhost", "8787", ""] {
        let error = start(&at(address), Hub::new(None), || 0).unwrap_err();
        assert!(
            matches!(error, ServeError::Address { .. }),
            "{address}: {error:?}"
        );
    }
}

#[test]
fn a_late_reader_hears_the_clock_then_what_still_counts_then_what_is_new() {
    let (hub, server) = serve();
    hub.event(&state(StateKind::Counters, 1));
    hub.event(&state(StateKind::Started, 0));
    hub.event(&state(StateKind::Counters, 2));
    hub.event(&state(StateKind::SectorChanged, 0));
    hub.event(&state(StateKind::Counters, 3));
    let mut reader = Reader::local(server.local_address());
    let Message::Text(clock) = reader.next() else {
        panic!("expected the clock first");
    };
    let clock: serde_json::Value = serde_json::from_str(&clock).unwrap();
    assert_eq!(clock["type"], "clock");
    assert_eq!(clock["now_nanos"], NOW_NANOS);
    assert!(reader.next_event().contains("STARTED"));
    assert_eq!(captured(&reader.next_event()), Some(3));
    hub.event(&state(StateKind::Counters, 4));
    assert_eq!(captured(&reader.next_event()), Some(4));
}

#[test]
fn a_reader_that_answers_is_sent_only_the_newest_image_once_it_has_room() {
    let (hub, server) = serve();
    let mut reader = Reader::local(server.local_address());
    until_frames_wanted(&hub, true);
    hub.frame(b"first", 0, -5);
    assert_eq!(reader.next_image(), (0, -5, b"first".to_vec()));
    reader.say("seen");
    let mut received = Vec::new();
    for number in 1..=400 {
        hub.frame(b"image", number, 0);
        hub.event(&state(StateKind::Counters, number));
        received.extend(reader.images_until_the_next_event());
    }
    assert!(received.is_sorted_by(|a, b| a < b), "{received:?}");
    assert!(received.last() < Some(&200), "{received:?}");
    for _ in &received {
        reader.say("seen");
    }
    assert_eq!(reader.next_image().0, 400);
}

#[test]
fn a_reader_that_never_reads_delays_nobody_and_is_let_go() {
    let (hub, server) = serve();
    let mut idle = Reader::local(server.local_address());
    let mut quick = Reader::local(server.local_address());
    quick.next();
    until_frames_wanted(&hub, true);
    let image = vec![0; 1 << 20];
    for number in 0..100 {
        hub.frame(&image, number, 0);
        for _ in 0..10 {
            hub.event(&state(StateKind::Counters, number));
            assert_eq!(captured(&quick.next_event()), Some(number));
        }
    }
    assert_eq!(idle.closing_code(), axum::extract::ws::close_code::POLICY);
}

#[test]
fn a_reader_that_talks_out_of_turn_is_closed() {
    let (_hub, server) = serve();
    let mut reader = Reader::local(server.local_address());
    reader.say("hello");
    assert_eq!(
        reader.closing_code(),
        axum::extract::ws::close_code::UNSUPPORTED
    );
}

#[test]
fn a_stop_sends_what_is_queued_and_says_goodbye() {
    let (hub, server) = serve();
    let address = server.local_address();
    let mut reader = Reader::local(address);
    reader.next();
    hub.event(&summary());
    server.stop();
    assert!(reader.next_event().contains("summary"));
    assert_eq!(reader.closing_code(), axum::extract::ws::close_code::AWAY);
    until_frames_wanted(&hub, false);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn images_are_encoded_only_for_someone() {
    let (hub, server) = serve();
    let feed = ImageFeed::start(hub.clone(), 85).unwrap();
    let meta = |width_px, height_px, format| FrameMeta {
        width_px,
        height_px,
        format,
        capture_nanos: 9,
        pass: 0,
        host: Default::default(),
    };
    let gray = meta(32, 24, PixelFormat::Gray8);
    feed.offer(&[], &gray, 0);
    assert_eq!(hub.previews_skipped(), 0);
    let mut reader = Reader::local(server.local_address());
    until_frames_wanted(&hub, true);
    for (number, meta) in [(1, gray), (2, meta(20, 10, PixelFormat::Rgb24))] {
        feed.offer(&vec![128; meta.frame_bytes()], &meta, number);
        let (found, capture_nanos, jpeg) = reader.next_image();
        assert_eq!((found, capture_nanos), (number, 9));
        assert_eq!(size_of_jpeg(&jpeg), (meta.width_px, meta.height_px));
    }
    feed.offer(&[0; 767], &gray, 3);
    assert_eq!(hub.previews_skipped(), 1);
}

/// Width and height from the start-of-frame segment.
fn size_of_jpeg(jpeg: &[u8]) -> (u32, u32) {
    assert_eq!(jpeg[..2], [0xff, 0xd8]);
    assert_eq!(jpeg[jpeg.len() - 2..], [0xff, 0xd9]);
    let mut at = 2;
    while !(0xc0..=0xc2).contains(&jpeg[at + 1]) {
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
    let number = |i: usize| u32::from(u16::from_be_bytes([jpeg[i], jpeg[i + 1]]));
    (number(at + 7), number(at + 5))
}

#[test]
fn the_page_has_words_for_every_reason() {
    let refusal = serde_json::from_str::<Reason>("\"?\"")
        .unwrap_err()
        .to_string();
    let names: Vec<&str> = refusal.split('`').skip(3).step_by(2).collect();
    assert!(
        names.contains(&"WARMING_UP") && names.contains(&"DEGRADED"),
        "{refusal}"
    );
    for name in names {
        for words in [
            include_str!("page/words_en.js"),
            include_str!("page/words_de.js"),
        ] {
            assert!(
                words.contains(&format!("    {name}: '")),
                "the page lacks words for {name}"
            );
        }
    }
}
