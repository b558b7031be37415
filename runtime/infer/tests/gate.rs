//! The parity gate on the demo's package, as it is and with one head's weights zeroed.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use echocart_core::config::{CartConfig, PackageConfig, Policy};
use echocart_core::engine::Engine;
use echocart_core::hash;
use echocart_core::package::Package;
use echocart_infer::{
    EngineOptions, Libraries, Library, OrtEngine, Passed, Provider, SelectError,
    default_library_path, open_proven,
};
use std::fs;
use std::path::{Path, PathBuf};

const ZEROED: &str = "head.lvef.fp32.weights";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn demo() -> PathBuf {
    root().join(".echocart/packages/generated")
}

fn zeroed(to: &Path) -> PathBuf {
    let mut manifest = fs::read_to_string(demo().join("package.toml")).unwrap();
    for entry in fs::read_dir(demo()).unwrap() {
        let from = entry.unwrap().path();
        let name = from.file_name().unwrap();
        let mut bytes = fs::read(&from).unwrap();
        if name == ZEROED {
            let whole = hash::sha256_hex(&bytes);
            bytes.fill(0);
            assert!(manifest.contains(&whole));
            manifest = manifest.replace(&whole, &hash::sha256_hex(&bytes));
        }
        fs::write(to.join(name), bytes).unwrap();
    }
    fs::write(to.join("package.toml"), manifest).unwrap();
    to.to_owned()
}

fn open(
    package: &Path,
    policy: Policy,
    cache: Option<&Path>,
) -> Result<(OrtEngine, Passed), SelectError> {
    let mut config = CartConfig::demo().unwrap().engine;
    config.policy = policy;
    let package = Package::open(package, &PackageConfig::ANY).unwrap();
    let root = root();
    open_proven(
        &config,
        Libraries::Under(&root),
        &package,
        cache,
        &mut |_| {},
    )
}

#[test]
fn a_limit_on_gpu_memory_holds_the_weights_before_a_graph_is_opened() {
    let package = Package::open(&demo(), &PackageConfig::ANY).unwrap();
    let library = Library::load(&default_library_path(&root())).unwrap();
    let error = |provider, gpu_memory| {
        let options = EngineOptions {
            gpu_memory: Some(gpu_memory),
            any_variant: true,
            ..EngineOptions::new(provider, 1)
        };
        let opened = OrtEngine::open_on(&library, &package, "fp32", options);
        opened.err().map(|error| error.to_string())
    };
    let bytes = |name: &str| package.manifest.files[name].bytes;
    let encoder = bytes("encoder.fp32.onnx") + bytes("encoder.fp32.weights");
    let graphs = ["head.lvef", "head.view"].map(|head| {
        let each = |segments: u8| bytes(&format!("{head}.s{segments}.fp32.onnx"));
        each(1) + each(2) + 2 * bytes(&format!("{head}.fp32.weights"))
    });
    let weights = encoder + graphs.iter().sum::<u64>();
    let least = weights + weights / 50;
    let words = error(Provider::Cuda, least - 1).unwrap();
    let expected = format!("at least {least}, which the graphs' weights take");
    assert!(words.contains(&expected), "{words}");
    let words = error(Provider::Cuda, least).unwrap();
    assert!(
        words.contains("provider: expected one of the loaded library"),
        "{words}"
    );
    assert_eq!(error(Provider::Cpu, 1), None);
}

#[test]
fn a_proven_variant_serves_and_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("gate");
    let (mut engine, first) = open(&demo(), Policy::Strict, Some(&cache)).unwrap();
    assert!(!first.cached, "{}", first.words);
    assert!(first.timings.as_ref().is_some_and(|t| t.encode_nanos > 0));
    engine.tokens(0, &mut Vec::new()).unwrap_err();
    let (_, second) = open(&demo(), Policy::Strict, Some(&cache)).unwrap();
    assert!(
        second.cached && second.timings == first.timings,
        "{}",
        second.words
    );
}

#[test]
fn a_rehashed_head_without_weights_is_named_and_leaves_no_proof() {
    let dir = tempfile::tempdir().unwrap();
    let package = zeroed(dir.path());
    let other = tempfile::tempdir().unwrap();
    let cache = other.path().join("gate");
    for policy in [Policy::Strict, Policy::Degrade] {
        for _ in 0..2 {
            let error = open(&package, policy, Some(&cache))
                .map(|_| ())
                .unwrap_err();
            assert!(matches!(error, SelectError::Gate(_)), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("fp32 on CPU") && text.contains("head lvef"),
                "{text}"
            );
        }
    }
}

#[test]
fn without_a_safe_folder_the_clips_run_and_the_reason_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let (_, passed) = open(&demo(), Policy::Strict, Some(&file)).unwrap();
    assert!(
        !passed.cached && passed.words.contains("not kept"),
        "{}",
        passed.words
    );
}
