//! The transformer block: the encoder's with rotary positions, the probe's without.

use super::Reader;
use super::fold::{affine, narrow, transposed, transposed_rows, wide};
use super::rope::Rope;
use crate::error::ExportError;
use crate::onnx::graph::{Attribute, Graph, MICROSOFT};
use crate::onnx::weights::WeightFile;

/// Sizes of a block, and what stands before and inside it.
pub struct Block<'a> {
    /// Prefix of its keys and of its values' names.
    pub name: String,
    /// Token width.
    pub dim: usize,
    /// Attention heads.
    pub heads: usize,
    /// MLP width.
    pub hidden: usize,
    /// Added to the variance in both normalisations.
    pub epsilon: f32,
    /// Names of the gathered cosine and sine tables and of the shape that splits heads into
    /// halves, if positions are rotated.
    pub rope: Option<RopeNames<'a>>,
}

/// Names of the values that a rotation needs.
#[derive(Clone, Copy)]
pub struct RopeNames<'a> {
    /// Cosines, `[tokens, 1, 2, head_dim / 2]`.
    pub cos: &'a str,
    /// Signed sines, likewise.
    pub sin: &'a str,
    /// Shape `[-1, heads, 2, head_dim / 2]`.
    pub halves: &'a str,
    /// Index that swaps the halves.
    pub swap: &'a str,
}

/// Shape `[1, -1, dim]`, which attention wants.
pub const BATCH_SHAPE: &str = "shape.batch";
/// Shape `[-1, dim]`, which everything else wants.
pub const FLAT_SHAPE: &str = "shape.flat";

