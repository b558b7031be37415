//! The contract of a source, run over every kind there is.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test helpers")]

mod cines;
mod igtl_server;
#[cfg(feature = "video")]
mod pictures;
mod shm_writer;

use std::sync::atomic::Ordering;
use std::time::Duration;

use cines::{Cine, folder};
#[cfg(feature = "video")]
use dicom_core::VR;
#[cfg(feature = "video")]
use dicom_dictionary_std::{tags, uids};
use echocart_capture::{Arrival, Delivery, OpenOptions, Polled, Source, Stamps, open};
use echocart_core::buffer::FrameBuffer;
use echocart_core::clock::now_nanos;
use echocart_core::frame::FrameMeta;
use igtl_server::{Message, Server, Step};

const PATIENCE: Duration = Duration::from_secs(20);

fn opened(location: &str) -> Box<dyn Source> {
    open(location, &OpenOptions::default()).unwrap()
}

/// Every frame by `next`, read into a buffer that is never empty before.
fn by_next(source: &mut dyn Source) -> Vec<(FrameMeta, Vec<u8>)> {
    let mut all = Vec::new();
    let mut pixels = vec![0xA5; 7];
    while let Some(meta) = source.next(&mut pixels).unwrap() {
        all.push((meta, pixels.clone()));
        pixels.push(0xA5);
    }
    assert_eq!(
        source.next(&mut pixels).unwrap(),
        None,
        "a frame after the end"
    );
    all
}

fn by_poll(source: &mut dyn Source) -> Vec<(Arrival, Vec<u8>)> {
    let mut all = Vec::new();
    let mut pixels = FrameBuffer::from(vec![0x5A; 999]);
    loop {
        match source.poll(&mut pixels, Duration::ZERO).unwrap() {
            Polled::Frame(arrival) => all.push((arrival, pixels.to_vec())),
            Polled::Ended => return all,
            other => panic!("a finite source said {other:?}"),
        }
    }
}

fn finite(location: &str) {
    let mut source = opened(location);
    let info = source.describe();
    assert_eq!(info.delivery, Delivery::OnDemand);
    assert!(info.nominal_period_nanos > 0 && !info.name.is_empty() && !info.timing.is_empty());

    let first = by_next(&mut *source);
    assert!(first.len() >= 2, "{} frames", first.len());
    for pair in first.windows(2) {
        assert!(
            pair[1].0.capture_nanos > pair[0].0.capture_nanos,
            "times do not rise"
        );
    }
    for (meta, pixels) in &first {
        assert_eq!(pixels.len(), meta.frame_bytes());
        assert_eq!(meta.pass, 0);
    }
    if info.stamps == Stamps::Exact {
        assert_eq!(first[0].0.capture_nanos, 0);
        assert!(
            info.frames
                .is_none_or(|frames| frames == first.len() as u64)
        );
        let shape = (info.width_px, info.height_px, info.format);
        let fits = |m: &FrameMeta| (m.width_px, m.height_px, m.format) == shape;
        assert!(
            first.iter().all(|(meta, _)| fits(meta)),
            "another shape than described"
        );
    }

    source.rewind().unwrap();
    let second = by_poll(&mut *source);
    assert!(
        second
            .iter()
            .map(|(a, p)| (&a.meta, p))
            .eq(first.iter().map(|(m, p)| (m, p)))
    );
    for (arrival, _) in &second {
        assert_eq!(
            (arrival.arrival_nanos, arrival.missed),
            (arrival.meta.capture_nanos, 0)
        );
        assert!(arrival.device_nanos.is_some());
    }

    source.rewind().unwrap();
    source.next(&mut Vec::new()).unwrap();
    source.rewind().unwrap();
    let third = std::thread::spawn(move || (by_next(&mut *source), source.describe()));
    let (third, described) = third.join().unwrap();
    assert!(third == first, "other frames on another thread");
    assert_eq!(described, info);
}

/// Reads a live source that gives at least three frames.
fn live(location: &str) {
    let mut source = opened(location);
    let info = source.describe();
    assert_eq!(
        (info.delivery, info.stamps),
        (Delivery::Live, Stamps::Device)
    );
    assert_eq!(info.frames, None);
    let mut newest_nanos = i64::MIN;
    for _ in 0..3 {
        let mut pixels = FrameBuffer::from(vec![0xA5; 7]);
        let arrival = match source.poll(&mut pixels, PATIENCE).unwrap() {
            Polled::Frame(arrival) => arrival,
            other => panic!("expected a frame, found {other:?}"),
        };
        assert_eq!(pixels.len(), arrival.meta.frame_bytes());
        assert_eq!(arrival.meta.capture_nanos, arrival.arrival_nanos);
        assert!(arrival.arrival_nanos > newest_nanos && arrival.arrival_nanos <= now_nanos());
        newest_nanos = arrival.arrival_nanos;
    }
    let refused = source.rewind().unwrap_err().to_string();
    assert!(
        refused.starts_with("live source: ") && !refused.contains('\n'),
        "{refused}"
    );
    assert_eq!(source.describe(), info);
}

