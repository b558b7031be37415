//! `echocart record` and `echocart replay`: what was decided comes out again, and what was altered
//! does not.

use echocart_core::recorder::{Entry, Record, RecordingReader};
use echocart_tests::{demo_config, echocart, fetched, text};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn record(out: &Path, extra: &[&str]) -> Output {
    echocart()
        .unwrap()
        .args(["record", "--headless", "--source"])
        .arg(fetched("data/color3d_jpeg_baseline.dcm").unwrap())
        .arg("--package")
        .arg(fetched("packages/generated").unwrap())
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
        .arg(fetched("packages/generated").unwrap())
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

/// One request to the page: status line and headers, then the body.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn ask(address: &str, first: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).unwrap();
    let length = body.len();
    let head = format!("{first} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    let kind = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    stream
        .write_all(format!("{head}{kind}{body}").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn saving_the_best_clip_on_the_page_saves_a_recording_that_replays() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("recordings");
    let table = format!(
        "\n[recorder]\nbudget_mib = 32\nfolder = \"{}\"\n",
        folder.display()
    );
    let config = dir.path().join("cart.toml");
    std::fs::write(&config, demo_config(dir.path()).unwrap() + &table).unwrap();
    let mut cart = echocart()
        .unwrap()
        .args(["run", "--source", "phantom:view=A4C,ef=55", "--package"])
        .arg(fetched("packages/generated").unwrap())
        .arg("--config")
        .arg(&config)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(cart.stdout.take().unwrap());
    let mut lines = said.lines().map_while(Result::ok);
    let page = lines.find_map(|l| l.strip_prefix("page: http://").map(str::to_owned));
    let address = page.unwrap();
    std::thread::spawn(move || lines.count());

    // Images are kept for captures from the first reader on.
    let mut reader = TcpStream::connect(&address).unwrap();
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    reader.write_all(upgrade.as_bytes()).unwrap();
    let mut from = reader.try_clone().unwrap();
    std::thread::spawn(move || std::io::copy(&mut from, &mut std::io::sink()));

    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = ask(&address, "POST /exam", r#"{"do":"best"}"#);
        if answer.starts_with("HTTP/1.1 204") {
            break;
        }
        assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
        assert!(Instant::now() < until, "no best clip: {answer}");
        std::thread::sleep(Duration::from_millis(300));
    }
    let answer = ask(&address, "GET /exam", "");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let exam: serde_json::Value = serde_json::from_str(body).unwrap();
    let capture = exam["exam"]["captures"].as_array().unwrap().last().unwrap();
    assert_eq!(capture["how"], "BEST", "{capture}");
    let file = folder.join(capture["recording"]["file"].as_str().unwrap());
    cart.kill().unwrap();
    cart.wait().unwrap();
    let again = replay(&file, &[]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert!(text(&again).ends_with("identical\n"), "{}", text(&again));
}
