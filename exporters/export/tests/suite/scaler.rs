//! Mean and standard deviation from pickles that nobody executes.

use crate::writer::RECIPE;
use echocart_export::{
    ExportError, ExportRequest, Recipe, RecipeOutput, WeightSource, export, read_scaler,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MEAN: f64 = 56.75;
const STD: f64 = 13.102957681378658;

fn data(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/scaler");
    tests.join(name)
}

fn read(bytes: &[u8]) -> Result<(f64, f64), ExportError> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("scaler.pkl");
    std::fs::write(&path, bytes).unwrap();
    read_scaler(&path)
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let error = read(bytes).unwrap_err();
    assert!(matches!(error, ExportError::Settings { .. }), "{error}");
    let error = error.to_string();
    assert!(
        error.starts_with("scaler: ") && error.ends_with("scaler.pkl)"),
        "{error}"
    );
    assert!(error.contains(expected) && !error.contains('\n'), "{error}");
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from);
    let at = at.expect("the bytes to replace");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn plain() -> Vec<u8> {
    std::fs::read(data("sklearn-1.8.0-p4.pkl")).unwrap()
}

const NUMBERS: &str = "mean = 57.06                # bowang-lab/EchoJEPA@70a8a7a, LVEF inference \
                       config\nstd = 11.33                 # likewise\n";

fn recipe(numbers: &str) -> Result<Recipe, ExportError> {
    assert!(RECIPE.contains(NUMBERS));
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recipe.toml");
    std::fs::write(&path, RECIPE.replace(NUMBERS, numbers)).unwrap();
    Recipe::open(&path)
}

fn scalers(head: &str, file: &str) -> BTreeMap<String, PathBuf> {
    [(head.to_owned(), data(file))].into()
}

#[test]
fn a_recipe_takes_mean_and_std_from_a_scaler_that_it_asks_for() {
    let recipe = recipe("scaler = \"file\"\n").unwrap();
    let dir = TempDir::new().unwrap();
    let export = |recipe: &Recipe| {
        let source = WeightSource::Generated("t".to_owned());
        let request = ExportRequest {
            recipe: recipe.clone(),
            encoder: source.clone(),
            probes: ["view", "lvef"]
                .map(|name| (name.to_owned(), source.clone()))
                .into(),
            out_dir: dir.path().join("p"),
            replace: false,
        };
        export(&request, &mut |_, _, _| ControlFlow::Continue(()))
    };
    let error = export(&recipe).unwrap_err().to_string();
    let expected = "heads.lvef.output.scaler: expected a scaler file for the head, found none";
    assert!(error.contains(expected), "{error}");
    let files = scalers("lvef", "sklearn-1.5.2-p2.pkl");
    let manifest = export(&recipe.with_scalers(&files).unwrap())
        .unwrap()
        .manifest;
    let text = toml::to_string(&manifest.heads["lvef"]).unwrap();
    assert!(
        text.contains(&format!("mean = {MEAN}\nstd = {STD}\n")),
        "{text}"
    );
}

#[test]
fn a_scaler_that_contradicts_the_recipe_names_both_numbers() {
    let files = scalers("lvef", "sklearn-1.8.0-p4.pkl");
    let same = recipe(&format!("mean = {MEAN}\nstd = {STD}\n")).unwrap();
    let taken = same.clone().with_scalers(&files).unwrap();
    assert_eq!(same, taken);
    for (numbers, part, stated, found) in [
        (format!("mean = 56.7\nstd = {STD}\n"), "mean", 56.7, MEAN),
        (format!("mean = {MEAN}\nstd = 13.1\n"), "std", 13.1, STD),
    ] {
        let error = recipe(&numbers)
            .unwrap()
            .with_scalers(&files)
            .unwrap_err()
            .to_string();
        let expected = format!(
            "scaler: expected the recipe's heads.lvef.output.{part} = {stated}, found {found} ("
        );
        assert!(
            error.starts_with(&expected) && error.ends_with("p4.pkl)"),
            "{error}"
        );
    }
}

