//! Multi-view probes: vectors per slot, one graph per set of present slots.

use crate::writer::{TestTensor, Value, probe_file, save, state, tiny_recipe};
use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::manifest::{LVEF, SlotEmbedding, Slots, VIEW};
use echocart_core::package::Package;
use echocart_export::checkpoint::{Best, probe_facts};
use echocart_export::layout::{self, Places, Probe, ProbeKind};
use echocart_export::onnx::proto::ModelProto;
use echocart_export::{
    ExportRequest, Recipe, RecipeHead, RecipeOutput, WeightSource, export, generator,
};
use echocart_infer::{Library, OrtEngine, default_library_path};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const DIM: usize = 16;
const RVSP: &str = "rvsp";

fn sets() -> Vec<Vec<usize>> {
    vec![vec![0, 1, 2, 3], vec![0, 1], vec![2, 3], vec![3]]
}

fn probe(embedding: SlotEmbedding, depth: usize) -> Probe {
    Probe {
        kind: ProbeKind::Attentive,
        dim: DIM,
        depth,
        heads: 2,
        hidden: 64,
        last: "regressor",
        outputs: 1,
        places: Some(Places {
            views: 2,
            clips_per_view: 2,
            embedding,
        }),
    }
}

fn recipe(embedding: SlotEmbedding, depth: usize) -> Recipe {
    let mut recipe = tiny_recipe();
    let lvef = recipe.heads.remove(LVEF).unwrap();
    let RecipeOutput::Regression { range, .. } = lvef.output else {
        panic!("lvef is no regression")
    };
    let rvsp = RecipeHead {
        segments: 4,
        probe: ProbeKind::Attentive,
        heads: Some(2),
        depth: Some(depth),
        slots: Some(Slots {
            views: vec!["A4C colour".to_owned(), "PSAX-AV colour".to_owned()],
            clips_per_view: 2,
            embedding,
            allowed: sets(),
        }),
        output: RecipeOutput::Regression {
            unit: "mmHg".to_owned(),
            mean: Some(34.0),
            std: Some(14.0),
            scaler: None,
            required_views: vec!["A4C".to_owned(), "PSAX-AV".to_owned()],
            range,
        },
    };
    recipe.heads.insert(RVSP.to_owned(), rvsp);
    recipe
}

/// The right probe's tensors; a vector per slot is the sum of its view's and its clip's.
fn tensors(embedding: SlotEmbedding, depth: usize) -> Vec<(String, Value)> {
    let layout = layout::probe(&probe(SlotEmbedding::None, depth));
    let mut tensors = state("right", RVSP, "module.", &layout);
    let vectors = |key: &str| generator::weight("right", RVSP, key, &[2, DIM]);
    let (views, clips) = (
        vectors(layout::VIEW_EMBEDDING),
        vectors(layout::CLIP_EMBEDDING),
    );
    let mut push = |key: &str, values: Vec<f32>| {
        let tensor = TestTensor::new(&[values.len() / DIM, DIM], values);
        tensors.push((format!("module.{key}"), Value::Tensor(tensor)));
    };
    match embedding {
        SlotEmbedding::None => {}
        SlotEmbedding::Factorized => {
            push(layout::VIEW_EMBEDDING, views);
            push(layout::CLIP_EMBEDDING, clips);
        }
        SlotEmbedding::PerSlot => {
            let value = |at: usize| {
                let (slot, channel) = (at / DIM, at % DIM);
                views[slot / 2 * DIM + channel] + clips[slot % 2 * DIM + channel]
            };
            push(layout::SLOT_EMBEDDING, (0..4 * DIM).map(value).collect());
        }
    }
    tensors
}

fn save_probe(path: &Path, embedding: SlotEmbedding, depth: usize) {
    let decoy = state(
        "decoy",
        RVSP,
        "module.",
        &layout::probe(&probe(embedding, depth)),
    );
    let heads = vec![decoy, tensors(embedding, depth)];
    let Value::Dict(mut entries) = probe_file(heads, &[6.5, 5.5]) else {
        panic!("a probe file is a dict")
    };
    let kind = Value::Raw(b"X\x0a\x00\x00\x00regression".to_vec());
    entries.push(("task_type".to_owned(), kind));
    save(path, &Value::Dict(entries));
}

