//! `echocart quantise`: a new package with a measured INT8 variant, and what it refuses.

use echocart_tests::{echocart, fetched, text};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const DEMO: &str = "configs/models/demo.toml";

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn demo_package(dir: &Path, more: &[&str]) -> std::path::PathBuf {
    let out = dir.join("demo");
    let mut command = echocart().unwrap();
    command.args(["export", "--recipe", DEMO, "--generated-weights", "demo"]);
    let output = command.args(more).arg("--out").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    out
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn quantise(package: &Path, cine: &Path, out: &Path) -> Command {
    let mut command = echocart().unwrap();
    command.arg("quantise").arg("--package").arg(package);
    command.arg("--calibrate").arg(cine).arg("--out").arg(out);
    command.args([
        "--variants",
        "int8",
        "--clips",
        "2",
        "--held-out-clips",
        "1",
    ]);
    command
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

#[test]
fn int8_of_a_real_cine_is_measured_and_comes_out_the_same_twice() {
    let dir = tempfile::tempdir().unwrap();
    let package = demo_package(dir.path(), &["--outliers"]);
    let before = names(&package);
    let cine = fetched("data/color3d_jpeg_baseline.dcm").unwrap();
    let outs = [dir.path().join("a"), dir.path().join("b")];
    for out in &outs {
        let output = quantise(&package, &cine, out).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    assert_eq!(names(&package), before);
    let [a, b] = &outs;
    assert_eq!(names(a), names(b));
    for name in names(a) {
        let same = fs::read(a.join(&name)).unwrap() == fs::read(b.join(&name)).unwrap();
        assert!(same, "{name} differs");
    }
    let report = fs::read(a.join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let clips = report["calibration"].as_array().unwrap();
    let files: Vec<&str> = clips.iter().filter_map(|c| c["file"].as_str()).collect();
    // The cine holds two clips that share no frame: one is held out, one calibrates.
    let wanted = [
        "color3d_jpeg_baseline.dcm",
        "golden.heart1.frames",
        "golden.heart2.frames",
    ];
    assert_eq!(files, wanted);
    let int8 = &report["variants"]["int8"];
    assert_eq!(int8["outcome"]["status"], "run");
    assert_eq!(int8["outcome"]["targets_met"], true, "{}", int8["outcome"]);
    assert!(int8["bytes"].as_u64() < int8["fp32_bytes"].as_u64());
    let layers = int8["layers"].as_array().unwrap();
    let of_block = |l: &&Value| l["name"] == "blocks.0.mlp.fc1";
    let fc1 = layers.iter().find(of_block).unwrap();
    assert!(fc1["migration_alpha"].is_number(), "{fc1}");
    let manifest = fs::read_to_string(a.join("package.toml")).unwrap();
    assert!(manifest.contains("\nparent = \""), "{manifest}");
    for name in ["report.md", "layers.int8.svg", "encoder.int8.weights"] {
        assert!(names(a).contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn a_file_that_cannot_calibrate_is_exit_3_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let package = demo_package(dir.path(), &[]);
    let out = dir.path().join("out");
    let text_file = dir.path().join("notes.mp4");
    fs::write(&text_file, "no cine").unwrap();
    for (cine, word) in [
        (dir.path().join("absent.dcm"), "absent.dcm"),
        (text_file, "notes.mp4"),
    ] {
        let output = quantise(&package, &cine, &out).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(names(dir.path()), ["demo", "notes.mp4"]);
}

#[test]
fn a_second_variant_of_the_same_name_and_a_used_folder_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let package = demo_package(dir.path(), &[]);
    let cine = fetched("data/color3d_jpeg_baseline.dcm").unwrap();
    let mut command = quantise(&package, &cine, &package);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let mut command = quantise(&package, &cine, &dir.path().join("out"));
    command.args(["--variants", "int8,int8"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert_eq!(names(dir.path()), ["demo"]);
}
