//! The files of one variant.

use super::plan::{GraphPlan, LinearPlan, Plan};
use crate::error::ExportError;
use crate::graph::OnTensor;
use crate::variant::{Form, Format, Islands, Model, rewrite};
use echocart_core::manifest::{Measured, Precision, Tolerance, Variant};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Rows that share a step where weights alone are quantised.
const BLOCK_ROWS: usize = 32;
/// Layers with fewer outputs keep their weights.
const LEAST_OUTPUTS: usize = 64;

/// The form of a precision's graphs.
pub(super) fn form(precision: Precision, islands: &Islands) -> Form {
    match precision {
        Precision::Fp32 => Form::fp32(false),
        Precision::Fp16 => Form::fp16(false, islands.clone()),
        Precision::Int8 => Form::codes(Format::Int8),
        Precision::Fp8 => Form::codes(Format::E4m3),
        Precision::WeightInt8 => Form::blocks(8, BLOCK_ROWS),
        Precision::WeightInt4 => Form::blocks(4, BLOCK_ROWS),
    }
}

/// Providers that a precision's graphs are made for.
pub(super) fn providers(precision: Precision) -> Vec<String> {
    let names: &[&str] = match precision {
        Precision::Fp32 | Precision::Fp16 => &["CPU", "CUDA"],
        Precision::Int8 => &["OpenVINO", "TensorRT", "TensorRT-RTX"],
        Precision::Fp8 => &["TensorRT", "TensorRT-RTX"],
        Precision::WeightInt8 | Precision::WeightInt4 => &["CPU"],
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The plan of a precision that needs no ranges: every layer that is worth it.
pub(super) fn every_layer(model: &Model, precision: Precision) -> GraphPlan {
    let mut plan = GraphPlan::default();
    let worth = |outputs: usize| precision == Precision::Fp16 || outputs >= LEAST_OUTPUTS;
    for layer in model.linear_layers() {
        if worth(layer.outputs) {
            plan.linears.insert(layer.name, LinearPlan::default());
        }
    }
    if precision == Precision::Fp16 {
        for attention in model.attentions() {
            let none = super::plan::AttentionPlan {
                query_limit: 0.0,
                key_limit: 0.0,
                share_limit: 0.0,
                value_limit: 0.0,
            };
            plan.attentions.insert(attention.name, none);
        }
    }
    plan
}

/// A part of a graph in another precision, its weights in `scratch`.
pub(super) fn part(
    model: &Model,
    precision: Precision,
    plan: &GraphPlan,
    scratch: &Path,
) -> Result<Model, ExportError> {
    let mut form = form(precision, &Islands::default());
    form.plain_attention &= !plan.attentions.is_empty();
    let draft = rewrite(model, plan, &form)?;
    let tensors = draft.write(scratch, "part.weights", &mut |_| Ok(()))?;
    draft.model(&scratch.join("part.onnx"), &tensors)
}

/// The graphs a variant is made from.
pub(super) struct Sources {
    pub encoder: Model,
    /// By head, then by the manifest's key of the graph.
    pub heads: BTreeMap<String, BTreeMap<String, Model>>,
}

impl Sources {
    /// Opens the graphs of `variant` in `dir`.
    pub fn open(dir: &Path, variant: &Variant) -> Result<Self, ExportError> {
        let mut heads = BTreeMap::new();
        for (name, graphs) in &variant.heads {
            let graphs = graphs.iter();
            let models = graphs.map(|(key, file)| Ok((key.clone(), Model::open(&dir.join(file))?)));
            heads.insert(name.clone(), models.collect::<Result<_, ExportError>>()?);
        }
        Ok(Self {
            encoder: Model::open(&dir.join(&variant.encoder))?,
            heads,
        })
    }

    /// Writes the graphs and weights of a variant into `dir`, of the encoder and of the heads that
    /// the plan has; gives its entry in the manifest and the names of its files.
    pub fn write(
        &self,
        name: &str,
        plan: &Plan,
        islands: &Islands,
        source: &Variant,
        dir: &Path,
        on_tensor: OnTensor<'_>,
    ) -> Result<(Variant, Vec<String>), ExportError> {
        let form = form(plan.precision, islands);
        let encoder = renamed(&source.encoder, name);
        let weights = format!("encoder.{name}.weights");
        let draft = rewrite(&self.encoder, &plan.encoder, &form)?;
        let tensors = draft.write(dir, &weights, on_tensor)?;
        let model = draft.model(&dir.join(&encoder), &tensors)?;
        put(dir, &encoder, &model.graph_bytes())?;
        let mut files = vec![encoder.clone(), weights];
        let mut heads = BTreeMap::new();
        for (head, graphs) in &self.heads {
            let Some(plan) = plan.heads.get(head) else {
                continue;
            };
            let weights = format!("head.{head}.{name}.weights");
            let mut tensors = None;
            let mut named = BTreeMap::new();
            for (key, model) in graphs {
                let draft = rewrite(model, plan, &form)?;
                let tensors = match &mut tensors {
                    Some(tensors) => tensors,
                    empty => empty.insert(draft.write(dir, &weights, on_tensor)?),
                };
                let own = source.heads.get(head).and_then(|graphs| graphs.get(key));
                let file = renamed(own.map_or("head.onnx", String::as_str), name);
                let model = draft.model(&dir.join(&file), tensors)?;
                put(dir, &file, &model.graph_bytes())?;
                files.push(file.clone());
                named.insert(key.clone(), file);
            }
            files.push(weights);
            heads.insert(head.clone(), named);
        }
        let variant = Variant {
            precision: plan.precision,
            tokens: source.tokens,
            providers: providers(plan.precision),
            encoder,
            heads,
            tolerance: Tolerance::of(plan.precision),
            measured: Measured::NotRun {
                why: "not measured yet".to_owned(),
            },
        };
        Ok((variant, files))
    }
}

/// `head.view.s1.fp32.onnx` becomes `head.view.s1.int8.onnx`.
fn renamed(file: &str, variant: &str) -> String {
    let stem = file.strip_suffix(".onnx").unwrap_or(file);
    let stem = stem.strip_suffix(".fp32").unwrap_or(stem);
    format!("{stem}.{variant}.onnx")
}

/// Writes a whole small file.
pub(super) fn put(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
    let path = dir.join(name);
    fs::write(&path, bytes).map_err(ExportError::write(&path))
}
