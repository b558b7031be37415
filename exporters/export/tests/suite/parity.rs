//! The parity run, over an engine that answers from a table.

use echocart_core::config::PackageConfig;
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::package::Package;
use echocart_export::ExportError;
use echocart_export::generator;
use echocart_export::parity::{ParityReport, Status, run};
use ndarray::{ArrayD, IxDyn};
use ndarray_npy::NpzWriter;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const CASE: &str = r#"{"tag": "t", "dim": 16, "depth": 1, "heads": 2, "mlp_ratio": 4.0,
    "frames": 4, "height": 16, "width": 32, "probe_heads": 2, "probe_depth": 2, "classes": 3,
    "tokens_per_clip": 4}"#;

struct Table {
    clips: Vec<Vec<Arc<Vec<f32>>>>,
    kept: Option<Vec<usize>>,
}

fn head_output(name: &str, clips: usize) -> Vec<f32> {
    let values = if name == "view" { 3 } else { 1 };
    (0..values).map(|i| (i + clips) as f32).collect()
}

fn token_output() -> Vec<f32> {
    (0..64).map(|i| i as f32).collect()
}

/// What the table gives for kept tokens: the first value of their rows, over a whole token.
fn kept_output(clip: usize, keep: &[usize]) -> Vec<f32> {
    let pixels = generator::clip("t", clip, 4, 16, 32);
    let first = |&id: &usize| pixels[id / 2 * 2 * 512 + id % 2 * 16];
    keep.iter().map(first).flat_map(|v| [v; 16]).collect()
}

impl Engine for Table {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            provider: "TABLE".to_owned(),
            library: "none".to_owned(),
            ..EngineInfo::default()
        }
    }
    fn slots(&self) -> usize {
        self.clips.len()
    }
    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        self.clips[slot] = tubelets.to_vec();
        Ok(())
    }
    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        assert_eq!(rows.len(), ids.len() * 1536);
        self.clips[slot] = rows
            .chunks(1536)
            .map(|row| Arc::new(row.to_vec()))
            .collect();
        self.kept = Some(ids.to_vec());
        Ok(())
    }
    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        assert_eq!(places, slots);
        let sum: usize = places.iter().map(|place| 10usize.pow(*place as u32)).sum();
        *out = head_output(name, sum);
        Ok(())
    }
    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        assert!(slots.iter().enumerate().all(|(i, &slot)| i == slot));
        let kept = self.kept.as_ref().map_or(0, Vec::len);
        *out = head_output(name, slots.len() + 100 * kept);
        Ok(())
    }
    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        let clip = &self.clips[slot];
        if self.kept.is_some() {
            *out = clip.iter().flat_map(|row| [row[0]; 16]).collect();
            return Ok(());
        }
        let first = generator::clip("t", slot, 4, 16, 32);
        assert_eq!(clip[0][0], first[0]);
        assert_eq!(clip[1][1536], first[2 * 512 + 16]);
        *out = token_output();
        Ok(())
    }
}

type Arrays = BTreeMap<&'static str, (Vec<usize>, Vec<f32>)>;

fn right() -> Arrays {
    [
        ("tokens_clip0", (vec![1, 4, 16], token_output())),
        ("view_logits_1clip", (vec![1, 3], head_output("view", 1))),
        ("view_logits_2clip", (vec![1, 3], head_output("view", 2))),
        ("lvef_z_1clip", (vec![1, 1], head_output("lvef", 1))),
        ("lvef_z_2clip", (vec![1, 1], head_output("lvef", 2))),
    ]
    .into()
}

fn write(dir: &Path, arrays: &Arrays, indices: &[(&str, Vec<i64>)]) {
    std::fs::write(dir.join("case.json"), CASE).unwrap();
    let mut npz = NpzWriter::new(File::create(dir.join("expected.npz")).unwrap());
    for (name, (shape, values)) in arrays {
        let array = ArrayD::from_shape_vec(IxDyn(shape), values.clone()).unwrap();
        npz.add_array(*name, &array).unwrap();
    }
    for (name, values) in indices {
        npz.add_array(*name, &ndarray::Array1::from_vec(values.clone()))
            .unwrap();
    }
    npz.finish().unwrap();
}