#[test]
fn a_recipe_says_both_numbers_or_that_they_come_from_a_file() {
    for (numbers, expected) in [
        ("", "heads.lvef.output.mean: expected a number, or scaler"),
        (
            "std = 1.0\n",
            "heads.lvef.output.mean: expected a number, or scaler",
        ),
        (
            "mean = 1.0\n",
            "heads.lvef.output.std: expected a number, or scaler",
        ),
        (
            "mean = 1.0\nscaler = \"file\"\n",
            "heads.lvef.output.scaler: expected no such key",
        ),
        ("scaler = \"sklearn\"\n", "sklearn"),
        ("mean = 1.0\nstd = 0.0\n", "heads.lvef.mean/std"),
    ] {
        let error = recipe(numbers).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_scaler_is_for_a_regression_head_and_a_regular_file() {
    let recipe = recipe("scaler = \"file\"\n").unwrap();
    for head in ["view", "rvsp", ""] {
        let files = scalers(head, "sklearn-1.8.0-p4.pkl");
        let error = recipe.clone().with_scalers(&files).unwrap_err().to_string();
        let expected =
            format!("scaler: expected the name of a regression head of the recipe, found {head}");
        assert_eq!(error, expected);
    }
    for odd in [Path::new("/dev/zero"), &data("")] {
        let files = [("lvef".to_owned(), odd.to_owned())].into();
        let error = recipe.clone().with_scalers(&files).unwrap_err().to_string();
        assert!(error.contains("expected a regular file"), "{error}");
    }
    let RecipeOutput::Regression { mean, std, .. } = &recipe.heads["lvef"].output else {
        panic!("lvef is no regression")
    };
    assert_eq!((mean, std), (&None, &None));
}

#[test]
fn scalers_of_both_layouts_and_of_every_protocol_are_read() {
    for version in ["1.5.2", "1.8.0"] {
        for protocol in [2, 4, 5] {
            let path = data(&format!("sklearn-{version}-p{protocol}.pkl"));
            assert_eq!(
                read_scaler(&path).unwrap(),
                (MEAN, STD),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn a_scaler_of_several_features_or_without_a_scale_is_refused() {
    let bytes = |name: &str| std::fs::read(data(name)).unwrap();
    refused(
        &bytes("two-features.pkl"),
        "mean_: expected an array of one feature, found shape [2]",
    );
    refused(
        &bytes("without-std.pkl"),
        "with_std: expected true, found another value",
    );
    refused(
        &bytes("joblib.pkl"),
        "found joblib.numpy_pickle.NumpyArrayWrapper",
    );
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let number = |from: f64, to: f64| replaced(&plain(), &from.to_le_bytes(), &to.to_le_bytes());
    refused(
        &number(MEAN, f64::NAN),
        "mean_: expected a finite number, found NaN",
    );
    refused(
        &number(STD, f64::INFINITY),
        "scale_: expected a finite number above 0, found inf",
    );
    refused(
        &number(STD, -STD),
        "scale_: expected a finite number above 0, found -13.1",
    );
    refused(
        &number(STD, 1.0),
        "scale_: expected the root of var_, 13.1029",
    );
    assert_eq!(read(&number(MEAN, 0.0)).unwrap(), (0.0, STD));
}

#[test]
fn another_class_type_or_state_is_refused() {
    let edit = |from: &[u8], to: &[u8]| replaced(&plain(), from, to);
    refused(
        &edit(b"StandardScaler", b"MinMaxScaler__"),
        "found sklearn.preprocessing._data.MinMaxScaler__",
    );
    refused(
        &edit(b"numpy._core", b"numpy._test"),
        "found numpy._test.multiarray.scalar",
    );
    refused(
        &edit(b"f8", b"f4"),
        "mean_: expected 64-bit little-endian floats",
    );
    refused(
        &edit(b"\x8c\x01<", b"\x8c\x01>"),
        "mean_: expected 64-bit little-endian floats",
    );
    refused(
        &edit(b"mean_", b"Mean_"),
        "mean_: expected a fitted scaler that has it, found none",
    );
    refused(
        b"\x80\x04}.",
        "expected a fitted StandardScaler, found a dict",
    );
    refused(
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        "found posix.system",
    );
    refused(
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
        "found builtins.eval",
    );
    refused(b"", "pickle ends early");
    refused(&[b'N'; 70_000], "expected at most 65536 bytes, found more");
}

#[test]
fn a_tensor_has_no_place_in_a_scaler_and_a_scaler_none_in_a_checkpoint() {
    refused(
        b"\x80\x02ctorch\nFloatStorage\n.",
        "found torch.FloatStorage",
    );
    let error = echocart_export::pickle::parse(&plain())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("found sklearn.preprocessing._data.StandardScaler"),
        "{error}"
    );
    let error = echocart_export::pickle::parse(b"\x80\x02))\x81.")
        .unwrap_err()
        .to_string();
    assert!(error.contains("found 0x81"), "{error}");
}

#[test]
fn every_prefix_of_a_scaler_is_refused() {
    let bytes = plain();
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn a_mutated_scaler_never_panics(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        version in 0_usize..6,
    ) {
        let names = ["1.5.2-p2", "1.5.2-p4", "1.5.2-p5", "1.8.0-p2", "1.8.0-p4", "1.8.0-p5"];
        let mut bytes = std::fs::read(data(&format!("sklearn-{}.pkl", names[version]))).unwrap();
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok((mean, std)) = read(&bytes) {
            prop_assert!(mean.is_finite() && std.is_finite() && std > 0.0);
        }
    }
}
