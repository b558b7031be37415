//! Bad input on the command line: one clear line, the documented exit code, no panic.

use echocart_core::hash::sha256_file;
use echocart_core::manifest::{FileEntry, Manifest};
use echocart_tests::{
    build_dir, demo_config, echocart, events, fetched, generated_at, root, shared, text,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CINE: &str = "data/color3d_jpeg_baseline.dcm";
const PACKAGE: &str = "packages/generated";

#[track_caller]
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn refused(args: &[&str], code: i32, words: &[&str]) {
    let output = echocart().unwrap().args(args).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    let complaint = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = complaint
        .lines()
        .filter(|l| l.starts_with("echocart: "))
        .collect();
    assert_eq!(lines.len(), 1, "{args:?}: {said}");
    for word in words {
        assert!(lines[0].contains(word), "{args:?}: {word:?} not in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn package_copy(to: &Path) -> PathBuf {
    let package = to.join("package");
    generated_at(&package, "").unwrap();
    package
}

fn run_args<'a>(source: &'a str, package: &'a str) -> Vec<&'a str> {
    vec![
        "run",
        "--headless",
        "--pace",
        "max",
        "--source",
        source,
        "--package",
        package,
    ]
}

#[test]
fn a_source_that_is_not_there_is_exit_3() {
    fetched(PACKAGE).unwrap();
    refused(
        &run_args("no-such.dcm", ".echocart/packages/generated"),
        3,
        &["no-such.dcm"],
    );
}

#[test]
fn zero_bytes_and_garbage_are_exit_3() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("zero.dcm", Vec::new()),
        ("zero.mp4", Vec::new()),
        ("garbage.dcm", vec![7; 5000]),
        ("garbage.mp4", vec![7; 5000]),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        refused(
            &run_args(path.to_str().unwrap(), ".echocart/packages/generated"),
            3,
            &[name],
        );
    }
}

#[test]
fn a_truncated_cine_is_exit_3_and_names_the_file() {
    let whole = fs::read(fetched(CINE).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for part in [200, 5_000, whole.len() / 2] {
        let path = dir.path().join("truncated.dcm");
        fs::write(&path, &whole[..part]).unwrap();
        let args = run_args(path.to_str().unwrap(), ".echocart/packages/generated");
        refused(&args, 3, &["truncated.dcm"]);
    }
}

#[test]
fn stills_and_other_dicom_are_refused() {
    let Some(data) = shared("data") else { return };
    for still in [
        "cardiac/still_ascending_aorta_philips_epiq7c_calipers.dcm",
        "non-cardiac/elbow_esaote_ybr422_still.dcm",
        "non-cardiac/thyroid_acuson_sequoia_rle_still.dcm",
    ] {
        let path = data.join(still);
        let args = run_args(path.to_str().unwrap(), ".echocart/packages/generated");
        refused(&args, 3, &["expected", "found"]);
    }
}

#[test]
fn a_package_that_is_not_there_is_exit_4() {
    refused(
        &run_args(".echocart/data/color3d_jpeg_baseline.dcm", "no-package"),
        4,
        &["no-package"],
    );
}

#[test]
fn a_missing_or_altered_package_file_is_exit_4() {
    let dir = tempfile::tempdir().unwrap();
    let package = package_copy(dir.path());
    let cine = fetched(CINE).unwrap();
    let args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
    let weights = package.join("encoder.fp32.weights");
    let mut bytes = fs::read(&weights).unwrap();
    bytes[5000] ^= 1;
    fs::write(&weights, &bytes).unwrap();
    refused(&args, 4, &["altered", "encoder.fp32.weights"]);
    bytes.pop();
    fs::write(&weights, &bytes).unwrap();
    refused(&args, 4, &["altered", "bytes", "encoder.fp32.weights"]);
    fs::remove_file(&weights).unwrap();
    refused(&args, 4, &["missing", "encoder.fp32.weights"]);
    std::os::unix::fs::symlink("/dev/zero", &weights).unwrap();
    refused(&args, 4, &["a link", "encoder.fp32.weights"]);
}

#[test]
fn an_unknown_manifest_key_is_exit_4() {
    let dir = tempfile::tempdir().unwrap();
    let package = package_copy(dir.path());
    let manifest = package.join("package.toml");
    let edited = fs::read_to_string(&manifest)
        .unwrap()
        .replace("threshold", "treshold");
    fs::write(&manifest, edited).unwrap();
    let cine = fetched(CINE).unwrap();
    let args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
    refused(&args, 4, &["treshold", "package.toml"]);
}

/// Applies `edit` to the manifest's text and lists the files' true sizes and hashes again.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn rehash(package: &Path, edit: impl FnOnce(String) -> String) {
    let path = package.join("package.toml");
    let text = edit(fs::read_to_string(&path).unwrap());
    let mut manifest: Manifest = toml::from_str(&text).unwrap();
    for (name, entry) in &mut manifest.files {
        let (sha256, bytes) = sha256_file(&package.join(name)).unwrap();
        *entry = FileEntry { bytes, sha256 };
    }
    fs::write(&path, toml::to_string(&manifest).unwrap()).unwrap();
}

#[test]
fn a_file_that_nothing_vouches_for_is_exit_4() {
    let dir = tempfile::tempdir().unwrap();
    let package = package_copy(dir.path());
    fs::write(package.join("extra.bin"), b"x").unwrap();
    let cine = fetched(CINE).unwrap();
    let args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
    refused(&args, 4, &["extra.bin"]);
}

#[test]
fn a_graph_that_does_not_fit_the_manifest_is_exit_4() {
    let cine = fetched(CINE).unwrap();
    for (what, edit, words) in [
        (
            "dim",
            ("dim = 192", "dim = 384"),
            ["384", "encoder.fp32.onnx"],
        ),
        (
            "labels",
            ("\"SSN\", ", ""),
            ["12", "head.view.s1.fp32.onnx"],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let package = package_copy(dir.path());
        rehash(&package, |text| {
            let edited = text.replace(edit.0, edit.1);
            assert_ne!(edited, text, "{what}");
            edited
        });
        let args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
        refused(&args, 4, &words);
    }
    let dir = tempfile::tempdir().unwrap();
    let package = package_copy(dir.path());
    let swap = |a: &str, b: &str| {
        let (a, b) = (package.join(a), package.join(b));
        let kept = fs::read(&a).unwrap();
        fs::copy(&b, &a).unwrap();
        fs::write(&b, kept).unwrap();
    };
    swap("head.view.s1.fp32.onnx", "head.view.s2.fp32.onnx");
    rehash(&package, |text| text);
    let args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
    refused(
        &args,
        4,
        &["inputs: expected 1, found 2", "head.view.s1.fp32.onnx"],
    );
}

#[test]
fn weights_that_give_no_number_never_serve() {
    let dir = tempfile::tempdir().unwrap();
    let package = package_copy(dir.path());
    let weights = package.join("head.view.fp32.weights");
    let length = fs::metadata(&weights).unwrap().len() as usize;
    fs::write(&weights, f32::NAN.to_le_bytes().repeat(length / 4)).unwrap();
    rehash(&package, |text| text);
    let cine = fetched(CINE).unwrap();
    let args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
    refused(&args, 5, &["variant fp32 on CPU", "head view"]);
}

#[test]
fn a_run_does_not_write_over_its_own_source() {
    let dir = tempfile::tempdir().unwrap();
    let cine = dir.path().join("cine.dcm");
    fs::copy(fetched(CINE).unwrap(), &cine).unwrap();
    let before = fs::read(&cine).unwrap();
    let cine_text = cine.to_str().unwrap();
    for option in ["--events", "--dump-frames"] {
        let mut args = run_args(cine_text, ".echocart/packages/generated");
        args.extend([option, cine_text]);
        refused(&args, 2, &["--source", option]);
    }
    let script = dir.path().join("script.txt");
    fs::write(&script, "2s lose").unwrap();
    let script_text = script.to_str().unwrap();
    let spoilt = format!("fault:@{script_text}|{cine_text}");
    for file in [cine_text, script_text] {
        let mut args = run_args(&spoilt, ".echocart/packages/generated");
        args.extend(["--events", file]);
        refused(&args, 2, &["--source", "--events"]);
    }
    assert_eq!(fs::read(&script).unwrap(), b"2s lose");
    assert_eq!(fs::read(&cine).unwrap(), before);
    let both = dir.path().join("both").to_str().unwrap().to_owned();
    let mut args = run_args(cine_text, ".echocart/packages/generated");
    args.extend(["--events", &both, "--dump-frames", &both]);
    refused(&args, 2, &["--events", "--dump-frames"]);
}

#[test]
fn standard_streams_that_take_nothing_do_not_end_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let cine = fetched(CINE).unwrap();
    let package = fetched(PACKAGE).unwrap();
    for stream in ["1", "2"] {
        let file = dir.path().join(format!("{stream}.jsonl"));
        let mut args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
        args.extend(["--events", file.to_str().unwrap()]);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = echocart().unwrap();
        command.args(args);
        match stream {
            "1" => command.stdout(full),
            _ => command.stderr(full),
        };
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert_eq!(events(&file).unwrap().last().unwrap()["type"], "summary");
    }
}

#[test]
fn an_interrupt_ends_a_run_even_when_nobody_reads_its_events() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let mut run = echocart()
        .unwrap()
        .args(["run", "--headless", "--loop", "--events"])
        .arg(&fifo)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let id = run.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let until = Instant::now() + Duration::from_secs(60);
    while run.try_wait().unwrap().is_none() {
        assert!(
            Instant::now() < until,
            "still running long after the interrupt"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(run.wait().unwrap().code(), Some(1));
}

#[test]
fn an_interrupt_ends_a_run_with_exit_0_and_the_summary_last() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    let mut run = echocart()
        .unwrap()
        .args(["run", "--headless", "--loop", "--events"])
        .arg(&file)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while events(&file).unwrap_or_default().len() < 4 {
        assert!(Instant::now() < until, "no events");
        std::thread::sleep(Duration::from_millis(50));
    }
    let id = run.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(run.wait().unwrap().code(), Some(0));
    assert_eq!(events(&file).unwrap().last().unwrap()["type"], "summary");
}

#[test]
fn a_bad_config_is_exit_2_and_names_key_and_file() {
    fetched(CINE).unwrap();
    let case = root().join("tests/cases/config/ring-too-small.toml");
    let mut args = run_args(
        ".echocart/data/color3d_jpeg_baseline.dcm",
        ".echocart/packages/generated",
    );
    args.extend(["--config", case.to_str().unwrap()]);
    refused(&args, 2, &["pipeline.ring_frames", "ring-too-small.toml"]);
    args.pop();
    args.push("no-such.toml");
    refused(&args, 2, &["no-such.toml"]);
}

#[test]
fn a_missing_or_wrong_runtime_library_is_exit_5() {
    let cine = fetched(CINE).unwrap();
    let package = fetched(PACKAGE).unwrap();
    let mut args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
    args.extend(["--library", "no-such.so"]);
    refused(&args, 5, &["no-such.so", "cargo xtask setup"]);
    args.pop();
    let wrong = build_dir().unwrap().join("echocart");
    args.push(wrong.to_str().unwrap());
    refused(&args, 5, &["library altered", "cargo xtask setup"]);
}

#[test]
fn the_environment_cannot_bring_in_another_library() {
    let cine = fetched(CINE).unwrap();
    let package = fetched(PACKAGE).unwrap();
    let output = echocart()
        .unwrap()
        .args(run_args(cine.to_str().unwrap(), package.to_str().unwrap()))
        .env("ORT_DYLIB_PATH", "no-such.so")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_port_in_use_is_exit_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("taken.toml");
    let demo = demo_config(dir.path()).unwrap();
    fs::write(&config, demo.replace("127.0.0.1:0", &address)).unwrap();
    let cine = fetched(CINE).unwrap();
    let package = fetched(PACKAGE).unwrap();
    let (cine, package) = (cine.to_str().unwrap(), package.to_str().unwrap());
    let config = config.to_str().unwrap();
    let args = [
        "run",
        "--source",
        cine,
        "--package",
        package,
        "--config",
        config,
    ];
    refused(&args, 2, &["port in use", &address]);
}

#[test]
fn an_events_file_that_cannot_be_written_is_exit_1() {
    let cine = fetched(CINE).unwrap();
    let package = fetched(PACKAGE).unwrap();
    let mut args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
    args.extend(["--events", "no-such-folder/events.jsonl"]);
    refused(&args, 1, &["no-such-folder/events.jsonl"]);
    if Path::new("/dev/full").exists() {
        args.pop();
        args.push("/dev/full");
        refused(&args, 1, &["/dev/full"]);
    }
}

#[test]
fn a_refused_run_loses_nothing_of_an_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    let cine = fetched(CINE).unwrap();
    let cine = cine.to_str().unwrap();
    let package = ".echocart/packages/generated";
    for (source, package, config, code) in [
        ("no-such.dcm", package, None, 3),
        (cine, "no-package", None, 4),
        (cine, package, Some("no-config.toml"), 2),
    ] {
        let before = b"{\"type\":\"summary\"}\n";
        fs::write(&file, before).unwrap();
        let mut args = run_args(source, package);
        args.extend(["--events", file.to_str().unwrap()]);
        args.extend(config.iter().flat_map(|path| ["--config", path]));
        refused(&args, code, &["no-"]);
        assert_eq!(fs::read(&file).unwrap(), before, "{source} {package}");
    }
}

#[test]
fn a_source_without_an_estimate_is_exit_0_and_accounts_for_its_frames() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    let cine = fetched(CINE).unwrap();
    let package = fetched(PACKAGE).unwrap();
    let mut args = run_args(cine.to_str().unwrap(), package.to_str().unwrap());
    args.extend(["--seconds", "0.5", "--events", file.to_str().unwrap()]);
    let output = echocart().unwrap().args(args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let events = events(&file).unwrap();
    let summary = events.last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["estimates"], 0);
    assert!(summary["captured"].as_u64().unwrap() >= 15);
    assert_eq!(summary["unused"], summary["captured"]);
}
