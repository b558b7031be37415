//! Frames through shared memory, copied and read in place, and writers that do it wrong.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod shm_writer;

use echocart_capture::{Arrival, OpenOptions, Polled, Source, open};
use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::PixelFormat;
use rustix::fs::{MemfdFlags, SealFlags};
use shm_writer::{Listener, Picture, Writer, memory, wait_until};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

const SLOT: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(20);
/// The protocol of writers whose frames are copied, and that of those read in place.
const VERSIONS: [u32; 2] = [1, 2];

/// Runs a writer on its own thread and opens what it offers.
fn with_writer<T: Send + 'static>(
    writer: impl FnOnce(Listener) -> T + Send + 'static,
) -> (TempDir, JoinHandle<T>, Result<Box<dyn Source>, String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("frames.sock");
    let listener = Listener::bind(&path);
    let thread = std::thread::spawn(move || writer(listener));
    let location = format!("shm:{}", path.display());
    let source = open(&location, &OpenOptions::default()).map_err(|e| e.to_string());
    (dir, thread, source)
}

/// A writer of version 2 with so many slots that has handed over a frame of level 0, the listener
/// it came from and what it is read by.
fn in_place(slots: u32) -> (TempDir, Listener, Writer, Box<dyn Source>) {
    let (dir, thread, source) = with_writer(move |listener| {
        let memory = memory(u64::from(slots) * SLOT, SealFlags::SHRINK);
        let mut writer = listener.accept(memory, 2, slots, SLOT);
        assert!(writer.frame(picture(&[0; 64], 8, 8, 1)));
        (listener, writer)
    });
    let (listener, writer) = thread.join().unwrap();
    (dir, listener, writer, source.unwrap())
}

fn picture(pixels: &[u8], width_px: u32, height_px: u32, format: u32) -> Picture<'_> {
    let row = width_px * [0, 1, 3, 4, 2, 1][format as usize];
    Picture {
        width_px,
        height_px,
        stride_bytes: row,
        format,
        stamp_nanos: 7,
        pixels,
    }
}

fn send(writer: &mut Writer, level: u8) {
    assert!(writer.frame(picture(&[level; 64], 8, 8, 1)), "{level}");
}

fn frame(source: &mut dyn Source, pixels: &mut FrameBuffer) -> Arrival {
    loop {
        match source.poll(pixels, PATIENCE).unwrap() {
            Polled::Frame(arrival) => return arrival,
            Polled::Silent => {}
            other => panic!("expected a frame, found {other:?}"),
        }
    }
}

/// Why the source lost its device.
fn lost(source: &mut dyn Source, pixels: &mut FrameBuffer) -> String {
    loop {
        match source.poll(pixels, PATIENCE).unwrap() {
            Polled::Lost { why } => return why,
            Polled::Frame(_) | Polled::Silent => {}
            other => panic!("expected a loss, found {other:?}"),
        }
    }
}

/// True where the bytes lie in a memory file that this process has mapped.
fn lies_in_shared_memory(pixels: &[u8]) -> bool {
    let start = pixels.as_ptr().addr();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|l| l.contains("memfd:")).any(|line| {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| usize::from_str_radix(at, 16).unwrap());
        assert!(rest.starts_with("r--s"), "writable: {line}");
        from <= start && start + pixels.len() <= to
    })
}

#[test]
fn every_format_comes_through_with_its_stamp_and_without_padding() {
    for version in VERSIONS {
        every_format(version);
    }
}

