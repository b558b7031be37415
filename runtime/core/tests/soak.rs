//! Hours of frames with faults in virtual time: every frame ends once, nothing grows.
//!
//! `cargo test --release -p echocart-core --test soak -- --ignored --nocapture` plays 24 h.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::{A4C, Act, MILLI, Scripted, assert_identity, finish, start};
use echocart_core::clock::Pace;
use echocart_core::events::{Counters, Event};
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::ring::Pushed;
use echocart_core::source::Notice;
use std::time::Instant;

const SECOND: i64 = 1000 * MILLI;
const PERIOD: i64 = SECOND / 60;
const PICTURES: u64 = 64;

struct Faults(u64);

impl Faults {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % most
    }
}

/// Resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let word = line.and_then(|l| l.split_whitespace().next());
    word.and_then(|w| w.parse().ok()).unwrap_or(0)
}

fn pictures() -> Vec<Vec<u8>> {
    let mut noise = Faults(99);
    let picture = |_| (0..80 * 48).map(|_| noise.below(256) as u8).collect();
    (0..PICTURES).map(picture).collect()
}

/// Plays `seconds` of a faulty source; gives the totals and the resident memory before each tenth.
fn soak(seconds: i64) -> (Counters, u64, Vec<u64>) {
    let script = |n| match n % 997 {
        13 => Act::Fail,
        n if n % 89 == 0 => Act::Say([5.0, 0.0], 0.2),
        n if n % 97 == 0 => Act::Say([0.0, 5.0], 9.0),
        _ => A4C,
    };
    let (session, mut producer, events) = start(Scripted::engine(script), Pace::Max, |_| {});
    let pictures = pictures();
    let mut faults = Faults(7);
    let (mut frozen_until, mut wide_until, mut picture) = (0, 0, 0);
    let (mut numbers, mut at, mut resident) = (0, 0, Vec::new());
    let ticks = seconds * 60;
    for tick in 0..ticks {
        if tick % (ticks / 10) == 0 {
            resident.push(resident_kib());
        }
        at += PERIOD + faults.below(2 * MILLI as u64) as i64 - MILLI;
        match faults.below(6000) {
            0 => frozen_until = at + 2 * SECOND,
            1 => wide_until = at + 3 * SECOND,
            2 => at += 4 * SECOND,
            3 => producer.note(Notice::Reanchored, false),
            4 => {
                let why = "unplugged".to_owned();
                producer.note(Notice::Lost { why }, false);
                at += 7 * SECOND;
                producer.note(
                    Notice::Back {
                        away_nanos: 7 * SECOND,
                    },
                    false,
                );
                producer.note(Notice::Missed { frames: 3 }, false);
            }
            5 => at -= PERIOD * 3 / 2,
            _ => {}
        }
        if faults.below(50) == 0 {
            continue;
        }
        if at > frozen_until && faults.below(40) != 0 {
            picture = faults.below(PICTURES) as usize;
        }
        let stamp = match faults.below(500) {
            0 => faults.below(at.max(1) as u64) as i64,
            _ => at.max(0),
        };
        let meta = FrameMeta {
            width_px: if at < wide_until { 80 } else { 64 },
            height_px: 48,
            format: PixelFormat::Gray8,
            capture_nanos: stamp,
            pass: 0,
            host: Default::default(),
        };
        let bytes = meta.frame_bytes();
        loop {
            let fill = |pixels: &mut Vec<u8>| {
                pixels.clear();
                pixels.extend_from_slice(&pictures[picture][..bytes]);
            };
            if producer.offer(meta, fill).unwrap() != Pushed::RingFull {
                break;
            }
            std::thread::yield_now();
        }
        for event in events.try_iter() {
            match event {
                Event::State(s) => assert_identity(&s.counters.unwrap_or_default()),
                Event::Estimate(e) => numbers += u64::from(e.lvef.has_value()),
                Event::Summary(_) => {}
            }
        }
        if tick % 61 == 0 {
            assert_identity(&session.counters());
        }
    }
    let (summary, rest) = finish(session, producer, &events);
    let values = |e: &&Event| matches!(e, Event::Estimate(e) if e.lvef.has_value());
    numbers += rest.iter().filter(values).count() as u64;
    (summary.counters, numbers, resident)
}

#[track_caller]
fn check(seconds: i64) {
    let begin = Instant::now();
    let (counters, numbers, resident) = soak(seconds);
    println!(
        "{seconds} s in {:.1?}: {numbers} numbers, {counters:?}",
        begin.elapsed()
    );
    println!("resident KiB before each tenth: {resident:?}");
    assert_identity(&counters);
    assert_eq!(counters.in_flight, 0);
    assert!(counters.used > 0 && numbers > 0);
    assert_eq!(resident.len(), 10);
    let grown = resident[9].saturating_sub(resident[1]);
    assert!(grown < 4096, "grown by {grown} KiB: {resident:?}");
}

#[test]
fn ten_minutes_with_faults_lose_no_frame_and_no_memory() {
    check(600);
}

#[test]
#[ignore = "some minutes"]
fn a_day_with_faults_loses_no_frame_and_no_memory() {
    check(24 * 3600);
}
