//! The head graphs: the tokens of some clips in, logits or a z-score out.

use super::block::{
    BATCH_SHAPE, Block, FLAT_SHAPE, layer_norm, linear, mlp, write_linear, write_norm,
};
use super::fold::{affine, narrow, transposed_rows, wide};
use super::{OnTensor, Reader};
use crate::error::ExportError;
use crate::layout::{
    CLIP_EMBEDDING, Places, Probe, ProbeKind, SLOT_EMBEDDING, SlotEmbedding, VIEW_EMBEDDING,
};
use crate::onnx::graph::{Attribute, Dim, Graph};
use crate::onnx::proto::TensorProto;
use crate::onnx::weights::WeightFile;
use crate::source::Weights;

const EPSILON: f32 = 1e-5;
const CROSS: &str = "pooler.cross_attention_block";
const SCORES: &str = "pooler.query.scores";
const VALUES: &str = "pooler.query.values";
const RESIDUAL: &str = "pooler.query.residual";
const EMBEDDING: &str = "slots.embedding";

/// Name of the output `[1, values]` f32.
pub const OUTPUT: &str = "output";

/// Name of the input `[1, tokens, dim]` f32 of one segment or present slot, counted in order.
pub fn input(index: usize) -> String {
    format!("tokens_{index}")
}

/// Which clips a graph takes, one input each.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clips<'a> {
    /// This many, all alike.
    Segments(usize),
    /// Those of a multi-view probe's slots, ascending.
    Slots(&'a [usize]),
}

fn block(probe: &Probe, index: usize) -> Block<'static> {
    Block {
        name: format!("pooler.blocks.{index}"),
        dim: probe.dim,
        heads: probe.heads,
        hidden: probe.hidden,
        epsilon: EPSILON,
        rope: None,
    }
}

/// Writes a probe's weights.
pub(crate) fn write(
    probe: &Probe,
    weights: &mut Weights,
    mut file: WeightFile,
    on_tensor: OnTensor<'_>,
) -> Result<Vec<TensorProto>, ExportError> {
    let mut reader = Reader { weights, on_tensor };
    match probe.kind {
        ProbeKind::Attentive => write_attentive(probe, &mut reader, &mut file)?,
        ProbeKind::Linear => {
            write_norm(&mut reader, &mut file, "norm")?;
            write_linear(&mut reader, &mut file, probe.last, probe.dim)?;
        }
        ProbeKind::Mlp => {
            write_norm(&mut reader, &mut file, "norm")?;
            write_linear(&mut reader, &mut file, "mlp.0", probe.dim)?;
            write_linear(&mut reader, &mut file, "mlp.3", probe.hidden)?;
        }
    }
    if let Some(places) = &probe.places {
        write_embeddings(places, probe.dim, &mut reader, &mut file)?;
    }
    file.finish()
}

/// Writes one vector per slot, all in one tensor: every set's graph has the same weights.
fn write_embeddings(
    places: &Places,
    dim: usize,
    reader: &mut Reader<'_>,
    file: &mut WeightFile,
) -> Result<(), ExportError> {
    let vectors: Vec<f32> = match places.embedding {
        SlotEmbedding::None => return Ok(()),
        SlotEmbedding::PerSlot => reader.read(SLOT_EMBEDDING)?,
        SlotEmbedding::Factorized => {
            let views = reader.read(VIEW_EMBEDDING)?;
            let clips = reader.read(CLIP_EMBEDDING)?;
            let pairs = views
                .chunks(dim)
                .flat_map(|view| clips.chunks(dim).map(move |clip| (view, clip)));
            pairs
                .flat_map(|(view, clip)| view.iter().zip(clip).map(|(v, c)| v + c))
                .collect()
        }
    };
    file.push(EMBEDDING, &[vectors.len() / dim, dim], &vectors)
}

/// Writes an attentive probe's weights, the query folded into them.
///
/// The query is a constant, so the scores of a head are one product with a constant vector; the
/// bias of the keys shifts them all alike and is left out. The values are projected after they
/// have been averaged, one vector per head instead of one per token.
fn write_attentive(
    probe: &Probe,
    reader: &mut Reader<'_>,
    file: &mut WeightFile,
) -> Result<(), ExportError> {
    let (dim, heads) = (probe.dim, probe.heads);
    let head_dim = dim / heads;
    for index in 0..probe.depth.saturating_sub(1) {
        block(probe, index).write(reader, file)?;
    }
    write_norm(reader, file, &format!("{CROSS}.norm1"))?;

    let query = wide(&reader.read("pooler.query_tokens")?);
    let weight = reader.read(&format!("{CROSS}.xattn.q.weight"))?;
    let bias = reader.read(&format!("{CROSS}.xattn.q.bias"))?;
    let projected = affine(&weight, &query, &bias);
    let weight = reader.read(&format!("{CROSS}.xattn.kv.weight"))?;
    let bias = reader.read(&format!("{CROSS}.xattn.kv.bias"))?;
    let (keys, values) = weight.split_at(dim * dim);
    let scale = 1.0 / (head_dim as f64).sqrt();
    let mut scores = vec![0.0; dim * heads];
    for (row, (key, q)) in keys.chunks(dim).zip(&projected).enumerate() {
        for (channel, &k) in key.iter().enumerate() {
            scores[channel * heads + row / head_dim] += f64::from(k) * q * scale;
        }
    }
    file.push(SCORES, &[dim, heads], &narrow(&scores))?;
    let values: Vec<f32> = (0..heads)
        .flat_map(|head| {
            let rows: Vec<usize> = (head * head_dim..(head + 1) * head_dim).collect();
            transposed_rows(values, dim, &rows)
        })
        .collect();
    file.push(VALUES, &[heads, dim, head_dim], &values)?;
    let residual: Vec<f64> = query
        .iter()
        .zip(&bias[dim..])
        .map(|(&q, &b)| q + f64::from(b))
        .collect();
    file.push(RESIDUAL, &[1, dim], &narrow(&residual))?;

    write_norm(reader, file, &format!("{CROSS}.norm2"))?;
    write_linear(reader, file, &format!("{CROSS}.mlp.fc1"), dim)?;
    write_linear(reader, file, &format!("{CROSS}.mlp.fc2"), probe.hidden)?;
    write_linear(reader, file, probe.last, dim)
}

