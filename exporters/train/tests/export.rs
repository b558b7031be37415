//! What the trainer computes is what the exported graphs compute.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::manifest::{LVEF, VIEW};
use echocart_core::package::Package;
use echocart_export::{ExportRequest, Recipe, WeightSource, export};
use echocart_infer::{Library, OrtEngine, default_library_path};
use echocart_phantom::Random;
use echocart_train::augment::{MEAN, STD};
use echocart_train::encoder_file;
use echocart_train::fit::Fitted;
use echocart_train::jepa::Jepa;
use echocart_train::net::attention::Tokens;
use echocart_train::net::params::Layout;
use echocart_train::net::predictor::PredictorSize;
use echocart_train::net::vit::{PATCH, Size};
use echocart_train::probing::{EF_MEAN, EF_STD, VIEWS};
use echocart_train::store::{Width, tensors, write};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn recipe_path() -> PathBuf {
    root().join("configs/models/standin.toml")
}

fn size(recipe: &Recipe) -> Size {
    Size {
        side_px: recipe.encoder.width_px,
        dim: recipe.encoder.dim,
        depth: recipe.encoder.depth,
        heads: recipe.encoder.heads,
    }
}

/// Weights far from where a training starts, so that every tensor counts.
fn shaken(layout: &Layout, count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed, 3);
    let drawn: Vec<f32> = layout.draw(seed);
    let drawn = drawn.into_iter().take(count);
    drawn.map(|value| value + 0.05 * random.normal()).collect()
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-4, "{found} {expected}");
    }
}

#[test]
fn the_recipe_says_what_the_trainer_does() {
    let text = std::fs::read_to_string(recipe_path()).unwrap();
    let recipe = Recipe::open(&recipe_path()).unwrap();
    assert_eq!(recipe.preprocess.mean, [MEAN; 3]);
    assert_eq!(recipe.preprocess.std, [STD; 3]);
    assert_eq!(recipe.heads[VIEW].output.labels(), VIEWS);
    assert!(text.contains(&format!("mean = {EF_MEAN:.1}")));
    assert!(text.contains(&format!("std = {EF_STD:.1}")));
}

#[test]
fn the_exported_graphs_give_what_the_trainer_gives() {
    let recipe = Recipe::open(&recipe_path()).unwrap();
    let dir = TempDir::new().unwrap();
    let predictor = PredictorSize {
        dim: 16,
        depth: 1,
        heads: 1,
    };
    let jepa: Jepa<f32> = Jepa::new(size(&recipe), predictor);
    let weights = shaken(&jepa.layout, jepa.encoder_len, 1);
    let encoder_path = dir.path().join(encoder_file::NAME);
    encoder_file::write(&encoder_path, &jepa.encoder, &jepa.layout, &weights).unwrap();
    let back = encoder_file::read(&encoder_path, &jepa.layout, jepa.encoder_len).unwrap();
    assert_eq!(back.len(), weights.len());
    for (back, weight) in back.iter().zip(&weights) {
        let rounded = (back - weight).abs() <= weight.abs() / 256.0;
        assert!(rounded, "{back} in 16 bits of {weight}");
    }
    let weights = back;

    let shape = (recipe.encoder.dim, 2);
    let mut probes = BTreeMap::new();
    let mut fitted = BTreeMap::new();
    for (name, last, outputs) in [(VIEW, "linear", VIEWS.len()), (LVEF, "regressor", 1)] {
        let mut probe = Fitted::start(shape, last, outputs, 2);
        probe.params = shaken(&probe.layout, probe.params.len(), 5);
        let path = dir.path().join(format!("{name}.safetensors"));
        write(
            &path,
            &tensors(&probe.layout, &probe.params, ""),
            Width::Full,
        )
        .unwrap();
        probes.insert(name.to_owned(), WeightSource::Checkpoint(path));
        fitted.insert(name, probe);
    }
    let request = ExportRequest {
        encoder: WeightSource::Checkpoint(encoder_path),
        out_dir: dir.path().join("package"),
        replace: false,
        recipe,
        probes,
    };
    let report = export(&request, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    let library = Library::load(&default_library_path(&root())).unwrap();
    let package = Package::open(&report.dir, &PackageConfig::ANY).unwrap();
    let mut engine = OrtEngine::open(&library, &package, "fp32", 1).unwrap();

    let mut random = Random::new(9, 1);
    let tokens = jepa.encoder.size.tokens();
    let grey: Vec<f32> = (0..tokens * PATCH).map(|_| random.normal()).collect();
    let colour: Vec<f32> = grey.chunks(PATCH).flat_map(|row| row.repeat(3)).collect();
    let block = colour.len() / 8;
    let tubelets: Vec<Arc<Vec<f32>>> = colour
        .chunks(block)
        .map(|block| Arc::new(block.to_vec()))
        .collect();
    engine.encode(&tubelets, 0).unwrap();
    let mut found = Vec::new();
    engine.tokens(0, &mut found).unwrap();
    let expected = jepa.encoder.infer(&weights, &grey, &Tokens::all(tokens));
    assert_close(&found, &expected);
    for (name, probe) in fitted {
        let mut found = Vec::new();
        engine.head(name, &[0], &mut found).unwrap();
        assert_close(&found, &probe.answers(&[&expected], 1)[0]);
    }
}
