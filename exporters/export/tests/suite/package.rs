//! What `export` writes.

use crate::writer::{
    encoder_state, probe_file, probe_state, save, tiny_recipe, training_checkpoint,
};
use echocart_core::config::PackageConfig;
use echocart_core::manifest::{LVEF, Trained, VIEW};
use echocart_core::package::Package;
use echocart_export::{ExportError, ExportReport, ExportRequest, WeightSource, export};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use tempfile::TempDir;

fn generated(out_dir: &Path) -> ExportRequest {
    let source = WeightSource::Generated("tag".to_owned());
    ExportRequest {
        recipe: tiny_recipe(),
        encoder: source.clone(),
        probes: [VIEW, LVEF]
            .map(|name| (name.to_owned(), source.clone()))
            .into(),
        out_dir: out_dir.to_owned(),
        replace: false,
    }
}

fn quiet(request: &ExportRequest) -> Result<ExportReport, ExportError> {
    export(request, &mut |_, _, _| ControlFlow::Continue(()))
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_package_opens_and_two_exports_are_the_same_bytes() {
    let dir = TempDir::new().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("deep/b"));
    let report = quiet(&generated(&a)).unwrap();
    quiet(&generated(&b)).unwrap();
    assert_eq!(files(&a), files(&b));
    let package = Package::open(&a, &PackageConfig::ANY).unwrap();
    assert_eq!(package.hash, report.hash);
    assert_eq!(package.manifest, report.manifest);
    assert_eq!(package.manifest.checkpoint.source, "generated:tag");
    assert_eq!(names(dir.path()), ["a", "deep"]);
}

#[test]
fn a_checkpoint_gives_the_same_graphs_as_the_weights_it_holds() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    save(&path("encoder.pt"), &training_checkpoint(encoder_state()));
    let heads = |name| vec![probe_state(name, "decoy"), probe_state(name, "right")];
    save(&path("view.pt"), &probe_file(heads(VIEW), &[50.0, 60.0]));
    save(&path("lvef.pt"), &probe_file(heads(LVEF), &[6.0, 5.0]));
    let mut request = generated(&path("from_files"));
    request.encoder = WeightSource::Checkpoint(path("encoder.pt"));
    request.probes = [(VIEW, "view.pt"), (LVEF, "lvef.pt")]
        .map(|(name, file)| (name.to_owned(), WeightSource::Checkpoint(path(file))))
        .into();
    let report = quiet(&request).unwrap();
    let mut request = generated(&path("from_tag"));
    let right = WeightSource::Generated("right".to_owned());
    request.encoder = right.clone();
    request
        .probes
        .values_mut()
        .for_each(|source| *source = right.clone());
    quiet(&request).unwrap();

    let (mut a, mut b) = (files(&path("from_files")), files(&path("from_tag")));
    assert_ne!(a.remove("package.toml"), b.remove("package.toml"));
    assert_eq!(a, b);
    assert_eq!(report.manifest.heads[VIEW].classifier_index, 1);
    assert!(
        report.manifest.heads[LVEF]
            .classifier_choice
            .contains("lowest val_acc_per_head, 5")
    );
    assert_eq!(report.manifest.checkpoint.source, "encoder.pt");
    assert_eq!(report.manifest.checkpoint.key, "target_encoder");
}

#[test]
fn generated_weights_are_untrained_whatever_the_recipe_says() {
    let dir = TempDir::new().unwrap();
    let mut request = generated(&dir.path().join("p"));
    request.recipe.card.trained = Trained::Clinical;
    let card = quiet(&request).unwrap().manifest.card;
    assert_eq!(card.trained, Trained::Untrained);
    assert!(card.title.starts_with("UNTRAINED"), "{}", card.title);
}

#[test]
fn only_a_package_is_replaced_and_only_when_asked() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("p");
    quiet(&generated(&out)).unwrap();
    let before = files(&out);

    let mut request = generated(&out);
    request.recipe.id = "other".to_owned();
    let error = quiet(&request).unwrap_err().to_string();
    assert!(error.contains("found a package"), "{error}");
    assert_eq!(files(&out), before);
    request.replace = true;
    let report = quiet(&request).unwrap();
    assert_eq!(
        Package::open(&out, &PackageConfig::ANY).unwrap().hash,
        report.hash
    );
    assert_eq!(report.manifest.id, "other");

    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("notes.txt"), "mine").unwrap();
    request.out_dir = other.clone();
    let error = quiet(&request).unwrap_err().to_string();
    assert!(error.contains("found a folder with other files"), "{error}");
    request.out_dir = other.join("notes.txt");
    let error = quiet(&request).unwrap_err().to_string();
    assert!(error.contains("found something else"), "{error}");
    assert_eq!(names(&other), ["notes.txt"]);
    assert_eq!(names(dir.path()), ["other", "p"]);
}

#[test]
fn a_failed_export_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let mut request = generated(&dir.path().join("p"));
    request.encoder = WeightSource::Checkpoint(dir.path().join("absent.pt"));
    let error = quiet(&request).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read: ") && error.ends_with("absent.pt)"),
        "{error}"
    );
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn weights_are_asked_for_every_head_and_no_other() {
    let dir = TempDir::new().unwrap();
    let mut request = generated(&dir.path().join("p"));
    let lvef = request.probes.remove(LVEF).unwrap();
    let error = quiet(&request).unwrap_err().to_string();
    assert_eq!(
        error,
        "probes: expected weights for the recipe's heads lvef, view, found view"
    );
    request.probes.insert(LVEF.to_owned(), lvef.clone());
    request.probes.insert("rvsp".to_owned(), lvef);
    assert!(quiet(&request).is_err());
}

