//! A small `torch.save`, and the smallest model that has every part.

use echocart_core::manifest::{Encoder, LVEF, VIEW};
use echocart_export::{Recipe, generator, layout};
use std::io::{Cursor, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

pub const RECIPE: &str = include_str!("../../../../configs/models/demo.toml");

#[derive(Debug, Clone)]
pub enum Value {
    Dict(Vec<(String, Value)>),
    List(Vec<Value>),
    Float(f64),
    Int(i32),
    Tensor(TestTensor),
    Raw(Vec<u8>),
}

#[derive(Debug, Clone)]
pub struct TestTensor {
    pub storage_class: &'static str,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
    pub values: Vec<f32>,
}

impl TestTensor {
    pub fn new(shape: &[usize], values: Vec<f32>) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        Self {
            storage_class: "FloatStorage",
            offset: 0,
            shape: shape.to_vec(),
            strides,
            values,
        }
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    storages: Vec<Vec<f32>>,
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn int(&mut self, value: usize) {
        self.bytes.push(b'J');
        self.bytes.extend((value as i32).to_le_bytes());
    }

    fn counts(&mut self, counts: &[usize]) {
        self.bytes.push(b'(');
        counts.iter().for_each(|&n| self.int(n));
        self.bytes.push(b't');
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Dict(entries) => {
                self.bytes.extend(b"ccollections\nOrderedDict\n)R(");
                for (key, value) in entries {
                    self.text(key);
                    self.value(value);
                }
                self.bytes.push(b'u');
                self.bytes.extend(b"}X\x09\x00\x00\x00_metadata}sb");
            }
            Value::List(items) => {
                self.bytes.extend(b"](");
                items.iter().for_each(|item| self.value(item));
                self.bytes.push(b'e');
            }
            Value::Float(value) => {
                self.bytes.push(b'G');
                self.bytes.extend(value.to_be_bytes());
            }
            Value::Int(value) => {
                self.bytes.push(b'J');
                self.bytes.extend(value.to_le_bytes());
            }
            Value::Raw(bytes) => self.bytes.extend(bytes),
            Value::Tensor(tensor) => {
                self.bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
                self.text("storage");
                self.bytes
                    .extend(format!("ctorch\n{}\n", tensor.storage_class).as_bytes());
                self.text(&self.storages.len().to_string());
                self.text("cpu");
                self.int(tensor.values.len());
                self.bytes.extend(b"tQ");
                self.int(tensor.offset);
                self.counts(&tensor.shape);
                self.counts(&tensor.strides);
                self.bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
                self.storages.push(tensor.values.clone());
            }
        }
    }
}

/// A pickle and the storages it refers to.
pub fn pickle(value: &Value) -> (Vec<u8>, Vec<Vec<f32>>) {
    let mut writer = Writer {
        bytes: vec![0x80, 2],
        storages: Vec::new(),
    };
    writer.value(value);
    writer.bytes.push(b'.');
    (writer.bytes, writer.storages)
}

/// Entries of a zip, each stored.
pub fn zip(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub fn bytes(value: &Value) -> Vec<u8> {
    let (pickle, storages) = pickle(value);
    let names: Vec<String> = (0..storages.len())
        .map(|i| format!("stem/data/{i}"))
        .collect();
    let mut entries = vec![
        ("stem/data.pkl", pickle),
        ("stem/byteorder", b"little".to_vec()),
    ];
    for (name, values) in names.iter().zip(storages) {
        entries.push((name, values.iter().flat_map(|v| v.to_le_bytes()).collect()));
    }
    zip(&entries)
}

pub fn save(path: &Path, value: &Value) {
    std::fs::write(path, bytes(value)).unwrap();
}

/// The demo recipe with sizes small enough for a test.
pub fn tiny_recipe() -> Recipe {
    let mut recipe: Recipe = toml::from_str(RECIPE).unwrap();
    recipe.encoder.dim = 16;
    recipe.encoder.depth = 2;
    recipe.encoder.heads = 2;
    for head in recipe.heads.values_mut() {
        head.heads = Some(2);
        head.depth = Some(2);
    }
    recipe
}

pub fn tiny_encoder() -> Encoder {
    tiny_recipe().encoder
}

pub fn state(
    tag: &str,
    group: &str,
    prefix: &str,
    layout: &[(String, Vec<usize>)],
) -> Vec<(String, Value)> {
    let tensor = |(key, shape): &(String, Vec<usize>)| {
        let values = generator::weight(tag, group, key, shape);
        (
            format!("{prefix}{key}"),
            Value::Tensor(TestTensor::new(shape, values)),
        )
    };
    layout.iter().map(tensor).collect()
}

/// The right encoder's tensors, with the prefix a training run leaves.
pub fn encoder_state() -> Vec<(String, Value)> {
    state(
        "right",
        "encoder",
        "module.backbone.",
        &layout::encoder(&tiny_encoder()),
    )
}

/// A training checkpoint around `target`.
pub fn training_checkpoint(target: Vec<(String, Value)>) -> Value {
    let student = state(
        "decoy",
        "encoder",
        "module.backbone.",
        &layout::encoder(&tiny_encoder()),
    );
    let step = TestTensor {
        storage_class: "LongStorage",
        ..TestTensor::new(&[1], vec![0.0, 0.0])
    };
    Value::Dict(vec![
        ("encoder".to_owned(), Value::Dict(student)),
        (
            "opt".to_owned(),
            Value::Dict(vec![("step".to_owned(), Value::Tensor(step))]),
        ),
        ("target_encoder".to_owned(), Value::Dict(target)),
        ("epoch".to_owned(), Value::Int(3)),
        ("loss".to_owned(), Value::Float(0.5)),
    ])
}

/// The tensors of head `name` under `tag`.
pub fn probe_state(name: &str, tag: &str) -> Vec<(String, Value)> {
    state(tag, name, "module.", &layout::probe(&tiny_probe(name)))
}

/// The layout of head `name`.
pub fn tiny_probe(name: &str) -> layout::Probe {
    let (last, outputs) = match name {
        VIEW => ("linear", 13),
        LVEF => ("regressor", 1),
        _ => panic!("no head {name}"),
    };
    layout::Probe {
        kind: layout::ProbeKind::Attentive,
        dim: 16,
        depth: 2,
        heads: 2,
        hidden: 64,
        last,
        outputs,
        places: None,
    }
}

/// A probe file whose heads have these scores.
pub fn probe_file(heads: Vec<Vec<(String, Value)>>, scores: &[f64]) -> Value {
    let scores = scores.iter().map(|&score| Value::Float(score)).collect();
    Value::Dict(vec![
        (
            "classifiers".to_owned(),
            Value::List(heads.into_iter().map(Value::Dict).collect()),
        ),
        ("val_acc_per_head".to_owned(), Value::List(scores)),
        ("epoch".to_owned(), Value::Int(7)),
    ])
}
