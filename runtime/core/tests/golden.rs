//! Golden clips: frames to answers, and answers beside the expected ones.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{MILLI, Scripted, manifest, meta};
use echocart_core::dump::DumpWriter;
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::golden::{
    self, Answers, Check, ClipError, Expected, GoldenClip, GoldenError, compare,
};
use echocart_core::manifest::{Manifest, Tokens, Tolerance};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

fn dump(frames: &[(i64, u8)]) -> Vec<u8> {
    let mut writer = DumpWriter::new(Vec::new()).unwrap();
    for &(millis, level) in frames {
        let meta = meta(millis * MILLI);
        writer
            .frame(&meta, &vec![level; meta.frame_bytes()])
            .unwrap();
    }
    writer.finish().unwrap()
}

fn clip(frames: &[(i64, u8)]) -> Result<GoldenClip, ClipError> {
    golden::clip(&manifest(), &dump(frames)[..])
}

#[test]
fn a_clip_takes_the_nearest_frames_and_preprocesses_them() {
    let frames = [
        (0, 51),
        (60, 1),
        (130, 102),
        (200, 1),
        (245, 153),
        (255, 1),
        (380, 204),
        (450, 1),
    ];
    let clip = clip(&frames).unwrap();
    assert_eq!(clip.chosen, [0, 2, 4, 6]);
    let level = |tubelet: usize, frame: usize| clip.tubelets[tubelet][frame * 256];
    for (found, expected) in [level(0, 0), level(0, 1), level(1, 0), level(1, 1)]
        .into_iter()
        .zip([0.2, 0.4, 0.6, 0.8])
    {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn frames_that_make_no_whole_clip_are_refused() {
    let late = clip(&[(0, 0), (300, 0)]).unwrap_err();
    assert!(matches!(late, ClipError::Gap { slot: 1 }), "{late}");
    let short = clip(&[(0, 0), (125, 0), (250, 0)]).unwrap_err();
    assert_eq!(short.to_string(), "expected frames for 4 slots, found 3");
    let back = clip(&[(0, 0), (125, 0), (125, 0)]).unwrap_err();
    assert!(matches!(back, ClipError::Time { frame: 2 }), "{back}");
    let none = golden::clip(&manifest(), &b"ECHODUMP"[..]).unwrap_err();
    assert!(matches!(none, ClipError::Dump(_)), "{none}");
}

/// Tokens are the clip's first value plus the place; a head is the sum over its slots.
struct Adding {
    slots: [f32; 4],
}

impl Engine for Adding {
    fn info(&self) -> EngineInfo {
        Scripted::engine(|_| common::A4C).info()
    }

    fn slots(&self) -> usize {
        4
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        self.slots[slot] = tubelets[0][0];
        Ok(())
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        assert_eq!(rows.len(), 1536 * ids.len());
        self.slots[slot] = rows[0] + 100.0 * ids.iter().sum::<usize>() as f32;
        Ok(())
    }

    fn head(&mut self, _: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        *out = vec![slots.iter().map(|&s| self.slots[s]).sum()];
        Ok(())
    }

    fn multi_view_head(
        &mut self,
        name: &str,
        _: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        self.head(name, slots, out)
    }

    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        *out = (0..16).map(|i| self.slots[slot] + i as f32).collect();
        Ok(())
    }
}

fn flat(level: f32) -> GoldenClip {
    GoldenClip {
        tubelets: (0..2).map(|_| Arc::new(vec![level; 1536])).collect(),
        chosen: vec![0, 1, 2, 3],
    }
}

fn run(manifest: &Manifest) -> Result<Vec<Answers>, GoldenError> {
    let mut engine = Adding { slots: [0.0; 4] };
    let mut go_on = |_: &str| ControlFlow::Continue(());
    let clips = [flat(1.0), flat(10.0)];
    golden::run(
        &mut engine,
        manifest,
        &manifest.variants["fp32"],
        &clips,
        &mut go_on,
    )
}

fn answers() -> Vec<Answers> {
    run(&manifest()).unwrap()
}

fn graph(name: &str, key: &str) -> (String, String) {
    (name.to_owned(), key.to_owned())
}

#[test]
fn every_head_graph_answers_for_every_clip_and_segments_follow_one_another() {
    let answers = answers();
    let heads = |clip: usize| answers[clip].heads.clone();
    let expected = |view: f32, lvef: f32| {
        BTreeMap::from([
            (graph("view", "1"), vec![view]),
            (graph("lvef", "2"), vec![lvef]),
        ])
    };
    assert_eq!(heads(0), expected(1.0, 11.0));
    assert_eq!(heads(1), expected(10.0, 20.0));
    assert_eq!(answers[0].places, [0, 1]);
    assert_eq!(answers[1].tokens.len(), 16);
}

#[test]
fn at_most_64_rows_of_tokens_are_kept_and_they_are_spread() {
    let places = golden::places(1568);
    assert_eq!(places.len(), 64);
    assert!(places.windows(2).all(|w| w[0] < w[1]) && places[63] > 1500);
    assert_eq!(golden::places(3), [0, 1, 2]);
}

#[test]
fn a_run_can_be_interrupted() {
    let manifest = manifest();
    let mut engine = Adding { slots: [0.0; 4] };
    let mut stop = |_: &str| ControlFlow::Break(());
    let variant = &manifest.variants["fp32"];
    let stopped = golden::run(&mut engine, &manifest, variant, &[flat(1.0)], &mut stop);
    assert!(matches!(stopped, Err(GoldenError::Interrupted)));
}

#[test]
fn answers_survive_their_file_and_an_unknown_array_does_not() {
    let [whole, kept]: [Answers; 2] = answers().try_into().unwrap();
    let expected = Expected {
        whole: whole.clone(),
        kept: [(1, kept.clone())].into(),
    };
    let file = expected.to_npz().unwrap();
    assert_eq!(Expected::from_npz(&file).as_ref(), Ok(&expected));
    assert_eq!(expected.clone().of(None), Some(whole));
    assert_eq!(expected.clone().of(Some(1)), Some(kept));
    assert_eq!(expected.of(Some(2)), None);
    let other = |from: &[u8], to: &[u8]| {
        let mut file = file.clone();
        while let Some(at) = file.windows(from.len()).position(|w| w == from) {
            file[at..at + from.len()].copy_from_slice(to);
        }
        Expected::from_npz(&file).unwrap_err().to_string()
    };
    let error = other(b"head.view", b"hand.view");
    assert!(
        error.contains("expected an array of a golden clip"),
        "{error}"
    );
    let error = other(b"token_index", b"head.x.aaaa");
    assert!(error.contains("head.x.aaaa"), "{error}");
}

fn checks(found: &[Answers]) -> Vec<Check> {
    let names = ["a".to_owned(), "b".to_owned()];
    let names: Vec<&String> = names.iter().collect();
    let tolerance = Tolerance {
        tokens_relative_rms: 1e-5,
        heads: 1e-4,
    };
    compare(&names, &answers(), found, &tolerance)
}

fn failed(found: &[Answers]) -> Vec<(String, String)> {
    let checks = checks(found).into_iter();
    let failed = checks.filter(|c| !c.passed());
    failed.map(|c| (c.clip, c.output)).collect()
}

#[test]
fn the_same_answers_pass_and_any_other_fails_by_its_name() {
    assert_eq!(checks(&answers()).len(), 6);
    assert!(failed(&answers()).is_empty());

    let mut found = answers();
    found[1].tokens[3] += 0.01;
    assert_eq!(failed(&found), [graph("b", "tokens")]);

    let mut found = answers();
    *found[0].heads.get_mut(&graph("lvef", "2")).unwrap() = vec![11.01];
    assert_eq!(failed(&found), [graph("a", "head lvef 2")]);

    for wrong in [vec![], vec![1.0, 1.0], vec![f32::NAN], vec![f32::INFINITY]] {
        let mut found = answers();
        *found[0].heads.get_mut(&graph("view", "1")).unwrap() = wrong;
        assert_eq!(failed(&found), [graph("a", "head view 1")]);
    }

    let mut found = answers();
    found[0].heads.insert(graph("more", "1"), vec![0.0]);
    assert_eq!(failed(&found), [graph("a", "head more 1")]);
}

#[test]
fn a_head_that_answers_every_clip_alike_fails_whatever_the_tolerance() {
    let names = ["a".to_owned(), "b".to_owned()];
    let names: Vec<&String> = names.iter().collect();
    let generous = Tolerance {
        tokens_relative_rms: 1e3,
        heads: 1e3,
    };
    let mut found = answers();
    for answers in &mut found {
        *answers.heads.get_mut(&graph("view", "1")).unwrap() = vec![0.0];
    }
    let checks = compare(&names, &answers(), &found, &generous);
    let failed: Vec<_> = checks.iter().filter(|c| !c.passed()).collect();
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|c| c.output == "head view 1"));
    assert_eq!(
        failed[0].note.as_deref(),
        Some("it answers every clip alike")
    );
}

#[test]
fn a_package_without_golden_clips_says_so() {
    let mut manifest = manifest();
    let why = golden::why_not(&manifest).unwrap();
    assert_eq!(why, "the package has no golden clips");
    let golden = toml::from_str("frames = \"f\"\nexpected = \"e\"\norigin = \"o\"").unwrap();
    manifest.golden.insert("a".to_owned(), golden);
    assert_eq!(golden::why_not(&manifest), None);
}

#[test]
fn a_variant_of_fewer_tokens_runs_on_those_nearest_to_the_middle() {
    let mut manifest = manifest();
    let variant = manifest.variants.get_mut("fp32").unwrap();
    assert_eq!(golden::bucket(&manifest.encoder, variant), None);
    variant.tokens = Tokens::Exactly(2);
    assert_eq!(golden::bucket(&manifest.encoder, variant), None);
    variant.tokens = Tokens::Exactly(1);
    assert_eq!(golden::bucket(&manifest.encoder, variant), Some(vec![1]));
    let answers = run(&manifest).unwrap();
    assert_eq!(
        (answers[0].places.as_slice(), answers[0].tokens.len()),
        (&[0][..], 8)
    );
    assert_eq!(answers[1].heads[&graph("view", "1")], [110.0]);
}
