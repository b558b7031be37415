//! Golden clips: made at export, run again, and noticing what has changed.

use crate::writer::tiny_recipe;
use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::frame::{Frame, FrameMeta, PixelFormat};
use echocart_core::golden::{self, Check};
use echocart_core::manifest::{LVEF, Mask, Measured, Step, Tokens, VIEW};
use echocart_core::package::Package;
use echocart_export::{
    ExportError, ExportReport, ExportRequest, GoldenFrames, GoldenPlan, PlainVariant, Recipe,
    WeightSource, export_with_golden,
};
use echocart_infer::{EngineOptions, Library, OrtEngine, Provider, choose, default_library_path};
use std::ops::ControlFlow;
use std::path::Path;
use tempfile::TempDir;

fn library() -> Library {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Library::load(&default_library_path(&root)).unwrap()
}

fn export(
    recipe: Recipe,
    out_dir: &Path,
    frames: GoldenFrames,
) -> Result<ExportReport, ExportError> {
    export_variants(recipe, out_dir, frames, Vec::new())
}

fn export_variants(
    recipe: Recipe,
    out_dir: &Path,
    frames: GoldenFrames,
    variants: Vec<PlainVariant>,
) -> Result<ExportReport, ExportError> {
    let library = library();
    let mut make_engine = |package: &Package, name: &str| -> Result<Box<dyn Engine>, String> {
        let options = EngineOptions {
            any_variant: true,
            ..EngineOptions::new(Provider::Cpu, 1)
        };
        let engine = OrtEngine::open_on(&library, package, name, options);
        Ok(Box::new(engine.map_err(|e| e.to_string())?))
    };
    let source = WeightSource::Generated("tag".to_owned());
    let request = ExportRequest {
        recipe,
        encoder: source.clone(),
        probes: [VIEW, LVEF]
            .map(|name| (name.to_owned(), source.clone()))
            .into(),
        out_dir: out_dir.to_owned(),
        replace: false,
    };
    let plan = GoldenPlan {
        frames,
        make_engine: &mut make_engine,
        variants,
    };
    let mut last = (0, 0);
    let report = export_with_golden(&request, Some(plan), &mut |_, done, total| {
        assert!(done <= total, "{done} of {total}");
        last = (done, total);
        ControlFlow::Continue(())
    });
    if report.is_ok() {
        assert_eq!(last.0, last.1);
    }
    report
}

fn verify(dir: &Path) -> Vec<Check> {
    let package = Package::open(dir, &PackageConfig::ANY).unwrap();
    let mut engine = OrtEngine::open(&library(), &package, "fp32", 1).unwrap();
    let mut go_on = |_: &str| ControlFlow::Continue(());
    golden::verify(&package, "fp32", &mut engine, &mut go_on).unwrap()
}

#[test]
fn the_pattern_fits_every_geometry_and_sampling_and_verifies() {
    let squash = |width_px, height_px| Step::Squash {
        width_px,
        height_px,
    };
    let crop = |width_px, height_px| Step::CentreCrop {
        width_px,
        height_px,
    };
    let boxes = Mask::Boxes {
        after_steps: 0,
        boxes: vec![[0.0, 0.0, 0.5, 0.25]],
    };
    let size = |recipe: &Recipe| {
        (
            recipe.encoder.width_px as u32,
            recipe.encoder.height_px as u32,
        )
    };
    let (width_px, height_px) = size(&tiny_recipe());
    let plain = vec![squash(width_px, height_px)];
    let large_crop = vec![crop(700, 500), squash(width_px, height_px)];
    for (steps, mask, rate_hz, max_skew_millis) in [
        (plain.clone(), Mask::None, 8.0, 60.0),
        (plain.clone(), boxes, 0.5, 1000.0),
        (plain, Mask::None, 240.0, 1e-9),
        (large_crop, Mask::None, 29.97, 5.0),
    ] {
        let dir = TempDir::new().unwrap();
        let mut recipe = tiny_recipe();
        recipe.preprocess.steps = steps;
        recipe.preprocess.mask = mask;
        recipe.sampling.rate_hz = rate_hz;
        recipe.sampling.max_skew_millis = max_skew_millis;
        let out = dir.path().join("p");
        let report = export(recipe, &out, GoldenFrames::Synthetic).unwrap();
        assert_eq!(report.manifest.golden.len(), 2);
        let checks = verify(&out);
        assert_eq!(checks.len(), 2 * (1 + 4));
        assert!(checks.iter().all(Check::passed), "{checks:?}");
    }
}

#[test]
fn two_exports_have_the_same_golden_files() {
    let dir = TempDir::new().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let a = export(tiny_recipe(), &a, GoldenFrames::Synthetic).unwrap();
    let b = export(tiny_recipe(), &b, GoldenFrames::Synthetic).unwrap();
    assert_eq!(a.hash, b.hash);
    assert!(a.manifest.files.contains_key("golden.heart2.frames"));
}

