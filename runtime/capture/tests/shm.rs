//! Frames through shared memory, and writers that do it wrong.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod shm_writer;

use echocart_capture::{Arrival, OpenOptions, Polled, Source, open};
use echocart_core::frame::PixelFormat;
use rustix::fs::SealFlags;
use shm_writer::{Listener, Picture, memory};
use std::thread::JoinHandle;
use std::time::Duration;

const SLOT: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a writer on its own thread and opens what it offers.
fn with_writer(
    writer: impl FnOnce(Listener) + Send + 'static,
) -> (
    tempfile::TempDir,
    JoinHandle<()>,
    Result<Box<dyn Source>, String>,
) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("frames.sock");
    let listener = Listener::bind(&path);
    let thread = std::thread::spawn(move || writer(listener));
    let location = format!("shm:{}", path.display());
    let source = open(&location, &OpenOptions::default()).map_err(|e| e.to_string());
    (dir, thread, source)
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

fn frame(source: &mut dyn Source) -> (Arrival, Vec<u8>) {
    let mut pixels = Vec::new();
    loop {
        match source.poll(&mut pixels, PATIENCE).unwrap() {
            Polled::Frame(arrival) => return (arrival, pixels),
            Polled::Silent => {}
            other => panic!("expected a frame, found {other:?}"),
        }
    }
}

#[test]
fn every_format_comes_through_with_its_stamp_and_without_padding() {
    let (_dir, thread, source) = with_writer(|listener| {
        let mut writer = listener.accept(memory(4 * SLOT, SealFlags::SHRINK), 4, SLOT);
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
        std::thread::sleep(Duration::from_millis(300));
    });
    let mut source = source.unwrap();
    assert_eq!(source.describe().kind, "shared memory");
    let expected = [
        PixelFormat::Gray8,
        PixelFormat::Rgb24,
        PixelFormat::Bgra32,
        PixelFormat::Yuy2,
        PixelFormat::Nv12,
    ];
    let mut seen = 0;
    let mut pixels = Vec::new();
    loop {
        match source.poll(&mut pixels, PATIENCE).unwrap() {
            Polled::Frame(arrival) if arrival.device_nanos.is_none() => {
                let rows: Vec<u8> = (0..8).chain(20..28).collect();
                assert_eq!(pixels, rows);
            }
            Polled::Frame(arrival) => {
                assert!(expected.contains(&arrival.meta.format));
                assert_eq!(pixels.len(), arrival.meta.frame_bytes());
                assert!(pixels.iter().zip(0..).all(|(p, at)| *p == at as u8));
                assert_eq!(arrival.device_nanos, Some(7));
                seen += 1;
            }
            Polled::Ended => break,
            Polled::Silent => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(seen >= 4, "{seen}");
    thread.join().unwrap();
}

#[test]
fn memory_that_may_shrink_or_is_too_small_is_refused_with_the_reason() {
    for (seals, bytes, reason) in [
        (SealFlags::GROW, 2 * SLOT, "sealed against shrinking"),
        (SealFlags::SHRINK, SLOT, "at least 8192 bytes"),
    ] {
        let (_dir, thread, source) = with_writer(move |listener| {
            listener.accept(memory(bytes, seals), 2, SLOT);
        });
        let error = source.err().unwrap();
        assert!(error.contains(reason) && !error.contains('\n'), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn a_frame_beyond_its_slot_ends_the_connection_and_a_new_writer_is_found() {
    let (_dir, thread, source) = with_writer(|listener| {
        let mut writer = listener.accept(memory(2 * SLOT, SealFlags::SHRINK), 2, SLOT);
        let pixels = vec![5; 64];
        assert!(writer.frame(picture(&pixels, 8, 8, 1)));
        writer.packet(1, 1, picture(&pixels, 800, 800, 1));
        let mut again = listener.accept(memory(2 * SLOT, SealFlags::SHRINK), 2, SLOT);
        for _ in 0..200 {
            again.frame(picture(&[9; 64], 8, 8, 1));
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut source = source.unwrap();
    assert_eq!(frame(&mut *source).1, [5; 64]);
    let mut pixels = Vec::new();
    let mut said = Vec::new();
    while pixels != [9; 64] {
        match source.poll(&mut pixels, PATIENCE).unwrap() {
            Polled::Lost { why } => said.push(why),
            Polled::Back { .. } => said.push("back".to_owned()),
            Polled::Frame(_) | Polled::Silent => {}
            Polled::Ended => panic!("ended: {said:?}"),
        }
    }
    assert!(said[0].contains("bytes of a frame"), "{said:?}");
    assert!(said.iter().any(|s| s == "back"), "{said:?}");
    drop(source);
    thread.join().unwrap();
}

#[test]
fn a_writer_whose_reader_is_slow_drops_and_never_waits() {
    let (_dir, thread, source) = with_writer(|listener| {
        let mut writer = listener.accept(memory(2 * SLOT, SealFlags::SHRINK), 2, SLOT);
        let pixels = [1; 64];
        let taken = (0..20_000)
            .filter(|_| writer.frame(picture(&pixels, 8, 8, 1)))
            .count();
        assert!((1..20_000).contains(&taken), "{taken}");
    });
    let mut source = source.unwrap();
    frame(&mut *source);
    thread.join().unwrap();
}
