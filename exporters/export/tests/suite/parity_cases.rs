//! Golden cases of other sizes, probes and slots, made by the model's definition.

use crate::formula::{Encoder, Probe, Rows};
use crate::writer::{probe_file, save, state};
use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::manifest;
use echocart_core::package::Package;
use echocart_export::layout::{self, Places, ProbeKind, SlotEmbedding};
use echocart_export::parity::{ParityReport, Status, run};
use echocart_infer::{Library, OrtEngine, default_library_path};
use ndarray::{Array1, ArrayD, IxDyn};
use ndarray_npy::NpzWriter;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use tempfile::TempDir;

const TAG: &str = "made";

/// An expected output of a head: its name, whether of kept tokens, and the clips present.
type Wanted = (&'static str, bool, &'static [usize]);

struct Case {
    encoder: Encoder,
    /// Whether `encoder.pt` is there, and each probe's file.
    files: bool,
    probes: Vec<(Probe, Vec<Wanted>)>,
    keep: Vec<usize>,
    /// Rows of the tokens that the case holds; all if empty.
    rows: Vec<usize>,
    /// Further keys of `case.json`.
    more: &'static str,
}

fn attentive(name: &'static str, depth: usize, heads: usize, dim: usize, outputs: usize) -> Probe {
    Probe {
        name,
        kind: ProbeKind::Attentive,
        depth,
        heads,
        hidden: 4 * dim,
        outputs,
        last: if outputs == 1 { "regressor" } else { "linear" },
        slots: None,
    }
}

impl Case {
    fn manifest_encoder(&self) -> manifest::Encoder {
        let e = &self.encoder;
        manifest::Encoder {
            family: "vjepa2".to_owned(),
            dim: e.dim,
            depth: e.depth,
            heads: e.heads,
            mlp_ratio: e.mlp_ratio,
            frames: e.frames,
            height_px: e.height,
            width_px: e.width,
            tubelet_frames: 2,
            patch_px: 16,
            channels: 3,
        }
    }

    fn write_files(&self, dir: &Path) {
        let layout = layout::encoder(&self.manifest_encoder());
        let dict = |tag: &str| {
            crate::writer::Value::Dict(state(tag, "encoder", "module.backbone.", &layout))
        };
        let file = crate::writer::Value::Dict(vec![
            ("encoder".to_owned(), dict("decoy")),
            ("target_encoder".to_owned(), dict(TAG)),
        ]);
        save(&dir.join("encoder.pt"), &file);
        for (probe, _) in &self.probes {
            let layout = layout::probe(&layout::Probe {
                kind: probe.kind,
                dim: self.encoder.dim,
                depth: probe.depth,
                heads: probe.heads,
                hidden: probe.hidden,
                last: probe.last,
                outputs: probe.outputs,
                places: probe
                    .slots
                    .map(|(views, clips_per_view, embedding)| Places {
                        views,
                        clips_per_view,
                        embedding,
                    }),
            });
            let heads = ["decoy", TAG].map(|tag| state(tag, probe.name, "module.", &layout));
            let scores = if probe.outputs == 1 {
                [7.0, 6.0]
            } else {
                [0.3, 0.4]
            };
            let path = dir.join(format!("{}_probe.pt", probe.name));
            save(&path, &probe_file(heads.into(), &scores));
        }
    }

