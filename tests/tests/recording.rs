//! `echocart record` and `echocart replay`: what was decided comes out again, and what was altered
//! does not.

use echocart_core::recorder::{Entry, Record, RecordingReader};
use echocart_tests::{echocart, fetched, text};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn record(out: &Path, extra: &[&str]) -> Output {
    echocart()
        .unwrap()
        .args(["record", "--headless", "--source"])
        .arg(fetched("data/color3d_jpeg_baseline.dcm").unwrap())
        .arg("--package")
        .arg(fetched("packages/demo").unwrap())
        .args(extra)
        .arg("--out")
        .arg(out)
        .output()
        .unwrap()
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn replay(file: &Path, extra: &[&str]) -> Output {
    let mut command = echocart().unwrap();
    command
        .arg("replay")
        .arg(file)
        .args(extra)
        .output()
        .unwrap()
}

/// A recording of 15 s in virtual time.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn recording(dir: &Path) -> PathBuf {
    let out = dir.join("a.echorec");
    let made = record(&out, &["--pace", "max", "--loop", "--seconds", "15"]);
    assert!(made.status.success(), "{}", text(&made));
    assert!(out.metadata().unwrap().len() > 10_000);
    out
}

#[test]
fn a_recording_replays_identically_and_an_altered_one_says_where_not() {
    let dir = tempfile::tempdir().unwrap();
    let out = recording(dir.path());
    let again = replay(&out, &[]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert!(text(&again).ends_with("identical\n"), "{}", text(&again));
    assert!(text(&again).contains("whole"), "{}", text(&again));

    let json = replay(&out, &["--json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["identical"], true);
    assert!(
        value["compared"]["estimates"].as_u64().unwrap() > 40,
        "{value}"
    );

    let bytes = std::fs::read(&out).unwrap();
    let cut = dir.path().join("cut.echorec");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let again = replay(&cut, &[]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert!(text(&again).contains("cut off there"), "{}", text(&again));

    let mut other = bytes.clone();
    other[8] = 7;
    std::fs::write(&cut, other).unwrap();
    let again = replay(&cut, &[]);
    assert_eq!(again.status.code(), Some(3), "{}", text(&again));
    assert!(text(&again).contains("version: expected 1, found 7"));

    let altered = altered(&bytes);
    std::fs::write(&cut, altered).unwrap();
    let again = replay(&cut, &[]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again));
    assert!(
        text(&again).contains("first difference, entry"),
        "{}",
        text(&again)
    );
    assert!(text(&again).contains("view"), "{}", text(&again));
}

/// The recording with one bit of one view logit altered, its checksum made good.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn altered(bytes: &[u8]) -> Vec<u8> {
    let mut reader = RecordingReader::new(bytes).unwrap();
    let mut judged = 0;
    let mut bits = None;
    while let Some(entry) = reader.next().unwrap() {
        if let Entry::Record(Record::Judged(clip)) = entry {
            judged += 1;
            if judged == 20 {
                bits = Some(clip);
            }
        }
    }
    let clip = bits.unwrap();
    let before = serde_json::to_string(&Record::Judged(clip.clone())).unwrap();
    let mut clip = clip;
    if let echocart_core::recorder::Answer::Gave(logits) = &mut clip.view {
        logits[0] ^= 1 << 5;
    }
    let after = serde_json::to_string(&Record::Judged(clip)).unwrap();
    let at = bytes
        .windows(before.len())
        .position(|w| w == before.as_bytes())
        .unwrap();
    let mut made = bytes[..at - 12].to_vec();
    let length = (after.len() as u32).to_le_bytes();
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[at - 12..at - 8]);
    crc.update(&length);
    crc.update(after.as_bytes());
    made.extend(&bytes[at - 12..at - 8]);
    made.extend(length);
    made.extend(crc.finalize().to_le_bytes());
    made.extend(after.as_bytes());
    made.extend(&bytes[at + before.len()..]);
    made
}

#[test]
fn the_signal_saves_while_the_run_goes_on_and_the_end_saves_again() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("end.echorec");
    let mut child = echocart()
        .unwrap()
        .args([
            "record",
            "--headless",
            "--loop",
            "--seconds",
            "6",
            "--source",
        ])
        .arg(fetched("data/color3d_jpeg_baseline.dcm").unwrap())
        .arg("--package")
        .arg(fetched("packages/demo").unwrap())
        .arg("--out")
        .arg(&out)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let saved = |except: &Path| {
        let files = std::fs::read_dir(dir.path()).unwrap();
        let mut files = files.map(|f| f.unwrap().path());
        files.find(|f| f != except)
    };
    let until = Instant::now() + Duration::from_secs(60);
    std::io::Read::read(child.stdout.as_mut().unwrap(), &mut [0; 1]).unwrap();
    let early = loop {
        std::thread::sleep(Duration::from_millis(500));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        if let Some(file) = saved(&out) {
            break file;
        }
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none());
    };
    assert!(child.wait().unwrap().success());
    for file in [&early, &out] {
        let again = replay(file, &[]);
        assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    }
    let again = record(&out, &["--pace", "max"]);
    assert_eq!(
        again.status.code(),
        Some(2),
        "an existing file: {}",
        text(&again)
    );
}