/// Adds a layer normalisation over the last axis.
pub fn layer_norm(graph: &mut Graph, name: &str, input: &str, epsilon: f32) -> String {
    let (scale, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    let attributes = [
        ("axis", Attribute::Int(-1)),
        ("epsilon", Attribute::Float(epsilon)),
    ];
    graph.op(
        "LayerNormalization",
        &[input, &scale, &bias],
        &format!("{name}.out"),
        &attributes,
    )
}

/// Adds `input x weight + bias` over two axes.
pub fn linear(graph: &mut Graph, name: &str, input: &str) -> String {
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    graph.op(
        "Gemm",
        &[input, &weight, &bias],
        &format!("{name}.out"),
        &[],
    )
}

/// Adds two linear layers with an exact GELU between them.
pub fn mlp(graph: &mut Graph, name: &str, input: &str) -> String {
    let hidden = linear(graph, &format!("{name}.fc1"), input);
    let active = graph.op("Gelu", &[&hidden], &format!("{name}.gelu.out"), &[]);
    linear(graph, &format!("{name}.fc2"), &active)
}

/// Copies the scale and bias of a normalisation.
pub fn write_norm(
    reader: &mut Reader<'_>,
    file: &mut WeightFile,
    name: &str,
) -> Result<(), ExportError> {
    for part in ["weight", "bias"] {
        let key = format!("{name}.{part}");
        let values = reader.read(&key)?;
        file.push(key, &[values.len()], &values)?;
    }
    Ok(())
}

/// Writes a linear layer, its matrix transposed to `[inputs, outputs]`.
pub fn write_linear(
    reader: &mut Reader<'_>,
    file: &mut WeightFile,
    name: &str,
    inputs: usize,
) -> Result<(), ExportError> {
    let key = format!("{name}.weight");
    let weight = reader.read(&key)?;
    file.push(
        key,
        &[inputs, weight.len() / inputs],
        &transposed(&weight, inputs),
    )?;
    drop(weight);
    let key = format!("{name}.bias");
    let bias = reader.read(&key)?;
    file.push(key, &[bias.len()], &bias)
}

impl Block<'_> {
    fn channel_rows(&self, part: usize) -> Vec<usize> {
        let head_dim = self.dim / self.heads;
        let order = match self.rope {
            Some(_) if part < 2 => Rope::new(head_dim).order(),
            _ => (0..head_dim).collect(),
        };
        (0..self.heads)
            .flat_map(|head| order.iter().map(move |channel| head * head_dim + channel))
            .map(|channel| part * self.dim + channel)
            .collect()
    }

    /// Writes the weights.
    ///
    /// The bias of the values is carried through the attention (whose weights sum to one) into the
    /// output projection. Without rotation the bias of the keys shifts all scores of a query alike
    /// and is left out.
    pub fn write(&self, reader: &mut Reader<'_>, file: &mut WeightFile) -> Result<(), ExportError> {
        let (name, dim) = (&self.name, self.dim);
        write_norm(reader, file, &format!("{name}.norm1"))?;
        let weight = reader.read(&format!("{name}.attn.qkv.weight"))?;
        let bias = reader.read(&format!("{name}.attn.qkv.bias"))?;
        for (part, letter) in ["q", "k", "v"].into_iter().enumerate() {
            let rows = self.channel_rows(part);
            let values = transposed_rows(&weight, dim, &rows);
            file.push(format!("{name}.attn.{letter}.weight"), &[dim, dim], &values)?;
            if part == 0 || (part == 1 && self.rope.is_some()) {
                let values: Vec<f32> = rows.iter().map(|&row| bias[row]).collect();
                file.push(format!("{name}.attn.{letter}.bias"), &[dim], &values)?;
            }
        }
        drop(weight);
        let weight = reader.read(&format!("{name}.attn.proj.weight"))?;
        let offset = reader.read(&format!("{name}.attn.proj.bias"))?;
        let offset = narrow(&affine(&weight, &wide(&bias[2 * dim..]), &offset));
        file.push(
            format!("{name}.attn.proj.weight"),
            &[dim, dim],
            &transposed(&weight, dim),
        )?;
        file.push(format!("{name}.attn.proj.bias"), &[dim], &offset)?;
        drop(weight);
        write_norm(reader, file, &format!("{name}.norm2"))?;
        write_linear(reader, file, &format!("{name}.mlp.fc1"), dim)?;
        write_linear(reader, file, &format!("{name}.mlp.fc2"), self.hidden)
    }

    fn rotated(&self, graph: &mut Graph, letter: &str, input: &str, rope: RopeNames<'_>) -> String {
        let value = |part: &str| format!("{}.attn.{letter}.{part}", self.name);
        let halves = graph.op("Reshape", &[input, rope.halves], &value("halves"), &[]);
        let axis = [("axis", Attribute::Int(2))];
        let swapped = graph.op("Gather", &[&halves, rope.swap], &value("swapped"), &axis);
        let along = graph.op("Mul", &[&halves, rope.cos], &value("along"), &[]);
        let across = graph.op("Mul", &[&swapped, rope.sin], &value("across"), &[]);
        graph.op("Add", &[&along, &across], &value("rotated"), &[])
    }

    /// Adds the nodes; `input` and the result are `[tokens, dim]`.
    pub fn nodes(&self, graph: &mut Graph, input: &str) -> String {
        let name = &self.name;
        let value = |part: &str| format!("{name}.{part}");
        let normal = layer_norm(graph, &value("norm1"), input, self.epsilon);
        let mut heads = Vec::new();
        for letter in ["q", "k", "v"] {
            let layer = format!("{name}.attn.{letter}");
            let mut out = if letter == "v" || (letter == "k" && self.rope.is_none()) {
                let weight = format!("{layer}.weight");
                graph.op("MatMul", &[&normal, &weight], &format!("{layer}.out"), &[])
            } else {
                linear(graph, &layer, &normal)
            };
            if let (Some(rope), "q" | "k") = (self.rope, letter) {
                out = self.rotated(graph, letter, &out, rope);
            }
            heads.push(graph.op(
                "Reshape",
                &[&out, BATCH_SHAPE],
                &format!("{layer}.batch"),
                &[],
            ));
        }
        let inputs: Vec<&str> = heads.iter().map(String::as_str).collect();
        let scale = 1.0 / ((self.dim / self.heads) as f64).sqrt();
        let attributes = [
            ("num_heads", Attribute::Int(self.heads as i64)),
            ("scale", Attribute::Float(scale as f32)),
        ];
        let mixed = value("attn.mixed");
        graph.node(
            MICROSOFT,
            "MultiHeadAttention",
            &inputs,
            &[&mixed],
            &attributes,
        );
        let flat = graph.op("Reshape", &[&mixed, FLAT_SHAPE], &value("attn.flat"), &[]);
        let projected = linear(graph, &value("attn.proj"), &flat);
        let middle = graph.op("Add", &[input, &projected], &value("attn.sum"), &[]);
        let normal = layer_norm(graph, &value("norm2"), &middle, self.epsilon);
        let wide = mlp(graph, &value("mlp"), &normal);
        graph.op("Add", &[&middle, &wide], &value("sum"), &[])
    }
}
