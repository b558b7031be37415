//! Bad input on the command line: one clear line, the documented exit code, no panic.

use echocart_tests::{build_dir, echocart, events, fetched, root, shared, text};
use std::fs;
use std::path::{Path, PathBuf};

const CINE: &str = "data/color3d_jpeg_baseline.dcm";
const PACKAGE: &str = "packages/demo";

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
    fs::create_dir(&package).unwrap();
    for entry in fs::read_dir(fetched(PACKAGE).unwrap()).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, package.join(from.file_name().unwrap())).unwrap();
    }
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
        &run_args("no-such.dcm", ".echocart/packages/demo"),
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
            &run_args(path.to_str().unwrap(), ".echocart/packages/demo"),
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
        let args = run_args(path.to_str().unwrap(), ".echocart/packages/demo");
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
        let args = run_args(path.to_str().unwrap(), ".echocart/packages/demo");
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

#[test]
fn a_bad_config_is_exit_2_and_names_key_and_file() {
    fetched(CINE).unwrap();
    let case = root().join("tests/cases/config/ring-too-small.toml");
    let mut args = run_args(
        ".echocart/data/color3d_jpeg_baseline.dcm",
        ".echocart/packages/demo",
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
    refused(&args, 5, &["sha256"]);
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
    let demo = fs::read_to_string(root().join("configs/carts/demo.toml")).unwrap();
    fs::write(&config, demo.replace("127.0.0.1:8787", &address)).unwrap();
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
