//! A part of a graph as a graph of its own.

use super::Model;
use crate::error::ExportError;
use crate::onnx::proto::{GraphProto, ValueInfoProto};
use std::collections::BTreeSet;

impl Model {
    /// The part of the graph that gives `outputs` when it is given `inputs`.
    ///
    /// Both may name any value between the nodes, so a cut can be one layer, and extra outputs are
    /// taps. Inputs of the whole graph that are needed as well (`ids`) stay inputs, after `inputs`.
    /// Weights still point into the whole graph's weight file.
    ///
    /// # Errors
    /// [`ExportError::Graph`] for a name that is no value of the graph.
    pub fn subgraph(&self, inputs: &[&str], outputs: &[&str]) -> Result<Self, ExportError> {
        let values = self.values()?;
        let declared = |name: &&str| -> Result<ValueInfoProto, ExportError> {
            let value = values.get(*name).filter(|_| self.constant(name).is_none());
            let value = value.ok_or_else(|| self.wrong(format!("no value {name}")))?;
            Ok(value.declared(name))
        };
        let mut wanted: BTreeSet<&str> = outputs.iter().copied().collect();
        let mut nodes = Vec::new();
        for node in self.nodes().iter().rev() {
            let gives =
                |name: &String| wanted.contains(name.as_str()) && !inputs.contains(&name.as_str());
            if node.output.iter().any(gives) {
                wanted.extend(node.input.iter().map(String::as_str));
                nodes.push(node.clone());
            }
        }
        nodes.reverse();
        let mut all = inputs.to_vec();
        for name in self.inputs() {
            if wanted.contains(name) && !all.contains(&name) {
                all.push(name);
            }
        }
        let whole = self.proto.graph.as_ref();
        let constants = whole.into_iter().flat_map(|graph| &graph.initializer);
        let graph = GraphProto {
            name: whole.and_then(|graph| graph.name.clone()),
            node: nodes,
            initializer: constants
                .filter(|tensor| wanted.contains(tensor.name()))
                .cloned()
                .collect(),
            input: all.iter().map(declared).collect::<Result<_, _>>()?,
            output: outputs.iter().map(declared).collect::<Result<_, _>>()?,
        };
        let mut proto = self.proto.clone();
        proto.graph = Some(graph);
        Self::checked(self.path(), proto)
    }
}
