//! Graphs that are read back, cut and measured.

use crate::writer::tiny_recipe;
use echocart_export::variant::{Extent, Model};
use echocart_export::{ExportError, ExportRequest, Recipe, WeightSource, export};
use echocart_infer::{GraphInput, GraphSession, Library, default_library_path};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub fn library() -> Library {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    Library::load(&default_library_path(&root)).unwrap()
}

/// A package of generated weights.
pub fn package(recipe: Recipe) -> TempDir {
    let dir = TempDir::new().unwrap();
    let source = WeightSource::Generated("variant".to_owned());
    let names = recipe.heads.keys().cloned();
    let request = ExportRequest {
        probes: names.map(|name| (name, source.clone())).collect(),
        encoder: source,
        out_dir: dir.path().join("package"),
        replace: false,
        recipe,
    };
    export(&request, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    dir
}

pub fn open(dir: &TempDir, file: &str) -> Model {
    Model::open(&dir.path().join("package").join(file)).unwrap()
}

/// Patch rows and ids of the tokens given, as the generator makes them.
pub fn clip(recipe: &Recipe, ids: &[i64]) -> Vec<f32> {
    let row = recipe.encoder.row();
    ids.iter()
        .flat_map(|&id| {
            (0..row)
                .map(move |at| ((id as usize * 7919 + at * 104_729) % 1009) as f32 / 504.5 - 1.0)
        })
        .collect()
}

pub fn ids(recipe: &Recipe) -> Vec<i64> {
    (0..recipe.encoder.tokens() as i64).collect()
}

/// Every output of the encoder `model` for those tokens, by name.
pub fn encode(model: &Model, recipe: &Recipe, ids: &[i64]) -> BTreeMap<String, Vec<f32>> {
    let rows = clip(recipe, ids);
    let rows_shape = [1, ids.len(), recipe.encoder.row()];
    let inputs = [
        (
            "rows",
            GraphInput::Floats {
                shape: &rows_shape,
                values: &rows,
            },
        ),
        (
            "ids",
            GraphInput::Integers {
                shape: &[ids.len()],
                values: ids,
            },
        ),
    ];
    run(model, &inputs)
}

pub fn run(model: &Model, inputs: &[(&str, GraphInput<'_>)]) -> BTreeMap<String, Vec<f32>> {
    let bytes = model.whole_bytes().unwrap();
    let mut session = GraphSession::open(&library(), &bytes, 1).unwrap();
    let outputs = session.run(inputs).unwrap();
    outputs.into_iter().map(|o| (o.name, o.values)).collect()
}

/// RMS of the difference over the RMS of `expected`.
pub fn relative_rms(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |v: f64| v * v;
    let difference = found.iter().zip(expected);
    let difference: f64 = difference
        .map(|(&a, &b)| square(f64::from(a) - f64::from(b)))
        .sum();
    let reference: f64 = expected.iter().map(|&b| square(f64::from(b))).sum();
    (difference / reference).sqrt()
}

#[test]
fn an_encoder_is_read_back_with_its_parts() {
    let dir = package(tiny_recipe());
    let model = open(&dir, "encoder.fp32.onnx");
    let linears = model.linear_layers();
    assert_eq!(linears.len(), 1 + 2 * 6);
    let names: Vec<&str> = linears.iter().map(|l| l.name.as_str()).collect();
    let block = ["q", "k", "v", "proj"].map(|l| format!("blocks.0.attn.{l}"));
    assert_eq!(names[0], "patch_embed.proj");
    assert_eq!(names[1..5], block);
    assert_eq!(names[5..7], ["blocks.0.mlp.fc1", "blocks.0.mlp.fc2"]);
    let fc1 = &linears[5];
    assert_eq!((fc1.inputs, fc1.outputs), (16, 64));
    assert_eq!(model.floats(&fc1.weight).unwrap().len(), 16 * 64);
    assert!(linears[3].bias.is_none() && fc1.bias.is_some());

    let norms = model.norms();
    let movable: Vec<(&str, bool)> = norms.iter().map(|n| (n.name.as_str(), n.movable)).collect();
    let expected = [
        ("blocks.0.norm1", true),
        ("blocks.0.norm2", true),
        ("blocks.1.norm1", true),
        ("blocks.1.norm2", true),
        ("norm", false),
    ];
    assert_eq!(movable, expected);
    assert_eq!(norms[0].linears, block[..3]);

    let attentions = model.attentions();
    assert_eq!(attentions.len(), 2);
    assert_eq!(attentions[1].name, "blocks.1.attn");
    assert_eq!(
        (attentions[1].heads, attentions[1].scale),
        (2, 1.0 / 8f32.sqrt())
    );
}

#[test]
fn every_probe_is_read_back_and_a_norm_with_another_reader_is_not_movable() {
    let dir = package(tiny_recipe());
    let model = open(&dir, "head.view.s1.fp32.onnx");
    let names: Vec<String> = model.linear_layers().into_iter().map(|l| l.name).collect();
    assert!(
        names.contains(&"pooler.query.scores".to_owned()),
        "{names:?}"
    );
    let norms = model.norms();
    let movable: Vec<&str> = norms
        .iter()
        .filter(|n| n.movable)
        .map(|n| n.name.as_str())
        .collect();
    let cross = "pooler.cross_attention_block";
    let expected = [
        "pooler.blocks.0.norm1",
        "pooler.blocks.0.norm2",
        &format!("{cross}.norm2"),
    ];
    assert_eq!(movable, expected);
    assert_eq!(norms.len(), 4);
}

#[test]
fn values_have_shapes_with_the_lengths_known_at_run_time_by_name() {
    let dir = package(tiny_recipe());
    let values = open(&dir, "encoder.fp32.onnx").values().unwrap();
    let shape = |name: &str| {
        let lengths = values[name].shape.iter().map(Extent::to_string);
        lengths.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shape("tokens"), "1 K 16");
    assert_eq!(shape("blocks.1.attn.q.rotated"), "K 2 2 4");
    assert_eq!(shape("blocks.1.mlp.gelu.out"), "K 64");
    let values = open(&dir, "head.lvef.s2.fp32.onnx").values().unwrap();
    let joined: Vec<String> = values["tokens.joined"]
        .shape
        .iter()
        .map(Extent::to_string)
        .collect();
    assert_eq!(joined, ["1", "N0+N1", "16"]);
}

#[test]
fn a_cut_gives_what_the_whole_graph_gives_there() {
    let recipe = tiny_recipe();
    let dir = package(recipe.clone());
    let model = open(&dir, "encoder.fp32.onnx");
    let taps = ["blocks.0.sum", "blocks.1.attn.q.batch", "tokens"];
    let whole = model.subgraph(&["rows"], &taps).unwrap();
    assert_eq!(whole.inputs(), ["rows", "ids"]);
    let ids = ids(&recipe);
    let expected = encode(&whole, &recipe, &ids);
    let rest = model
        .subgraph(&["blocks.0.sum"], &["blocks.1.attn.q.batch", "tokens"])
        .unwrap();
    assert_eq!(rest.inputs(), ["blocks.0.sum", "ids"]);
    assert!(rest.constant("blocks.0.mlp.fc1.weight").is_none());
    let shape = [ids.len(), 16];
    let inputs = [
        (
            "blocks.0.sum",
            GraphInput::Floats {
                shape: &shape,
                values: &expected["blocks.0.sum"],
            },
        ),
        (
            "ids",
            GraphInput::Integers {
                shape: &[ids.len()],
                values: &ids,
            },
        ),
    ];
    let found = run(&rest, &inputs);
    assert_eq!(found.len(), 2);
    for (name, values) in found {
        assert!(relative_rms(&values, &expected[&name]) < 1e-6, "{name}");
    }
    let error = model.subgraph(&["rows"], &["blocks.2.sum"]).unwrap_err();
    assert!(
        error.to_string().contains("no value blocks.2.sum"),
        "{error}"
    );
}

fn refused(path: &Path) -> String {
    match Model::open(path).unwrap_err() {
        error @ ExportError::Graph { .. } => error.to_string(),
        error => panic!("{error}"),
    }
}

#[test]
fn a_damaged_graph_is_refused_in_one_line() {
    let dir = package(tiny_recipe());
    let folder = dir.path().join("package");
    let path = folder.join("encoder.fp32.onnx");
    let good = std::fs::read(&path).unwrap();
    for cut in [1, good.len() / 3, good.len() - 1] {
        std::fs::write(&path, &good[..cut]).unwrap();
        assert!(!refused(&path).contains('\n'));
    }
    let mut foreign = good.clone();
    foreign.extend([0x2a, 0x01, b'x']);
    std::fs::write(&path, &foreign).unwrap();
    assert!(refused(&path).contains("found other fields"));

    let text = b"encoder.fp32.weights";
    let at = good.windows(text.len()).position(|w| w == text).unwrap();
    let mut elsewhere = good.clone();
    elsewhere[at..at + 3].copy_from_slice(b"../");
    std::fs::write(&path, &elsewhere).unwrap();
    assert!(refused(&path).contains("expected a plain file name"));

    std::fs::write(&path, &good).unwrap();
    let weights = folder.join("encoder.fp32.weights");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 4]).unwrap();
    assert!(refused(&path).contains("found a file of"));
}
