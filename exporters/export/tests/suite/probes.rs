//! Probes that average the tokens, against the same arithmetic in double precision.

use crate::formula::erf;
use crate::writer::{RECIPE, probe_file, probe_state, save, state, tiny_recipe};
use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::manifest::{LVEF, VIEW};
use echocart_core::package::Package;
use echocart_export::checkpoint::{Best, read_probe};
use echocart_export::layout::{self, Probe, ProbeKind};
use echocart_export::{ExportRequest, Recipe, WeightSource, export, generator};
use echocart_infer::{Library, OrtEngine, default_library_path};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const DIM: usize = 16;
const HIDDEN: usize = 24;

fn probe(kind: ProbeKind, name: &str) -> Probe {
    let (last, outputs) = if name == VIEW {
        ("linear", 13)
    } else {
        ("regressor", 1)
    };
    Probe {
        kind,
        dim: DIM,
        depth: 0,
        heads: 1,
        hidden: HIDDEN,
        last,
        outputs,
        places: None,
    }
}

fn recipe(kinds: [(&str, ProbeKind); 2]) -> Recipe {
    let mut recipe = tiny_recipe();
    for (name, kind) in kinds {
        let head = recipe.heads.get_mut(name).unwrap();
        head.probe = kind;
        (head.heads, head.depth) = (None, None);
    }
    recipe
}

fn save_probe(dir: &Path, name: &str, kind: ProbeKind) -> PathBuf {
    let path = dir.join(format!("{name}.pt"));
    let head = |tag| state(tag, name, "module.", &layout::probe(&probe(kind, name)));
    let scores = if name == VIEW { [0.5, 0.9] } else { [0.9, 0.5] };
    save(
        &path,
        &probe_file(vec![head("decoy"), head("right")], &scores),
    );
    path
}

fn weight(name: &str, kind: ProbeKind, key: &str) -> Vec<f64> {
    let layout = layout::probe(&probe(kind, name));
    let (_, shape) = layout.iter().find(|(k, _)| k == key).unwrap();
    let values = generator::weight("right", name, key, shape);
    values.into_iter().map(f64::from).collect()
}

fn layer(input: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    weight
        .chunks(input.len())
        .zip(bias)
        .map(|(row, bias)| row.iter().zip(input).map(|(w, x)| w * x).sum::<f64>() + bias)
        .collect()
}

fn expected(name: &str, kind: ProbeKind, clips: &[Vec<f32>]) -> Vec<f64> {
    let weight = |key: &str| weight(name, kind, key);
    let tokens: Vec<&[f32]> = clips.iter().flat_map(|clip| clip.chunks(DIM)).collect();
    let mean: Vec<f64> = (0..DIM)
        .map(|i| tokens.iter().map(|t| f64::from(t[i])).sum::<f64>() / tokens.len() as f64)
        .collect();
    let centre = mean.iter().sum::<f64>() / DIM as f64;
    let spread = mean.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / DIM as f64;
    let (scale, shift) = (weight("norm.weight"), weight("norm.bias"));
    let normal: Vec<f64> = (0..DIM)
        .map(|i| (mean[i] - centre) / (spread + 1e-5).sqrt() * scale[i] + shift[i])
        .collect();
    match kind {
        ProbeKind::Mlp => {
            let wide = layer(&normal, &weight("mlp.0.weight"), &weight("mlp.0.bias"));
            let gelu = |x: &f64| x * 0.5 * (1.0 + erf(x / 2f64.sqrt()));
            let wide: Vec<f64> = wide.iter().map(gelu).collect();
            layer(&wide, &weight("mlp.3.weight"), &weight("mlp.3.bias"))
        }
        _ => {
            let last = probe(kind, name).last;
            let part = |part: &str| weight(&format!("{last}.{part}"));
            layer(&normal, &part("weight"), &part("bias"))
        }
    }
}

