//! `echocart parity` on golden cases of the original model.

use echocart_tests::{echocart, shared, text};
use serde_json::Value;
use std::path::Path;

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn parity(case: &Path) -> (Option<i32>, Vec<Value>, String) {
    let output = echocart()
        .unwrap()
        .arg("parity")
        .arg(case)
        .arg("--json")
        .output()
        .unwrap();
    let rows = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), rows, text(&output))
}

const WHOLE_CLIPS: [&str; 5] = [
    "tokens_clip0",
    "view_logits_1clip",
    "view_logits_2clip",
    "lvef_z_1clip",
    "lvef_z_2clip",
];
const KEPT_TOKENS: [&str; 3] = [
    "tokens_kept_clip0",
    "view_logits_kept_2clip",
    "lvef_z_kept_2clip",
];
const SLOTS: [&str; 2] = ["rvsp_z_4slot", "rvsp_z_view0_only"];

#[test]
fn every_output_of_the_golden_cases_is_compared_and_passes() {
    let Some(reference) = shared("reference") else {
        return;
    };
    for (case, expected) in [
        (
            "tiny-square",
            [&WHOLE_CLIPS[..], &SLOTS, &KEPT_TOKENS].concat(),
        ),
        ("tiny-wide", WHOLE_CLIPS.to_vec()),
        ("vitl-224", [&WHOLE_CLIPS[..], &KEPT_TOKENS].concat()),
    ] {
        let (code, rows, said) = parity(&reference.join(case));
        assert_eq!(code, Some(0), "{case}: {said}");
        println!("{case}: {said}");
        let outputs: Vec<&str> = rows.iter().filter_map(|r| r["output"].as_str()).collect();
        assert_eq!(outputs, expected, "{case}");
        for row in &rows {
            assert_eq!(row["status"], "pass", "{case}: {row}");
        }
    }
}

#[test]
fn an_altered_expectation_fails() {
    let Some(reference) = shared("reference") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(reference.join("tiny-wide")).unwrap() {
        let from = entry.unwrap().path();
        let to = dir.path().join(from.file_name().unwrap());
        std::fs::write(to, std::fs::read(&from).unwrap()).unwrap();
    }
    let case = dir.path().join("case.json");
    let text = std::fs::read_to_string(&case).unwrap();
    let mut fields: Value = serde_json::from_str(&text).unwrap();
    let tag = fields["tag"].as_str().unwrap().to_owned();
    fields["tag"] = Value::from(format!("{tag}-other"));
    std::fs::write(&case, fields.to_string()).unwrap();
    let (code, rows, said) = parity(dir.path());
    assert_eq!(code, Some(1), "other input clips must not match: {said}");
    assert!(rows.iter().any(|r| r["status"] == "fail"));
}

#[test]
fn a_case_that_is_not_there_is_exit_4() {
    let (code, _, said) = parity(Path::new("no-such-case"));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("no-such-case"), "{said}");
}
