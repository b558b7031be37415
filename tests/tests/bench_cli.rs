//! `echocart bench model` over the demo package: what it reports hangs together, and what it refuses.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use echocart_tests::{echocart, events, fetched, generated_at, text};
use serde_json::Value;
use std::fs;
use std::process::Output;

fn bench(words: &[&str]) -> Output {
    let package = fetched("packages/generated").unwrap();
    let mut command = echocart().unwrap();
    command.args(["bench", "model", "--package"]).arg(package);
    command.args(words).output().unwrap()
}

#[test]
fn two_sides_are_timed_in_turn_and_compared() {
    let words = [
        "--provider",
        "CPU,CPU",
        "--tokens",
        "all,50%",
        "--pairs",
        "3",
        "--json",
    ];
    let output = bench(&words);
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sides = report["sides"].as_array().unwrap();
    assert_eq!(sides.len(), 2);
    for side in sides {
        assert!(
            side["nearness"]["cosine_worst"].as_f64().unwrap() > 0.999_999,
            "{side}"
        );
        let nodes = side["opened"]["nodes"].as_object().unwrap();
        assert!(nodes.len() >= 3 && nodes.values().all(|n| n["CPU"].as_u64() > Some(0)));
        assert!(side["opened"]["resident_mib"].as_u64().unwrap() > 10);
        let by_tokens = side["figures"].as_object().unwrap();
        assert_eq!(by_tokens.len(), 2);
        for stages in by_tokens.values() {
            let median = |stage: &str| stages[stage]["median"].as_f64().unwrap();
            let parts = median("encoder") + median("view") + median("lvef");
            assert!(median("update") > 0.0 && parts > 0.0, "{stages}");
            for figures in stages.as_object().unwrap().values() {
                let samples = figures["samples"].as_array().unwrap();
                assert_eq!(samples.len(), 3);
                let least = samples
                    .iter()
                    .map(|s| s.as_f64().unwrap())
                    .fold(f64::MAX, f64::min);
                assert_eq!(figures["least"].as_f64().unwrap(), least);
            }
        }
    }
    let tokens = sides[0]["figures"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap();
    let median = |side: &Value| {
        side["figures"][tokens]["update"]["median"]
            .as_f64()
            .unwrap()
    };
    let ratio = report["ratios"][tokens]["update"].as_f64().unwrap();
    assert!((ratio - median(&sides[0]) / median(&sides[1])).abs() < 1e-9);
}

#[test]
fn a_table_shows_what_fewer_tokens_save() {
    let output = bench(&["--pairs", "1", "--tokens", "all,25%"]);
    let shown = text(&output);
    assert!(output.status.success(), "{shown}");
    for word in [
        "| encoder |",
        "| update |",
        "% less per update",
        "cosine",
        "CPU fp32 on onnxruntime",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_by_name() {
    for (words, code, expected) in [
        (vec!["--variant", "int5"], 2, "expected one of"),
        (vec!["--tokens", "100000"], 2, "expected at most"),
        (
            vec!["--provider", "CPU,CPU,CPU"],
            2,
            "expected one side or two, found 3",
        ),
        (vec!["--cpu-set", "1000"], 5, "engine.cpu_set"),
        (vec!["--provider", "CUDA", "--variant", "fp32"], 5, "CUDA"),
        (
            vec!["--tokens", "none"],
            2,
            "expected all, a number above 0",
        ),
    ] {
        let output = bench(&words);
        let shown = text(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {shown}");
        assert!(shown.contains(expected), "{words:?}: {shown}");
    }
}

#[test]
fn fewer_tokens_in_the_live_path_are_forced_by_a_bench_alone_and_then_said_in_every_event() {
    let dir = tempfile::tempdir().unwrap();
    let run = |options: &[&str]| {
        let log = dir.path().join(format!("{}.jsonl", options.len()));
        let mut run = echocart().unwrap();
        run.args(["run", "--headless", "--pace", "max", "--source"])
            .arg(fetched("data/color3d_jpeg_baseline.dcm").unwrap())
            .arg("--package")
            .arg(fetched("packages/generated").unwrap())
            .arg("--events")
            .arg(&log)
            .args(options);
        let output = run.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        events(&log).unwrap()
    };
    let ordinary = run(&[]);
    let why = ordinary[0]["session"]["tokens"].as_str().unwrap();
    assert!(why.starts_with("all: "), "{why}");
    assert!(ordinary.iter().all(|e| e["tokens"].is_null()));

    let forced = run(&["--bench-kept-tokens"]);
    assert_eq!(forced[0]["session"]["tokens"], "those in the imaging area");
    let estimates = || forced.iter().filter(|e| e["type"] == "estimate");
    let said = |e: &Value| {
        e["degraded"]
            .as_str()
            .is_some_and(|d| d.contains("bench: fewer"))
    };
    assert!(estimates().all(said));
    let fewer = |e: &&Value| e["tokens"]["used"].as_u64() < e["tokens"]["all"].as_u64();
    let kept: Vec<&Value> = estimates().filter(fewer).collect();
    assert!(!kept.is_empty() && kept.iter().all(|e| e["raw"].is_object()));
    let inferred = |all: &[Value]| all.iter().filter(|e| e["raw"].is_object()).count();
    assert_eq!(inferred(&forced), inferred(&ordinary));
}

#[test]
fn every_move_of_the_probe_ends_with_the_label_or_is_counted_as_missed() {
    let mut command = echocart().unwrap();
    command.args(["bench", "reaction", "--moves", "2", "--json", "--package"]);
    command.arg(fetched("packages/demo").unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |row: &str| found[row]["count"].as_u64().unwrap();
    assert!(count("label_right") > 0, "{found}");
    assert_eq!(count("label_right") + found["missed"].as_u64().unwrap(), 2);
    assert_eq!(count("label_right_from_half_a_clip"), count("label_right"));
    assert!(count("ef_gone") <= 2, "{found}");
    assert!(found["package"].as_str().unwrap().contains("simulated"));
}

#[test]
fn a_package_that_cannot_name_the_views_of_the_reaction_bench_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    generated_at(&package, "").unwrap();
    let manifest = package.join("package.toml");
    let text_of = fs::read_to_string(&manifest).unwrap();
    let other = text_of
        .replace("\"PLAX\",", "\"PLAY\",")
        .replace("PLAX = \"PLAX\"", "PLAY = \"PLAX\"");
    assert_ne!(other, text_of);
    fs::write(&manifest, other).unwrap();
    let mut command = echocart().unwrap();
    command
        .args(["bench", "reaction", "--package"])
        .arg(&package);
    let output = command.output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the label PLAX"), "{said}");
}
