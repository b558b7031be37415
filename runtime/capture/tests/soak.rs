//! Hours of a source under the fault injector, through the device clock into the pipeline: every frame ends
//! once, nothing grows.
//!
//! `cargo test --release -p echocart-capture --test soak -- --ignored --nocapture` plays 24 h of 64x48 and a
//! minute of 1024x768.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

#[path = "../../core/tests/common/mod.rs"]
mod common;

use common::{A4C, Scripted, assert_identity, finish, start};
use echocart_capture::{
    Arrival, Delivery, DeviceClock, FaultSource, Polled, Script, Source, SourceError, SourceInfo,
    Stamped, Stamps,
};
use echocart_core::buffer::FrameBuffer;
use echocart_core::clock::Pace;
use echocart_core::events::{Counters, Event};
use echocart_core::frame::{FrameMeta, HostMeta, PixelFormat};
use echocart_core::ring::Pushed;
use echocart_core::source::{Notice, SourceTraits};
use std::time::{Duration, Instant};

const SECOND: i64 = 1_000_000_000;
const PICTURES: usize = 61;

/// What goes wrong within ten minutes; the script of longer runs has it again and again.
const FAULTS: &str = "\
seed 5
0s.. lose 2%
0s.. duplicate 1%
0s.. late 40ms 1%
0s.. reorder 3 1%
0s.. corrupt 1%
0s.. stamp 3s 0.2%
0s.. jitter 4ms 20%
";
/// Faults at a time of each ten minutes, `{}` being its begin in seconds.
const TIMES: [(i64, i64, &str); 9] = [
    (30, 33, "resize 80x48"),
    (60, 63, "freeze"),
    (100, 0, "jump 1h"),
    (140, 0, "disconnect 7s"),
    (180, 190, "drift 300"),
    (220, 230, "rate 12"),
    (260, 0, "jump -2h"),
    (300, 0, "disconnect 500ms"),
    (350, 351, "lose"),
];

/// Pictures of noise at 60 Hz.
struct Noise {
    size_px: (u32, u32),
    pictures: Vec<Vec<u8>>,
    frames: i64,
    next: i64,
}

impl Noise {
    fn new(size_px: (u32, u32), seconds: i64) -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        };
        let bytes = (size_px.0 * size_px.1) as usize;
        let pictures = (0..PICTURES).map(|_| (0..bytes).map(|_| byte()).collect());
        Self {
            size_px,
            pictures: pictures.collect(),
            frames: seconds * 60,
            next: 0,
        }
    }
}

impl Source for Noise {
    fn describe(&self) -> SourceInfo {
        SourceInfo {
            name: "noise".to_owned(),
            kind: "noise",
            delivery: Delivery::OnDemand,
            stamps: Stamps::Exact,
            width_px: self.size_px.0,
            height_px: self.size_px.1,
            format: PixelFormat::Gray8,
            frames: Some(self.frames as u64),
            nominal_period_nanos: SECOND / 60,
            timing: "60 frames/s".to_owned(),
        }
    }

    fn next(&mut self, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, SourceError> {
        if self.next >= self.frames {
            return Ok(None);
        }
        pixels.clone_from(&self.pictures[self.next as usize * 7 % PICTURES]);
        let meta = FrameMeta {
            width_px: self.size_px.0,
            height_px: self.size_px.1,
            format: PixelFormat::Gray8,
            capture_nanos: self.next * SECOND / 60,
            pass: 0,
            host: HostMeta::default(),
        };
        self.next += 1;
        Ok(Some(meta))
    }

    fn poll(&mut self, pixels: &mut FrameBuffer, _: Duration) -> Result<Polled, SourceError> {
        Ok(self
            .next(pixels.refill())?
            .map_or(Polled::Ended, |meta| Polled::Frame(Arrival::exact(meta))))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.next = 0;
        Ok(())
    }
}

fn script(seconds: i64) -> Script {
    let mut text = FAULTS.to_owned();
    for begin in (0..seconds).step_by(600).take(100) {
        for (from, until, fault) in TIMES {
            let until = match until {
                0 => String::new(),
                until => format!("..{}s", begin + until),
            };
            text += &format!("{}s{until} {fault}\n", begin + from);
        }
    }
    Script::parse(&text).unwrap()
}

/// Resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let word = line.and_then(|l| l.split_whitespace().next());
    word.and_then(|w| w.parse().ok()).unwrap()
}