fn report(arrays: &Arrays, indices: &[(&str, Vec<i64>)]) -> ParityReport {
    let dir = TempDir::new().unwrap();
    write(dir.path(), arrays, indices);
    let mut make = |package: &Path| {
        Package::open(package, &PackageConfig::ANY).map_err(|e| e.to_string())?;
        Ok(table())
    };
    run(dir.path(), &mut make, &mut |_, _, _| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

fn table() -> Box<dyn Engine> {
    Box::new(Table {
        clips: vec![Vec::new(); 4],
        kept: None,
    })
}

fn statuses(report: &ParityReport) -> Vec<(&str, Status)> {
    report
        .rows
        .iter()
        .map(|row| (row.output.as_str(), row.status))
        .collect()
}

#[test]
fn equal_outputs_pass_and_unknown_ones_are_not_checked() {
    let mut arrays = right();
    arrays.insert("rvsp_z_4slots_mean", (vec![1, 1], vec![0.0]));
    arrays.insert("view_logits_17clip", (vec![1, 3], vec![0.0; 3]));
    arrays.insert("view_z_1clip", (vec![1, 1], vec![0.0]));
    arrays.insert("mystery", (vec![1], vec![0.0]));
    let report = report(&arrays, &[]);
    assert!(report.passed());
    let expected = [
        ("tokens_clip0", Status::Pass),
        ("view_logits_1clip", Status::Pass),
        ("view_logits_2clip", Status::Pass),
        ("lvef_z_1clip", Status::Pass),
        ("lvef_z_2clip", Status::Pass),
        ("mystery", Status::NotChecked),
        ("rvsp_z_4slots_mean", Status::NotChecked),
        ("view_logits_17clip", Status::NotChecked),
        ("view_z_1clip", Status::NotChecked),
    ];
    assert_eq!(statuses(&report), expected);
    assert_eq!(report.sources["encoder"], "generated:t");
    assert_eq!(report.sources["view"], "generated:t");
    assert_eq!(report.engine, "TABLE, none");
}

#[test]
fn kept_tokens_enter_by_their_rows_and_come_after_the_whole_clips() {
    let keep = [3usize, 0];
    let ids: Vec<i64> = keep.iter().map(|&id| id as i64).collect();
    let mut arrays = right();
    arrays.insert("tokens_kept_clip0", (vec![1, 2, 16], kept_output(0, &keep)));
    arrays.insert("tokens_kept_clip1", (vec![1, 2, 16], kept_output(1, &keep)));
    let kept = |name| (vec![1, head_output(name, 0).len()], head_output(name, 202));
    arrays.insert("view_logits_kept_2clip", kept("view"));
    arrays.insert("lvef_z_kept_2clip", kept("lvef"));
    let whole = report(&arrays, &[("keep", ids.clone())]);
    assert!(whole.passed(), "{:?}", whole.rows);
    let names: Vec<&str> = whole.rows[5..]
        .iter()
        .map(|row| row.output.as_str())
        .collect();
    let expected = [
        "tokens_kept_clip0",
        "tokens_kept_clip1",
        "view_logits_kept_2clip",
        "lvef_z_kept_2clip",
    ];
    assert_eq!(names, expected);
    assert!(whole.rows.iter().all(|row| row.status == Status::Pass));

    arrays.insert("tokens_kept_clip0", (vec![1, 1, 16], kept_output(0, &[0])));
    arrays.remove("tokens_kept_clip1");
    let index = ("kept_token_index", vec![1]);
    assert!(report(&arrays, &[("keep", ids.clone()), index]).passed());
    for (keep, note) in [
        (None, "expected.npz lacks keep"),
        (Some(vec![4]), "keep: expected ids of 0 to 3"),
        (Some(vec![-1]), "keep: expected ids of 0 to 3"),
        (Some(vec![]), "keep: expected ids of 0 to 3"),
    ] {
        let keep: Vec<(&str, Vec<i64>)> = keep.map(|ids| ("keep", ids)).into_iter().collect();
        let failed = report(&arrays, &keep);
        let rows = failed.rows.iter().filter(|row| row.output.contains("kept"));
        assert!(rows.clone().count() == 3 && !failed.passed());
        for row in rows {
            assert_eq!(row.note.as_deref(), Some(note));
        }
    }
}

#[test]
fn a_list_of_kept_tokens_without_their_outputs_fails() {
    let report = report(&right(), &[("keep", vec![0])]);
    let last = report.rows.last().unwrap();
    assert_eq!(
        (last.output.as_str(), last.status),
        ("tokens_kept_clip0", Status::Fail)
    );
}

#[test]
fn slots_of_a_generated_multi_view_probe_are_given_by_their_names() {
    let value = |sum: usize| (vec![1, 1], vec![sum as f32]);
    let mut arrays = right();
    arrays.insert("rvsp_z_4slot", value(1111));
    arrays.insert("rvsp_z_view0_only", value(11));
    arrays.insert("rvsp_z_view1_only", value(1100));
    arrays.insert("rvsp_z_slot1_missing", value(1101));
    let four = report(&arrays, &[]);
    let slots = &four.rows[5..];
    let names: Vec<&str> = slots.iter().map(|row| row.output.as_str()).collect();
    let expected = [
        "rvsp_z_4slot",
        "rvsp_z_slot1_missing",
        "rvsp_z_view0_only",
        "rvsp_z_view1_only",
    ];
    assert_eq!(names, expected);
    assert!(
        slots.iter().all(|row| row.status == Status::Pass),
        "{slots:?}"
    );
    assert_eq!(four.sources["rvsp"], "generated:t");

    arrays.insert("rvsp_z_view0_only", value(1100));
    assert!(!report(&arrays, &[]).passed());
    arrays.remove("rvsp_z_4slot");
    let missing = report(&arrays, &[]);
    assert!(missing.rows.iter().any(|row| row.output == "rvsp_z_4slot"));
    assert!(!missing.passed());
}

#[test]
fn listed_token_rows_are_compared_with_those_rows() {
    let mut arrays = right();
    let rows: Vec<f32> = (48..64).chain(0..16).map(|i| i as f32).collect();
    arrays.insert("tokens_clip0", (vec![1, 2, 16], rows));
    assert!(report(&arrays, &[("token_index", vec![3, 0])]).passed());
    assert!(!report(&arrays, &[("token_index", vec![0, 3])]).passed());
    assert!(!report(&arrays, &[]).passed());
}

#[test]
fn a_missing_mis_shaped_or_broken_expected_array_does_not_pass() {
    let edits: [fn(&mut Arrays); 4] = [
        |a| {
            a.remove("lvef_z_2clip");
        },
        |a| a.get_mut("lvef_z_2clip").unwrap().0 = vec![1],
        |a| a.get_mut("lvef_z_2clip").unwrap().1[0] = f32::NAN,
        |a| a.get_mut("lvef_z_2clip").unwrap().1[0] += 0.01,
    ];
    for edit in edits {
        let mut arrays = right();
        edit(&mut arrays);
        let report = report(&arrays, &[]);
        assert!(!report.passed());
        assert_eq!(report.rows[4].status, Status::Fail);
        assert!(
            report.rows[..4]
                .iter()
                .all(|row| row.status == Status::Pass)
        );
    }
}

#[test]
fn a_case_whose_numbers_disagree_is_refused() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &right(), &[]);
    let refused = |from: &str, to: &str| {
        std::fs::write(dir.path().join("case.json"), CASE.replace(from, to)).unwrap();
        let mut make =
            |_: &Path| -> Result<Box<dyn Engine>, String> { Err("not asked".to_owned()) };
        run(dir.path(), &mut make, &mut |_, _, _| {
            ControlFlow::Continue(())
        })
        .unwrap_err()
        .to_string()
    };
    for (from, to, expected) in [
        (
            "\"tokens_per_clip\": 4",
            "\"tokens_per_clip\": 5",
            "tokens_per_clip: expected 4",
        ),
        (
            "\"heads\": 2",
            "\"heads\": 3",
            "encoder.heads: expected a divisor of dim 16, found 3",
        ),
        ("\"dim\": 16", "\"dim\": 0", "encoder.dim"),
        ("\"frames\": 4", "\"frames\": 1", "encoder.frames"),
        (
            "\"classes\": 3",
            "\"classes\": 0",
            "classes: expected 1 to 10000, found 0",
        ),
        ("\"height\": 16,", "", "missing field `height`"),
        ("}", "", "EOF"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(expected), "{error}");
        assert!(
            !error.contains('\n') && error.contains("case.json"),
            "{error}"
        );
    }
}

