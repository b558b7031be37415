//! `echocart evaluate` and `echocart calibrate` on short recordings and the demo package.

use echocart_tests::{echocart, events, fetched, text};
use opencv::core::{CV_8UC3, Mat, MatExprTraitConst, MatTraitManual, Size};
use opencv::videoio::{VideoWriter, VideoWriterTrait};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

const FPS: i32 = 16;

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn demo_package(dir: &Path) -> PathBuf {
    let out = dir.join("package");
    let mut command = echocart().unwrap();
    command.args(["export", "--generated-weights", "demo", "--recipe"]);
    command
        .args(["configs/models/demo.toml", "--out"])
        .arg(&out);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    out
}

/// A video of moving stripes below flickering blocks, different for each `seed`.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn clip(path: &Path, frames: i32, seed: i32) {
    let fourcc = VideoWriter::fourcc('M', 'J', 'P', 'G').unwrap();
    let (width, height) = (96, 64);
    let size = Size::new(width, height);
    let path = path.to_str().unwrap();
    let mut writer = VideoWriter::new(path, fourcc, f64::from(FPS), size, true).unwrap();
    for frame in 0..frames {
        let mut image = Mat::zeros(height, width, CV_8UC3)
            .unwrap()
            .to_mat()
            .unwrap();
        let pixels = image.data_bytes_mut().unwrap();
        for (at, pixel) in (0i32..).zip(pixels.chunks_exact_mut(3)) {
            let (x, y) = (at % width, at / width);
            let level = (x * (seed + 1) + y * 3 + frame * (seed + 2)) / 7;
            let block = (x / 8 + y / 8 * 12 + frame * 96) as u32;
            let flicker = (block.wrapping_mul(block).wrapping_mul(2_654_435_761) >> 24) as i32 / 8;
            pixel.fill(((level + flicker) % 256) as u8);
        }
        writer.write(&image).unwrap();
    }
    writer.release().unwrap();
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn labelled(command: &str, labels: &Path, package: &Path) -> Command {
    let mut made = echocart().unwrap();
    made.arg(command).arg("--labels").arg(labels);
    made.arg("--package").arg(package);
    made
}

#[track_caller]
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn ends(command: &mut Command, code: i32) -> String {
    let output: Output = command.output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[track_caller]
fn refused(command: &mut Command, code: i32, words: &[&str]) {
    let said = ends(command, code);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("echocart: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} not in {said}");
    }
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn results_stay_with_their_files_and_nothing_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let package = demo_package(dir.path());
    clip(&at("long.avi"), 5 * FPS, 1);
    clip(&at("other, one.avi"), 5 * FPS, 4);
    clip(&at("short.avi"), FPS, 2);
    fs::write(at("damaged.dcm"), "no DICOM").unwrap();
    let rows = "path,lvef,view,patient\nlong.avi,60,A4C,a\nshort.avi,50,A4C,b\n\
                \"other, one.avi\",,PLAX,a\ndamaged.dcm,50,,c\nmissing.avi,,,d\n";
    fs::write(at("labels.csv"), rows).unwrap();
    let mut command = labelled("evaluate", &at("labels.csv"), &package);
    command.arg("--out").arg(at("out"));
    let said = ends(&mut command, 1);
    assert!(
        said.contains("DEMONSTRATION: a package that is untrained"),
        "{said}"
    );
    assert!(said.contains("files: 2 evaluated, 3 skipped"), "{said}");
    assert!(
        said.contains("skipped short.avi: too short: expected 1.875 s"),
        "{said}"
    );
    assert!(said.contains("skipped damaged.dcm: "), "{said}");
    assert!(
        said.contains("skipped missing.avi: cannot read the source"),
        "{said}"
    );

    let found = json(&at("out/evaluation.json"));
    assert_eq!(found["demonstration"], true);
    let files = found["files"].as_array().unwrap();
    let paths: Vec<&Value> = files.iter().map(|f| &f["path"]).collect();
    let expected = [
        "long.avi",
        "short.avi",
        "other, one.avi",
        "damaged.dcm",
        "missing.avi",
    ];
    assert_eq!(paths, expected);
    let long = &files[0];
    assert!(long["skipped"].is_null());
    assert!(files[1]["view"]["before"].is_null() && files[1]["lvef"]["before"].is_null());
    let number = |key: &str| long["lvef"][key].as_f64().unwrap();
    let difference = number("before") - 60.0;
    assert!((number("difference_before") - difference).abs() < 1e-9);
    let outputs = &long["lvef"]["outputs"];
    let count = |key: &str| outputs[key].as_u64().unwrap_or(0);
    let known = ["DEMONSTRATION", "WARMING_UP", "OUT_OF_RANGE", "UNCERTAIN"];
    let known: u64 = known.into_iter().map(count).sum();
    assert_eq!(known, long["clips"].as_u64().unwrap(), "{outputs}");
    assert!(count("WARMING_UP") > 0, "{outputs}");
    let table = fs::read_to_string(at("out/files.csv")).unwrap();
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(table.contains("\n\"other, one.avi\",a,,80,"), "{table}");

    refused(&mut command, 1, &["--replace, found evaluation.json"]);
    ends(command.arg("--replace"), 1);
}