fn request(dir: &Path, recipe: Recipe, rvsp: &Path) -> ExportRequest {
    let generated = WeightSource::Generated("right".to_owned());
    ExportRequest {
        recipe,
        encoder: generated.clone(),
        probes: [
            (VIEW.to_owned(), generated),
            (
                RVSP.to_owned(),
                WeightSource::Checkpoint(rvsp.to_path_buf()),
            ),
        ]
        .into(),
        out_dir: dir.join("p"),
        replace: true,
    }
}

fn exported(dir: &Path, embedding: SlotEmbedding, depth: usize) -> PathBuf {
    let path = dir.join("rvsp.pt");
    save_probe(&path, embedding, depth);
    let request = request(dir, recipe(embedding, depth), &path);
    let report = export(&request, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.manifest.heads[RVSP].classifier_index, 1);
    report.dir
}

fn engine(dir: &Path) -> OrtEngine {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library = Library::load(&default_library_path(&root)).unwrap();
    let package = Package::open(dir, &PackageConfig::ANY).unwrap();
    let mut engine = OrtEngine::open(&library, &package, "fp32", 1).unwrap();
    let sizes = &package.manifest.encoder;
    let block = sizes.tokens_per_tubelet() * sizes.row();
    for clip in 0..4 {
        let pixels = generator::clip("t", clip, sizes.frames, sizes.height_px, sizes.width_px);
        let tubelets: Vec<Arc<Vec<f32>>> = pixels
            .chunks(block)
            .map(|block| Arc::new(block.to_vec()))
            .collect();
        engine.encode(&tubelets, clip).unwrap();
    }
    engine
}

fn values(engine: &mut OrtEngine, places: &[usize], slots: &[usize]) -> f32 {
    let mut out = Vec::new();
    engine
        .multi_view_head(RVSP, places, slots, &mut out)
        .unwrap();
    assert_eq!(out.len(), 1);
    out[0]
}

#[test]
fn vectors_of_views_and_clips_are_the_same_as_their_sums_per_slot() {
    for depth in [1, 2, 3] {
        let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut factorized = engine(&exported(a.path(), SlotEmbedding::Factorized, depth));
        let mut per_slot = engine(&exported(b.path(), SlotEmbedding::PerSlot, depth));
        let mut seen = BTreeMap::new();
        for set in sets() {
            let found = values(&mut factorized, &set, &set);
            assert_eq!(found, values(&mut per_slot, &set, &set), "{set:?}");
            seen.insert(Slots::key(&set), found);
        }
        let distinct: BTreeSet<u32> = seen.values().map(|v| v.to_bits()).collect();
        assert_eq!(distinct.len(), 4, "{seen:?}");
        let same_clips_elsewhere = values(&mut factorized, &[2, 3], &[0, 1]);
        assert!((same_clips_elsewhere - seen["0+1"]).abs() > 1e-4);
    }
}

#[test]
fn without_vectors_a_place_means_nothing_and_an_order_neither() {
    let dir = TempDir::new().unwrap();
    let mut engine = engine(&exported(dir.path(), SlotEmbedding::None, 2));
    let here = values(&mut engine, &[0, 1], &[0, 1]);
    for (places, slots) in [([2, 3], [0, 1]), ([0, 1], [1, 0])] {
        let there = values(&mut engine, &places, &slots);
        assert!((here - there).abs() <= 1e-5, "{here} and {there}");
    }
}

#[test]
fn a_set_that_is_not_allowed_has_no_graph() {
    let dir = TempDir::new().unwrap();
    let mut engine = engine(&exported(dir.path(), SlotEmbedding::Factorized, 1));
    let mut out = Vec::new();
    let error = engine.multi_view_head(RVSP, &[1], &[1], &mut out);
    assert!(error.unwrap_err().to_string().contains("no such graph"));
}