fn every_format(version: u32) {
    let (_dir, thread, source) = with_writer(move |listener| {
        let memory = memory(8 * SLOT, SealFlags::SHRINK);
        let mut writer = listener.accept(memory, version, 8, SLOT);
        for format in 1..=5 {
            let bytes = 8 * 4 * [0, 2, 6, 8, 4, 3][format as usize] / 2;
            let pixels: Vec<u8> = (0..bytes as u8).collect();
            while !writer.frame(picture(&pixels, 8, 4, format)) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let padded: Vec<u8> = (0..40).collect();
        let strided = Picture {
            stride_bytes: 20,
            stamp_nanos: -1,
            ..picture(&padded, 8, 2, 1)
        };
        while !writer.frame(strided) {
            std::thread::sleep(Duration::from_millis(1));
        }
        writer.packet(3, 0, strided);
        wait_until("closed", || writer.is_closed());
    });
    let mut source = source.unwrap();
    let info = source.describe();
    assert_eq!(info.kind, "shared memory");
    let how = ["copied", "in place"][version as usize - 1];
    assert!(info.timing.contains(how), "{}", info.timing);
    let expected = [
        PixelFormat::Gray8,
        PixelFormat::Rgb24,
        PixelFormat::Bgra32,
        PixelFormat::Yuy2,
        PixelFormat::Nv12,
    ];
    let mut seen = 0;
    let mut pixels = FrameBuffer::default();
    loop {
        match source.poll(&mut pixels, PATIENCE).unwrap() {
            Polled::Frame(arrival) if arrival.device_nanos.is_none() => {
                let rows: Vec<u8> = (0..8).chain(20..28).collect();
                assert_eq!(*pixels, *rows);
                assert!(!lies_in_shared_memory(&pixels));
            }
            Polled::Frame(arrival) => {
                assert!(expected.contains(&arrival.meta.format));
                assert_eq!(pixels.len(), arrival.meta.frame_bytes());
                assert!(pixels.iter().zip(0..).all(|(p, at)| *p == at as u8));
                assert_eq!(arrival.device_nanos, Some(7));
                assert_eq!(lies_in_shared_memory(&pixels), version == 2);
                seen += 1;
            }
            Polled::Ended => break,
            Polled::Silent => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(seen >= 3, "{seen}");
    drop((source, pixels));
    thread.join().unwrap();
}

#[test]
fn memory_that_may_shrink_or_is_too_small_is_refused_with_the_reason() {
    for version in VERSIONS {
        for (seals, bytes, reason) in [
            (SealFlags::GROW, 4 * SLOT, "sealed against shrinking"),
            (SealFlags::SHRINK, SLOT, "at least 16384 bytes"),
        ] {
            let (_dir, thread, source) = with_writer(move |listener| {
                listener.accept(memory(bytes, seals), version, 4, SLOT);
            });
            let error = source.err().unwrap();
            assert!(error.contains(reason) && !error.contains('\n'), "{error}");
            thread.join().unwrap();
        }
    }
}

#[test]
fn another_version_too_few_slots_and_huge_pages_are_refused_with_the_reason() {
    let huge = {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
        rustix::fs::memfd_create("frames", flags).map(File::from)
    };
    let sealed = |file: File| {
        file.set_len(1 << 30).unwrap();
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
        file
    };
    let plain = || memory(4 * SLOT, SealFlags::SHRINK);
    let mut cases = vec![
        (plain(), 3, 4, "version: expected 1 or 2, found 3"),
        (plain(), 2, 2, "slots: expected 3 to 64, found 2"),
    ];
    match huge {
        Ok(file) => cases.push((sealed(file), 2, 4, "memory: expected ordinary pages")),
        Err(error) => println!("no huge pages here: {error}"),
    }
    for (memory, version, slots, reason) in cases {
        let (_dir, thread, source) = with_writer(move |listener| {
            listener.accept(memory, version, slots, SLOT);
        });
        let error = source.err().unwrap();
        assert!(error.contains(reason) && !error.contains('\n'), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn memory_that_only_its_first_mapping_can_write_is_read_in_place() {
    let (_dir, thread, source) = with_writer(|listener| {
        let memory = memory(4 * SLOT, SealFlags::SHRINK);
        memory.write_all_at(&[6; 64], 3 * SLOT).unwrap();
        rustix::fs::fcntl_add_seals(&memory, SealFlags::FUTURE_WRITE).unwrap();
        let mut writer = listener.accept(memory, 2, 4, SLOT);
        assert_eq!(writer.slot(), Some(3));
        writer.packet(1, 3, picture(&[], 8, 8, 1));
        writer
    });
    let mut pixels = FrameBuffer::default();
    frame(&mut *source.unwrap(), &mut pixels);
    assert_eq!(*pixels, [6; 64]);
    assert!(lies_in_shared_memory(&pixels));
    drop(thread.join().unwrap());
}

#[test]
fn a_frame_beyond_its_slot_ends_the_connection_and_a_new_writer_is_found() {
    for version in VERSIONS {
        let (_dir, thread, source) = with_writer(move |listener| {
            let offer = || {
                let memory = memory(4 * SLOT, SealFlags::SHRINK);
                listener.accept(memory, version, 4, SLOT)
            };
            let mut writer = offer();
            let pixels = vec![5; 64];
            assert!(writer.frame(picture(&pixels, 8, 8, 1)));
            writer.packet(1, 1, picture(&pixels, 800, 800, 1));
            let mut again = offer();
            while !again.is_closed() {
                again.frame(picture(&[9; 64], 8, 8, 1));
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut source = source.unwrap();
        let mut pixels = FrameBuffer::default();
        frame(&mut *source, &mut pixels);
        assert_eq!(*pixels, [5; 64]);
        let mut said = Vec::new();
        while *pixels != [9; 64] {
            match source.poll(&mut pixels, PATIENCE).unwrap() {
                Polled::Lost { why } => said.push(why),
                Polled::Back { .. } => said.push("back".to_owned()),
                Polled::Frame(_) | Polled::Silent => {}
                Polled::Ended => panic!("ended: {said:?}"),
            }
        }
        assert!(said[0].contains("bytes of a frame"), "{said:?}");
        assert!(said.iter().any(|s| s == "back"), "{said:?}");
        drop((source, pixels));
        thread.join().unwrap();
    }
}

#[test]
fn a_writer_whose_reader_is_slow_drops_and_never_waits() {
    for version in VERSIONS {
        let (_dir, thread, source) = with_writer(move |listener| {
            let memory = memory(3 * SLOT, SealFlags::SHRINK);
            let mut writer = listener.accept(memory, version, 3, SLOT);
            let pixels = [1; 64];
            let taken = (0..20_000)
                .filter(|_| writer.frame(picture(&pixels, 8, 8, 1)))
                .count();
            assert!((1..20_000).contains(&taken), "{taken}");
            assert_eq!(writer.dropped() + taken as u64, 20_000);
        });
        let mut source = source.unwrap();
        frame(&mut *source, &mut FrameBuffer::default());
        thread.join().unwrap();
    }
}

#[test]
fn a_slot_comes_back_when_its_frame_is_let_go_superseded_or_unwanted() {
    let (_dir, _listener, mut writer, mut source) = in_place(8);
    let mut pixels = FrameBuffer::default();
    frame(&mut *source, &mut pixels);
    assert_eq!(writer.free_slots(), 7, "the frame in hand is lent");
    (1..=5).for_each(|level| send(&mut writer, level));
    wait_until("superseded", || writer.free_slots() == 3);
    assert_eq!(*pixels, [0; 64], "the frame in hand is as it was");

    let next = frame(&mut *source, &mut pixels);
    assert_eq!((next.missed, pixels[0]), (1, 2));
    assert_eq!(writer.free_slots(), 4, "given back by taking the next");
    drop(pixels);
    assert_eq!(writer.free_slots(), 5);
    drop(source);
    wait_until("let go", || writer.free_slots() == 8);
    wait_until("closed", || writer.is_closed());
}

#[test]
fn the_writer_keeps_two_slots_and_what_exceeds_the_others_is_copied() {
    let (_dir, _listener, mut writer, mut source) = in_place(4);
    let mut held = Vec::new();
    for level in 0..20 {
        let mut pixels = FrameBuffer::default();
        frame(&mut *source, &mut pixels);
        assert_eq!(lies_in_shared_memory(&pixels), level < 2, "{level}");
        held.push(pixels);
        wait_until("back", || writer.free_slots() == 4 - held.len().min(2));
        send(&mut writer, level + 1);
    }
    assert_eq!(writer.dropped(), 0);
    assert!(held.iter().zip(0..).all(|(p, level)| **p == [level; 64]));
}

#[test]
fn a_slot_written_before_it_came_back_ends_the_connection() {
    let (_dir, _listener, writer, mut source) = in_place(3);
    let mut pixels = FrameBuffer::default();
    frame(&mut *source, &mut pixels);
    let lent = 2;
    writer.packet(1, lent, picture(&[0; 64], 8, 8, 1));
    let why = loop {
        match source.poll(&mut FrameBuffer::default(), PATIENCE).unwrap() {
            Polled::Lost { why } => break why,
            other => assert_eq!(other, Polled::Silent),
        }
    };
    let expected = "slot: expected one that was given back, found 2";
    assert!(why.contains(expected), "{why}");
    assert_eq!(*pixels, [0; 64]);
}

#[test]
fn frames_outlive_their_writer() {
    let (_dir, listener, mut writer, mut source) = in_place(8);
    send(&mut writer, 1);
    let mut first = FrameBuffer::default();
    frame(&mut *source, &mut first);
    drop((writer, listener));
    let mut second = FrameBuffer::default();
    frame(&mut *source, &mut second);
    assert_eq!(
        lost(&mut *source, &mut FrameBuffer::default()),
        "the writer is gone"
    );
    drop(source);
    assert_eq!((&*first, &*second), (&[0; 64][..], &[1; 64][..]));
}

#[test]
fn a_connection_is_closed_once_its_last_frame_is_let_go() {
    let (_dir, listener, mut writer, mut source) = in_place(8);
    send(&mut writer, 1);
    let mut pixels = FrameBuffer::default();
    frame(&mut *source, &mut pixels);
    writer.packet(9, 0, picture(&[], 8, 8, 1));
    lost(&mut *source, &mut FrameBuffer::default());
    let mut again = listener.accept(memory(8 * SLOT, SealFlags::SHRINK), 2, 8, SLOT);
    send(&mut again, 7);
    let mut newer = FrameBuffer::default();
    assert!(matches!(
        source.poll(&mut newer, PATIENCE).unwrap(),
        Polled::Back { .. }
    ));
    frame(&mut *source, &mut newer);
    assert_eq!((pixels[0], newer[0]), (0, 7));
    assert_eq!(writer.free_slots(), 7, "the second frame was let go unread");
    assert!(!writer.is_closed());
    drop(pixels);
    assert_eq!(writer.free_slots(), 8);
    assert!(writer.is_closed());
    assert!(!again.is_closed());
}
