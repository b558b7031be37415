//! Golden cases whose probe files say more than `case.json`: what is exported for them.

use crate::writer::{Value, probe_file, save, state};
use echocart_core::config::PackageConfig;
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::manifest::{HeadOutput, Manifest, SlotEmbedding};
use echocart_core::package::Package;
use echocart_export::layout::{self, Places, Probe, ProbeKind};
use echocart_export::parity::{ParityReport, run};
use ndarray::{ArrayD, IxDyn};
use ndarray_npy::NpzWriter;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const CASE: &str = r#"{"tag": "t", "dim": 16, "depth": 1, "heads": 2, "mlp_ratio": 4.0,
    "frames": 5, "height": 20, "width": 48, "probe_heads": 2, "note": "an unknown key"}"#;

/// Gives zeros, as many as the manifest says.
struct Zeros(Manifest);

impl Zeros {
    fn values(&self, name: &str, out: &mut Vec<f32>) -> Result<(), EngineError> {
        let values = match &self.0.heads[name].output {
            HeadOutput::Classification { labels } => labels.len(),
            HeadOutput::Regression { .. } => 1,
        };
        *out = vec![0.0; values];
        Ok(())
    }
}

impl Engine for Zeros {
    fn info(&self) -> EngineInfo {
        EngineInfo::default()
    }
    fn slots(&self) -> usize {
        16
    }
    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], _: usize) -> Result<(), EngineError> {
        assert_eq!(tubelets.len(), 2);
        Ok(())
    }
    fn encode_kept(&mut self, _: &[f32], _: &[usize], _: usize) -> Result<(), EngineError> {
        Ok(())
    }
    fn head(&mut self, name: &str, _: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        assert!(self.0.heads[name].slots.is_none());
        self.values(name, out)
    }
    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        _: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let slots = self.0.heads[name].slots.as_ref().unwrap();
        assert!(slots.allowed.iter().any(|set| set == places));
        self.values(name, out)
    }
    fn tokens(&mut self, _: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        *out = vec![0.0; 6 * 16];
        Ok(())
    }
}

fn probe(kind: ProbeKind, depth: usize, last: &'static str, outputs: usize) -> Probe {
    Probe {
        kind,
        dim: 16,
        depth,
        heads: 2,
        hidden: 48,
        last,
        outputs,
        places: None,
    }
}

fn save_probe(dir: &Path, name: &str, probe: &Probe) {
    let head = |tag| state(tag, name, "module.", &layout::probe(probe));
    let file = probe_file(vec![head("a"), head("b")], &[1.0, 2.0]);
    save(&dir.join(format!("{name}_probe.pt")), &file);
}

fn write(dir: &Path, outputs: &[(&str, usize)]) {
    std::fs::write(dir.join("case.json"), CASE).unwrap();
    let mut npz = NpzWriter::new(File::create(dir.join("expected.npz")).unwrap());
    let tokens = ArrayD::<f32>::zeros(IxDyn(&[1, 6, 16]));
    npz.add_array("tokens_clip0", &tokens).unwrap();
    for &(name, values) in outputs {
        let zeros = ArrayD::<f32>::zeros(IxDyn(&[1, values]));
        npz.add_array(name, &zeros).unwrap();
    }
    npz.finish().unwrap();
}

