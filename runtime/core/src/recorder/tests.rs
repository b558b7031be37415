use super::mask::copy_inside;
use super::store::Store;
use super::*;
use crate::clock::Pace;
use crate::config::RecorderConfig;
use crate::decide::Level;
use crate::events::{Estimate, Evidence, Exam, Output, Raw, Reason, Segment, Status, ViewValue};
use crate::exam::NewestExam;
use crate::frame::{FrameMeta, PixelFormat, PixelLayout};
use crate::screen::sector::{Outline, SectorMask};

fn header() -> Header {
    Header {
        version: "0".to_owned(),
        package: "p@0".to_owned(),
        config: "0".to_owned(),
        manifest: String::new(),
        variant: "fp32".to_owned(),
        provider: "CPU".to_owned(),
        real_pace: true,
        valid_for_nanos: 0,
        max_segment_gap_nanos: 0,
        exam: 0,
    }
}

fn start(budget_mib: usize, newest_exam: &NewestExam) -> (Recorder, Tap) {
    let config = RecorderConfig {
        budget_mib,
        folder: ".".into(),
    };
    Recorder::start(&config, header(), 4, Pace::Max, newest_exam.clone()).unwrap()
}

fn meta(width_px: u32, height_px: u32, format: PixelFormat) -> FrameMeta {
    FrameMeta {
        width_px,
        height_px,
        format,
        capture_nanos: 7,
        pass: 2,
        host: Default::default(),
    }
}

/// A cone, as wide as the frame at the bottom.
fn cone(meta: &FrameMeta) -> SectorMask {
    let outline = Outline::new(&[[0.5, 0.0], [1.0, 1.0], [0.0, 1.0]]).unwrap();
    let mut mask = SectorMask::default();
    mask.build(&outline, meta.width_px, meta.height_px);
    mask
}

/// Bytes without any order.
fn noise(bytes: usize, mut state: u32) -> Vec<u8> {
    state |= 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn entries(bytes: &[u8]) -> (Vec<Entry>, bool) {
    let mut reader = RecordingReader::new(bytes).unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        entries.push(entry);
    }
    (entries, reader.is_whole())
}

fn written(recorder: &Recorder) -> Vec<u8> {
    let mut bytes = Vec::new();
    recorder.snapshot().unwrap().write(&mut bytes).unwrap();
    bytes
}

const FORMATS: [PixelFormat; 5] = [
    PixelFormat::Gray8,
    PixelFormat::Rgb24,
    PixelFormat::Bgra32,
    PixelFormat::Yuy2,
    PixelFormat::Nv12,
];

#[test]
fn inside_the_sector_every_bit_is_kept_and_outside_none() {
    for format in FORMATS {
        let meta = meta(64, 48, format);
        let stride_bytes = meta.row_bytes() + 6;
        let layout = PixelLayout {
            stride_bytes,
            chroma_offset_bytes: stride_bytes * 48 + 10,
        };
        let pixels = noise(usize::try_from(layout.needed_bytes(&meta)).unwrap(), 3);
        let mask = cone(&meta);
        let mut masked = vec![9; 3];
        copy_inside(&mask, &pixels, layout, &meta, &mut masked);
        let other = noise(pixels.len(), 17);
        let mut changed = pixels.clone();
        for y in 0..48 {
            let span = mask.row(y as u32).first().cloned().unwrap_or_default();
            let (begin, end) = (span.start as usize, span.end as usize);
            let at = y * stride_bytes;
            let bytes = format.bytes();
            for x in (0..64).filter(|x| !(begin..end).contains(x)) {
                let pixel = at + x * bytes..at + (x + 1) * bytes;
                changed[pixel.clone()].copy_from_slice(&other[pixel]);
            }
            let (begin, end) = match format {
                PixelFormat::Yuy2 => (begin.next_multiple_of(2), end / 2 * 2),
                PixelFormat::Nv12 => (begin.next_multiple_of(2), end / 2 * 2),
                _ => (begin, end),
            };
            let row = meta.row_bytes();
            let kept = y * row + begin * bytes..y * row + end.max(begin) * bytes;
            let from = at + begin * bytes..at + end.max(begin) * bytes;
            assert_eq!(masked[kept], pixels[from], "{format} row {y}");
        }
        let mut again = Vec::new();
        copy_inside(&mask, &changed, layout, &meta, &mut again);
        if !matches!(format, PixelFormat::Yuy2 | PixelFormat::Nv12) {
            assert_eq!(masked, again, "{format}: what is outside got in");
        }
        let mut work = masked.clone();
        let image = image::decode(&image::encode(5, &meta, &mut work)).unwrap();
        assert_eq!((image.number, image.meta), (5, meta));
        assert_eq!(image.pixels, masked, "{format}");
    }
}

fn slots(tap: &Tap, from: u64, count: u64) {
    for number in from..from + count {
        tap.record(Some(0), || Record::Slot(SlotRecord::Chosen(number)));
    }
}