    fn write(&self, dir: &Path) {
        let e = &self.encoder;
        let attentive = self
            .probes
            .iter()
            .map(|(p, _)| p)
            .find(|p| p.kind == ProbeKind::Attentive);
        let probe_heads = attentive.map_or(1, |p| p.heads);
        let classes = self.probes.iter().map(|(p, _)| p.outputs).max().unwrap();
        let text = format!(
            r#"{{"tag": "{TAG}", "dim": {}, "depth": {}, "heads": {}, "mlp_ratio": {}, "frames": {},
            "height": {}, "width": {}, "probe_heads": {probe_heads}, "probe_depth": {},
            "classes": {classes}, "tokens_per_clip": {}{}}}"#,
            e.dim,
            e.depth,
            e.heads,
            e.mlp_ratio,
            e.frames,
            e.height,
            e.width,
            attentive.map_or(1, |p| p.depth),
            e.tokens(),
            self.more,
        );
        std::fs::write(dir.join("case.json"), text).unwrap();
        if self.files {
            self.write_files(dir);
        }
        let highest = self.probes.iter().flat_map(|(p, wanted)| {
            let slots = p.slots.map_or(0, |(views, clips, _)| views * clips);
            wanted
                .iter()
                .flat_map(|w| w.2)
                .copied()
                .chain([slots.saturating_sub(1)])
        });
        let clips = 1 + highest.max().unwrap_or(0);
        let encoded = |keep: Option<&[usize]>| -> Vec<Rows> {
            (0..clips).map(|clip| e.run(TAG, clip, keep)).collect()
        };
        let whole = encoded(None);
        let kept = if self.keep.is_empty() {
            Vec::new()
        } else {
            encoded(Some(&self.keep))
        };
        let mut npz = NpzWriter::new(File::create(dir.join("expected.npz")).unwrap());
        let mut array = |name: &str, shape: &[usize], values: Vec<f64>| {
            let values = values.into_iter().map(|v| v as f32).collect();
            npz.add_array(name, &ArrayD::from_shape_vec(IxDyn(shape), values).unwrap())
                .unwrap();
        };
        let pick = |rows: &Rows| -> Rows {
            if self.rows.is_empty() {
                return rows.clone();
            }
            self.rows.iter().map(|&row| rows[row].clone()).collect()
        };
        let tokens = pick(&whole[0]);
        array("tokens_clip0", &[1, tokens.len(), e.dim], tokens.concat());
        if let Some(rows) = kept.first() {
            array("tokens_kept_clip0", &[1, rows.len(), e.dim], rows.concat());
        }
        for (probe, wanted) in &self.probes {
            for &(name, of_kept, present) in wanted {
                let from = if of_kept { &kept } else { &whole };
                let values = match probe.slots {
                    None => {
                        let clips: Vec<Rows> = present.iter().map(|&c| from[c].clone()).collect();
                        probe.run(TAG, &clips, &[])
                    }
                    Some((views, clips, _)) => {
                        let all = views * clips;
                        let absent: Vec<usize> =
                            (0..all).filter(|s| !present.contains(s)).collect();
                        probe.run(TAG, &from[..all], &absent)
                    }
                };
                array(name, &[1, values.len()], values);
            }
        }
        for (name, ids) in [("token_index", &self.rows), ("keep", &self.keep)] {
            if !ids.is_empty() {
                let ids: Vec<i64> = ids.iter().map(|&id| id as i64).collect();
                npz.add_array(name, &Array1::from_vec(ids)).unwrap();
            }
        }
        npz.finish().unwrap();
    }

    fn report(&self) -> ParityReport {
        let dir = TempDir::new().unwrap();
        self.write(dir.path());
        report(dir.path())
    }
}

fn report(dir: &Path) -> ParityReport {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library = Library::load(&default_library_path(&root)).unwrap();
    let mut make = |package: &Path| -> Result<Box<dyn Engine>, String> {
        let package = Package::open(package, &PackageConfig::ANY).map_err(|e| e.to_string())?;
        let engine = OrtEngine::open(&library, &package, "fp32", 1);
        Ok(Box::new(engine.map_err(|e| e.to_string())?))
    };
    run(dir, &mut make, &mut |_, _, _| ControlFlow::Continue(())).unwrap()
}

fn passes(case: &Case, what: &str) {
    let report = case.report();
    let wanted: usize = case.probes.iter().map(|(_, wanted)| wanted.len()).sum();
    let tokens = if case.keep.is_empty() { 1 } else { 2 };
    assert_eq!(
        report.rows.len(),
        wanted + tokens,
        "{what}: {:?}",
        report.rows
    );
    for row in &report.rows {
        assert_eq!(row.status, Status::Pass, "{what}: {row:?}");
        println!("{what}: {} {:.1e}", row.output, row.max_abs.unwrap());
    }
}

const VIEW: &[Wanted] = &[
    ("view_logits_1clip", false, &[0]),
    ("view_logits_2clip", false, &[0, 1]),
];
const LVEF: &[Wanted] = &[
    ("lvef_z_1clip", false, &[0]),
    ("lvef_z_2clip", false, &[0, 1]),
];

fn encoder(dim: usize, depth: usize, heads: usize, size: [usize; 3]) -> Encoder {
    let [frames, height, width] = size;
    Encoder {
        dim,
        depth,
        heads,
        mlp_ratio: 4.0,
        frames,
        height,
        width,
    }
}

