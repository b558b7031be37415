//! Every recipe of the repository loads, and a wrong one names its key.

use crate::writer::RECIPE;
use echocart_core::manifest::{HeadOutput, Trained};
use echocart_export::{ExportError, Recipe};
use std::path::Path;

fn recipes() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/models")
}

#[test]
fn every_recipe_of_the_repository_loads() {
    let mut seen = 0;
    for entry in std::fs::read_dir(recipes()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            Recipe::open(&path).unwrap();
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

#[test]
fn the_demo_recipe_says_what_it_is() {
    let recipe = Recipe::open(&recipes().join("demo.toml")).unwrap();
    assert_eq!(recipe.card.trained, Trained::Untrained);
    for word in [
        "untrained",
        "generated",
        "no clinical meaning",
        "threshold is 0",
        "every view",
    ] {
        assert!(recipe.card.text.replace('\n', " ").contains(word), "{word}");
    }
    assert_eq!(recipe.view.threshold, 0.0);
    let HeadOutput::Classification { labels } = &recipe.heads["view"].output else {
        panic!("view is no classification")
    };
    let HeadOutput::Regression { required_views, .. } = &recipe.heads["lvef"].output else {
        panic!("lvef is no regression")
    };
    assert_eq!(labels.len(), 13);
    assert_eq!(labels, required_views);
}

#[track_caller]
fn refused(from: &str, to: &str) -> String {
    assert!(RECIPE.contains(from), "{from}");
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("wrong.toml");
    std::fs::write(&path, RECIPE.replacen(from, to, 1)).unwrap();
    let error = Recipe::open(&path).unwrap_err();
    assert!(matches!(error, ExportError::Settings { .. }));
    let error = error.to_string();
    assert!(
        !error.contains('\n') && error.ends_with(&format!("({})", path.display())),
        "{error}"
    );
    error
}

#[test]
fn a_wrong_recipe_names_its_key() {
    for (from, to, key) in [
        ("hop_slots = 2", "hop_slots = 3", "sampling.hop_slots"),
        ("rate_hz = 8.0", "rate_hz = 8.0\nrate = 1", "rate"),
        ("patch_px = 16", "", "patch_px"),
        ("threshold = 0.0", "threshold = 1.5", "view.threshold"),
        ("depth = 1", "depth = 0", "heads.view.depth"),
        ("heads = 3 ", "heads = 5 ", "encoder.heads"),
        ("id = \"echojepa-demo\"", "id = \"Echo Demo\"", "id"),
        ("size_px = 128", "size_px = 100, width_px = 2", "steps"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(key), "{error}");
    }
}