#[test]
fn estimates_are_those_of_a_live_run_in_virtual_time() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let package = demo_package(dir.path());
    let cine = fetched("data/color3d_jpeg_baseline.dcm").unwrap();
    fs::write(at("labels.csv"), format!("path\n{}\n", cine.display())).unwrap();
    let mut command = labelled("evaluate", &at("labels.csv"), &package);
    command.arg("--out").arg(at("out"));
    command.arg("--dump-tensors").arg(at("tensors.npz"));
    ends(&mut command, 0);
    let file = json(&at("out/evaluation.json"))["files"][0].clone();

    let mut run = echocart().unwrap();
    run.args(["run", "--headless", "--pace", "max", "--source"])
        .arg(&cine);
    run.arg("--package")
        .arg(&package)
        .arg("--events")
        .arg(at("e.jsonl"));
    ends(&mut run, 0);
    let events = events(&at("e.jsonl")).unwrap();
    let estimates = events.iter().filter(|e| e["type"] == "estimate");
    let mut released: Vec<f64> = estimates
        .filter_map(|e| e["lvef"]["value"]["percent"].as_f64())
        .collect();
    released.sort_by(f64::total_cmp);
    assert!(!released.is_empty());
    let middle = (released[(released.len() - 1) / 2] + released[released.len() / 2]) / 2.0;
    assert!((file["lvef"]["after"].as_f64().unwrap() - middle).abs() < 1e-4);

    let tensors = fs::read(at("tensors.npz")).unwrap();
    let clips = file["clips"].as_u64().unwrap();
    let holds = |name: &str| tensors.windows(name.len()).any(|w| w == name.as_bytes());
    for what in ["rows", "tokens", "view", "frame_nanos", "frame_numbers"] {
        assert!(holds(&format!("clip{:05}.{what}.npy", clips - 1)), "{what}");
        assert!(!holds(&format!("clip{clips:05}.{what}.npy")), "{what}");
    }
    assert!(holds("index.npy") && holds("'shape': (392, 1536, )"));
    ends(command.arg("--replace"), 0);
    assert!(
        tensors == fs::read(at("tensors.npz")).unwrap(),
        "two runs differ"
    );
}

#[test]
fn another_implementation_is_joined_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let package = demo_package(dir.path());
    let mut rows = String::from("path,lvef\n");
    for seed in 0..3 {
        let name = format!("{seed}.avi");
        clip(&at(&name), 5 * FPS, seed);
        rows += &format!("{name},{}\n", 50 + seed);
    }
    fs::write(at("labels.csv"), rows).unwrap();
    let mut command = labelled("evaluate", &at("labels.csv"), &package);
    ends(command.arg("--out").arg(at("first")), 0);
    let first = json(&at("first/evaluation.json"));
    let ours = |n: usize| first["files"][n]["lvef"]["before"].as_f64().unwrap();
    let reference = format!(
        "path,lvef\n2.avi,{}\nunknown.avi,40\n0.avi,{}\n",
        ours(2) - 2.0,
        ours(0) + 4.0
    );
    fs::write(at("reference.csv"), reference).unwrap();
    let mut command = labelled("evaluate", &at("labels.csv"), &package);
    command.arg("--reference").arg(at("reference.csv"));
    let said = ends(command.arg("--out").arg(at("second")), 0);
    assert!(said.contains("not in the reference: 1.avi"), "{said}");
    assert!(
        said.contains("only in the reference: unknown.avi"),
        "{said}"
    );
    let found = &json(&at("second/evaluation.json"))["figures"]["reference"];
    assert_eq!(found["joined"], 2);
    assert!(
        (found["lvef"]["bias"].as_f64().unwrap() + 1.0).abs() < 1e-9,
        "{found}"
    );
    assert!(
        (found["lvef"]["mae"].as_f64().unwrap() - 3.0).abs() < 1e-9,
        "{found}"
    );
}