#[test]
fn large_tensors_start_on_pages_and_lie_inside_the_file() {
    use echocart_export::onnx::proto::ModelProto;
    use prost::Message;
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("p");
    quiet(&generated(&out)).unwrap();
    let files = files(&out);
    let model = ModelProto::decode(files["encoder.fp32.onnx"].as_slice()).unwrap();
    let weights = files["encoder.fp32.weights"].len() as u64;
    let mut large = 0;
    for tensor in model.graph.unwrap().initializer {
        let entry = |key: &str| {
            tensor
                .external_data
                .iter()
                .find(|e| e.key() == key)
                .map(|e| e.value().to_owned())
        };
        let Some(location) = entry("location") else {
            continue;
        };
        assert_eq!(location, "encoder.fp32.weights");
        let offset: u64 = entry("offset").unwrap().parse().unwrap();
        let length: u64 = entry("length").unwrap().parse().unwrap();
        assert!(offset + length <= weights);
        assert_eq!(offset % 64, 0);
        if length >= 65_536 {
            assert_eq!(offset % 4096, 0);
            large += 1;
        }
    }
    assert!(large > 0);
}

#[test]
fn an_odd_head_width_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut request = generated(&dir.path().join("p"));
    request.recipe.encoder.dim = 18;
    let error = quiet(&request).unwrap_err().to_string();
    assert!(
        error.contains("expected an even number of channels per head, found 9"),
        "{error}"
    );
}

#[test]
fn other_peoples_files_are_never_replaced() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("p");
    let mut request = generated(&out);
    request.replace = true;
    quiet(&request).unwrap();
    let refused = |found: &str| {
        let before = names(&out);
        let error = quiet(&request).unwrap_err();
        assert!(matches!(error, ExportError::Output { .. }));
        let error = error.to_string();
        let end = format!("found {found} ({})", out.display());
        assert!(error.ends_with(&end), "{error}");
        assert_eq!(names(&out), before);
        assert_eq!(names(dir.path()), ["p"]);
    };
    std::fs::write(out.join("thesis.odt"), "mine").unwrap();
    std::fs::write(out.join("zebra.png"), "mine").unwrap();
    refused("thesis.odt");
    std::fs::remove_file(out.join("thesis.odt")).unwrap();
    refused("zebra.png");
    std::fs::remove_file(out.join("zebra.png")).unwrap();

    let weights = out.join("encoder.fp32.weights");
    std::fs::remove_file(&weights).unwrap();
    std::fs::create_dir(&weights).unwrap();
    refused("encoder.fp32.weights");
    std::fs::remove_dir(&weights).unwrap();

    std::fs::write(out.join("package.toml"), "name = \"a Python project\"\n").unwrap();
    refused("a folder whose package.toml is no manifest");
    std::fs::remove_file(out.join("package.toml")).unwrap();
    refused("a folder with other files");
}

#[test]
fn a_package_that_lost_a_file_is_replaced() {
    let dir = TempDir::new().unwrap();
    let mut request = generated(&dir.path().join("p"));
    let hash = quiet(&request).unwrap().hash;
    std::fs::remove_file(request.out_dir.join("encoder.fp32.weights")).unwrap();
    request.replace = true;
    quiet(&request).unwrap();
    assert_eq!(
        Package::open(&request.out_dir, &PackageConfig::ANY)
            .unwrap()
            .hash,
        hash
    );
}

#[test]
fn an_output_below_a_file_is_an_output_error() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("file"), "mine").unwrap();
    for below in ["file/p", "file/deep/p"] {
        let error = quiet(&generated(&dir.path().join(below))).unwrap_err();
        assert!(matches!(error, ExportError::Write { .. }), "{error}");
    }
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn a_stop_at_any_step_leaves_what_was_there() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("p");
    let mut request = generated(&out);
    let mut calls = 0;
    let whole = export(&request, &mut |_, _, _| {
        calls += 1;
        ControlFlow::Continue(())
    });
    whole.unwrap();
    let before = files(&out);
    request.replace = true;
    request.recipe.id = "other".to_owned();
    for stop_at in [1, 2, calls / 2, calls - 1] {
        let mut left = stop_at;
        let stopped = export(&request, &mut |_, _, _| {
            left -= 1;
            match left {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        assert!(matches!(stopped, Err(ExportError::Interrupted)));
        assert_eq!(files(&out), before);
        assert_eq!(names(dir.path()), ["p"]);
    }
    let done_cannot_be_stopped = export(&request, &mut |what, _, _| match what {
        "done" => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(done_cannot_be_stopped.unwrap().manifest.id, "other");
}

#[test]
fn hashing_a_large_file_can_be_stopped_in_the_middle() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("encoder.pt");
    save(&path, &training_checkpoint(encoder_state()));
    let mut request = generated(&dir.path().join("p"));
    request.encoder = WeightSource::Checkpoint(path);
    let mut calls = 0;
    let stopped = export(&request, &mut |what, _, _| {
        calls += usize::from(what == "hash encoder.pt");
        match calls {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    assert!(matches!(stopped, Err(ExportError::Interrupted)));
    assert_eq!(calls, 2);
}