#[test]
fn other_sizes_and_probe_depths_pass() {
    for (encoder, view_depth, lvef_depth, probe_heads) in [
        (encoder(48, 3, 3, [4, 48, 48]), 1, 1, 3),
        (encoder(40, 2, 1, [8, 16, 64]), 3, 3, 5),
        (encoder(160, 1, 2, [2, 64, 32]), 4, 4, 2),
        (encoder(88, 2, 1, [6, 32, 80]), 2, 2, 4),
    ] {
        for files in [false, true] {
            let dim = encoder.dim;
            let case = Case {
                encoder: encoder.clone(),
                files,
                probes: vec![
                    (
                        attentive("view", view_depth, probe_heads, dim, 7),
                        VIEW.to_vec(),
                    ),
                    (
                        attentive("lvef", lvef_depth, probe_heads, dim, 1),
                        LVEF.to_vec(),
                    ),
                ],
                keep: vec![],
                rows: vec![],
                more: "",
            };
            passes(&case, &format!("dim {dim}, files {files}"));
        }
    }
}

#[test]
fn an_uneven_mlp_odd_pixels_and_listed_rows_pass() {
    let mut encoder = encoder(66, 2, 3, [7, 55, 40]);
    encoder.mlp_ratio = 48.0 / 11.0;
    let case = Case {
        encoder,
        files: false,
        probes: vec![
            (attentive("view", 2, 6, 66, 13), VIEW.to_vec()),
            (attentive("lvef", 2, 6, 66, 1), LVEF.to_vec()),
        ],
        keep: vec![17, 0, 5, 9],
        rows: vec![3, 0, 11],
        more: "",
    };
    passes(&case, "odd");
}

#[test]
fn more_clips_than_two_and_kept_tokens_of_each_pass() {
    let more: &[Wanted] = &[
        ("view_logits_3clip", false, &[0, 1, 2]),
        ("view_logits_kept_2clip", true, &[0, 1]),
        ("view_logits_kept_5clip", true, &[0, 1, 2, 3, 4]),
    ];
    let value: &[Wanted] = &[
        ("lvef_z_4clip", false, &[0, 1, 2, 3]),
        ("lvef_z_kept_1clip", true, &[0]),
        ("lvef_z_kept_3clip", true, &[0, 1, 2]),
    ];
    let case = Case {
        encoder: encoder(32, 2, 2, [4, 32, 48]),
        files: true,
        probes: vec![
            (attentive("view", 3, 2, 32, 5), [VIEW, more].concat()),
            (attentive("lvef", 1, 2, 32, 1), [LVEF, value].concat()),
        ],
        keep: vec![11, 2, 3, 7],
        rows: vec![],
        more: "",
    };
    passes(&case, "clips");
}

#[test]
fn averaging_probes_pass_with_any_number_of_clips() {
    for kinds in [
        [ProbeKind::Linear, ProbeKind::Mlp],
        [ProbeKind::Mlp, ProbeKind::Linear],
    ] {
        let probe = |name, kind, outputs| Probe {
            kind,
            depth: 0,
            hidden: 32,
            ..attentive(name, 0, 1, 32, outputs)
        };
        let three: &[Wanted] = &[
            ("lvef_z_3clip", false, &[0, 1, 2]),
            ("lvef_z_kept_2clip", true, &[0, 1]),
        ];
        let case = Case {
            encoder: encoder(32, 1, 4, [4, 48, 16]),
            files: true,
            probes: vec![
                (probe("view", kinds[0], 4), VIEW.to_vec()),
                (probe("lvef", kinds[1], 1), [LVEF, three].concat()),
            ],
            keep: vec![0, 5],
            rows: vec![],
            more: "",
        };
        passes(&case, "averaging");
    }
}

const SLOTS: &[Wanted] = &[
    ("rvsp_z_4slot", false, &[0, 1, 2, 3]),
    ("rvsp_z_view0_only", false, &[0, 1]),
    ("rvsp_z_view1_only", false, &[2, 3]),
    ("rvsp_z_slot1_missing", false, &[0, 2, 3]),
    ("rvsp_z_slots_0_3", false, &[0, 3]),
    ("rvsp_z_kept_4slot", true, &[0, 1, 2, 3]),
    ("rvsp_z_kept_view0_only", true, &[0, 1]),
];