fn picture(tap: &Tap, exam: u64, number: u64, mask: &SectorMask) {
    let meta = meta(256, 256, PixelFormat::Gray8);
    let pixels = noise(meta.frame_bytes(), number as u32 + 1);
    let layout = PixelLayout::packed(&meta);
    tap.image(exam, number, &meta, (&pixels, layout), mask);
}

#[test]
fn a_file_cut_anywhere_keeps_what_is_before_the_cut() {
    let (recorder, tap) = start(8, &NewestExam::default());
    let meta = meta(8, 8, PixelFormat::Gray8);
    for number in 0..6 {
        let layout = PixelLayout::packed(&meta);
        let pixels = noise(64, number + 1);
        let sector = cone(&meta);
        tap.image(0, number.into(), &meta, (&pixels, layout), &sector);
        slots(&tap, number.into(), 1);
    }
    let bytes = written(&recorder);
    let (all, whole) = entries(&bytes);
    assert_eq!((all.len(), whole), (12, true));
    let mut lengths = Vec::new();
    for cut in 0..bytes.len() {
        match RecordingReader::new(&bytes[..cut]) {
            Err(error) => {
                assert!(lengths.is_empty(), "{error}");
                assert!(!error.to_string().contains('\n'));
            }
            Ok(_) => {
                let (some, whole) = entries(&bytes[..cut]);
                assert!(!whole);
                assert_eq!(some, all[..some.len()]);
                lengths.push(some.len());
            }
        }
    }
    assert!(lengths.is_sorted());
    assert_eq!((lengths[0], *lengths.last().unwrap()), (0, 12));
}

#[test]
fn an_altered_byte_ends_the_file_there() {
    let (recorder, tap) = start(8, &NewestExam::default());
    slots(&tap, 0, 20);
    let bytes = written(&recorder);
    let (all, _) = entries(&bytes);
    for at in (0..bytes.len()).step_by(3) {
        let mut altered = bytes.clone();
        altered[at] ^= 0x10;
        let Ok(mut reader) = RecordingReader::new(&altered[..]) else {
            continue;
        };
        let mut read = 0;
        while let Ok(Some(entry)) = reader.next() {
            assert_eq!(entry, all[read], "byte {at}");
            read += 1;
        }
        let in_the_last_chunk = at + 12 >= bytes.len();
        assert!((!reader.is_whole() && read < all.len()) || in_the_last_chunk);
    }
}

#[test]
fn another_version_and_another_file_are_refused_by_name() {
    let (recorder, _tap) = start(8, &NewestExam::default());
    let mut bytes = written(&recorder);
    bytes[8] = 9;
    let error = RecordingReader::new(&bytes[..]).unwrap_err();
    assert_eq!(error.to_string(), "recording version: expected 1, found 9");
    let error = RecordingReader::new(&b"ECHODUMP and more"[..]).unwrap_err();
    assert!(error.to_string().contains("ECHOREC"), "{error}");
}

#[test]
fn what_is_held_stays_within_the_budget() {
    let (recorder, tap) = start(8, &NewestExam::default());
    let mask = cone(&meta(256, 256, PixelFormat::Gray8));
    let budget = 8 << 20;
    for round in 0..40 {
        for number in round * 10..round * 10 + 10 {
            picture(&tap, 0, number, &mask);
            slots(&tap, number * 100, 100);
        }
        let saved = recorder.snapshot().unwrap();
        assert!(recorder.held_bytes() <= budget, "{}", recorder.held_bytes());
        drop(saved);
    }
    let (held, whole) = entries(&written(&recorder));
    assert!(whole && recorder.held_bytes() > budget / 2);
    let newest = Entry::Record(Record::Slot(SlotRecord::Chosen(39_999)));
    assert_eq!(held.last(), Some(&newest));
    let images = held.iter().filter(|e| matches!(e, Entry::Image(_))).count();
    assert!((50..400).contains(&images), "{images}");
}

#[test]
fn while_a_file_is_written_the_budget_holds_and_what_is_missing_is_said() {
    let mut store = Store::new(1 << 20);
    let slot = |n| Record::Slot(SlotRecord::Chosen(n));
    let meta = meta(400, 250, PixelFormat::Gray8);
    let picture = image::encode(7, &meta, &mut noise(100_000, 5));
    for number in 0..10_000 {
        store.record(&slot(number), 0);
    }
    let snapshot = store.snapshot(header());
    for number in 10_000..12_000 {
        store.record(&slot(number), 0);
        assert!(store.held_bytes() <= 1 << 20);
        assert!(store.image(number, &picture) || number > 10_008);
    }
    let mut bytes = Vec::new();
    snapshot.write(&mut bytes).unwrap();
    assert!(entries(&bytes).1);
    store.record(&slot(12_000), 0);
    let mut bytes = Vec::new();
    store.snapshot(header()).write(&mut bytes).unwrap();
    let (held, _) = entries(&bytes);
    let lost = |e: &Entry| match e {
        Entry::Record(Record::Lost { records }) => *records,
        _ => 0,
    };
    assert_eq!(held.iter().map(lost).sum::<u64>(), 2000);
    assert_eq!(held.last(), Some(&Entry::Record(slot(12_000))));
}

