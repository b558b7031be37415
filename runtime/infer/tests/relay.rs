//! One engine serves while another is made ready to take its place.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use echocart_core::config::{CartConfig, PackageConfig, Policy};
use echocart_core::package::Package;
use echocart_infer::worker::{WorkerSetup, engine_of};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The demonstration package with its fp32 variant for two providers, or none, said in one line.
fn package(dir: &Path) -> Option<Package> {
    let from = root().join(".echocart/packages/generated");
    if !from.is_dir() {
        println!("skipped: run `cargo xtask test` first (.echocart/packages/generated)");
        return None;
    }
    let to = dir.join("package");
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    let manifest = to.join("package.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let text = text.replace("\"CPU\", \"CUDA\"", "\"CPU\", \"CUDA\", \"OpenVINO\"");
    assert!(text.contains("OpenVINO"));
    std::fs::write(manifest, text).unwrap();
    Some(Package::open(&to, &PackageConfig::ANY).unwrap())
}

fn setup(first: &str, root: PathBuf) -> WorkerSetup {
    let mut engine = CartConfig::demo().unwrap().engine;
    engine.policy = Policy::Degrade;
    engine.providers = vec![first.to_owned(), "CPU".to_owned()];
    engine.meanwhile = Some("CPU".to_owned());
    WorkerSetup::new(env!("CARGO_BIN_EXE_echocart-worker"), engine, root)
}

fn clip(package: &Package, seed: f32) -> Vec<Arc<Vec<f32>>> {
    let encoder = &package.manifest.encoder;
    let block = encoder.tokens_per_tubelet() * encoder.row();
    (0..encoder.tubelets())
        .map(|t| {
            let value = |i: usize| ((i * 7 + t * 13) as f32 * 0.01 + seed).sin();
            Arc::new((0..block).map(value).collect())
        })
        .collect()
}

#[test]
fn a_wanted_engine_that_cannot_be_made_leaves_the_other_one_serving_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let Some(package) = package(dir.path()) else {
        return;
    };
    let lib = dir.path().join(".echocart/lib");
    std::fs::create_dir_all(&lib).unwrap();
    let plain = root()
        .canonicalize()
        .unwrap()
        .join(".echocart/lib/onnxruntime-1.28.0");
    std::os::unix::fs::symlink(plain, lib.join("onnxruntime-1.28.0")).unwrap();
    let setup = setup("OpenVINO", dir.path().into());
    let mut relay = engine_of(setup, &package, false, &mut |_| {}, None).unwrap();
    let (clip, begin) = (clip(&package, 0.0), Instant::now());
    let degraded = loop {
        assert!(
            begin.elapsed() < Duration::from_secs(300),
            "{:?}",
            relay.info()
        );
        let _ = relay.encode(&clip, 0);
        let degraded = relay.info().degraded.unwrap_or_default();
        if degraded.starts_with("OpenVINO does not serve: ") {
            break degraded;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(
        degraded.contains("runtime-libs --provider openvino"),
        "{degraded}"
    );
    assert_eq!(relay.info().provider, "CPU");
    relay.encode(&clip, 0).unwrap();
}