/// What happened beside frames.
#[derive(Debug, Default)]
struct Seen {
    numbers: u64,
    reanchored: u64,
    lost: u64,
    back: u64,
}

fn soak(size_px: (u32, u32), seconds: i64) -> (Counters, Seen, Vec<u64>) {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Max, |_| {});
    // The pictures come in turns: that is no review of a stored loop.
    producer.declare(SourceTraits {
        simulated: false,
        loops: true,
    });
    let inner = Box::new(Noise::new(size_px, seconds));
    let mut source = FaultSource::new(inner, script(seconds));
    let (mut clock, mut pixels) = (DeviceClock::default(), FrameBuffer::default());
    let (mut seen, mut resident, mut frames) = (Seen::default(), Vec::new(), 0_i64);
    loop {
        let arrival = match source.poll(&mut pixels, Duration::ZERO).unwrap() {
            Polled::Frame(arrival) => arrival,
            Polled::Ended => break,
            Polled::Silent => continue,
            Polled::Lost { why } => {
                seen.lost += 1;
                producer.note(Notice::Lost { why }, false);
                continue;
            }
            Polled::Back { away_nanos } => {
                seen.back += 1;
                clock.restart();
                producer.note(Notice::Back { away_nanos }, false);
                continue;
            }
        };
        let capture_nanos = match clock.map(arrival.device_nanos, arrival.arrival_nanos) {
            Stamped::Device { capture_nanos } | Stamped::Arrival { capture_nanos } => capture_nanos,
            Stamped::Reanchored { capture_nanos } => {
                seen.reanchored += 1;
                producer.note(Notice::Reanchored, false);
                capture_nanos
            }
            Stamped::Quarantined => 0,
        };
        let meta = FrameMeta {
            capture_nanos,
            ..arrival.meta
        };
        while producer.push_buffer(meta, &mut pixels, false).unwrap() == Pushed::RingFull {
            std::thread::yield_now();
        }
        if frames % (seconds * 6).max(1) == 0 {
            resident.push(resident_kib());
        }
        frames += 1;
        for event in events.try_iter() {
            match event {
                Event::State(s) => assert_identity(&s.counters.unwrap_or_default()),
                Event::Estimate(e) => seen.numbers += u64::from(e.lvef.has_value()),
                Event::Summary(_) => {}
            }
        }
        if frames % 61 == 0 {
            assert_identity(&session.counters());
        }
    }
    let (summary, rest) = finish(session, producer, &events);
    let values = |e: &&Event| matches!(e, Event::Estimate(e) if e.lvef.has_value());
    seen.numbers += rest.iter().filter(values).count() as u64;
    (summary.counters, seen, resident)
}

#[track_caller]
fn check(size_px: (u32, u32), seconds: i64) {
    let begin = Instant::now();
    let (counters, seen, resident) = soak(size_px, seconds);
    println!(
        "{size_px:?}, {seconds} s in {:.1?}: {seen:?}, {counters:?}",
        begin.elapsed()
    );
    println!("resident KiB, a tenth apart: {resident:?}");
    assert_identity(&counters);
    assert_eq!(counters.in_flight, 0);
    assert!(
        counters.used > 0 && !counters.rejected.is_empty(),
        "{counters:?}"
    );
    if seconds >= 600 {
        let times = (seconds / 600).min(100) as u64;
        assert!(seen.numbers > 0, "{seen:?}");
        assert_eq!([seen.lost, seen.back], [2 * times, 2 * times], "{seen:?}");
        assert!(seen.reanchored >= 2 * times, "{seen:?}");
    }
    let grown = resident[resident.len() - 1].saturating_sub(resident[1]);
    assert!(grown < 4096, "grown by {grown} KiB: {resident:?}");
}

#[test]
fn ten_minutes_under_every_fault_lose_no_frame_and_no_memory() {
    check((64, 48), 600);
}

#[test]
#[ignore = "some minutes"]
fn a_day_under_every_fault_loses_no_frame_and_no_memory() {
    check((64, 48), 24 * 3600);
}

#[test]
#[ignore = "a minute"]
fn a_minute_of_1024x768_loses_no_frame_and_no_memory() {
    check((1024, 768), 60);
}
