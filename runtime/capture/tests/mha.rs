//! MetaImage sequences.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test helpers")]

use std::io::Write;
use std::path::PathBuf;

use echocart_capture::{OpenOptions, Source, SourceError, open};
use echocart_core::frame::PixelFormat;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use tempfile::TempDir;

const HEAD: &str = "ObjectType = Image\nNDims = 3\nDimSize = 2 3 3  \nElementNumberOfChannels = 1\n\
                    ElementType = MET_UCHAR\nUltrasoundImageOrientation = MFA\n";
const TIMES: &str = "Seq_Frame0000_Timestamp = 10.0\nSeq_Frame0000_ImageStatus = OK\n\
                     Seq_Frame0001_Timestamp = 10.04\nSeq_Frame0001_ImageStatus = OK\n\
                     Seq_Frame0002_Timestamp = 10.1\nSeq_Frame0002_ImageStatus = OK\n";

fn pixels() -> Vec<u8> {
    (0..18).collect()
}

fn opened(text: &str, pixels: &[u8]) -> (TempDir, Result<Box<dyn Source>, SourceError>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sequence.mha");
    let mut bytes = format!("{text}ElementDataFile = LOCAL\n").into_bytes();
    bytes.extend(pixels);
    std::fs::write(&path, bytes).unwrap();
    let source = open(&path.to_string_lossy(), &OpenOptions::default());
    (dir, source)
}

fn refused(text: &str) -> String {
    let (_dir, source) = opened(text, &pixels());
    source.err().expect(text).to_string()
}

fn frames(source: &mut dyn Source) -> Vec<(i64, Vec<u8>)> {
    let mut all = Vec::new();
    let mut pixels = Vec::new();
    while let Some(meta) = source.next(&mut pixels).unwrap() {
        all.push((meta.capture_nanos, pixels.clone()));
    }
    all
}

fn expected() -> Vec<(i64, Vec<u8>)> {
    let image = |first: u8| (first..first + 6).collect();
    vec![
        (0, image(0)),
        (40_000_000, image(6)),
        (100_000_000, image(12)),
    ]
}

#[test]
fn images_come_with_their_own_times_and_again_after_a_rewind() {
    let (_dir, source) = opened(&format!("{HEAD}{TIMES}"), &pixels());
    let mut source = source.unwrap();
    let info = source.describe();
    assert_eq!((info.kind, info.frames), ("MetaImage", Some(3)));
    assert_eq!(info.nominal_period_nanos, 60_000_000);
    assert_eq!(frames(source.as_mut()), expected());
    source.rewind().unwrap();
    assert_eq!(frames(source.as_mut()), expected());
}

#[test]
fn a_compressed_sequence_gives_the_same_images() {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&pixels()).unwrap();
    let packed = encoder.finish().unwrap();
    let text = format!("{HEAD}CompressedData = True\n{TIMES}");
    let (_dir, source) = opened(&text, &packed);
    assert_eq!(frames(source.unwrap().as_mut()), expected());
}

#[test]
fn an_image_that_was_marked_as_invalid_is_no_frame() {
    let text = format!("{HEAD}{TIMES}Seq_Frame0001_ImageStatus = INVALID\n");
    let (_dir, source) = opened(&text, &pixels());
    let mut kept = expected();
    kept.remove(1);
    assert_eq!(frames(source.unwrap().as_mut()), kept);
}

#[test]
fn far_rows_first_are_turned_over() {
    let text = format!("{HEAD}{TIMES}").replace("MFA", "UN");
    let (_dir, source) = opened(&text, &pixels());
    assert_eq!(frames(source.unwrap().as_mut())[0].1, [4, 5, 2, 3, 0, 1]);
}

#[test]
fn colour_images_have_three_channels() {
    let text = format!("{HEAD}{TIMES}")
        .replace("DimSize = 2 3 3", "DimSize = 2 1 3")
        .replace("Channels = 1", "Channels = 3");
    let (_dir, source) = opened(&text, &pixels());
    let source = source.unwrap();
    assert_eq!(source.describe().format, PixelFormat::Rgb24);
}

#[test]
fn what_cannot_be_read_names_its_key() {
    let whole = format!("{HEAD}{TIMES}");
    for (from, to, key) in [
        ("MET_UCHAR", "MET_SHORT", "ElementType"),
        ("DimSize = 2 3 3", "DimSize = 2 0 3", "DimSize"),
        ("DimSize = 2 3 3", "DimSize = 2 3 99999999999", "DimSize"),
        ("Channels = 1", "Channels = 2", "ElementNumberOfChannels"),
        ("MFA", "FM", "UltrasoundImageOrientation"),
        ("= 10.04", "= ten", "Timestamp"),
        ("= 10.04", "= 10.0", "out of order"),
        ("Seq_Frame0001_Timestamp = 10.04\n", "", "none for image 1"),
        ("DimSize = 2 3 3", "DimSize = 2 3", "1 of 1 images"),
        ("NDims = 3", "NDims 3", "MetaImage header"),
    ] {
        let error = refused(&whole.replace(from, to));
        assert!(error.contains(key), "{to}: {error}");
        assert!(error.ends_with("sequence.mha"), "{error}");
    }
}

#[test]
fn without_times_a_rate_must_be_assumed() {
    let error = refused(HEAD);
    assert!(error.contains("--assume-fps"), "{error}");
}

#[test]
fn a_file_that_is_cut_off_names_the_image() {
    let (_dir, source) = opened(&format!("{HEAD}{TIMES}"), &pixels()[..10]);
    let mut source = source.unwrap();
    let mut buffer = Vec::new();
    source.next(&mut buffer).unwrap();
    let error = source.next(&mut buffer).unwrap_err().to_string();
    assert!(error.contains("inside image 1"), "{error}");
}

#[test]
fn a_damaged_stream_is_an_error() {
    let text = format!("{HEAD}CompressedData = True\n{TIMES}");
    let (_dir, source) = opened(&text, &[0x78, 0x9c, 0xff, 0xff, 0xff, 0xff]);
    let error = source.unwrap().next(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("zlib"), "{error}");
}

#[test]
fn recordings_of_plus_open() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/non-cardiac");
    if !folder.exists() {
        println!("skipped: no shared clips");
        return;
    }
    for (name, count) in [
        ("plus_BoneUltrasound_L14.igs.mha", 21),
        ("plus_UltrasonixCurvilinearScanConvertedData.igs.mha", 5),
    ] {
        let path = folder.join(name).to_string_lossy().into_owned();
        let mut source = open(&path, &OpenOptions::default()).unwrap();
        assert_eq!(frames(source.as_mut()).len(), count, "{name}");
    }
}
