//! `echocart quantise` when it cannot or must not go on: nothing half made is left.

use echocart_tests::{echocart, fetched, root, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const DEMO: &str = "configs/models/demo.toml";
const SIDE: usize = 64;

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn demo_package(dir: &Path) -> PathBuf {
    let out = dir.join("demo");
    let mut command = echocart().unwrap();
    command.args(["export", "--recipe", DEMO, "--generated-weights", "demo"]);
    let output = command.arg("--out").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    out
}

/// Two clips of `cine`, one held out.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn quantise(package: &Path, cine: &Path, out: &Path) -> Command {
    let mut command = echocart().unwrap();
    command.arg("quantise").arg("--package").arg(package);
    command.arg("--calibrate").arg(cine).arg("--out").arg(out);
    let few = ["--clips", "2", "--held-out-clips", "1"];
    command.args(["--variants", "int8"]).args(few);
    command
}

fn cine() -> PathBuf {
    fetched("data/color3d_jpeg_baseline.dcm").unwrap_or_default()
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} not in {said}");
    }
}

/// A grey MetaImage sequence at 10 frames a second.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn sequence(path: &Path, frames: usize, pixel: impl Fn(usize, usize) -> u8) {
    let mut file = format!("ObjectType = Image\nNDims = 3\nDimSize = {SIDE} {SIDE} {frames}\n");
    file += "ElementType = MET_UCHAR\nUltrasoundImageOrientation = MFA\n";
    for frame in 0..frames {
        let seconds = frame as f64 / 10.0;
        file += &format!("Seq_Frame{frame:04}_Timestamp = {seconds}\n");
        file += &format!("Seq_Frame{frame:04}_ImageStatus = OK\n");
    }
    file += "ElementDataFile = LOCAL\n";
    let mut file = file.into_bytes();
    let places = (0..frames).flat_map(|f| (0..SIDE * SIDE).map(move |at| (f, at)));
    file.extend(places.map(|(frame, at)| pixel(frame, at)));
    fs::write(path, file).unwrap();
}

#[track_caller]
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let places = bytes.windows(from.len()).enumerate();
    let places = places.filter_map(|(at, window)| (window == from).then_some(at));
    let places: Vec<usize> = places.collect();
    assert!(!places.is_empty(), "{from:?} is not there");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

#[test]
fn a_clip_that_is_no_ultrasound_or_too_short_is_named_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let package = demo_package(dir.path());
    let file = |name: &str| dir.path().join(name);
    let texture = |at: usize| (at * 37 % 200) as u8;
    sequence(&file("short.mha"), 12, |f, at| texture(at + f));
    sequence(&file("still.mha"), 50, |_, at| texture(at));
    sequence(&file("black.mha"), 50, |_, _| 0);
    sequence(&file("flat.mha"), 50, |f, _| (100 + f) as u8);
    let mut other = fs::read(cine()).unwrap();
    let ultrasound = b"1.2.840.10008.5.1.4.1.1.3.1";
    replace(&mut other, ultrasound, b"1.2.840.10008.5.1.4.1.1.2\0\0");
    replace(
        &mut other,
        b"\x08\0\x60\0CS\x02\0US",
        b"\x08\0\x60\0CS\x02\0CT",
    );
    fs::write(file("ct.dcm"), other).unwrap();
    for (name, words) in [
        (
            "short.mha",
            ["16 frames at 8 Hz", "12 frame(s) over 1.10 s"],
        ),
        ("still.mha", ["a moving image", "50 identical frames"]),
        ("black.mha", ["a moving image", "50 identical frames"]),
        ("flat.mha", ["an ultrasound image", "images of one grey"]),
        ("ct.dcm", ["not an ultrasound", "CT Image Storage"]),
    ] {
        let output = quantise(&package, &file(name), &file("out"))
            .output()
            .unwrap();
        refused(&output, 3, &[&words[..], &[name]].concat());
        assert!(!file("out").exists(), "{name}");
    }
    sequence(&file("good.mha"), 100, |f, at| texture(at + f));
    let output = quantise(&package, &file("good.mha"), &file("out"))
        .output()
        .unwrap();
    assert!(file("out").exists(), "{}", text(&output));
}

#[test]
fn a_signal_at_any_time_of_a_quantisation_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let package = demo_package(dir.path());
    let begin = Instant::now();
    let output = quantise(&package, &cine(), &dir.path().join("whole")).output();
    assert!(
        dir.path().join("whole").exists(),
        "{}",
        text(&output.unwrap())
    );
    let whole = begin.elapsed();
    for (signal, into_its_work) in [
        ("INT", Duration::ZERO),
        ("TERM", whole / 8),
        ("INT", whole / 3),
    ] {
        let (work, temporary) = (dir.path().join("work"), dir.path().join("tmp"));
        fs::create_dir(&work).unwrap();
        fs::create_dir(&temporary).unwrap();
        let mut command = quantise(&package, &cine(), &work.join("out"));
        command.env("TMPDIR", &temporary);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        while names(&work).is_empty() {
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(into_its_work);
        let kill = format!("kill -{signal} {}", child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        refused(&output, 130, &["interrupted, nothing was written"]);
        assert_eq!(names(&work), Vec::<String>::new());
        assert_eq!(names(&temporary), Vec::<String>::new());
        fs::remove_dir(work).unwrap();
        fs::remove_dir(temporary).unwrap();
    }
}

/// A limit on the size of a file: the same error from the same writes as on a full disk.
#[test]
fn a_file_that_cannot_grow_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let package = demo_package(dir.path());
    let work = dir.path().join("work");
    let command = quantise(&package, &cine(), &work.join("out"));
    let mut limited = Command::new("sh");
    let line = "trap '' XFSZ; ulimit -f 4000; exec \"$0\" \"$@\"";
    limited.args(["-c", line]).arg(command.get_program());
    limited.args(command.get_args()).current_dir(root());
    refused(
        &limited.output().unwrap(),
        1,
        &["cannot write", "File too large"],
    );
    assert_eq!(names(&work), Vec::<String>::new());
}

/// A disk of 5 MiB in a mount namespace of its own, where the machine allows one.
#[test]
fn a_full_disk_leaves_no_half_package() {
    let dir = tempfile::tempdir().unwrap();
    let package = demo_package(dir.path());
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = "mount -t tmpfs -o size=5m none \"$DISK\"";
    let on_a_small_disk = |line: &str, command: &Command| {
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", line]);
        unshare.arg(command.get_program()).args(command.get_args());
        unshare.env("DISK", &disk).current_dir(root());
        unshare.output()
    };
    let quantise = quantise(&package, &cine(), &disk.join("out"));
    if !on_a_small_disk(mount, &quantise).is_ok_and(|output| output.status.success()) {
        println!("skipped: no mount namespace here (needs root)");
        return;
    }
    let mut export = echocart().unwrap();
    export.args(["export", "--recipe", DEMO, "--generated-weights", "demo"]);
    export.arg("--out").arg(disk.join("out"));
    for command in [export, quantise] {
        let line = format!("{mount} && \"$0\" \"$@\"; code=$?; ls -A \"$DISK\"; exit $code");
        let output = on_a_small_disk(&line, &command).unwrap();
        refused(&output, 1, &["cannot write", "No space left on device"]);
    }
}
