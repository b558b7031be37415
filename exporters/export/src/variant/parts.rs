//! The parts of a graph that a change of precision is about.

use super::Model;
use crate::onnx::proto::NodeProto;

/// A matrix product with a constant matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// Name of the layer: of its weight, without `.weight`.
    pub name: String,
    /// Value it reads, `[.., inputs]`.
    pub input: String,
    /// Constant `[inputs, outputs]`.
    pub weight: String,
    /// Constant `[outputs]`.
    pub bias: Option<String>,
    /// Value it gives, `[.., outputs]`, the bias added.
    pub output: String,
    /// Rows of the matrix.
    pub inputs: usize,
    /// Columns of the matrix.
    pub outputs: usize,
}

/// A layer normalisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Norm {
    /// Name: of its scale, without `.weight`.
    pub name: String,
    /// Value it reads, `[.., channels]`.
    pub input: String,
    /// Constant `[channels]`.
    pub scale: String,
    /// Constant `[channels]`.
    pub bias: String,
    /// Value it gives.
    pub output: String,
    /// Normalised channels.
    pub channels: usize,
    /// Names of the linear layers that read its output.
    pub linears: Vec<String>,
    /// Whether nothing else reads its output, so that a factor per channel can move from the
    /// normalisation into the layers' matrices.
    pub movable: bool,
}

/// A fused attention.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Name: of its output, without `.mixed`.
    pub name: String,
    /// Value `[1, tokens, heads * head_dim]`: queries, rotated where the model rotates them, not
    /// scaled.
    pub query: String,
    /// Likewise the keys.
    pub key: String,
    /// Likewise the values.
    pub value: String,
    /// Value it gives, likewise.
    pub output: String,
    /// Heads.
    pub heads: usize,
    /// Factor of the scores before the softmax.
    pub scale: f32,
}

impl Attention {
    /// Name of the products of queries and keys, `[1, heads, tokens, tokens]`, after the queries
    /// were scaled; a value of the graph with plain attention only.
    pub fn scores(&self) -> String {
        format!("{}.scores", self.name)
    }

    /// Name of the softmax of the scores; a value of the graph with plain attention only.
    pub fn share(&self) -> String {
        format!("{}.share", self.name)
    }
}

fn stem(name: &str, end: &str) -> String {
    name.strip_suffix(end).unwrap_or(name).to_owned()
}

pub(super) fn float(node: &NodeProto, name: &str) -> Option<f32> {
    let named = |a: &&_| crate::onnx::proto::AttributeProto::name(a) == name;
    node.attribute.iter().find(named).and_then(|a| a.f)
}

pub(super) fn int(node: &NodeProto, name: &str) -> Option<i64> {
    let named = |a: &&_| crate::onnx::proto::AttributeProto::name(a) == name;
    node.attribute.iter().find(named).and_then(|a| a.i)
}

impl Model {
    pub(super) fn linear(&self, node: &NodeProto) -> Option<Linear> {
        let [input, weight, rest @ ..] = node.input.as_slice() else {
            return None;
        };
        if !matches!(node.op_type(), "Gemm" | "MatMul") || !node.attribute.is_empty() {
            return None;
        }
        let &[inputs, outputs] = self.shape(weight)?.as_slice() else {
            return None;
        };
        if self.constant(input).is_some() || rest.iter().any(|b| self.constant(b).is_none()) {
            return None;
        }
        Some(Linear {
            name: stem(weight, ".weight"),
            input: input.clone(),
            weight: weight.clone(),
            bias: rest.first().cloned(),
            output: node.output.first()?.clone(),
            inputs,
            outputs,
        })
    }

    /// Every matrix product with a constant matrix, in order.
    pub fn linear_layers(&self) -> Vec<Linear> {
        let nodes = self.nodes().iter();
        nodes.filter_map(|node| self.linear(node)).collect()
    }

    /// Every layer normalisation, in order.
    pub fn norms(&self) -> Vec<Norm> {
        let norm = |node: &NodeProto| {
            let [input, scale, bias] = node.input.as_slice() else {
                return None;
            };
            let &[channels] = self.shape(scale)?.as_slice() else {
                return None;
            };
            let output = node.output.first()?.clone();
            let mut movable = !self.outputs().contains(&output.as_str());
            let mut linears = Vec::new();
            for reader in self.nodes().iter().filter(|n| n.input.contains(&output)) {
                match self.linear(reader).filter(|linear| linear.input == output) {
                    Some(linear) => linears.push(linear.name),
                    None => movable = false,
                }
            }
            movable &= !linears.is_empty();
            Some(Norm {
                name: stem(scale, ".weight"),
                input: input.clone(),
                scale: scale.clone(),
                bias: bias.clone(),
                output,
                channels,
                linears,
                movable,
            })
        };
        let nodes = self.nodes().iter();
        let norms = nodes.filter(|node| node.op_type() == "LayerNormalization");
        norms.filter_map(norm).collect()
    }

    /// Every fused attention, in order.
    pub fn attentions(&self) -> Vec<Attention> {
        let attention = |node: &NodeProto| {
            let [query, key, value] = node.input.as_slice() else {
                return None;
            };
            let output = node.output.first()?.clone();
            Some(Attention {
                name: stem(&output, ".mixed"),
                query: query.clone(),
                key: key.clone(),
                value: value.clone(),
                output,
                heads: usize::try_from(int(node, "num_heads")?).ok()?,
                scale: float(node, "scale")?,
            })
        };
        let nodes = self.nodes().iter();
        let fused = nodes.filter(|node| node.op_type() == "MultiHeadAttention");
        fused.filter_map(attention).collect()
    }
}