#[test]
fn each_head_without_weights_is_found() {
    for name in [VIEW, LVEF] {
        let dir = TempDir::new().unwrap();
        let out = dir.path().join("p");
        export(tiny_recipe(), &out, GoldenFrames::Synthetic).unwrap();
        let path = out.join(format!("head.{name}.fp32.weights"));
        let zeros = vec![0; std::fs::read(&path).unwrap().len()];
        std::fs::write(&path, &zeros).unwrap();
        let manifest = out.join("package.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let before = &toml::from_str::<echocart_core::manifest::Manifest>(&text)
            .unwrap()
            .files[&format!("head.{name}.fp32.weights")]
            .sha256;
        let after = echocart_core::hash::sha256_hex(&zeros);
        std::fs::write(&manifest, text.replace(before, &after)).unwrap();
        for check in verify(&out) {
            let zeroed = check.output.starts_with(&format!("head {name} "));
            assert_eq!(check.passed(), !zeroed, "{check:?}");
        }
    }
}

#[test]
fn plain_variants_are_measured_and_chosen_where_they_run() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("p");
    let words = [
        "fp32-plain",
        "fp16-plain",
        "fp32-plain:392",
        "fp16-plain:245",
    ];
    let variants = words.map(|word| word.parse().unwrap()).into();
    let report = export_variants(tiny_recipe(), &out, GoldenFrames::Synthetic, variants).unwrap();
    let manifest = &report.manifest;
    let within = |name: &str| {
        let variant = &manifest.variants[name];
        let Measured::Run {
            tokens_relative_rms,
            token_cosine_worst,
            clips,
            ..
        } = variant.measured
        else {
            panic!("{name}: {:?}", variant.measured)
        };
        assert_eq!(clips, 2);
        assert!(token_cosine_worst > 0.999, "{name}: {token_cosine_worst}");
        let most = variant.tolerance.tokens_relative_rms;
        assert!(tokens_relative_rms <= most, "{name}: {tokens_relative_rms}");
        tokens_relative_rms
    };
    assert!(within("fp32-plain") < within("fp16-plain"));
    within("fp32-plain-k392");
    let bucket = &manifest.variants["fp16-plain-k245"];
    assert_eq!(bucket.tokens, Tokens::Exactly(245));
    within("fp16-plain-k245");
    assert_eq!(choose(manifest, Provider::OpenVino), Ok("fp32-plain"));
    assert_eq!(choose(manifest, Provider::TensorRt), Ok("fp16-plain"));
    assert_eq!(choose(manifest, Provider::TensorRtRtx), Ok("fp16-plain"));
    assert_eq!(choose(manifest, Provider::Cpu), Ok("fp32"));
    let weights = manifest
        .files
        .keys()
        .filter(|name| name.ends_with(".weights"));
    assert_eq!(weights.count(), 6, "fp32's and fp16's, each once");
    let package = Package::open(&out, &PackageConfig::ANY).unwrap();
    assert_eq!(package.manifest, report.manifest);
}

fn recorded(period_millis: i64, count: i64) -> Vec<Frame> {
    let frame = |number: i64| {
        let meta = FrameMeta {
            width_px: 37,
            height_px: 41,
            format: PixelFormat::Gray8,
            capture_nanos: 5_000_000_000 + number * period_millis * 1_000_000,
            pass: 3,
            host: Default::default(),
        };
        Frame {
            meta,
            pixels: vec![(number * 7 % 251) as u8; meta.frame_bytes()],
        }
    };
    (0..count).map(frame).collect()
}

#[test]
fn recorded_frames_get_in_with_a_permission_that_the_card_repeats() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("p");
    let given = |clips, permission: &str| GoldenFrames::Given {
        clips,
        permission: permission.to_owned(),
    };
    let clips = vec![recorded(20, 200), recorded(17, 200)];
    let report = export(tiny_recipe(), &out, given(clips, "CC0, a hospital")).unwrap();
    let manifest = &report.manifest;
    assert!(manifest.card.text.contains("CC0, a hospital"));
    let golden = &manifest.golden["recorded1"];
    assert!(golden.origin.contains("CC0, a hospital"));
    let slots = manifest.encoder.frames as u64;
    let frame_bytes = 37 * 41 + 40;
    assert!(manifest.files[&golden.frames].bytes <= 32 + 2 * slots * frame_bytes);
    assert!(verify(&out).iter().all(Check::passed));

    for (clips, permission, words) in [
        (vec![recorded(20, 200)], " ", "who permits"),
        (vec![], "yes", "1 to 2 sources"),
        (vec![recorded(20, 200); 3], "yes", "1 to 2 sources"),
        (vec![recorded(20, 5)], "yes", "expected frames for"),
        (vec![recorded(700, 50)], "yes", "found none"),
    ] {
        let out = dir.path().join("refused");
        let error = export(tiny_recipe(), &out, given(clips, permission)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!out.exists());
    }
}
