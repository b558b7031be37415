//! Providers and policies through the binary: what serves, what is refused, and who is told.

#![expect(clippy::unwrap_used, reason = "test helpers")]

mod plain;

use echocart_tests::{echocart, events, fetched, root, text};
use plain::{PLAIN, plain_package};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

const CPU_HASH: &str = "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083";

fn config(dir: &TempDir, engine: &str) -> PathBuf {
    let demo = std::fs::read_to_string(root().join("configs/carts/demo.toml")).unwrap();
    let rest = demo.split_once("[package]").unwrap().1;
    let text = format!("[engine]\nintra_op_threads = 2\n{engine}\n[package]{rest}");
    let path = dir.path().join("cart.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn doctor(config: &Path, package: &Path, more: &[&Path]) -> (Output, Value) {
    let mut command = echocart().unwrap();
    command.args(["doctor", "--json", "--config"]).arg(config);
    command.arg("--package").arg(package);
    for library in more {
        command.arg("--library").arg(library);
    }
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, report)
}

fn has_openvino() -> bool {
    if cfg!(target_arch = "x86_64") {
        fetched("lib/openvino-1.24.1").unwrap();
        return true;
    }
    println!("skipped: no OpenVINO library for this architecture");
    false
}

#[test]
fn a_variant_never_runs_on_a_provider_that_is_not_in_its_list() {
    if !has_openvino() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = fetched("packages/generated").unwrap();
    let strict = config(&dir, "providers = [\"OpenVINO\"]\npolicy = \"strict\"");
    let (output, report) = doctor(&strict, &demo, &[]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    let detail = report["policy"]["detail"].as_str().unwrap();
    assert!(
        detail.contains("no variant that OpenVINO may run"),
        "{detail}"
    );
}

#[test]
fn a_plain_graph_runs_wholly_on_openvino() {
    if !has_openvino() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    plain_package(
        &fetched("packages/generated").unwrap(),
        &package,
        &["OpenVINO"],
    )
    .unwrap();
    let strict = config(&dir, "providers = [\"OpenVINO\"]\npolicy = \"strict\"");
    let (output, report) = doctor(&strict, &package, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let nodes = report["policy"]["nodes"].as_object().unwrap();
    assert_eq!(nodes.keys().collect::<Vec<_>>(), ["OpenVINO"]);
    assert!(report["policy"]["detail"].as_str().unwrap().contains(PLAIN));
}

/// Here the plug-in is not fetched, or there is no driver for it.
#[test]
fn tensorrt_rtx_is_refused_with_what_is_missing_and_the_next_provider_serves() {
    if Path::new("/dev/nvidia0").exists() {
        println!("skipped: a GPU");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let generated = fetched("packages/generated").unwrap();
    plain_package(&generated, &package, &["TensorRT-RTX", "CPU"]).unwrap();
    let missing = |text: &str| {
        text.contains("runtime-libs --provider tensorrt-rtx") || text.contains("NVIDIA driver")
    };
    let strict = config(&dir, "providers = [\"TensorRT-RTX\"]\npolicy = \"strict\"");
    let (output, report) = doctor(&strict, &package, &[]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    let detail = report["policy"]["detail"].as_str().unwrap();
    assert!(missing(detail), "{detail}");
    let all = report["providers"].as_array().unwrap();
    let ours = all
        .iter()
        .find(|p| p["provider"] == "TensorRT-RTX")
        .unwrap();
    assert_eq!(ours["note"], "compiled, never run by us");
    assert!(missing(ours["problem"].as_str().unwrap()), "{ours}");
    let line = "providers = [\"TensorRT-RTX\", \"CPU\"]\npolicy = \"degrade\"";
    let (output, report) = doctor(&config(&dir, line), &package, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let degraded = report["policy"]["degraded"].as_str().unwrap();
    assert!(
        degraded.starts_with("TensorRT-RTX does not serve"),
        "{degraded}"
    );
    assert!(missing(degraded), "{degraded}");
    let hashes = format!("libraries = [\"{}\"]", "0".repeat(64));
    let line = "providers = [\"TensorRT-RTX\"]\npolicy = \"pinned\"\nvariant = \"fp32\"\n";
    let (output, _) = doctor(&config(&dir, &(line.to_owned() + &hashes)), &package, &[]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
}

#[test]
fn degrade_serves_with_the_next_provider_and_says_so_in_every_event() {
    let dir = tempfile::tempdir().unwrap();
    let degrade = config(
        &dir,
        "providers = [\"CUDA\", \"CPU\"]\npolicy = \"degrade\"",
    );
    let log = dir.path().join("events.jsonl");
    let mut run = echocart().unwrap();
    run.args([
        "run",
        "--headless",
        "--pace",
        "max",
        "--seconds",
        "3",
        "--source",
    ])
    .arg(fetched("data/color3d_jpeg_baseline.dcm").unwrap());
    run.arg("--package")
        .arg(fetched("packages/generated").unwrap());
    run.arg("--config").arg(&degrade).arg("--events").arg(&log);
    run.arg("--library")
        .arg(fetched("lib/onnxruntime-1.28.0/libonnxruntime.so.1.28.0").unwrap());
    let output = run.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let log = events(&log).unwrap();
    let told = log.iter().filter(|e| e["type"] != "summary");
    let mut estimates = 0;
    for event in told {
        let degraded = event["degraded"].as_str().unwrap_or_default();
        assert!(degraded.starts_with("CUDA does not serve"), "{event}");
        estimates += usize::from(event["type"] == "estimate");
    }
    assert!(estimates > 0);
}

#[test]
fn pinned_takes_approved_files_and_no_others() {
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: the hash is of the x86-64 library");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = fetched("packages/generated").unwrap();
    let engine = |variant: &str, hash: &str| {
        format!(
            "providers = [\"CPU\"]\npolicy = \"pinned\"\nvariant = \"{variant}\"\nlibraries = [\"{hash}\"]"
        )
    };
    let (output, _) = doctor(&config(&dir, &engine("fp32", CPU_HASH)), &demo, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let other = config(&dir, &engine("fp32", &"0".repeat(64)));
    let (output, report) = doctor(&other, &demo, &[]);
    assert_eq!(output.status.code(), Some(5));
    let detail = report["policy"]["detail"].as_str().unwrap();
    assert!(
        detail.contains("library not approved") && detail.contains(CPU_HASH),
        "{detail}"
    );
    let (output, report) = doctor(&config(&dir, &engine("int9", CPU_HASH)), &demo, &[]);
    assert_eq!(output.status.code(), Some(5));
    let detail = report["policy"]["detail"].as_str().unwrap();
    assert!(detail.contains("no variant int9"), "{detail}");
}

#[test]
fn the_doctor_names_a_damaged_library_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let demo = fetched("packages/generated").unwrap();
    let whole = fetched("lib/onnxruntime-1.28.0/libonnxruntime.so.1.28.0").unwrap();
    let bytes = std::fs::read(whole).unwrap();
    let cut = dir.path().join("libonnxruntime.so.1.28.0");
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let strict = config(&dir, "providers = [\"CPU\"]\npolicy = \"strict\"");
    let (output, report) = doctor(&strict, &demo, &[&cut]);
    assert_eq!(output.status.code(), Some(5));
    let cpu = &report["providers"][0];
    assert_eq!(
        (&cpu["provider"], &cpu["usable"]),
        (&"CPU".into(), &false.into())
    );
    let problem = cpu["problem"].as_str().unwrap();
    assert!(
        problem.contains("cargo xtask setup") && problem.contains("libonnxruntime"),
        "{problem}"
    );
}

#[test]
fn auto_measures_and_takes_one_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let auto = config(&dir, "providers = [\"CUDA\", \"CPU\"]\npolicy = \"auto\"");
    let (output, report) = doctor(&auto, &fetched("packages/generated").unwrap(), &[]);
    assert!(output.status.success(), "{}", text(&output));
    let detail = report["policy"]["detail"].as_str().unwrap();
    assert!(detail.contains("ms a clip"), "{detail}");
    assert!(detail.contains("CPU fp32 serves: the fastest"), "{detail}");
    assert!(detail.contains("passes the gate"), "{detail}");
    assert!(report["policy"]["gate"].is_string(), "{report}");
}