#[test]
fn packed_and_64_bit_expected_arrays_are_read() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("case.json"), CASE).unwrap();
    let passes = |wrong_by: f64, packed: bool| {
        let file = File::create(dir.path().join("expected.npz")).unwrap();
        let mut npz = if packed {
            NpzWriter::new_compressed(file)
        } else {
            NpzWriter::new(file)
        };
        for (name, (shape, values)) in right() {
            let array = ArrayD::from_shape_vec(IxDyn(&shape), values).unwrap();
            if name.starts_with("lvef") {
                let wide = array.mapv(|value| f64::from(value) + wrong_by);
                npz.add_array(name, &wide).unwrap();
            } else {
                npz.add_array(name, &array).unwrap();
            }
        }
        npz.finish().unwrap();
        let mut make = |_: &Path| Ok(table());
        let report = run(dir.path(), &mut make, &mut |_, _, _| {
            ControlFlow::Continue(())
        });
        report.unwrap().passed()
    };
    assert!(passes(0.0, true));
    assert!(passes(1e-9, false));
    assert!(!passes(1e-3, true));
    assert!(!passes(1e300, false));
}

#[test]
fn a_stop_between_two_steps_ends_the_run() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &right(), &[]);
    for at in [
        "load the graphs",
        "encode clip 1",
        "lvef_z_2clip",
        "hash head.view.fp32.weights",
    ] {
        let mut make = |_: &Path| Ok(table());
        let stopped = run(dir.path(), &mut make, &mut |what, _, _| {
            if what == at {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(matches!(stopped, Err(ExportError::Interrupted)), "{at}");
    }
}

#[test]
fn a_case_file_that_is_missing_odd_or_too_long_is_refused() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &right(), &[]);
    let refused = |name: &str| {
        let mut make =
            |_: &Path| -> Result<Box<dyn Engine>, String> { Err("not asked".to_owned()) };
        let error = run(dir.path(), &mut make, &mut |_, _, _| {
            ControlFlow::Continue(())
        });
        let error = error.unwrap_err().to_string();
        let path = dir.path().join(name);
        assert!(error.ends_with(&format!("({})", path.display())), "{error}");
        error
    };
    for name in ["expected.npz", "case.json"] {
        let path = dir.path().join(name);
        std::fs::remove_file(&path).unwrap();
        assert!(refused(name).starts_with("cannot read"));
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(refused(name).contains("expected a regular file"));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(refused(name).contains("found a folder"));
        std::fs::remove_dir(&path).unwrap();
    }
    let long = format!("{CASE}{}", " ".repeat(1 << 20));
    std::fs::write(dir.path().join("case.json"), long).unwrap();
    assert!(refused("case.json").contains("expected at most 1048576 bytes, found more"));
}