#[test]
fn averaging_probes_give_the_numbers_of_the_formula() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library = Library::load(&default_library_path(&root)).unwrap();
    for kinds in [
        [(VIEW, ProbeKind::Linear), (LVEF, ProbeKind::Mlp)],
        [(VIEW, ProbeKind::Mlp), (LVEF, ProbeKind::Linear)],
    ] {
        let dir = TempDir::new().unwrap();
        let file = |(name, kind): (&str, ProbeKind)| {
            let path = save_probe(dir.path(), name, kind);
            (name.to_owned(), WeightSource::Checkpoint(path))
        };
        let request = ExportRequest {
            recipe: recipe(kinds),
            encoder: WeightSource::Generated("right".to_owned()),
            probes: BTreeMap::from(kinds.map(file)),
            out_dir: dir.path().join("p"),
            replace: false,
        };
        let report = export(&request, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
        let head = &report.manifest.heads[VIEW];
        assert_eq!((head.classifier_index, head.depth, head.heads), (1, 0, 1));
        let package = Package::open(&report.dir, &PackageConfig::ANY).unwrap();
        let mut engine = OrtEngine::open(&library, &package, "fp32", 1).unwrap();
        let sizes = &request.recipe.encoder;
        let clips: Vec<Vec<f32>> = (0..2)
            .map(|clip| {
                let pixels =
                    generator::clip("t", clip, sizes.frames, sizes.height_px, sizes.width_px);
                let block = sizes.tokens_per_tubelet() * sizes.row();
                let tubelets: Vec<Arc<Vec<f32>>> = pixels
                    .chunks(block)
                    .map(|block| Arc::new(block.to_vec()))
                    .collect();
                engine.encode(&tubelets, clip).unwrap();
                let mut tokens = Vec::new();
                engine.tokens(clip, &mut tokens).unwrap();
                tokens
            })
            .collect();
        assert_ne!(clips[0], clips[1]);
        for (name, kind) in kinds {
            for slots in [&[0][..], &[1], &[0, 1]] {
                let mut found = Vec::new();
                engine.head(name, slots, &mut found).unwrap();
                let clips: Vec<Vec<f32>> = slots.iter().map(|&slot| clips[slot].clone()).collect();
                let expected = expected(name, kind, &clips);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    let apart = (f64::from(*found) - expected).abs();
                    assert!(
                        apart <= 1e-5,
                        "{name} {kind:?} {slots:?}: {found}, not {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_probe_of_another_kind_than_the_recipe_says_is_refused() {
    let dir = TempDir::new().unwrap();
    let kinds = [ProbeKind::Attentive, ProbeKind::Linear, ProbeKind::Mlp];
    let tiny = |kind| match kind {
        ProbeKind::Attentive => crate::writer::tiny_probe(VIEW),
        _ => probe(kind, VIEW),
    };
    for found in kinds {
        let path = dir.path().join("view.pt");
        if found == ProbeKind::Attentive {
            save(&path, &probe_file(vec![probe_state(VIEW, "a")], &[1.0]));
        } else {
            save_probe(dir.path(), VIEW, found);
        }
        for wanted in kinds {
            let result = read_probe(&path, &tiny(wanted), Best::Highest);
            if wanted == found {
                assert!(result.is_ok());
                continue;
            }
            let error = result.err().expect("refused").to_string();
            let (wanted, found) = (wanted.as_str(), found.as_str());
            let words = format!("expected the recipe's probe = \"{wanted}\", found \"{found}\"");
            assert!(error.contains(&words), "{error}");
        }
    }
}

#[test]
fn an_averaging_probe_is_held_to_its_tensors() {
    let dir = TempDir::new().unwrap();
    let refused = |kind, edit: fn(&mut Vec<(String, crate::writer::Value)>)| {
        let mut tensors = state("right", VIEW, "", &layout::probe(&probe(kind, VIEW)));
        edit(&mut tensors);
        let path = dir.path().join("case.pt");
        save(&path, &probe_file(vec![tensors], &[1.0]));
        let error = read_probe(&path, &probe(kind, VIEW), Best::Highest).err();
        error.expect("refused").to_string()
    };
    let error = refused(ProbeKind::Linear, |t| {
        t.retain(|(key, _)| key != "norm.bias")
    });
    assert!(
        error.contains("tensor norm.bias: expected shape [16], found none"),
        "{error}"
    );
    let error = refused(ProbeKind::Mlp, |t| {
        t.retain(|(key, _)| key != "mlp.3.weight")
    });
    assert!(
        error.contains("tensor mlp.3.weight: expected shape [13, 24], found none"),
        "{error}"
    );
    let error = refused(ProbeKind::Mlp, |t| t[0].0 = "mlp.2.weight".to_owned());
    assert!(error.contains("tensor norm.weight"), "{error}");
    let error = refused(ProbeKind::Linear, |t| {
        let extra = t[0].1.clone();
        t.push(("norm.extra".to_owned(), extra));
    });
    assert!(
        error.contains("tensor norm.extra: expected no such tensor"),
        "{error}"
    );
}

#[test]
fn a_recipe_of_averaging_probes_loads_from_its_text() {
    let text = RECIPE
        .replace("heads = 3                   # attention heads of the probe\n", "")
        .replace("depth = 1                   # blocks of the probe, the cross-attention block included\n", "")
        .replace("probe = \"attentive\"  ", "probe = \"linear\"  ");
    let recipe: Recipe = toml::from_str(&text).unwrap();
    recipe.check().unwrap();
    assert_eq!(recipe.heads[VIEW].probe, ProbeKind::Linear);
    assert_eq!(recipe.heads[LVEF].probe, ProbeKind::Attentive);
}