/// The bytes of the graph for `clips` over weights that [`write`] gave.
pub(crate) fn graph(probe: &Probe, weights: Vec<TensorProto>, clips: Clips<'_>) -> Vec<u8> {
    let mut graph = Graph::new("head", weights);
    let count = match clips {
        Clips::Segments(segments) => segments,
        Clips::Slots(slots) => slots.len(),
    };
    let mut inputs: Vec<String> = (0..count).map(input).collect();
    for (index, name) in inputs.iter().enumerate() {
        let tokens = format!("N{index}");
        graph.input_f32(
            name,
            &[Dim::Fixed(1), Dim::Named(&tokens), Dim::Fixed(probe.dim)],
        );
    }
    graph.output_f32(OUTPUT, &[Dim::Fixed(1), Dim::Fixed(probe.outputs)]);
    if probe
        .places
        .is_some_and(|places| places.embedding != SlotEmbedding::None)
        && let Clips::Slots(slots) = clips
    {
        for (name, &slot) in inputs.iter_mut().zip(slots) {
            let index = format!("slots.index.{slot}");
            graph.ints(&index, &[slot as i64]);
            let vector = format!("slots.vector.{slot}");
            let axis = [("axis", Attribute::Int(0))];
            let vector = graph.op("Gather", &[EMBEDDING, &index], &vector, &axis);
            *name = graph.op("Add", &[name, &vector], &format!("{name}.placed"), &[]);
        }
    }
    let mut x = inputs[0].clone();
    if inputs.len() > 1 {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        x = graph.op(
            "Concat",
            &inputs,
            "tokens.joined",
            &[("axis", Attribute::Int(1))],
        );
    }
    let last = match probe.kind {
        ProbeKind::Attentive => {
            x = attentive(&mut graph, probe, &x);
            probe.last
        }
        ProbeKind::Linear => {
            x = mean(&mut graph, &x);
            probe.last
        }
        ProbeKind::Mlp => {
            x = mean(&mut graph, &x);
            x = linear(&mut graph, "mlp.0", &x);
            x = graph.op("Gelu", &[&x], "mlp.gelu.out", &[]);
            "mlp.3"
        }
    };
    let (weight, bias) = (format!("{last}.weight"), format!("{last}.bias"));
    graph.op("Gemm", &[&x, &weight, &bias], OUTPUT, &[]);
    graph.into_bytes()
}

fn mean(graph: &mut Graph, tokens: &str) -> String {
    graph.ints("axes.tokens", &[1]);
    let keep = [("keepdims", Attribute::Int(0))];
    let mean = graph.op("ReduceMean", &[tokens, "axes.tokens"], "tokens.mean", &keep);
    layer_norm(graph, "norm", &mean, EPSILON)
}

fn attentive(graph: &mut Graph, probe: &Probe, tokens: &str) -> String {
    graph.ints(FLAT_SHAPE, &[-1, probe.dim as i64]);
    if probe.depth > 1 {
        graph.ints(BATCH_SHAPE, &[1, -1, probe.dim as i64]);
    }
    let mut x = graph.op("Reshape", &[tokens, FLAT_SHAPE], "tokens.flat", &[]);
    for index in 0..probe.depth.saturating_sub(1) {
        x = block(probe, index).nodes(graph, &x);
    }
    let normal = layer_norm(graph, &format!("{CROSS}.norm1"), &x, EPSILON);
    let scores = graph.op("MatMul", &[&normal, SCORES], "pooler.scores", &[]);
    let by_head = graph.op("Transpose", &[&scores], "pooler.scores.by_head", &[]);
    let share = graph.op(
        "Softmax",
        &[&by_head],
        "pooler.share",
        &[("axis", Attribute::Int(-1))],
    );
    let pooled = graph.op("MatMul", &[&share, &normal], "pooler.pooled", &[]);
    graph.ints("shape.pooled", &[probe.heads as i64, 1, probe.dim as i64]);
    let pooled = graph.op(
        "Reshape",
        &[&pooled, "shape.pooled"],
        "pooler.pooled.by_head",
        &[],
    );
    let values = graph.op("MatMul", &[&pooled, VALUES], "pooler.values", &[]);
    let values = graph.op("Reshape", &[&values, FLAT_SHAPE], "pooler.values.flat", &[]);
    let h = graph.op("Add", &[&values, RESIDUAL], "pooler.sum", &[]);
    let normal = layer_norm(graph, &format!("{CROSS}.norm2"), &h, EPSILON);
    let wide = mlp(graph, &format!("{CROSS}.mlp"), &normal);
    graph.op("Add", &[&h, &wide], "pooler.out", &[])
}