#[test]
fn a_new_exam_erases_everything_at_once() {
    let newest_exam = NewestExam::default();
    let (recorder, tap) = start(8, &newest_exam);
    let mask = cone(&meta(256, 256, PixelFormat::Gray8));
    picture(&tap, 0, 1, &mask);
    slots(&tap, 0, 5);
    assert_eq!(entries(&written(&recorder)).0.len(), 6);
    newest_exam.begin(1, 0);
    let (held, _) = entries(&written(&recorder));
    assert!(held.is_empty(), "{held:?}");
    slots(&tap, 9, 5);
    picture(&tap, 0, 9, &mask);
    assert!(
        entries(&written(&recorder)).0.is_empty(),
        "of the exam before"
    );
    picture(&tap, 1, 10, &mask);
    let bytes = written(&recorder);
    assert_eq!(entries(&bytes).0.len(), 1);
    assert_eq!(RecordingReader::new(&bytes[..]).unwrap().header().exam, 1);
}

#[test]
fn a_sector_of_another_size_gives_no_image() {
    let (recorder, tap) = start(8, &NewestExam::default());
    picture(&tap, 0, 1, &SectorMask::default());
    picture(&tap, 0, 2, &cone(&meta(256, 255, PixelFormat::Gray8)));
    assert!(entries(&written(&recorder)).0.is_empty());
}

#[test]
fn a_file_is_saved_once_and_never_replaced() {
    let (recorder, tap) = start(8, &NewestExam::default());
    slots(&tap, 0, 5);
    tap.record(None, || {
        Record::Announced(Box::new(AnnouncedRecord {
            clip: 0,
            cause: Cause::Source,
            reason: Reason::Gap,
            moment: MomentRecord {
                level: Level::Full,
                engine: EngineRecord {
                    provider: "CPU".to_owned(),
                    degraded: None,
                    variant: Some("fp32".to_owned()),
                    rests: None,
                },
                signal: None,
            },
        }))
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.echorec");
    let saved = recorder.save(&path).unwrap();
    assert_eq!((saved.records, saved.images), (6, 0));
    assert_eq!(std::fs::read(&path).unwrap(), written(&recorder));
    let error = recorder.save(&path).unwrap_err();
    assert!(error.to_string().contains("a.echorec"), "{error}");
}

#[test]
fn the_best_clip_is_one_whose_frames_are_all_held() {
    let (recorder, tap) = start(8, &NewestExam::default());
    let mask = cone(&meta(256, 256, PixelFormat::Gray8));
    assert!(recorder.best_clip().unwrap().is_none());
    for number in 0..8 {
        picture(&tap, 0, number, &mask);
    }
    for (clip, [first_frame, last_frame], probability) in
        [(3, [0, 3], 0.6), (4, [2, 5], 0.9), (5, [6, 9], 0.95)]
    {
        let segment = Segment {
            first_frame,
            last_frame,
            first_capture_nanos: 0,
            last_capture_nanos: 1,
            sector: 0,
            view: None,
            seam: false,
            first_host_frame: None,
            last_host_frame: None,
            exam: Exam::default(),
        };
        let evidence = Evidence {
            segments: vec![segment],
            ..Evidence::default()
        };
        let view = Output {
            status: Status::Demonstration,
            reason: None,
            value: Some(ViewValue {
                label: "A4C".to_owned(),
                probabilities: vec![1.0 - probability, probability],
            }),
            evidence,
            valid_until_nanos: None,
        };
        let estimate = Estimate {
            schema: 1,
            clip,
            provider: String::new(),
            degraded: None,
            package: String::new(),
            config: String::new(),
            sent_nanos: None,
            raw: Some(Raw::default()),
            view,
            lvef: Output::quiet(Status::Off),
            signal: Output::quiet(Status::Off),
            heart: None,
            tokens: None,
        };
        tap.record(Some(0), || Record::Sent(Box::new(estimate)));
    }
    let best = recorder.best_clip().unwrap().unwrap();
    assert_eq!((best.clip.clip, best.clip.view.as_str()), (4, "A4C"));
    let frames: Vec<u64> = best
        .frames
        .iter()
        .map(|f| f.decode().unwrap().number)
        .collect();
    assert_eq!(frames, [2, 3, 4, 5]);
}

/// `ECHOCART_WRITE_CORPUS=FOLDER` writes a seed for `tests/fuzz`.
#[test]
fn frames_of_every_format_for_the_corpus_are_read_from_a_file() {
    let (recorder, tap) = start(8, &NewestExam::default());
    for (number, format) in (0..).zip(FORMATS) {
        let meta = meta(32, 24, format);
        let layout = PixelLayout::packed(&meta);
        let pixels = noise(meta.frame_bytes(), 5);
        tap.image(0, number, &meta, (&pixels, layout), &cone(&meta));
        slots(&tap, number, 1);
    }
    let bytes = written(&recorder);
    assert_eq!(entries(&bytes).0.len(), 10);
    if let Some(folder) = std::env::var_os("ECHOCART_WRITE_CORPUS") {
        std::fs::write(std::path::Path::new(&folder).join("frames"), bytes).unwrap();
    }
}