#[test]
fn the_two_column_form_says_what_its_label_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let package = demo_package(dir.path());
    clip(&at("a b.avi"), 5 * FPS, 1);
    for (form, label, view, lvef) in [
        ("view-index", "2", Some(2), None),
        ("lvef-percent", "41.5", None, Some(41.5)),
        ("lvef-z", "-1.0", None, Some(57.06 - 11.33)),
    ] {
        fs::write(at("labels.csv"), format!("a b.avi {label}\n")).unwrap();
        let mut command = labelled("evaluate", &at("labels.csv"), &package);
        command.args(["--label", form]).arg("--out").arg(at(form));
        ends(&mut command, 0);
        let file = &json(&at(form).join("evaluation.json"))["files"][0];
        assert_eq!(file["view"]["label"].as_u64(), view);
        assert_eq!(file["lvef"]["label"].as_f64(), lvef);
    }
    let mut command = labelled("evaluate", &at("labels.csv"), &package);
    refused(&mut command, 2, &["line 1", "--label for two columns"]);
}

#[test]
fn a_wrong_label_file_is_one_line_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let package = demo_package(dir.path());
    let path = dir.path().join("labels.csv");
    for (rows, words) in [
        ("", "expected labels, found nothing"),
        ("path,lvef\n", "expected rows below the header"),
        ("path,ef\na,1\n", "found \"ef\""),
        ("path,path\na,a\n", "found two of \"path\""),
        (
            "path,lvef\na,101\n",
            "line 2: lvef: expected 0 to 100 percent",
        ),
        ("path,lvef\na,NaN\n", "found \"NaN\""),
        ("path,view\na,A9C\n", "found \"A9C\""),
        ("path,lvef\na\n", "expected 2 fields"),
        (
            "path\na\na\n",
            "line 3: expected each path once, found it on line 2",
        ),
        ("path\n\"a\n", "expected 1 fields"),
        ("lvef,path\n1,\n", "expected a path, found none"),
    ] {
        fs::write(&path, rows).unwrap();
        for name in ["evaluate", "calibrate"] {
            let mut command = labelled(name, &path, &package);
            if name == "calibrate" {
                command.arg("--out").arg(dir.path().join("new"));
            }
            refused(&mut command, 2, &["labels: line ", words, "labels.csv)"]);
        }
    }
    fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    refused(&mut labelled("evaluate", &path, &package), 2, &["UTF-8"]);
    let mut command = labelled("evaluate", Path::new("/dev/zero"), &package);
    refused(&mut command, 2, &["regular file", "(/dev/zero)"]);
}

/// Twelve patients, the first with two takes; two thirds of the labels are what the package says.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn patients(dir: &Path, package: &Path) -> PathBuf {
    let video = dir.join("source.avi");
    clip(&video, 5 * FPS, 1);
    let labels = dir.join("one.csv");
    fs::write(&labels, "path\nsource.avi\n").unwrap();
    let mut command = labelled("evaluate", &labels, package);
    ends(command.arg("--out").arg(dir.join("one")), 0);
    let found = json(&dir.join("one/evaluation.json"));
    let said = found["files"][0]["view"]["before"].as_u64().unwrap() as usize;
    let names = found["view_labels"].as_array().unwrap();
    let ef = found["files"][0]["lvef"]["after"].as_f64().unwrap();
    let mut rows = String::from("path,view,lvef,patient\n");
    for patient in 0..12usize {
        let view = if patient % 3 == 0 {
            (said + 1) % names.len()
        } else {
            said
        };
        let lvef = ef + patient as f64 - 6.0;
        for take in 0..1 + usize::from(patient == 0) {
            let name = format!("p{patient}-{take}.avi");
            fs::copy(&video, dir.join(&name)).unwrap();
            let view = names[view].as_str().unwrap();
            rows += &format!("{name},{view},{lvef},p{patient}\n");
        }
    }
    let labels = dir.join("labels.csv");
    fs::write(&labels, rows).unwrap();
    labels
}

