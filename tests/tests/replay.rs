//! The real cine through the demo package: what comes out, twice the same.

use echocart_tests::{echocart, events, fetched, text};
use serde_json::Value;
use std::path::Path;

const PERIOD_NANOS: i64 = 33_400_000;

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn replay(extra: &[&str], file: &Path) -> Vec<Value> {
    let cine = fetched("data/color3d_jpeg_baseline.dcm").unwrap();
    let package = fetched("packages/generated").unwrap();
    let output = echocart()
        .unwrap()
        .args(["run", "--headless", "--source"])
        .arg(cine)
        .arg("--package")
        .arg(package)
        .args(extra)
        .arg("--events")
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    events(file).unwrap()
}

#[track_caller]
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn assert_identity(counters: &Value) {
    let count = |key: &str| counters[key].as_u64().unwrap();
    let rejected: u64 = counters["rejected"]
        .as_object()
        .unwrap()
        .values()
        .map(|v| v.as_u64().unwrap())
        .sum();
    let ended = count("used") + count("unused") + count("dropped_ring_full") + rejected;
    assert_eq!(count("captured"), ended + count("in_flight"), "{counters}");
}

#[test]
fn virtual_time_gives_the_same_file_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.jsonl"), dir.path().join("b.jsonl"));
    let args = ["--pace", "max", "--loop", "--seconds", "12"];
    replay(&args, &a);
    replay(&args, &b);
    let (a, b) = (std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
    assert!(!a.is_empty());
    assert!(a == b, "the two event files differ");
}

#[test]
fn clips_are_exact_in_time_and_every_frame_is_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--pace", "max", "--loop", "--seconds", "20"];
    let events = replay(&args, &dir.path().join("events.jsonl"));
    let estimates: Vec<&Value> = events.iter().filter(|e| e["type"] == "estimate").collect();
    let inferred = estimates.iter().filter(|e| e.get("raw").is_some()).count();
    assert!(inferred >= 70, "{inferred}");
    let mut numbers = 0;
    let mut seams = 0;
    for e in &estimates {
        assert!(e.get("sent_nanos").is_none());
        assert_eq!(e["view"]["status"], "DEMONSTRATION", "{e}");
        assert_eq!(e["signal"]["status"], "VALUE");
        numbers += usize::from(e["lvef"]["status"] == "DEMONSTRATION");
        for output in ["view", "lvef"] {
            for s in e[output]["evidence"]["segments"].as_array().unwrap() {
                let time = |key: &str| s[key].as_i64().unwrap();
                let span = time("last_capture_nanos") - time("first_capture_nanos");
                assert!((span - 1_875_000_000).abs() <= PERIOD_NANOS, "{s}");
                seams += usize::from(s["seam"] == true);
            }
        }
    }
    assert!(
        numbers * 2 > estimates.len(),
        "{numbers} of {}",
        estimates.len()
    );
    assert!(seams > 0, "a looped cine of 4 s has clips across its seam");
    for state in events.iter().filter(|e| e["type"] == "state") {
        if let Some(counters) = state.get("counters") {
            assert_identity(counters);
        }
    }
    let summary = events.last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_identity(summary);
    assert_eq!(summary["in_flight"], 0);
    assert_eq!(summary["estimates"], estimates.len());
    assert_eq!(summary["values"]["lvef"], numbers);
}

#[test]
fn real_pace_infers_most_clips_and_stamps_them() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--loop", "--seconds", "8"];
    let events = replay(&args, &dir.path().join("events.jsonl"));
    let with_raw: Vec<&Value> = events.iter().filter(|e| e.get("raw").is_some()).collect();
    assert!(!with_raw.is_empty());
    for e in with_raw {
        let sent = e["sent_nanos"].as_i64().unwrap();
        let segment = &e["view"]["evidence"]["segments"][0];
        let age = e["view"]["evidence"]["age_newest_nanos"].as_i64().unwrap();
        assert_eq!(age, sent - segment["last_capture_nanos"].as_i64().unwrap());
        assert!(age > 0);
    }
    let summary = events.last().unwrap();
    assert_identity(summary);
    assert_eq!(summary["in_flight"], 0);
}
