//! Frames that are read in place, through the whole pipeline: none is copied, each is counted once and every
//! slot comes back.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

#[path = "../../core/tests/common/mod.rs"]
mod common;
mod shm_writer;

use common::{A4C, Scripted, assert_identity, finish, start};
use echocart_capture::{OpenOptions, Polled, Source, open};
use echocart_core::buffer::FrameBuffer;
use echocart_core::clock::Pace;
use echocart_core::events::Counters;
use echocart_core::frame::{ExamToken, FrameMeta};
use rustix::fs::SealFlags;
use shm_writer::{Listener, Picture, Writer, memory, wait_until};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// More than queue, ring and assembler hold together, so that none is ever copied.
const SLOTS: u32 = 64;
const FRAMES: u64 = 400;
const PERIOD: Duration = Duration::from_millis(5);
const BYTES: usize = 20 * 18;

/// Starts a writer of `FRAMES` frames; `after` is called with it and the slot after each.
fn writer(
    after: impl Fn(&Writer, u32) + Send + 'static,
) -> (TempDir, JoinHandle<(Writer, u64)>, Box<dyn Source>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("frames.sock");
    let listener = Listener::bind(&path);
    let thread = std::thread::spawn(move || {
        let memory = memory(u64::from(SLOTS) * 4096, SealFlags::SHRINK);
        let mut writer = listener.accept(memory, 2, SLOTS, 4096);
        let (mut state, mut sent) = (1, 0);
        for number in 0..FRAMES {
            let pixels: Vec<u8> = (0..BYTES).map(|_| noise(&mut state)).collect();
            let picture = Picture {
                width_px: 20,
                height_px: 18,
                stride_bytes: 20,
                format: 1,
                stamp_nanos: number as i64 * 5_000_000,
                pixels: &pixels,
            };
            if let Some(slot) = writer.slot() {
                writer.scribble(slot, &pixels);
                writer.packet(1, slot, picture);
                sent += 1;
                after(&writer, slot);
            }
            std::thread::sleep(PERIOD);
        }
        let end = Picture {
            width_px: 0,
            height_px: 0,
            stride_bytes: 0,
            format: 0,
            stamp_nanos: 0,
            pixels: &[],
        };
        writer.packet(3, 0, end);
        (writer, sent)
    });
    let location = format!("shm:{}", path.display());
    let source = open(&location, &OpenOptions::default()).unwrap();
    (dir, thread, source)
}

fn noise(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 24) as u8
}

/// Plays all frames, those from `FRAMES / 2` on in another exam; how many came or were superseded.
fn played(mut source: Box<dyn Source>) -> (Counters, u64) {
    let (session, mut producer, events) = start(Scripted::engine(|_| A4C), Pace::Real, |_| {});
    let mut pixels = FrameBuffer::default();
    let mut number = 0;
    loop {
        match source.poll(&mut pixels, Duration::from_secs(1)).unwrap() {
            Polled::Frame(arrival) => {
                number += 1 + arrival.missed;
                let mut meta = FrameMeta {
                    capture_nanos: arrival.arrival_nanos,
                    ..arrival.meta
                };
                meta.host.exam = ExamToken([u8::from(number > FRAMES / 2); 16]);
                producer.push_buffer(meta, &mut pixels, true).unwrap();
            }
            Polled::Ended => break,
            Polled::Silent => {}
            other => panic!("{other:?}"),
        }
    }
    let pool = producer.pool();
    let (summary, _) = finish(session, producer, &events);
    assert_eq!(pool.bytes(), 0, "a frame was copied into a pooled buffer");
    (summary.counters, number)
}

fn all_slots_come_back(writer: &mut Writer) {
    wait_until("all back", || writer.free_slots() == SLOTS as usize);
}

#[test]
fn no_frame_is_copied_each_is_counted_and_every_slot_comes_back() {
    let (_dir, thread, source) = writer(|_, _| {});
    let (counters, came) = played(source);
    assert_identity(&counters);
    assert_eq!(counters.in_flight, 0);
    let (mut writer, sent) = thread.join().unwrap();
    all_slots_come_back(&mut writer);
    assert_eq!(came, sent);
}

#[test]
fn a_writer_that_writes_over_frames_in_use_spoils_pixels_and_nothing_else() {
    let (_dir, thread, source) = writer(|writer, slot| {
        for level in 0..40 {
            writer.scribble(slot, &[level * 6; BYTES]);
        }
    });
    let (counters, _) = played(source);
    assert_identity(&counters);
    assert_eq!(counters.in_flight, 0);
    all_slots_come_back(&mut thread.join().unwrap().0);
}
