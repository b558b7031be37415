//! The shipped stand-in: what it may say of which source.

use echocart_tests::{echocart, events, fetched, root, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const CINE: &str = "data/color3d_jpeg_baseline.dcm";

/// False in a checkout without the stand-in's weights, whose demo has generated ones.
fn shipped() -> bool {
    let there = root()
        .join("exporters/train/standin/encoder.safetensors")
        .is_file();
    if !there {
        println!("skipped: no weights in exporters/train/standin");
    }
    there
}

/// Statuses of view and EF over a whole run.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn statuses(source: &str) -> BTreeSet<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    let mut command = echocart().unwrap();
    command.args(["run", "--headless", "--pace", "max", "--source", source]);
    command
        .arg("--package")
        .arg(fetched("packages/demo").unwrap());
    let output = command.arg("--events").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let events = events(&file).unwrap();
    let estimates = events.iter().filter(|event| event["type"] == "estimate");
    let outputs = estimates.flat_map(|event| [&event["view"], &event["lvef"]]);
    let words = outputs.filter_map(|output| output["status"].as_str());
    words.map(str::to_owned).collect()
}

#[test]
fn a_simulated_heart_is_no_demonstration_and_a_real_one_nothing_else() {
    if !shipped() {
        return;
    }
    let heart = "phantom:view=A4C,ef=55,fps=20,seconds=6";
    for source in [heart.to_owned(), format!("fault:0s.. lose 3%|{heart}")] {
        let found = statuses(&source);
        assert!(
            !found.is_empty() && !found.contains("DEMONSTRATION"),
            "{found:?}"
        );
    }
    let real = fetched(CINE).unwrap();
    let found = statuses(real.to_str().unwrap());
    assert!(!found.is_empty() && !found.contains("VALUE"), "{found:?}");
}

#[test]
fn the_card_says_first_what_it_was_trained_on() {
    if !shipped() {
        return;
    }
    let manifest = fs::read_to_string(fetched("packages/demo/package.toml").unwrap()).unwrap();
    let title = manifest.lines().find(|line| line.starts_with("title = "));
    let title = title.unwrap();
    assert!(title.contains("trained on simulated hearts"), "{title}");
    assert!(title.contains("No clinical meaning"), "{title}");
    assert!(manifest.contains("trained = \"simulated\""));
}

#[test]
fn the_report_has_what_was_promised() {
    if !shipped() {
        return;
    }
    let path = root().join("exporters/train/standin/report.json");
    let report: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for key in [
        "view_accuracy_all",
        "view_accuracy_60",
        "ef_mae",
        "ef_mae_predict_mean",
        "interval_coverage",
        "perturbation_degradation",
    ] {
        assert!(report[key].is_number(), "{key}");
    }
    assert!(report["view_accuracy_60_baselines"]["random"].is_number());
    for key in ["perturbation_degradation_supervised", "not_done"] {
        assert!(report.get(key).is_some(), "{key}");
    }
}

#[test]
fn a_labelled_simulated_heart_has_values_too() {
    if !shipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let labels = dir.path().join("labels.csv");
    let heart = "\"phantom:view=A4C,ef=55,fps=16,seconds=3\",A4C,55,heart 1";
    fs::write(&labels, format!("path,view,lvef,patient\n{heart}\n")).unwrap();
    let mut command = echocart().unwrap();
    command.arg("evaluate").arg("--labels").arg(&labels);
    command
        .arg("--package")
        .arg(fetched("packages/demo").unwrap());
    let output = command.arg("--out").arg(dir.path().join("out")).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let found = fs::read_to_string(dir.path().join("out/evaluation.json")).unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    let outputs = found["files"][0]["view"]["outputs"].as_object().unwrap();
    assert!(
        !outputs.is_empty() && !outputs.contains_key("DEMONSTRATION"),
        "{outputs:?}"
    );
}
