//! A checkpoint that is not exactly the model is refused in one line that names what is wrong.

use crate::writer::{
    TestTensor, Value, encoder_state, probe_file, probe_state, save, tiny_encoder, tiny_probe,
    training_checkpoint, zip,
};
use echocart_core::manifest::{LVEF, VIEW};
use echocart_export::checkpoint::{Best, read_encoder, read_probe};
use echocart_export::generator;
use std::path::PathBuf;
use tempfile::TempDir;

type State = Vec<(String, Value)>;

fn file(value: &Value) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("case.pt");
    save(&path, value);
    (dir, path)
}

#[track_caller]
fn refused(value: &Value) -> String {
    let (_dir, path) = file(value);
    let error = read_encoder(&path, &tiny_encoder())
        .err()
        .expect("refused")
        .to_string();
    assert!(error.ends_with(&format!("({})", path.display())), "{error}");
    assert!(!error.contains('\n'), "{error}");
    error
}

#[track_caller]
fn refused_state(edit: impl FnOnce(&mut State)) -> String {
    let mut state = encoder_state();
    edit(&mut state);
    refused(&training_checkpoint(state))
}

fn tensor<'a>(state: &'a mut State, key: &str) -> &'a mut TestTensor {
    let key = format!("module.backbone.{key}");
    match state.iter_mut().find(|(k, _)| *k == key) {
        Some((_, Value::Tensor(tensor))) => tensor,
        _ => panic!("no tensor {key}"),
    }
}

#[test]
fn the_averaged_teacher_is_read_and_not_the_student() {
    let (_dir, path) = file(&training_checkpoint(encoder_state()));
    let mut state = read_encoder(&path, &tiny_encoder()).unwrap().state;
    let key = "blocks.1.mlp.fc1.weight";
    assert_eq!(
        state.read(key).unwrap(),
        generator::weight("right", "encoder", key, &[64, 16])
    );
}

#[test]
fn the_unused_position_table_is_ignored_by_name() {
    let mut state = encoder_state();
    let table = Value::Tensor(TestTensor::new(&[1, 2], vec![0.0; 2]));
    state.push(("module.backbone.pos_embed".to_owned(), table));
    let (_dir, path) = file(&training_checkpoint(state));
    assert!(read_encoder(&path, &tiny_encoder()).is_ok());
}

#[test]
fn a_missing_tensor_is_named_with_its_shape() {
    let error = refused_state(|s| s.retain(|(k, _)| !k.ends_with("blocks.1.attn.proj.weight")));
    assert!(
        error.contains("tensor blocks.1.attn.proj.weight: expected shape [16, 16], found none")
    );
}

#[test]
fn a_left_over_tensor_is_named() {
    let extra = Value::Tensor(TestTensor::new(&[4], vec![0.0; 4]));
    let error = refused_state(|s| s.push(("module.backbone.cls_token".to_owned(), extra)));
    assert!(
        error.contains("tensor cls_token: expected no such tensor, found [4]"),
        "{error}"
    );
}

