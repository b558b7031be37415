//! Safetensors files, ours and Hugging Face's, held to the same strictness as `.pt` files.

use crate::writer::{
    TestTensor, Value, encoder_state, probe_file, probe_state, save, tiny_encoder, tiny_probe,
    tiny_recipe, training_checkpoint,
};
use echocart_core::manifest::{LVEF, VIEW};
use echocart_export::checkpoint::{Best, Safetensors, read_encoder, read_probe};
use echocart_export::{ExportRequest, WeightSource, export, generator, layout};
use proptest::prelude::*;
use serde_json::{Map, json};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub type Tensor = (String, Vec<usize>, Vec<f32>);

fn bytes_as(tensors: &[Tensor], dtype: &str, encode: impl Fn(f32) -> Vec<u8>) -> Vec<u8> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|&value| encode(value)));
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    raw(&serde_json::to_string(&header).unwrap(), &data)
}

fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub fn bytes(tensors: &[Tensor]) -> Vec<u8> {
    bytes_as(tensors, "F32", |v| v.to_le_bytes().to_vec())
}

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("case.pt");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn ours(group: &str, layout: &[(String, Vec<usize>)]) -> Vec<Tensor> {
    let tensor = |(key, shape): &(String, Vec<usize>)| {
        let values = generator::weight("right", group, key, shape);
        (key.clone(), shape.clone(), values)
    };
    layout.iter().map(tensor).collect()
}

fn our_encoder() -> Vec<Tensor> {
    ours("encoder", &layout::encoder(&tiny_encoder()))
}

fn split(tensor: &Tensor, names: &[&str]) -> Vec<Tensor> {
    let (key, shape, values) = tensor;
    let end = key.rsplit_once('.').unwrap().1;
    let mut shape = shape.clone();
    shape[0] /= names.len();
    values
        .chunks(values.len() / names.len())
        .zip(names)
        .map(|(part, name)| (format!("{name}.{end}"), shape.clone(), part.to_vec()))
        .collect()
}

fn hugging_face_encoder(prefix: &str) -> Vec<Tensor> {
    renamed_encoder(prefix, our_encoder())
}