#[test]
fn a_calibrated_package_is_new_and_its_values_have_intervals() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let package = demo_package(dir.path());
    let labels = patients(dir.path(), &package);
    let before = fs::read(package.join("package.toml")).unwrap();
    let mut command = labelled("calibrate", &labels, &package);
    let said = ends(command.arg("--out").arg(at("new")), 0);
    assert!(
        said.contains("the first 10 fitted, the other 2 held out"),
        "{said}"
    );
    assert!(said.contains("coverage 0.9 (alpha 0.100)"), "{said}");
    assert_eq!(fs::read(package.join("package.toml")).unwrap(), before);
    let text = fs::read_to_string(at("new/package.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let parent = echocart_core::hash::sha256_hex(&before);
    assert_eq!(manifest["parent"].as_str(), Some(parent.as_str()));
    let of = &manifest["calibration"]["fp32"];
    assert_eq!(of["domain"]["patients"].as_integer(), Some(12));
    assert_eq!(of["domain"]["files"].as_integer(), Some(13));
    assert_eq!(of["lvef"]["patients"].as_integer(), Some(10));
    assert!(of["view"]["temperature"].as_float().is_some());
    let half_width = of["lvef"]["half_width"].as_float().unwrap();
    let range = of["lvef"]["range"].as_array().unwrap();
    let (low, high) = (range[0].as_float().unwrap(), range[1].as_float().unwrap());

    let mut run = echocart().unwrap();
    run.args(["run", "--headless", "--pace", "max", "--source"])
        .arg(at("source.avi"));
    run.arg("--package")
        .arg(at("new"))
        .arg("--events")
        .arg(at("e.jsonl"));
    ends(&mut run, 0);
    let events = events(&at("e.jsonl")).unwrap();
    let values = events.iter().filter_map(|e| e.get("lvef")?.get("value"));
    let mut seen = 0;
    for value in values {
        let percent = value["percent"].as_f64().unwrap();
        seen += 1;
        if (low..=high).contains(&percent) {
            let width = value["interval"]["high"].as_f64().unwrap() - percent;
            assert!((width - half_width).abs() < 1e-3, "{value}");
            assert_eq!(value["calibration"], "INSIDE");
        } else {
            assert_eq!(value["calibration"], "OUTSIDE");
            assert!(value.get("interval").is_none());
        }
    }
    assert!(seen > 0);

    refused(&mut command, 1, &["--replace", "/new)"]);
    let mut again = labelled("calibrate", &labels, &package);
    ends(again.arg("--out").arg(at("again")), 0);
    let again = fs::read_to_string(at("again/package.toml")).unwrap();
    assert!(again == text, "two calibrations differ");
}

#[test]
fn too_few_patients_and_unknown_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let package = demo_package(dir.path());
    let labels = patients(dir.path(), &package);
    let calibrate = |labels: &Path, extra: &[&str]| {
        let mut command = labelled("calibrate", labels, &package);
        command.args(extra).arg("--out").arg(at("new"));
        command
    };
    let mut command = calibrate(&labels, &["--coverage", "0.95"]);
    refused(
        &mut command,
        2,
        &["expected at least 19 for a coverage of 0.95, found 10"],
    );
    let rows = "path,lvef\np1-0.avi,50\n";
    fs::write(at("nobody.csv"), rows).unwrap();
    refused(
        &mut calibrate(&at("nobody.csv"), &[]),
        2,
        &["found neither (p1-0.avi)"],
    );
    let mut command = calibrate(&at("nobody.csv"), &["--patient-from", "^x(.)"]);
    refused(&mut command, 2, &["found no match (p1-0.avi)"]);
    let mut command = calibrate(&at("nobody.csv"), &["--patient-from", "^(p[0-9]+)-"]);
    refused(
        &mut command,
        2,
        &["expected at least 9 for a coverage of 0.9, found 1"],
    );
    let mut command = calibrate(&labels, &["--patient-from", "^(p[0-9]+)-"]);
    refused(&mut command, 2, &["found both"]);
    let said = ends(&mut calibrate(&labels, &["--patient-from", "p"]), 2);
    assert!(said.contains("expected a pattern with a group"), "{said}");
    let said = ends(&mut calibrate(&labels, &["--coverage", "1"]), 2);
    assert!(said.contains("expected 0.5 to 0.999, found 1"), "{said}");
    assert!(!at("new").exists());
}

#[test]
fn a_signal_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let package = demo_package(dir.path());
    clip(&at("0.avi"), 20 * FPS, 1);
    let mut rows = String::from("path,lvef,patient\n0.avi,50,a\n");
    for n in 1..200 {
        fs::hard_link(at("0.avi"), at(&format!("{n}.avi"))).unwrap();
        rows += &format!("{n}.avi,50,a\n");
    }
    fs::write(at("labels.csv"), rows).unwrap();
    let results = at("results");
    fs::create_dir(&results).unwrap();
    let mut command = labelled("evaluate", &at("labels.csv"), &package);
    command.arg("--out").arg(results.join("out"));
    command.arg("--dump-tensors").arg(results.join("t.npz"));
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while fs::read_dir(&results).unwrap().count() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        thread::sleep(Duration::from_millis(5));
    }
    let kill = format!("kill -INT {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        text(&output),
        "echocart: interrupted, nothing was written\n"
    );
    assert_eq!(fs::read_dir(&results).unwrap().count(), 0);
}