#[test]
fn a_mis_shaped_tensor_is_named_with_both_shapes() {
    let error = refused_state(|s| {
        *tensor(s, "blocks.0.norm2.bias") = TestTensor::new(&[4, 4], vec![0.0; 16]);
    });
    let expected = "tensor blocks.0.norm2.bias: expected shape [16], found [4, 4]";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn more_blocks_than_the_recipe_says_are_refused() {
    let mut encoder = tiny_encoder();
    encoder.depth = 1;
    let (_dir, path) = file(&training_checkpoint(encoder_state()));
    let error = read_encoder(&path, &encoder).err().unwrap().to_string();
    assert!(error.contains("expected 1 blocks, found 2"), "{error}");
}

#[test]
fn a_tensor_name_that_comes_twice_is_refused() {
    let twice = Value::Tensor(TestTensor::new(&[16], vec![0.0; 16]));
    let error = refused_state(|s| s.push(("backbone.norm.bias".to_owned(), twice)));
    assert!(error.contains("found norm.bias twice"), "{error}");
}

#[test]
fn the_newer_family_is_refused_by_name() {
    let extra = || Value::Tensor(TestTensor::new(&[16], vec![0.0; 16]));
    let marks = [
        refused_state(|s| s.push(("module.backbone.norms_block.0.weight".to_owned(), extra()))),
        refused_state(|s| s.push(("module.backbone.img_mod_embed".to_owned(), extra()))),
        refused_state(|s| s.retain(|(k, _)| !k.ends_with(".norm.weight"))),
        refused(&Value::Dict(vec![(
            "ema_encoder".to_owned(),
            Value::Dict(encoder_state()),
        )])),
    ];
    for error in marks {
        assert!(
            error.contains("V-JEPA 2.1 is another architecture"),
            "{error}"
        );
    }
}

#[test]
fn a_file_without_the_teacher_lists_what_it_has() {
    let error = refused(&Value::Dict(vec![(
        "encoder".to_owned(),
        Value::Dict(encoder_state()),
    )]));
    assert!(
        error.contains("expected the key target_encoder, found encoder"),
        "{error}"
    );
    let error = refused(&Value::List(Vec::new()));
    assert!(
        error.contains("expected a training checkpoint (a dict), found a list"),
        "{error}"
    );
}

#[test]
fn a_few_values_stretched_over_a_large_shape_are_refused() {
    let error = refused_reading(|s| {
        let stretched = tensor(s, "blocks.0.mlp.fc1.weight");
        stretched.values.truncate(1);
        stretched.strides.fill(0);
    });
    let expected = "expected at most 1 values, each stored, found shape [64, 16]";
    assert!(error.contains(expected), "{error}");
}

#[track_caller]
fn refused_reading(edit: impl FnOnce(&mut State)) -> String {
    let mut state = encoder_state();
    edit(&mut state);
    let (_dir, path) = file(&training_checkpoint(state));
    let mut state = read_encoder(&path, &tiny_encoder()).unwrap().state;
    let keys: Vec<String> = state.keys().map(str::to_owned).collect();
    let error = keys.iter().find_map(|key| state.read(key).err());
    error.expect("refused").to_string()
}

#[test]
fn strides_and_offsets_are_honoured() {
    let mut state = encoder_state();
    let key = "blocks.0.attn.proj.weight";
    let plain = tensor(&mut state, key).values.clone();
    let mut values = vec![f32::NAN; 3];
    values.extend((0..256).map(|i| plain[i % 16 * 16 + i / 16]));
    let turned = tensor(&mut state, key);
    turned.values = values;
    turned.offset = 3;
    turned.strides = vec![1, 16];
    let (_dir, path) = file(&training_checkpoint(state));
    let mut state = read_encoder(&path, &tiny_encoder()).unwrap().state;
    assert_eq!(state.read(key).unwrap(), plain);
}

#[test]
fn a_needed_tensor_of_another_type_is_refused_when_read() {
    let mut state = encoder_state();
    tensor(&mut state, "norm.weight").storage_class = "HalfStorage";
    let (_dir, path) = file(&training_checkpoint(state));
    let mut state = read_encoder(&path, &tiny_encoder()).unwrap().state;
    let error = state.read("norm.weight").unwrap_err().to_string();
    assert!(error.contains("norm.weight: expected FloatStorage (float32), found HalfStorage"));
}

#[test]
fn a_view_that_leaves_its_storage_is_refused() {
    for (offset, stride) in [(1, 1), (0, 2), (usize::MAX >> 33, 1)] {
        let mut state = encoder_state();
        let bias = tensor(&mut state, "norm.bias");
        bias.offset = offset;
        bias.strides = vec![stride];
        let (_dir, path) = file(&training_checkpoint(state));
        let mut state = read_encoder(&path, &tiny_encoder()).unwrap().state;
        let error = state.read("norm.bias").unwrap_err().to_string();
        assert!(
            error.contains("expected a view inside 16 stored values"),
            "{error}"
        );
    }
}

#[test]
fn an_archive_that_is_not_a_stored_little_endian_one_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("case.pt");
    let pickle = b"\x80\x02}.".to_vec();
    let cases = [
        (Vec::new(), "expected a zip written by torch.save"),
        (
            b"\x80\x02}q\x00.".to_vec(),
            "expected a zip written by torch.save",
        ),
        (
            zip(&[("a/version", b"3".to_vec())]),
            "expected one data.pkl, found none",
        ),
        (
            zip(&[
                ("a/data.pkl", pickle.clone()),
                ("b/data.pkl", pickle.clone()),
            ]),
            "expected one data.pkl, found several",
        ),
        (
            zip(&[("a/data.pkl", pickle), ("a/byteorder", b"big".to_vec())]),
            "expected byteorder little, found big",
        ),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = read_encoder(&path, &tiny_encoder())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = read_encoder(dir.path(), &tiny_encoder())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("expected a file, found a folder"), "{error}");
}