fn report(dir: &Path) -> (Manifest, ParityReport) {
    let mut manifest = None;
    let mut make = |package: &Path| -> Result<Box<dyn Engine>, String> {
        let package = Package::open(package, &PackageConfig::ANY).map_err(|e| e.to_string())?;
        manifest = Some(package.manifest.clone());
        Ok(Box::new(Zeros(package.manifest)))
    };
    let report = run(dir, &mut make, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    (manifest.unwrap(), report)
}

#[test]
fn kind_depth_and_classes_come_from_the_probe_files() {
    let view_outputs = [("view_logits_1clip", 5), ("view_logits_2clip", 5)];
    let lvef_outputs = [("lvef_z_1clip", 1), ("lvef_z_2clip", 1)];
    for (view, lvef) in [
        ((ProbeKind::Attentive, 3), (ProbeKind::Attentive, 1)),
        ((ProbeKind::Linear, 0), (ProbeKind::Mlp, 0)),
        ((ProbeKind::Mlp, 0), (ProbeKind::Linear, 0)),
    ] {
        let dir = TempDir::new().unwrap();
        save_probe(dir.path(), "view", &probe(view.0, view.1, "linear", 5));
        save_probe(dir.path(), "lvef", &probe(lvef.0, lvef.1, "regressor", 1));
        write(dir.path(), &[view_outputs, lvef_outputs].concat());
        let (manifest, report) = report(dir.path());
        assert!(report.passed() && report.rows.len() == 5, "{report:?}");
        let head = |name: &str| (manifest.heads[name].probe, manifest.heads[name].depth);
        assert_eq!((head("view"), head("lvef")), (view, lvef));
        assert_eq!(manifest.view_labels().len(), 5);
        assert_eq!(
            (manifest.encoder.height_px, manifest.encoder.width_px),
            (16, 48)
        );
    }
}

#[test]
fn slots_come_from_the_probe_file_and_the_names() {
    for (embedding, views, clips_per_view) in [
        (SlotEmbedding::Factorized, 3, 1),
        (SlotEmbedding::PerSlot, 2, 2),
        (SlotEmbedding::None, 2, 2),
    ] {
        let dir = TempDir::new().unwrap();
        let mut rvsp = probe(ProbeKind::Attentive, 2, "regressor", 1);
        rvsp.places = Some(Places {
            views,
            clips_per_view,
            embedding,
        });
        save_probe(dir.path(), "rvsp", &rvsp);
        let count = views * clips_per_view;
        let all = format!("rvsp_z_{count}slot");
        write(dir.path(), &[(all.as_str(), 1), ("rvsp_z_view1_only", 1)]);
        let (manifest, report) = report(dir.path());
        assert!(report.passed() && report.rows.len() == 3, "{report:?}");
        assert!(report.rows.iter().all(|row| row.status.as_str() == "pass"));
        let slots = manifest.heads["rvsp"].slots.as_ref().unwrap();
        assert_eq!(
            (slots.views.len(), slots.clips_per_view),
            (views, clips_per_view)
        );
        assert_eq!(slots.embedding, embedding);
        let second: Vec<usize> = (clips_per_view..2 * clips_per_view).collect();
        assert!(slots.allowed.contains(&second) && slots.allowed.len() == 2);
        assert!(!report.sources.contains_key("view"), "{:?}", report.sources);
    }
}

#[test]
fn a_value_of_another_name_is_compared_where_its_probe_is_there() {
    let dir = TempDir::new().unwrap();
    save_probe(
        dir.path(),
        "tapse",
        &probe(ProbeKind::Linear, 0, "regressor", 1),
    );
    save_probe(dir.path(), "colour", &probe(ProbeKind::Mlp, 0, "linear", 2));
    write(
        dir.path(),
        &[
            ("tapse_z_1clip", 1),
            ("colour_logits_2clip", 2),
            ("strain_z_1clip", 1),
        ],
    );
    let (manifest, report) = report(dir.path());
    assert_eq!(manifest.heads.len(), 3);
    let status = |name: &str| {
        let row = report.rows.iter().find(|row| row.output == name);
        row.unwrap().status.as_str()
    };
    assert_eq!(status("tapse_z_1clip"), "pass");
    assert_eq!(status("colour_logits_2clip"), "pass");
    assert_eq!(status("strain_z_1clip"), "not checked");
}

#[test]
fn what_only_the_case_can_say_is_asked_for() {
    for (remove, expected) in [
        (
            "\"probe_heads\": 2, ",
            "probe_heads: expected a number, found none",
        ),
        ("", "probe_depth: expected a number, found none"),
    ] {
        let dir = TempDir::new().unwrap();
        if !remove.is_empty() {
            save_probe(
                dir.path(),
                "lvef",
                &probe(ProbeKind::Attentive, 1, "regressor", 1),
            );
        }
        write(dir.path(), &[("lvef_z_1clip", 1)]);
        let text = CASE.replace(remove, "");
        std::fs::write(dir.path().join("case.json"), text).unwrap();
        let mut make = |_: &Path| -> Result<Box<dyn Engine>, String> { Err(String::new()) };
        let error = run(dir.path(), &mut make, &mut |_, _, _| {
            ControlFlow::Continue(())
        });
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.ends_with("case.json)"),
            "{error}"
        );
    }
}

#[test]
fn a_probe_file_that_is_no_probe_is_refused() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &[("lvef_z_1clip", 1)]);
    let path = dir.path().join("lvef_probe.pt");
    for file in [
        Value::Dict(Vec::new()),
        probe_file(vec![Vec::new()], &[1.0]),
        probe_file(
            vec![state("a", "lvef", "", &[("pooler.x".to_owned(), vec![1])])],
            &[1.0],
        ),
    ] {
        save(&path, &file);
        let mut make = |_: &Path| -> Result<Box<dyn Engine>, String> { Err(String::new()) };
        let error = run(dir.path(), &mut make, &mut |_, _, _| {
            ControlFlow::Continue(())
        });
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("checkpoint") && error.ends_with("lvef_probe.pt)"),
            "{error}"
        );
    }
}