/// The names of `transformers` 5.23, written out one by one.
pub fn renamed_encoder(prefix: &str, tensors: Vec<Tensor>) -> Vec<Tensor> {
    let mut out = Vec::new();
    for tensor in tensors {
        let module = tensor.0.rsplit_once('.').unwrap().0;
        let names: Vec<String> = match module {
            "patch_embed.proj" => vec!["embeddings.patch_embeddings.proj".to_owned()],
            "norm" => vec!["layernorm".to_owned()],
            _ => {
                let mut parts = module.splitn(3, '.').skip(1);
                let (index, rest) = (parts.next().unwrap(), parts.next().unwrap());
                let names: &[&str] = match rest {
                    "norm1" => &["norm1"],
                    "norm2" => &["norm2"],
                    "attn.qkv" => &["attention.query", "attention.key", "attention.value"],
                    "attn.proj" => &["attention.proj"],
                    "mlp.fc1" => &["mlp.fc1"],
                    "mlp.fc2" => &["mlp.fc2"],
                    other => panic!("{other}"),
                };
                names.iter().map(|n| format!("layer.{index}.{n}")).collect()
            }
        };
        let names: Vec<String> = names
            .iter()
            .map(|n| format!("{prefix}encoder.{n}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        out.extend(split(&tensor, &names));
    }
    out.push((
        format!("{prefix}predictor.embeddings.mask_tokens"),
        vec![2, 1, 1, 3],
        vec![f32::NAN; 6],
    ));
    out
}

fn hugging_face_probe() -> Vec<Tensor> {
    renamed_probe(ours(VIEW, &layout::probe(&tiny_probe(VIEW))))
}

/// The same for a pooler and its classifier.
pub fn renamed_probe(tensors: Vec<Tensor>) -> Vec<Tensor> {
    let mut out = Vec::new();
    for tensor in tensors {
        if tensor.0 == "pooler.query_tokens" {
            out.push(tensor);
            continue;
        }
        let module = tensor.0.rsplit_once('.').unwrap().0;
        let index = module.split('.').nth(2).unwrap_or_default();
        let module = module.replace(&format!("blocks.{index}."), "blocks.N.");
        let cross = "pooler.cross_attention_layer";
        let own = format!("pooler.self_attention_layers.{index}");
        let names: Vec<String> = match module.as_str() {
            "linear" => vec!["classifier".to_owned()],
            "pooler.cross_attention_block.norm1" => vec![format!("{cross}.layer_norm1")],
            "pooler.cross_attention_block.norm2" => vec![format!("{cross}.layer_norm2")],
            "pooler.cross_attention_block.xattn.q" => vec![format!("{cross}.cross_attn.q_proj")],
            "pooler.cross_attention_block.xattn.kv" => vec![
                format!("{cross}.cross_attn.k_proj"),
                format!("{cross}.cross_attn.v_proj"),
            ],
            "pooler.cross_attention_block.mlp.fc1" => vec![format!("{cross}.mlp.fc1")],
            "pooler.cross_attention_block.mlp.fc2" => vec![format!("{cross}.mlp.fc2")],
            "pooler.blocks.N.norm1" => vec![format!("{own}.layer_norm1")],
            "pooler.blocks.N.norm2" => vec![format!("{own}.layer_norm2")],
            "pooler.blocks.N.attn.qkv" => ["q", "k", "v"]
                .map(|p| format!("{own}.self_attn.{p}_proj"))
                .to_vec(),
            "pooler.blocks.N.attn.proj" => vec![format!("{own}.self_attn.out_proj")],
            "pooler.blocks.N.mlp.fc1" => vec![format!("{own}.mlp.fc1")],
            "pooler.blocks.N.mlp.fc2" => vec![format!("{own}.mlp.fc2")],
            other => panic!("{other}"),
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        out.extend(split(&tensor, &names));
    }
    out
}

#[track_caller]
fn same_encoder(tensors: &[Tensor], key: &str) {
    let (_dir, path) = file(&bytes(tensors));
    let mut checked = read_encoder(&path, &tiny_encoder()).unwrap();
    assert_eq!(checked.key, key);
    for (name, _, values) in our_encoder() {
        assert_eq!(checked.state.read(&name).unwrap(), values, "{name}");
    }
    assert_eq!(checked.state.keys().count(), our_encoder().len());
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    let (_dir, path) = file(bytes);
    let error = match read_encoder(&path, &tiny_encoder()) {
        Err(error) => error.to_string(),
        Ok(mut checked) => {
            let keys: Vec<String> = checked.state.keys().map(str::to_owned).collect();
            let mut errors = keys.iter().filter_map(|key| checked.state.read(key).err());
            errors.next().expect("refused").to_string()
        }
    };
    assert!(error.ends_with(&format!("({})", path.display())), "{error}");
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn our_own_names_are_read() {
    let mut tensors = our_encoder();
    same_encoder(&tensors, "all tensors");
    tensors.push(("pos_embed".to_owned(), vec![1], vec![0.0]));
    for tensor in &mut tensors {
        tensor.0 = format!("module.backbone.{}", tensor.0);
    }
    same_encoder(&tensors, "all tensors");
}

#[test]
fn hugging_face_names_are_joined_with_and_without_prefix() {
    same_encoder(&hugging_face_encoder(""), "VJEPA2Model.encoder");
    let mut whole = hugging_face_encoder("vjepa2.");
    whole.extend(hugging_face_probe());
    same_encoder(&whole, "VJEPA2Model.encoder");
    let (_dir, path) = file(&bytes(&whole));
    let mut chosen = read_probe(&path, &tiny_probe(VIEW), Best::Highest).unwrap();
    assert_eq!(
        (chosen.index, chosen.choice.as_str()),
        (0, "the only head of the file")
    );
    for (name, _, values) in ours(VIEW, &layout::probe(&tiny_probe(VIEW))) {
        assert_eq!(chosen.state.read(&name).unwrap(), values, "{name}");
    }
}

#[test]
fn a_probe_of_our_names_is_the_only_head_of_its_file() {
    for name in [VIEW, LVEF] {
        let tensors = ours(name, &layout::probe(&tiny_probe(name)));
        let (_dir, path) = file(&bytes(&tensors));
        let mut chosen = read_probe(&path, &tiny_probe(name), Best::Lowest).unwrap();
        for (key, _, values) in tensors {
            assert_eq!(chosen.state.read(&key).unwrap(), values, "{key}");
        }
    }
}

#[test]
fn a_wrong_hugging_face_tensor_is_named_as_the_file_names_it() {
    let edited = |edit: fn(&mut Vec<Tensor>)| {
        let mut tensors = hugging_face_encoder("vjepa2.");
        edit(&mut tensors);
        refused(&bytes(&tensors))
    };
    let error = edited(|t| t.retain(|(n, ..)| n != "vjepa2.encoder.layer.1.attention.key.bias"));
    let expected = "tensor encoder.layer.1.attention.key.bias: expected shape [16], found none";
    assert!(error.contains(expected), "{error}");
    let error = edited(|t| {
        let value = t
            .iter_mut()
            .find(|(n, ..)| n.ends_with("0.attention.value.weight"))
            .unwrap();
        value.1 = vec![8, 32];
    });
    let expected =
        "tensor encoder.layer.0.attention.value.weight: expected shape [16, 16], found [8, 32]";
    assert!(error.contains(expected), "{error}");
    let error = edited(|t| t.push(("encoder.cls_token".to_owned(), vec![1], vec![0.0])));
    assert!(
        error.contains("tensor encoder.cls_token: expected no such tensor"),
        "{error}"
    );
    let error = edited(|t| t.push(("encoder.layer.2.norm1.bias".to_owned(), vec![1], vec![0.0])));
    assert!(error.contains("expected 2 blocks, found 3"), "{error}");
    let error = edited(|t| t.push(("encoder.layernorm.bias".to_owned(), vec![1], vec![0.0])));
    assert!(
        error.contains("found encoder.layernorm.bias twice"),
        "{error}"
    );
}

#[test]
fn the_newer_family_is_refused_in_safetensors_too() {
    let extra = ("norms_block.0.weight".to_owned(), vec![1], vec![0.0]);
    for mut tensors in [our_encoder(), hugging_face_encoder("")] {
        tensors.push(extra.clone());
        let error = refused(&bytes(&tensors));
        assert!(
            error.contains("V-JEPA 2.1 is another architecture"),
            "{error}"
        );
    }
}

#[test]
fn a_hugging_face_file_that_has_no_such_head_is_refused() {
    let refused = |tensors: &[Tensor], name| {
        let (_dir, path) = file(&bytes(tensors));
        let error = read_probe(&path, &tiny_probe(name), Best::Highest).err();
        error.expect("refused").to_string()
    };
    let error = refused(&hugging_face_encoder(""), VIEW);
    assert!(error.contains("found an encoder alone"), "{error}");
    let error = refused(&hugging_face_probe(), LVEF);
    let expected = "tensor regressor.weight: expected shape [1, 16], found none";
    assert!(error.contains(expected), "{error}");
    let mut deeper = hugging_face_probe();
    let extra = "pooler.self_attention_layers.1.layer_norm1.bias".to_owned();
    deeper.push((extra, vec![1], vec![0.0]));
    let error = refused(&deeper, VIEW);
    assert!(
        error.contains("expected a probe of depth 2, found 3"),
        "{error}"
    );
}

fn round_to_brain(value: f32) -> u16 {
    (value.to_bits() >> 16) as u16
}

fn round_to_half(value: f32) -> u16 {
    let sign = (value.to_bits() >> 31) as u16;
    let steps = (value.abs() * 16_777_216.0) as u16;
    assert!(steps < 1024, "only the smallest halves are made here");
    sign << 15 | steps
}

#[test]
fn values_of_16_bits_become_their_exact_32_bit_values() {
    let tensors = our_encoder();
    let brain = bytes_as(&tensors, "BF16", |v| {
        round_to_brain(v).to_le_bytes().to_vec()
    });
    let (_dir, path) = file(&brain);
    let mut state = read_encoder(&path, &tiny_encoder()).unwrap().state;
    for (name, _, values) in &tensors {
        let expected: Vec<f32> = values
            .iter()
            .map(|v| f32::from_bits(v.to_bits() & 0xffff_0000))
            .collect();
        assert_eq!(&state.read(name).unwrap(), &expected, "{name}");
    }
    let small: Vec<Tensor> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            let whole = |v: &f32| (v * 500.0).trunc() / 16_777_216.0;
            let values = values.iter().map(whole).collect();
            (name, shape, values)
        })
        .collect();
    let half = bytes_as(&small, "F16", |v| round_to_half(v).to_le_bytes().to_vec());
    let (_dir, path) = file(&half);
    let mut state = read_encoder(&path, &tiny_encoder()).unwrap().state;
    for (name, _, values) in &small {
        assert_eq!(&state.read(name).unwrap(), values, "{name}");
    }
}

#[test]
fn a_type_that_is_no_weight_is_refused_by_name() {
    let tensors = our_encoder();
    let error = refused(&bytes_as(&tensors, "I32", |v| v.to_le_bytes().to_vec()));
    assert!(
        error.contains("expected F32, F16 or BF16, found I32"),
        "{error}"
    );
}

#[test]
fn a_header_that_does_not_add_up_is_refused() {
    let entry = |start: u64, end: u64| {
        format!(r#"{{"dtype":"F32","shape":[1],"data_offsets":[{start},{end}]}}"#)
    };
    let (a, b) = (entry(0, 4), entry(4, 8));
    let cases = [
        (
            raw(&format!(r#"{{"a":{a},"b":{b}}}"#), &[0; 7]),
            "expected 8 bytes of tensors, found 7",
        ),
        (
            raw(&format!(r#"{{"a":{a},"b":{b}}}"#), &[0; 9]),
            "expected 8 bytes of tensors, found 9",
        ),
        (
            raw(&format!(r#"{{"a":{a},"b":{}}}"#, entry(5, 9)), &[0; 9]),
            "found a gap at byte 5",
        ),
        (
            raw(&format!(r#"{{"a":{a},"b":{}}}"#, entry(2, 6)), &[0; 6]),
            "found an overlap at byte 2",
        ),
        (
            raw(&format!(r#"{{"a":{b}}}"#), &[0; 8]),
            "found a gap at byte 4",
        ),
        (
            raw(&format!(r#"{{"a":{a},"a":{b}}}"#), &[0; 8]),
            "found a twice",
        ),
        (
            raw(&format!(r#"{{"a":{}}}"#, entry(4, 0)), &[0; 4]),
            "expected offsets in order",
        ),
        (
            raw(&format!(r#"{{"a":{}}}"#, entry(0, 8)), &[0; 8]),
            "expected 4 bytes for F32 [1], found 8",
        ),
        (
            raw(
                r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#,
                &[0; 4],
            ),
            "expected a shape that can be counted",
        ),
        (
            raw(
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}}"#,
                &[0; 4],
            ),
            "unknown field",
        ),
        (
            raw(
                r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
                &[0; 4],
            ),
            "expected dtype, shape",
        ),
        (
            raw(
                r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#,
                &[0; 4],
            ),
            "expected at most 8 dimensions, found 9",
        ),
        (
            raw(r#"{"__metadata__":1}"#, &[]),
            "__metadata__: expected an object",
        ),
        (
            raw("{", &[]),
            "expected a safetensors header, found other JSON",
        ),
        (
            b"\xff\xff\xff\xff\xff\xff\xff\x7f{}".to_vec(),
            "expected a safetensors header of at most 2 bytes",
        ),
    ];
    for (bytes, expected) in cases {
        let error = refused(&bytes);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_cut_file_is_refused() {
    let bytes = bytes(&hugging_face_encoder(""));
    for part in 0..40 {
        refused(&bytes[..bytes.len() * part / 40]);
    }
}

fn not_finite(state: &mut [Tensor], name: &str, value: f32) {
    let tensor = state.iter_mut().find(|(n, ..)| n == name).unwrap();
    tensor.2[5] = value;
}

#[track_caller]
fn export_refuses(encoder: &Path, view: &Path, expected: &str) {
    let dir = TempDir::new().unwrap();
    let request = ExportRequest {
        recipe: tiny_recipe(),
        encoder: WeightSource::Checkpoint(encoder.to_owned()),
        probes: [
            (VIEW.to_owned(), WeightSource::Checkpoint(view.to_owned())),
            (LVEF.to_owned(), WeightSource::Generated("t".to_owned())),
        ]
        .into(),
        out_dir: dir.path().join("p"),
        replace: false,
    };
    let error = export(&request, &mut |_, _, _| ControlFlow::Continue(()))
        .unwrap_err()
        .to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_weight_that_is_no_number_is_named_in_every_format() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (encoder, view) = (path("encoder.pt"), path("view.pt"));
    save(&encoder, &training_checkpoint(encoder_state()));
    save(&view, &probe_file(vec![probe_state(VIEW, "a")], &[1.0]));

    let broken = path("broken");
    let mut state = encoder_state();
    for (key, value) in &mut state {
        if let (true, Value::Tensor(TestTensor { values, .. })) =
            (key.ends_with("1.norm2.bias"), value)
        {
            values[3] = f32::NEG_INFINITY;
        }
    }
    save(&broken, &training_checkpoint(state));
    export_refuses(
        &broken,
        &view,
        "tensor blocks.1.norm2.bias: expected finite values, found -inf at index 3",
    );

    let mut tensors = our_encoder();
    not_finite(&mut tensors, "blocks.0.attn.qkv.weight", f32::NAN);
    std::fs::write(&broken, bytes(&tensors)).unwrap();
    export_refuses(
        &broken,
        &view,
        "tensor blocks.0.attn.qkv.weight: expected finite values, found NaN at index 5",
    );

    let mut tensors = hugging_face_encoder("");
    not_finite(
        &mut tensors,
        "encoder.layer.1.attention.value.bias",
        f32::INFINITY,
    );
    std::fs::write(&broken, bytes(&tensors)).unwrap();
    let expected =
        "tensor encoder.layer.1.attention.value.bias: expected finite values, found inf at index 5";
    export_refuses(&broken, &view, expected);

    let mut tensors = hugging_face_probe();
    not_finite(&mut tensors, "classifier.bias", f32::NAN);
    std::fs::write(&broken, bytes(&tensors)).unwrap();
    export_refuses(
        &encoder,
        &broken,
        "tensor classifier.bias: expected finite values, found NaN at index 5",
    );

    let mut state = probe_state(VIEW, "a");
    for (key, value) in &mut state {
        if let (true, Value::Tensor(TestTensor { values, .. })) =
            (key.ends_with("query_tokens"), value)
        {
            values.fill(f32::MAX);
        }
    }
    save(&broken, &probe_file(vec![state], &[1.0]));
    export_refuses(
        &encoder,
        &broken,
        "as they are written: expected finite values, found",
    );
}

#[test]
fn every_format_gives_the_same_graphs() {
    let dir = TempDir::new().unwrap();
    let right = WeightSource::Generated("right".to_owned());
    let graphs = |encoder: WeightSource, view: WeightSource, name: &str| {
        let out_dir = dir.path().join(name);
        let request = ExportRequest {
            recipe: tiny_recipe(),
            encoder,
            probes: [(VIEW.to_owned(), view), (LVEF.to_owned(), right.clone())].into(),
            out_dir: out_dir.clone(),
            replace: false,
        };
        export(&request, &mut |_, _, _| ControlFlow::Continue(()))
            .unwrap()
            .manifest
            .files
    };
    let whole = dir.path().join("model.safetensors");
    let mut tensors = hugging_face_encoder("vjepa2.");
    tensors.extend(hugging_face_probe());
    std::fs::write(&whole, bytes(&tensors)).unwrap();
    let file = WeightSource::Checkpoint(whole);
    let from_file = graphs(file.clone(), file, "a");
    assert_eq!(from_file, graphs(right.clone(), right.clone(), "b"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_mutated_file_never_panics(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        in_header in any::<bool>(),
    ) {
        let mut bytes = bytes(&hugging_face_encoder(""));
        let window = if in_header { bytes.len().min(3000) } else { bytes.len() };
        for (index, byte) in edits {
            bytes[index.index(window)] = byte;
        }
        let (_dir, path) = file(&bytes);
        if let Ok(file) = Safetensors::open(&path) {
            for name in file.entries().keys() {
                let _ = file.read(std::slice::from_ref(name));
            }
        }
        let _ = read_encoder(&path, &tiny_encoder());
        let _ = read_probe(&path, &tiny_probe(VIEW), Best::Highest);
    }
}