#[test]
fn the_head_is_the_highest_for_classes_and_the_lowest_for_a_value() {
    for (name, best, scores, index) in [
        (VIEW, Best::Highest, [60.0, 80.0, 70.0], 1),
        (LVEF, Best::Lowest, [6.5, 7.0, 5.5], 2),
        (VIEW, Best::Highest, [80.0, 80.0, 70.0], 0),
    ] {
        let heads = (0..3)
            .map(|i| probe_state(name, &format!("head{i}")))
            .collect();
        let (_dir, path) = file(&probe_file(heads, &scores));
        let mut chosen = read_probe(&path, &tiny_probe(name), best).unwrap();
        assert_eq!(chosen.index, index);
        let score = scores[index].to_string();
        assert!(chosen.choice.contains(&score), "{}", chosen.choice);
        let key = "pooler.query_tokens";
        let expected = generator::weight(&format!("head{index}"), name, key, &[1, 1, 16]);
        assert_eq!(chosen.state.read(key).unwrap(), expected);
    }
}

#[test]
fn a_probe_file_with_bad_scores_is_refused() {
    let heads = || vec![probe_state(VIEW, "a"), probe_state(VIEW, "b")];
    for (scores, expected) in [
        (
            vec![1.0, f64::NAN],
            "expected finite numbers in val_acc_per_head, found NaN",
        ),
        (vec![f64::INFINITY, 1.0], "expected finite numbers"),
        (vec![1.0], "expected a score per head of 2, found 1"),
        (vec![], "expected a score per head of 2, found 0"),
    ] {
        let (_dir, path) = file(&probe_file(heads(), &scores));
        let error = read_probe(&path, &tiny_probe(VIEW), Best::Highest)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_probe_of_another_kind_is_refused() {
    let (_dir, path) = file(&probe_file(vec![probe_state(LVEF, "a")], &[1.0]));
    let error = read_probe(&path, &tiny_probe(VIEW), Best::Highest)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("tensor linear.weight: expected shape [13, 16], found none"),
        "{error}"
    );

    let (_dir, path) = file(&training_checkpoint(encoder_state()));
    let error = read_probe(&path, &tiny_probe(VIEW), Best::Highest)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("expected a probe file with the key classifiers"),
        "{error}"
    );
}

#[test]
fn a_probe_whose_mlp_is_empty_or_boundless_is_refused() {
    for hidden in [0, 1 << 40] {
        let mut state = probe_state(VIEW, "a");
        for (key, value) in &mut state {
            let Value::Tensor(tensor) = value else {
                continue;
            };
            if key.contains("mlp.") && tensor.shape.contains(&64) {
                tensor
                    .shape
                    .iter_mut()
                    .filter(|n| **n == 64)
                    .for_each(|n| *n = hidden);
                tensor.strides.fill(0);
            }
        }
        let (_dir, path) = file(&probe_file(vec![state], &[1.0]));
        let error = read_probe(&path, &tiny_probe(VIEW), Best::Highest)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("mlp.fc1.weight: expected shape [64, 16]"),
            "{error}"
        );
    }
}
