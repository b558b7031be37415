//! 16-bit floats inside, 32-bit floats at the inputs, the outputs and in islands.

use super::draft::Draft;
use crate::onnx::graph::Attribute;
use crate::onnx::proto::{FLOAT, FLOAT16, NodeProto};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What stays in 32-bit floats where the rest has 16 bits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Islands {
    /// Layer normalisations.
    pub norms: bool,
    /// The softmax of plain attention and of an attentive probe's pooling.
    pub softmax: bool,
    /// Linear layers and attentions by name.
    pub layers: BTreeSet<String>,
}

/// Operators that give what they are given.
fn is_transparent(op: &str) -> bool {
    matches!(
        op,
        "Reshape" | "Transpose" | "Concat" | "Identity" | "ReduceMean"
    )
}

fn float_inputs(node: &NodeProto) -> usize {
    match node.op_type() {
        "Reshape" | "Gather" | "ReduceMean" => 1,
        "QuantizeLinear" => 2,
        _ => node.input.len(),
    }
}

impl Draft<'_> {
    fn islands(&self, islands: &Islands) -> BTreeSet<String> {
        let mut outputs = BTreeSet::new();
        for layer in self.model.linear_layers() {
            if islands.layers.contains(&layer.name) {
                outputs.insert(layer.output);
            }
        }
        for attention in self.model.attentions() {
            if islands.layers.contains(&attention.name) {
                outputs.extend([attention.scores(), attention.share()]);
                outputs.insert(format!("{}.by_head", attention.output));
                outputs.insert(attention.output);
            }
        }
        for node in &self.nodes {
            let island = match node.op_type() {
                "LayerNormalization" => islands.norms,
                "Softmax" => islands.softmax,
                _ => false,
            };
            if island {
                outputs.extend(node.output.iter().cloned());
            }
        }
        outputs
    }

    /// Changes what is no island to 16 bits.
    pub(super) fn halve(&mut self, islands: &Islands) {
        let islands = self.islands(islands);
        let outputs: Vec<String> = self
            .model
            .outputs()
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut types: BTreeMap<String, i32> = BTreeMap::new();
        if let Ok(values) = self.model.values() {
            let inputs = self.model.inputs();
            let given = inputs
                .iter()
                .filter_map(|&name| Some((name, values.get(name)?.element)));
            types.extend(given.map(|(name, element)| (name.to_owned(), element)));
        }
        for mut node in std::mem::take(&mut self.nodes) {
            let output = node.output.first().cloned().unwrap_or_default();
            let first = node
                .input
                .first()
                .and_then(|input| types.get(input))
                .copied();
            let wanted = match node.op_type() {
                op if is_transparent(op) => first.unwrap_or(FLOAT16),
                "QuantizeLinear" => first.unwrap_or(FLOAT16),
                _ if islands.contains(&output) => FLOAT,
                _ => FLOAT16,
            };
            let codes = node.op_type() == "DequantizeLinear" || node.op_type() == "MatMulNBits";
            for at in 0..float_inputs(&node) {
                let name = node.input[at].clone();
                node.input[at] = self.typed(&name, wanted, &mut types);
                if codes
                    && wanted == FLOAT16
                    && let Some(constant) = self.constants.get_mut(&name)
                {
                    constant.half_steps |= constant.has_steps();
                }
            }
            let given = match node.op_type() {
                "QuantizeLinear" => None,
                _ => Some(wanted),
            };
            if outputs.contains(&output) && given == Some(FLOAT16) {
                let inner = format!("{output}.half");
                node.output[0].clone_from(&inner);
                node.name = Some(inner.clone());
                self.nodes.push(node);
                let to = [("to", Attribute::Int(i64::from(FLOAT)))];
                self.push("Cast", &[&inner], &output, &to);
                types.insert(output, FLOAT);
                continue;
            }
            types.extend(given.map(|given| (output, given)));
            self.nodes.push(node);
        }
    }

    /// `name`, a float, in the type `wanted`: a constant of that type, or a cast.
    fn typed(&mut self, name: &str, wanted: i32, types: &mut BTreeMap<String, i32>) -> String {
        let Some(&found) = types.get(name) else {
            let constant = (wanted == FLOAT16).then(|| self.halved(name));
            return constant.flatten().unwrap_or_else(|| name.to_owned());
        };
        if found == wanted || !matches!(found, FLOAT | FLOAT16) {
            return name.to_owned();
        }
        let end = if wanted == FLOAT { "float" } else { "half" };
        let cast = format!("{name}.{end}");
        if types.insert(cast.clone(), wanted).is_none() {
            let to = [("to", Attribute::Int(i64::from(wanted)))];
            self.push("Cast", &[name], &cast, &to);
        }
        cast
    }
}
