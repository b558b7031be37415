//! `echocart probe fit` and `calibrate --keep` on simulated hearts.

use echocart_tests::{echocart, fetched, generated_at, root, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Two views that any encoder can tell apart, as short as a clip allows.
const LOCATIONS: [(&str, usize); 2] = [("A4C", 2), ("PSAX-PM", 9)];

fn heart(view: &str, seed: usize) -> String {
    format!("phantom:view={view},seed={seed},fps=16,seconds=3,size=320x240")
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn fit(package: &Path, labels: &Path, out: &Path) -> Command {
    let mut command = echocart().unwrap();
    command.args(["probe", "fit", "--epochs", "5", "--clips", "1", "--labels"]);
    command.arg(labels).arg("--out").arg(out);
    command.arg("--package").arg(package);
    command
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn written(dir: &Path, lines: &[String]) -> PathBuf {
    let path = dir.join("train.csv");
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_new_head_goes_into_a_package_with_its_parents_hash() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines: Vec<String> = (0..5)
        .flat_map(|seed| {
            LOCATIONS.map(|(view, class)| format!("{} {class}", heart(view, seed + 1)))
        })
        .collect();
    lines.push("no-such-file.mp4 2".to_owned());
    lines.push(format!(
        "{} 2",
        heart("A4C", 9).replace("seconds=3", "seconds=1")
    ));
    let labels = written(dir.path(), &lines);
    let (package, out) = (dir.path().join("measured"), dir.path().join("fitted"));
    generated_at(&package, "").unwrap();
    let manifest = package.join("package.toml");
    let measured = fs::read_to_string(&manifest).unwrap()
        + "\n[kept_tokens.fp32]\nclips = 10\nview_agreement = 1.0\nef_shift = 0.1\n";
    fs::write(&manifest, measured).unwrap();
    let output = fit(&package, &labels, &out)
        .args(["--label", "view-index"])
        .output();
    refused(
        &output.unwrap(),
        1,
        &[
            "files: 10 used, 2 skipped",
            "skipped no-such-file.mp4",
            "too short",
            "clips right",
        ],
    );
    let manifest = fs::read_to_string(out.join("package.toml")).unwrap();
    let parent = fs::read(package.join("package.toml")).unwrap();
    let hash = echocart_core::hash::sha256_hex(&parent);
    assert!(
        !manifest.contains("kept_tokens"),
        "measured with the old head"
    );
    assert!(
        manifest.contains(&format!("parent = \"{hash}\"")),
        "{manifest}"
    );
    assert!(manifest.contains("trained = \"untrained\""), "{manifest}");
    assert!(
        manifest.contains("fitted by `echocart probe fit`"),
        "{manifest}"
    );
    let verified = echocart()
        .unwrap()
        .args(["package", "verify"])
        .arg(&out)
        .output();
    let verified = verified.unwrap();
    assert!(verified.status.success(), "{}", text(&verified));
}

#[test]
fn labels_that_teach_nothing_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let package = fetched("packages/generated").unwrap();
    let out = dir.path().join("fitted");
    let one: Vec<String> = (1..4)
        .map(|seed| format!("{} 2", heart("A4C", seed)))
        .collect();
    let labels = written(dir.path(), &one);
    let output = fit(&package, &labels, &out)
        .args(["--label", "view-index"])
        .output();
    refused(
        &output.unwrap(),
        2,
        &["two classes", "only A4C (3 recordings)"],
    );

    let labels = written(dir.path(), &[format!("{} 13", heart("A4C", 1))]);
    let output = fit(&package, &labels, &out)
        .args(["--label", "view-index"])
        .output();
    refused(&output.unwrap(), 2, &["line 1", "0 to 12", "\"13\""]);

    let same: Vec<String> = (1..3)
        .map(|seed| format!("{} 55", heart("A4C", seed)))
        .collect();
    let labels = written(dir.path(), &same);
    let output = fit(&package, &labels, &out)
        .args(["--label", "lvef-percent"])
        .output();
    refused(&output.unwrap(), 2, &["different EF", "only EF 55.0"]);

    let gone = [heart("A4C", 1) + " 2", "gone.mp4 9".to_owned()];
    let labels = written(dir.path(), &gone);
    let output = fit(&package, &labels, &out)
        .args(["--label", "view-index"])
        .output();
    refused(
        &output.unwrap(),
        2,
        &["two classes", "only A4C (1 recordings)"],
    );
    assert!(!out.exists());
}

#[test]
fn a_package_without_an_encoder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    generated_at(&package, "encoder.").unwrap();
    let labels = written(dir.path(), &[format!("{} 2", heart("A4C", 1))]);
    let mut command = echocart().unwrap();
    command.args(["probe", "fit", "--label", "view-index", "--labels"]);
    command
        .arg(labels)
        .arg("--out")
        .arg(dir.path().join("fitted"));
    let output = command.arg("--package").arg(&package).output().unwrap();
    refused(&output, 4, &["encoder.fp32"]);
}

#[test]
fn a_kept_calibration_goes_with_its_weights_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let standin = root().join("exporters/train/standin");
    let export = |calibration: &Path| {
        let mut command = echocart().unwrap();
        command.args([
            "export",
            "--replace",
            "--recipe",
            "configs/models/standin.toml",
        ]);
        command
            .arg("--checkpoint")
            .arg(standin.join("encoder.safetensors"));
        for head in ["view", "lvef"] {
            let file = standin.join(format!("{head}.safetensors"));
            command.args(["--probe", &format!("{head}={}", file.display())]);
        }
        command.arg("--calibration").arg(calibration);
        command
            .arg("--out")
            .arg(dir.path().join("package"))
            .output()
            .unwrap()
    };
    let kept = standin.join("calibration.toml");
    let output = export(&kept);
    assert!(output.status.success(), "{}", text(&output));
    let manifest = fs::read_to_string(dir.path().join("package/package.toml")).unwrap();
    assert!(manifest.contains("[calibration.fp32"), "{manifest}");

    let other = dir.path().join("other.toml");
    let changed = fs::read_to_string(&kept)
        .unwrap()
        .replacen("sha256 ", "sha256 0", 1);
    fs::write(&other, changed).unwrap();
    refused(&export(&other), 2, &["calibrate anew"]);
}