#[test]
fn a_dicom_cine_conforms() {
    let folder = folder();
    finite(Cine::new().write(folder.path()).to_str().unwrap());
}

#[test]
fn a_meta_image_sequence_conforms() {
    let folder = folder();
    let path = folder.path().join("sequence.mha");
    let mut bytes = b"ObjectType = Image\nNDims = 3\nDimSize = 2 3 3\nElementType = MET_UCHAR\n\
        UltrasoundImageOrientation = MFA\nSeq_Frame0000_Timestamp = 1.0\n\
        Seq_Frame0001_Timestamp = 1.1\nSeq_Frame0002_Timestamp = 1.2\nElementDataFile = LOCAL\n"
        .to_vec();
    bytes.extend(0..18);
    std::fs::write(&path, bytes).unwrap();
    finite(path.to_str().unwrap());
}

#[test]
fn a_phantom_conforms() {
    finite("phantom:fps=25,seconds=0.4,size=160x120");
}

#[test]
fn faults_over_a_phantom_conform() {
    finite("fault:seed 3; 0s.. lose 20%; 0s.. reorder 2 10%|phantom:fps=50,seconds=1,size=160x120");
}

#[cfg(feature = "video")]
#[test]
fn a_video_file_conforms() {
    let folder = folder();
    finite(pictures::motion_jpeg(folder.path()).to_str().unwrap());
}

#[cfg(feature = "video")]
#[test]
fn a_video_stream_in_dicom_conforms() {
    let folder = folder();
    let stream = std::fs::read(pictures::encoded(folder.path(), "clip.h264", *b"avc1")).unwrap();
    let cine = Cine::colour("YBR_PARTIAL_420", 0)
        .number(tags::ROWS, 48)
        .number(tags::COLUMNS, 64)
        .text(tags::NUMBER_OF_FRAMES, VR::IS, &pictures::COUNT.to_string())
        .fragments(uids::MPEG4HP41, vec![], vec![stream]);
    finite(cine.write(folder.path()).to_str().unwrap());
}

/// A server that sends pictures until the client leaves.
fn server(pictures: u8) -> Server {
    let picture = |level| {
        let message = Message::grey(4, 3, i64::from(level) * 1_000_000 + 5, vec![level; 12]);
        [
            Step::Send(message.bytes()),
            Step::Wait(Duration::from_millis(5)),
        ]
    };
    Server::start((0..pictures).flat_map(picture).collect())
}

#[test]
fn an_openigtlink_client_conforms_and_leaves_when_dropped() {
    let server = server(20);
    live(&server.location);
    while !server.left.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn frames_in_shared_memory_conform_copied_and_in_place() {
    shared_memory(1);
    shared_memory(2);
}

fn shared_memory(version: u32) {
    let folder = folder();
    let path = folder.path().join("frames.sock");
    let listener = shm_writer::Listener::bind(&path);
    let writer = std::thread::spawn(move || {
        let seals = rustix::fs::SealFlags::SHRINK;
        let mut writer = listener.accept(shm_writer::memory(256, seals), version, 4, 64);
        for level in 1..100 {
            let pixels = [level; 12];
            writer.frame(shm_writer::Picture {
                width_px: 4,
                height_px: 3,
                stride_bytes: 4,
                format: 1,
                stamp_nanos: i64::from(level) * 1_000_000,
                pixels: &pixels,
            });
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    live(&format!("shm:{}", path.display()));
    writer.join().unwrap();
}

#[test]
fn faults_over_a_live_source_conform() {
    let server = server(20);
    live(&format!(
        "fault:0s.. duplicate 50%; 0s.. late 3ms 30%|{}",
        server.location
    ));
}

#[cfg(feature = "video")]
#[test]
fn a_gstreamer_pipeline_conforms_where_its_elements_are_installed() {
    if !pictures::has_gstreamer_elements() {
        println!("skipped: no GStreamer plug-ins with videotestsrc and appsink");
        return;
    }
    live("gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=30/1");
}
