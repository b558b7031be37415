//! The shared golden cases, where they are there.

use crate::safetensors::{Tensor, bytes, renamed_encoder, renamed_probe};
use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::manifest::{LVEF, VIEW};
use echocart_core::package::Package;
use echocart_export::checkpoint::{Best, read_encoder, read_probe};
use echocart_export::parity::{self, Case};
use echocart_export::{generator, layout};
use echocart_infer::{Library, OrtEngine, default_library_path};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
    let cases: Vec<PathBuf> = ["tiny-square", "tiny-wide"]
        .map(|name| shared.join(name))
        .into_iter()
        .filter(|case| case.join("encoder.pt").is_file())
        .collect();
    if cases.is_empty() {
        println!("skipped: no shared reference cases");
    }
    cases
}

#[test]
fn the_generator_gives_every_tensor_of_the_reference_checkpoints() {
    for dir in cases() {
        let case = Case::open(&dir.join("case.json")).unwrap();
        let encoder = case.encoder();
        let mut state = read_encoder(&dir.join("encoder.pt"), &encoder)
            .unwrap()
            .state;
        for (key, shape) in layout::encoder(&encoder) {
            let expected = generator::weight(&case.tag, "encoder", &key, &shape);
            assert!(state.read(&key).unwrap() == expected, "{key}");
        }
    }
}

fn probe(case: &Case, name: &str) -> layout::Probe {
    let (last, outputs) = match name {
        VIEW => ("linear", case.classes.unwrap()),
        _ => ("regressor", 1),
    };
    layout::Probe {
        kind: layout::ProbeKind::Attentive,
        dim: case.dim,
        depth: case.probe_depth.unwrap(),
        heads: case.probe_heads.unwrap(),
        hidden: 4 * case.dim,
        last,
        outputs,
        places: (name == "rvsp").then_some(layout::Places {
            views: 2,
            clips_per_view: 2,
            embedding: layout::SlotEmbedding::Factorized,
        }),
    }
}

#[test]
fn the_right_head_of_the_reference_probes_is_chosen() {
    for dir in cases() {
        let case = Case::open(&dir.join("case.json")).unwrap();
        for (name, best) in [
            (VIEW, Best::Highest),
            (LVEF, Best::Lowest),
            ("rvsp", Best::Lowest),
        ] {
            let path = dir.join(format!("{name}_probe.pt"));
            if !path.exists() {
                continue;
            }
            let probe = probe(&case, name);
            let mut chosen = read_probe(&path, &probe, best).unwrap();
            for (key, shape) in layout::probe(&probe) {
                let expected = generator::weight(&case.tag, name, &key, &shape);
                assert!(chosen.state.read(&key).unwrap() == expected, "{key}");
            }
        }
    }
}

#[test]
fn the_reference_cases_pass_from_safetensors_of_both_namings() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library = Library::load(&default_library_path(&root)).unwrap();
    for from in cases() {
        let case = Case::open(&from.join("case.json")).unwrap();
        let tensors = |group: &str, layout: Vec<(String, Vec<usize>)>| -> Vec<Tensor> {
            let values =
                |key: &str, shape: &[usize]| generator::weight(&case.tag, group, key, shape);
            let tensor = |(key, shape): (String, Vec<usize>)| {
                let values = values(&key, &shape);
                (key, shape, values)
            };
            layout.into_iter().map(tensor).collect()
        };
        let encoder = tensors("encoder", layout::encoder(&case.encoder()));
        let view = tensors(VIEW, layout::probe(&probe(&case, VIEW)));
        let lvef = tensors(LVEF, layout::probe(&probe(&case, LVEF)));
        let mut whole = renamed_encoder("vjepa2.", encoder.clone());
        whole.extend(renamed_probe(view.clone()));
        for (encoder, view) in [(&whole, &whole), (&encoder, &view)] {
            let dir = tempfile::TempDir::new().unwrap();
            for file in ["case.json", "expected.npz"] {
                std::fs::copy(from.join(file), dir.path().join(file)).unwrap();
            }
            for (file, tensors) in [
                ("encoder.pt", encoder),
                ("view_probe.pt", view),
                ("lvef_probe.pt", &lvef),
            ] {
                std::fs::write(dir.path().join(file), bytes(tensors)).unwrap();
            }
            let mut make = |package: &Path| {
                let package =
                    Package::open(package, &PackageConfig::ANY).map_err(|e| e.to_string())?;
                let engine = OrtEngine::open(&library, &package, "fp32", 1);
                engine
                    .map(|engine| Box::new(engine) as Box<dyn Engine>)
                    .map_err(|e| e.to_string())
            };
            let report = parity::run(dir.path(), &mut make, &mut |_, _, _| {
                ControlFlow::Continue(())
            })
            .unwrap();
            let passed = report
                .rows
                .iter()
                .filter(|row| row.status == parity::Status::Pass);
            let kept = if case.tag == "tiny-square" { 5 } else { 0 };
            assert_eq!(
                (passed.count(), report.rows.len(), report.passed()),
                (5 + kept, 5 + kept, true),
                "{:?}",
                report.rows
            );
        }
    }
}
