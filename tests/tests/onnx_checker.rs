//! Every variant's graphs before the ONNX project's own checker and strict shape inference.
//!
//! Operators of ONNX Runtime have no schema there; graphs that use them are checked for structure,
//! and for everything before and after those nodes that can be inferred without them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test helpers")]

use echocart_export::quantise::plan::{AttentionPlan, GraphPlan, LinearPlan};
use echocart_export::variant::{Form, Format, Islands, Model, rewrite};
use echocart_export::{ExportRequest, Recipe, WeightSource, export};
use echocart_tests::{fetched, root, text};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const TOKENS: usize = 245;

fn package() -> TempDir {
    let text = std::fs::read_to_string(root().join("configs/models/demo.toml")).unwrap();
    let mut recipe: Recipe = toml::from_str(&text).unwrap();
    recipe.encoder.depth = 2;
    for head in recipe.heads.values_mut() {
        head.depth = Some(2);
    }
    let source = WeightSource::Generated("checker".to_owned());
    let dir = TempDir::new().unwrap();
    let request = ExportRequest {
        encoder: source.clone(),
        probes: recipe
            .heads
            .keys()
            .map(|name| (name.clone(), source.clone()))
            .collect(),
        out_dir: dir.path().join("package"),
        replace: false,
        recipe,
    };
    export(&request, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    dir
}

fn plan(model: &Model) -> GraphPlan {
    let linear = LinearPlan {
        input_limit: 4.0,
        bias_shift: Vec::new(),
    };
    let attention = AttentionPlan {
        query_limit: 4.0,
        key_limit: 4.0,
        share_limit: 0.5,
        value_limit: 4.0,
    };
    let layers = model.linear_layers().into_iter();
    let attentions = model.attentions().into_iter();
    GraphPlan {
        linears: layers.map(|l| (l.name, linear.clone())).collect(),
        attentions: attentions.map(|a| (a.name, attention)).collect(),
        ..GraphPlan::default()
    }
}

fn forms() -> Vec<(&'static str, Form, &'static [&'static str])> {
    let islands = || Islands {
        norms: true,
        softmax: true,
        ..Islands::default()
    };
    let mixed = |format| Form {
        half: Some(islands()),
        ..Form::codes(format)
    };
    const FUSED: &[&str] = &["MultiHeadAttention"];
    const BLOCKS: &[&str] = &["MatMulNBits", "MultiHeadAttention"];
    vec![
        ("fp32-plain", Form::fp32(true), &[]),
        ("fp16", Form::fp16(false, islands()), FUSED),
        ("fp16-plain", Form::fp16(true, islands()), &[]),
        ("fp16-bare", Form::fp16(true, Islands::default()), &[]),
        ("int8", Form::codes(Format::Int8), &[]),
        ("int8-half", mixed(Format::Int8), &[]),
        ("fp8", Form::codes(Format::E4m3), &[]),
        ("fp8-half", mixed(Format::E4m3), &[]),
        ("int8-weights", Form::blocks(8, 32), BLOCKS),
        ("int4-weights", Form::blocks(4, 128), BLOCKS),
    ]
}

fn checker(graphs: &[PathBuf]) -> Output {
    let python = fetched("python/bin/python").unwrap();
    Command::new(python)
        .arg(root().join("tests/python/check_graphs.py"))
        .args(graphs)
        .output()
        .unwrap()
}

fn check(graphs: &[PathBuf]) -> Vec<Value> {
    let output = checker(graphs);
    assert!(output.status.success(), "{}", text(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), graphs.len());
    rows
}

fn words(value: &Value) -> Vec<&str> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| value.as_str().unwrap()).collect()
}

fn write(model: &Model, path: &Path) {
    std::fs::write(path, model.graph_bytes()).unwrap();
}

#[test]
fn every_variant_passes_the_checker_and_strict_shape_inference() {
    let dir = package();
    let folder = dir.path().join("package");
    let sources = [
        "encoder.fp32.onnx",
        "head.view.s1.fp32.onnx",
        "head.lvef.s2.fp32.onnx",
    ];
    let (mut graphs, mut expected): (Vec<PathBuf>, Vec<(&[&str], bool)>) = Default::default();
    for source in sources {
        let path = folder.join(source);
        let model = Model::open(&path).unwrap();
        graphs.push(path);
        expected.push((&["MultiHeadAttention"], false));
        for (name, form, foreign) in forms() {
            let draft = rewrite(&model, &plan(&model), &form).unwrap();
            let file = format!("{name}.{source}");
            let weights = format!("{file}.weights");
            let tensors = draft.write(&folder, &weights, &mut |_| Ok(())).unwrap();
            let path = folder.join(&file);
            let open = draft.model(&path, &tensors).unwrap();
            let bucket = folder.join(format!("{TOKENS}.{file}"));
            write(&open, &path);
            write(&open.with_tokens(TOKENS).unwrap(), &bucket);
            graphs.extend([path, bucket]);
            expected.extend([(foreign, false), (foreign, true)]);
        }
    }
    for (row, (foreign, bucket)) in check(&graphs).iter().zip(expected) {
        assert_eq!(words(&row["foreign"]), foreign, "{}", row["graph"]);
        if foreign.is_empty() {
            assert_eq!(words(&row["untyped"]), [""; 0], "{}", row["graph"]);
            assert_eq!(words(&row["open"]).is_empty(), bucket, "{row}");
        }
    }
    println!("{} graphs", graphs.len());
}

#[test]
fn the_checker_refuses_an_unknown_operator_and_shapes_that_do_not_fit() {
    let dir = package();
    let folder = dir.path().join("package");
    let model = Model::open(&folder.join("encoder.fp32.onnx")).unwrap();
    let plain = rewrite(&model, &GraphPlan::default(), &Form::fp32(true)).unwrap();
    let good = plain
        .same_weights()
        .unwrap()
        .with_tokens(TOKENS)
        .unwrap()
        .graph_bytes();
    let bytes = |width: i64| -> Vec<u8> {
        let lengths = [TOKENS as i64, width];
        lengths.iter().flat_map(|n| n.to_le_bytes()).collect()
    };
    let (shape, other) = (bytes(192), bytes(193));
    for (from, to) in [
        (b"Softmax".as_slice(), b"Softmix".as_slice()),
        (&shape, &other),
    ] {
        let at = good
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        let mut bad = good.clone();
        bad[at..at + from.len()].copy_from_slice(to);
        let path = folder.join("bad.onnx");
        std::fs::write(&path, bad).unwrap();
        let output = checker(&[path]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    }
}
