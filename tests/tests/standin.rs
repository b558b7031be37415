//! The shipped stand-in: what it may say of which source.

use echocart_tests::{demo_run, echocart, fetched, root, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const CINE: &str = "data/color3d_jpeg_baseline.dcm";

/// The estimates of a whole run.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn estimates(source: &str) -> Vec<Value> {
    let (output, events) = demo_run(source, &[]).unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let all = events.into_iter();
    all.filter(|event| event["type"] == "estimate").collect()
}

/// Statuses of view and EF over a whole run.
fn statuses(source: &str) -> BTreeSet<String> {
    let estimates = estimates(source);
    let outputs = estimates.iter().flat_map(|e| [&e["view"], &e["lvef"]]);
    let words = outputs.filter_map(|output| output["status"].as_str());
    words.map(str::to_owned).collect()
}

#[test]
fn a_simulated_heart_is_no_demonstration_and_a_real_one_nothing_else() {
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
    let manifest = fs::read_to_string(fetched("packages/demo/package.toml").unwrap()).unwrap();
    let title = manifest.lines().find(|line| line.starts_with("title = "));
    let title = title.unwrap();
    assert!(title.contains("trained on simulated hearts"), "{title}");
    assert!(title.contains("No clinical meaning"), "{title}");
    assert!(manifest.contains("trained = \"simulated\""));
}

#[test]
fn the_report_has_what_was_promised() {
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
    let dir = tempfile::tempdir().unwrap();
    let labels = dir.path().join("labels.csv");
    // The second one's screen has its mark on the left: files are not held to the demo's scanner.
    let hearts = "\"phantom:view=A4C,ef=55,fps=16,seconds=3\",A4C,55,heart 1\n\
        \"phantom:view=A4C,ef=55,fps=16,seconds=3,skin=tablet,size=320x240\",A4C,55,heart 2";
    fs::write(&labels, format!("path,view,lvef,patient\n{hearts}\n")).unwrap();
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
    let files = found["files"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    for file in files {
        let outputs = file["view"]["outputs"].as_object().unwrap();
        assert!(!outputs.is_empty(), "{file}");
        for word in ["DEMONSTRATION", "ORIENTATION"] {
            assert!(outputs.keys().all(|key| !key.contains(word)), "{outputs:?}");
        }
    }
}

#[test]
fn the_ef_follows_a_heart_that_weakens() {
    let source = "phantom:view=A4C,ef=60,to_ef=25,ef_at=10,fps=24,seconds=24,seed=11";
    let shown: Vec<f64> = estimates(source)
        .iter()
        .filter_map(|estimate| estimate["lvef"]["value"]["percent"].as_f64())
        .collect();
    assert!(shown.len() > 20, "{shown:?}");
    let (before, after) = (shown[2], shown[shown.len() - 1]);
    assert!((before - 60.0).abs() < 12.0, "{shown:?}");
    assert!((after - 25.0).abs() < 12.0, "{shown:?}");
}

#[test]
fn a_probe_that_turns_away_changes_the_label_and_takes_the_ef() {
    let source = "phantom:view=A4C,ef=55,to_rotation=60,move_at=8,fps=24,seconds=22,seed=12";
    let all = estimates(source);
    let label = |estimate: &Value| {
        estimate["view"]["value"]["label"]
            .as_str()
            .map(str::to_owned)
    };
    let [first, last] = [&all[4], &all[all.len() - 1]];
    assert_eq!(label(first).as_deref(), Some("A4C"), "{first}");
    assert!(first["lvef"]["value"]["percent"].is_number(), "{first}");
    assert_eq!(label(last).as_deref(), Some("A2C"), "{last}");
    assert_eq!(last["lvef"]["reason"], "WRONG_VIEW", "{last}");
}