#[test]
fn slots_pass_on_every_kind_of_probe_with_every_kind_of_vectors() {
    let kinds = [
        (ProbeKind::Attentive, 1),
        (ProbeKind::Attentive, 3),
        (ProbeKind::Linear, 0),
        (ProbeKind::Mlp, 0),
    ];
    let embeddings = [
        SlotEmbedding::Factorized,
        SlotEmbedding::PerSlot,
        SlotEmbedding::None,
    ];
    for (kind, depth) in kinds {
        for embedding in embeddings {
            let rvsp = Probe {
                kind,
                slots: Some((2, 2, embedding)),
                ..attentive("rvsp", depth, 2, 32, 1)
            };
            let case = Case {
                encoder: encoder(32, 1, 2, [4, 32, 16]),
                files: true,
                probes: vec![(rvsp, SLOTS.to_vec())],
                keep: vec![3, 1],
                rows: vec![],
                more: "",
            };
            passes(&case, &format!("{kind:?} {depth} {embedding:?}"));
        }
    }
}

#[test]
fn three_views_of_one_clip_and_one_view_of_three_pass() {
    let wanted: [&[Wanted]; 2] = [
        &[
            ("rvsp_z_3slot", false, &[0, 1, 2]),
            ("rvsp_z_view2_only", false, &[2]),
            ("rvsp_z_view1_missing", false, &[0, 2]),
        ],
        &[
            ("rvsp_z_3slot", false, &[0, 1, 2]),
            ("rvsp_z_slot0_only", false, &[0]),
        ],
    ];
    for (views, clips, wanted) in [(3, 1, wanted[0]), (1, 3, wanted[1])] {
        for files in [true, false] {
            let rvsp = Probe {
                slots: Some((views, clips, SlotEmbedding::Factorized)),
                ..attentive("rvsp", 2, 2, 32, 1)
            };
            let case = Case {
                encoder: encoder(32, 1, 2, [4, 16, 48]),
                files,
                probes: vec![(rvsp, wanted.to_vec())],
                keep: vec![],
                rows: vec![],
                more: if views == 3 {
                    r#", "views": 3, "clips_per_view": 1"#
                } else {
                    r#", "views": 1, "clips_per_view": 3"#
                },
            };
            passes(&case, &format!("{views} views, files {files}"));
        }
    }
}

#[test]
fn a_multi_view_probe_may_give_classes() {
    let rvsp = Probe {
        slots: Some((2, 2, SlotEmbedding::Factorized)),
        ..attentive("rvsp", 2, 2, 32, 3)
    };
    let wanted: &[Wanted] = &[
        ("rvsp_logits_4slot", false, &[0, 1, 2, 3]),
        ("rvsp_logits_view1_only", false, &[2, 3]),
    ];
    for files in [true, false] {
        let case = Case {
            encoder: encoder(32, 1, 2, [4, 16, 48]),
            files,
            probes: vec![(rvsp.clone(), wanted.to_vec())],
            keep: vec![],
            rows: vec![],
            more: "",
        };
        passes(&case, "classes");
    }
}

#[test]
fn an_error_in_one_part_of_the_model_fails() {
    let dir = TempDir::new().unwrap();
    let case = Case {
        encoder: encoder(32, 2, 2, [4, 32, 48]),
        files: true,
        probes: vec![(attentive("view", 2, 2, 32, 5), VIEW.to_vec())],
        keep: vec![4, 1],
        rows: vec![],
        more: "",
    };
    case.write(dir.path());
    assert!(report(dir.path()).passed());
    let path = dir.path().join("case.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, failing) in [
        ("\"heads\": 2,", "\"heads\": 4,", "tokens_clip0"),
        (
            "\"probe_heads\": 2,",
            "\"probe_heads\": 1,",
            "view_logits_1clip",
        ),
        ("\"height\": 32", "\"height\": 33", "tokens_kept_clip0"),
    ] {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let statuses: BTreeMap<String, Status> = report(dir.path())
            .rows
            .into_iter()
            .map(|row| (row.output, row.status))
            .collect();
        assert_eq!(statuses[failing], Status::Fail, "{to}: {statuses:?}");
    }
}
