//! Graphs for a fixed number of tokens, for providers that build for one size.

use super::Model;
use crate::error::ExportError;
use crate::onnx::graph::ints;
use std::collections::BTreeMap;

impl Model {
    /// The same graph for exactly `tokens` tokens per input, every shape in it a number. Its
    /// weights are those of this graph, in the same file.
    ///
    /// # Errors
    /// [`ExportError::Graph`] if shapes do not fit.
    pub fn with_tokens(&self, tokens: usize) -> Result<Self, ExportError> {
        let mut proto = self.proto.clone();
        let graph = proto.graph.get_or_insert_default();
        let declared = graph.input.iter_mut().chain(&mut graph.output);
        let types = declared.filter_map(|value| value.r#type.as_mut()?.tensor_type.as_mut());
        for dim in types.flat_map(|t| t.shape.iter_mut().flat_map(|shape| &mut shape.dim)) {
            if dim.dim_param.take().is_some() {
                dim.dim_value = Some(tokens as i64);
            }
        }
        let fixed = Self::checked(self.path(), proto.clone())?;
        let values = fixed.values()?;
        let graph = proto.graph.get_or_insert_default();
        let mut shapes = BTreeMap::new();
        for node in graph
            .node
            .iter_mut()
            .filter(|node| node.op_type() == "Reshape")
        {
            let value = node.output.first().and_then(|output| values.get(output));
            let lengths = value.map(|value| value.shape.iter().map(|extent| extent.fixed()));
            let lengths: Option<Vec<usize>> = lengths.and_then(Iterator::collect);
            let lengths = lengths
                .ok_or_else(|| self.wrong(format!("node {}: a length stays open", node.name())))?;
            let lengths: Vec<i64> = lengths.into_iter().map(|length| length as i64).collect();
            let words: Vec<String> = lengths.iter().map(i64::to_string).collect();
            let name = format!("shape.{}", words.join("_"));
            if let Some(shape) = node.input.get_mut(1) {
                shape.clone_from(&name);
            }
            shapes
                .entry(name.clone())
                .or_insert_with(|| ints(&name, &lengths));
        }
        let read = |name: &str| graph.node.iter().any(|n| n.input.iter().any(|i| i == name));
        let unread = |tensor: &_| !read(crate::onnx::proto::TensorProto::name(tensor));
        let dropped: Vec<bool> = graph.initializer.iter().map(unread).collect();
        let mut dropped = dropped.into_iter();
        graph.initializer.retain(|_| dropped.next() == Some(false));
        graph.initializer.extend(shapes.into_values());
        Self::checked(self.path(), proto)
    }
}
