//! A video stream in a DICOM file, through the command line.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test helpers")]

#[path = "../../runtime/capture/tests/cines/mod.rs"]
mod cines;
#[path = "../../runtime/capture/tests/pictures/mod.rs"]
mod pictures;

use cines::Cine;
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use echocart_tests::{echocart, events, fetched, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The clip of `pictures` as H.264 in DICOM, after `change`.
fn stream(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let clip = pictures::encoded(folder, "clip.h264", *b"avc1");
    let mut bytes = std::fs::read(clip).unwrap();
    change(&mut bytes);
    Cine::colour("YBR_PARTIAL_420", 0)
        .number(tags::ROWS, 48)
        .number(tags::COLUMNS, 64)
        .text(tags::NUMBER_OF_FRAMES, VR::IS, &pictures::COUNT.to_string())
        .fragments(uids::MPEG4HP41, vec![], vec![bytes])
        .write(folder)
}

fn run(source: &Path) -> Command {
    let mut command = echocart().unwrap();
    command.args(["run", "--headless", "--pace", "max", "--source"]);
    command.arg(source).arg("--package");
    command.arg(fetched("packages/generated").unwrap());
    command
}

#[test]
fn a_stream_in_dicom_runs_in_a_loop() {
    let dir = tempfile::tempdir().unwrap();
    let source = stream(dir.path(), |_| {});
    let file = dir.path().join("events.jsonl");
    let mut command = run(&source);
    command.args(["--loop", "--seconds", "2.02", "--events"]);
    let output = command.arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let events = events(&file).unwrap();
    assert_eq!(events.last().unwrap()["captured"], 51, "25 frames a second");
}

#[test]
fn a_damaged_stream_is_one_line_and_nothing_of_the_decoder() {
    let dir = tempfile::tempdir().unwrap();
    let source = stream(dir.path(), |bytes| {
        let late = bytes.len() / 4 * 3;
        bytes[late..].iter_mut().step_by(7).for_each(|b| *b ^= 0x55);
    });
    let decoder_says = |output: &Output| {
        let all = text(output);
        let own = |line: &&str| line.contains(" @ 0x") || line.contains("FFMPEG");
        let lines = all.lines().filter(own);
        lines.count()
    };
    let mut loud = run(&source);
    loud.env("OPENCV_FFMPEG_LOGLEVEL", "16");
    let loud = loud.output().unwrap();
    assert!(decoder_says(&loud) > 0, "no damage: {}", text(&loud));

    let mut quiet = run(&source);
    for variable in ["OPENCV_FFMPEG_LOGLEVEL", "OPENCV_FFMPEG_DEBUG"] {
        quiet.env_remove(variable);
    }
    let quiet = quiet.output().unwrap();
    assert_eq!(decoder_says(&quiet), 0, "{}", text(&quiet));
    assert_eq!(quiet.status.code(), loud.status.code());
    assert_eq!(quiet.status.code(), Some(3), "{}", text(&quiet));
    let complaint = String::from_utf8_lossy(&quiet.stderr);
    let lines: Vec<&str> = complaint
        .lines()
        .filter(|line| line.starts_with("echocart: "))
        .collect();
    assert_eq!(lines.len(), 1, "{complaint}");
    assert!(lines[0].contains("cine.dcm"), "{complaint}");
}
