use super::*;
use proptest::prelude::*;

type Frames = Vec<(FrameMeta, Vec<u8>)>;

fn frames() -> impl Strategy<Value = Frames> {
    let sizes = (
        1..40_u32,
        1..40_u32,
        any::<bool>(),
        any::<i64>(),
        any::<u32>(),
    );
    let frame = sizes.prop_flat_map(|(width_px, height_px, gray, capture_nanos, pass)| {
        let format = if gray {
            PixelFormat::Gray8
        } else {
            PixelFormat::Rgb24
        };
        let meta = FrameMeta {
            width_px,
            height_px,
            format,
            capture_nanos,
            pass,
            host: Default::default(),
        };
        (
            Just(meta),
            prop::collection::vec(any::<u8>(), meta.frame_bytes()),
        )
    });
    prop::collection::vec(frame, 0..5)
}

fn written(frames: &Frames) -> Vec<u8> {
    let mut writer = DumpWriter::new(Vec::new()).unwrap();
    for (meta, pixels) in frames {
        writer.frame(meta, pixels).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Frames, DumpError> {
    let mut reader = DumpReader::new(bytes)?;
    let (mut frames, mut pixels) = (Vec::new(), Vec::new());
    while let Some(meta) = reader.next(&mut pixels)? {
        frames.push((meta, pixels.clone()));
    }
    Ok(frames)
}

fn small(width_px: u32, height_px: u32) -> FrameMeta {
    let format = PixelFormat::Rgb24;
    FrameMeta {
        width_px,
        height_px,
        format,
        capture_nanos: -7,
        pass: 2,
        host: Default::default(),
    }
}

proptest! {
    #[test]
    fn frames_come_back_as_written(frames in frames()) {
        prop_assert_eq!(read(&written(&frames)).unwrap(), frames);
    }

    #[test]
    fn a_dump_cut_anywhere_but_between_frames_is_named_truncated(
        frames in frames(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = written(&frames);
        let cut = cut.index(bytes.len());
        let mut ends = vec![FILE_HEADER_BYTES];
        for (_, pixels) in &frames {
            ends.push(ends[ends.len() - 1] + FRAME_HEADER_BYTES + pixels.len());
        }
        match read(&bytes[..cut]) {
            Ok(some) => {
                let whole = ends.iter().position(|end| *end == cut);
                prop_assert_eq!(whole, Some(some.len()));
            }
            Err(error) => {
                prop_assert!(!ends.contains(&cut));
                prop_assert!(error.to_string().starts_with("truncated frame dump"), "{}", error);
            }
        }
    }

    #[test]
    fn altered_bytes_never_panic(
        frames in frames(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = written(&frames);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let most = bytes.len();
        if let Ok(frames) = read(&bytes) {
            let total: usize = frames.iter().map(|(_, pixels)| pixels.len()).sum();
            prop_assert!(total <= most);
        }
    }

    #[test]
    fn headers_of_any_content_never_panic(
        mut header in any::<[u8; FRAME_HEADER_BYTES]>(),
        format in 1..=2_u32,
    ) {
        header[8..12].copy_from_slice(&format.to_le_bytes());
        let mut bytes = written(&Vec::new());
        bytes.extend(header);
        prop_assert!(read(&bytes).is_err());
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let bytes = written(&vec![(small(1, 2), vec![1, 2, 3, 4, 5, 6])]);
    let mut expected = b"ECHODUMP".to_vec();
    expected.extend(1_u32.to_le_bytes());
    expected.extend([0; 20]);
    for word in [1_u32, 2, 2, 3] {
        expected.extend(word.to_le_bytes());
    }
    expected.extend((-7_i64).to_le_bytes());
    expected.extend(6_u64.to_le_bytes());
    expected.extend(2_u32.to_le_bytes());
    expected.extend([0; 4]);
    expected.extend([1, 2, 3, 4, 5, 6]);
    assert_eq!(bytes, expected);
}

#[test]
fn padding_is_taken_out() {
    let mut bytes = written(&vec![(small(1, 2), vec![1, 2, 3, 4, 5, 6])]);
    bytes.truncate(FILE_HEADER_BYTES + FRAME_HEADER_BYTES);
    bytes[FILE_HEADER_BYTES + 12] = 5;
    bytes[FILE_HEADER_BYTES + 24] = 10;
    bytes.extend([1, 2, 3, 90, 91, 4, 5, 6, 92, 93]);
    assert_eq!(
        read(&bytes).unwrap(),
        [(small(1, 2), vec![1, 2, 3, 4, 5, 6])]
    );
}

#[test]
fn an_absurd_size_is_refused_before_its_pixels_are_read() {
    let mut bytes = written(&vec![(small(1, 2), vec![0; 6])]);
    let header = &mut bytes[FILE_HEADER_BYTES..];
    header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    header[8..12].copy_from_slice(&1_u32.to_le_bytes());
    header[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let message = read(&bytes).unwrap_err().to_string();
    let expected = "frame dump: pixel_bytes: expected at most 1073741824, \
                    found 18446744065119617025, frame 0";
    assert_eq!(message, expected);
}

#[test]
fn a_frame_with_the_wrong_number_of_pixels_is_not_written() {
    let mut writer = DumpWriter::new(Vec::new()).unwrap();
    let message = writer
        .frame(&small(2, 2), &[0; 11])
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "frame dump: pixel_bytes: expected 12, found 11, frame 0"
    );
    assert!(writer.frame(&small(0, 2), &[]).is_err());
    assert!(writer.frame(&small(u32::MAX, u32::MAX), &[]).is_err());
    assert_eq!(writer.finish().unwrap().len(), FILE_HEADER_BYTES);
}

#[test]
fn another_file_is_named_so() {
    let message = |bytes: &[u8]| DumpReader::new(bytes).unwrap_err().to_string();
    assert!(message(&[0x89; 64]).starts_with("not a frame dump"));
    assert!(message(b"ECHO").starts_with("truncated frame dump"));
    assert!(message(b"").starts_with("truncated frame dump"));
    let mut newer = written(&Vec::new());
    newer[8] = 9;
    assert_eq!(message(&newer), "frame dump version: expected 1, found 9");
}

#[test]
fn nothing_is_read_after_an_error() {
    let mut bytes = written(&vec![(small(1, 1), vec![1, 2, 3]); 2]);
    bytes[FILE_HEADER_BYTES + 8] = 7;
    let mut reader = DumpReader::new(&bytes[..]).unwrap();
    let mut pixels = Vec::new();
    assert!(reader.next(&mut pixels).is_err());
    assert_eq!(reader.next(&mut pixels).unwrap(), None);
    assert!(pixels.is_empty());
}