#[test]
fn each_set_has_its_graph_that_reads_the_vectors_of_its_slots() {
    let dir = TempDir::new().unwrap();
    let package = exported(dir.path(), SlotEmbedding::Factorized, 2);
    let manifest = Package::open(&package, &PackageConfig::ANY)
        .unwrap()
        .manifest;
    let graphs = &manifest.variants["fp32"].heads[RVSP];
    let expected = [
        ("0+1", "head.rvsp.v0-1.fp32.onnx"),
        ("0+1+2+3", "head.rvsp.v0-1-2-3.fp32.onnx"),
        ("2+3", "head.rvsp.v2-3.fp32.onnx"),
        ("3", "head.rvsp.v3.fp32.onnx"),
    ];
    let expected = expected.map(|(key, file)| (key.to_owned(), file.to_owned()));
    assert_eq!(graphs, &BTreeMap::from(expected));
    assert_eq!(manifest.heads[RVSP].slots.as_ref().unwrap().allowed, sets());
    for set in sets() {
        let bytes = std::fs::read(package.join(&graphs[&Slots::key(&set)])).unwrap();
        let graph = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
        let inputs: Vec<&str> = graph.input.iter().map(|input| input.name()).collect();
        let expected: Vec<String> = (0..set.len()).map(|i| format!("tokens_{i}")).collect();
        assert_eq!(inputs, expected);
        let gathered = graph.node.iter().filter(|node| node.op_type() == "Gather");
        let indices: Vec<&str> = gathered.map(|node| node.input[1].as_str()).collect();
        let expected: Vec<String> = set
            .iter()
            .map(|slot| format!("slots.index.{slot}"))
            .collect();
        assert_eq!(indices, expected);
    }
}

#[test]
fn a_recipe_whose_slots_are_not_the_files_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("rvsp.pt");
    let refused = |found: SlotEmbedding, edit: &dyn Fn(&mut RecipeHead)| {
        save_probe(&path, found, 2);
        let mut recipe = recipe(SlotEmbedding::Factorized, 2);
        edit(recipe.heads.get_mut(RVSP).unwrap());
        let request = request(dir.path(), recipe, &path);
        let error = export(&request, &mut |_, _, _| ControlFlow::Continue(()));
        error.unwrap_err().to_string()
    };
    let error = refused(SlotEmbedding::PerSlot, &|_| {});
    let expected = "tensor view_embed.weight: expected shape [2, 16], found none";
    assert!(error.contains(expected), "{error}");
    let error = refused(SlotEmbedding::Factorized, &|head| {
        (head.slots, head.segments) = (None, 2);
    });
    let expected = "tensor clip_embed.weight: expected no such tensor, found [2, 16]";
    assert!(error.contains(expected), "{error}");
    let error = refused(SlotEmbedding::Factorized, &|head| {
        let slots = head.slots.as_mut().unwrap();
        (slots.views, slots.clips_per_view) = (vec!["A4C".to_owned()], 4);
    });
    let expected = "tensor view_embed.weight: expected shape [1, 16], found [2, 16]";
    assert!(error.contains(expected), "{error}");
    let error = refused(SlotEmbedding::Factorized, &|head| {
        head.slots.as_mut().unwrap().allowed.push(vec![1, 0]);
    });
    assert!(error.contains("heads.rvsp.slots.allowed"), "{error}");
}

#[test]
fn a_probe_file_says_its_slots() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("rvsp.pt");
    for (embedding, depth) in [
        (SlotEmbedding::None, 1),
        (SlotEmbedding::Factorized, 2),
        (SlotEmbedding::PerSlot, 4),
    ] {
        save_probe(&path, embedding, depth);
        let facts = probe_facts(&path, Best::Lowest).unwrap();
        assert_eq!(
            (facts.kind, facts.depth, facts.outputs),
            (ProbeKind::Attentive, depth, 1)
        );
        let found = facts.embedding.map(|e| (e.kind, e.slots, e.views));
        let expected = match embedding {
            SlotEmbedding::None => None,
            SlotEmbedding::Factorized => Some((embedding, 4, Some(2))),
            SlotEmbedding::PerSlot => Some((embedding, 4, None)),
        };
        assert_eq!(found, expected);
    }
}
