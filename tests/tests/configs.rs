//! Every file in `configs/` loads; every file in `cases/config` fails and says what is wrong.

use echocart_core::config::CartConfig;
use echocart_export::Recipe;
use std::path::{Path, PathBuf};

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "toml"));
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

#[test]
fn every_cart_config_loads() {
    for file in toml_files(&echocart_tests::root().join("configs/carts")) {
        let text = std::fs::read_to_string(&file).unwrap();
        CartConfig::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

#[test]
fn every_recipe_loads() {
    for file in toml_files(&echocart_tests::root().join("configs/models")) {
        Recipe::open(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

#[test]
fn every_bad_cart_config_says_what_is_wrong() {
    for file in toml_files(&echocart_tests::root().join("tests/cases/config")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected = text
            .lines()
            .next()
            .unwrap()
            .strip_prefix("# expect: ")
            .unwrap();
        let error = CartConfig::parse(&text).expect_err(&file.display().to_string());
        let found = error.to_string();
        assert!(found.contains(expected), "{}: {found}", file.display());
    }
}
