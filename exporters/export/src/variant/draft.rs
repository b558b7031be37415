//! A variant that is being made: nodes, and constants that are not yet written.

use super::Model;
use super::constant::{Constant, Kind};
use crate::error::ExportError;
use crate::graph::OnTensor;
use crate::onnx::graph::{Attribute, MICROSOFT, ints, node};
use crate::onnx::proto::{
    FLOAT, FLOAT16, GraphProto, NodeProto, OPSET, OperatorSetIdProto, TensorProto,
};
use crate::onnx::weights::WeightFile;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A variant before its weights are written.
///
/// [`Draft::write`] writes the weights, [`Draft::model`] gives the graph over them. Graphs of the
/// same head for other numbers of segments have the same weights: write one's, and give its tensors
/// to the others.
#[derive(Debug)]
pub struct Draft<'a> {
    pub(super) model: &'a Model,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: BTreeMap<String, Constant>,
    pub(super) inline: BTreeMap<String, TensorProto>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        let mut draft = Self {
            model,
            nodes: model.nodes().to_vec(),
            constants: BTreeMap::new(),
            inline: BTreeMap::new(),
        };
        for tensor in model.graph_constants() {
            let name = tensor.name().to_owned();
            if tensor.raw_data.is_some() {
                draft.inline.insert(name, tensor.clone());
            } else if let Some(constant) = Constant::kept(model, &name) {
                draft.constants.insert(name, constant);
            }
        }
        draft
    }

    pub(super) fn push(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute<'_>)],
    ) -> String {
        self.nodes.push(node("", op, inputs, &[output], attributes));
        output.to_owned()
    }

    pub(super) fn push_ints(&mut self, values: &[i64]) -> String {
        let words: Vec<String> = values.iter().map(i64::to_string).collect();
        let name = format!("ints.{}", words.join("_"));
        self.inline.insert(name.clone(), ints(&name, values));
        name
    }

    pub(super) fn push_scalar(&mut self, name: &str, value: f32) -> String {
        let tensor = TensorProto {
            data_type: Some(FLOAT),
            name: Some(name.to_owned()),
            raw_data: Some(value.to_le_bytes().to_vec()),
            ..TensorProto::default()
        };
        self.inline.insert(name.to_owned(), tensor);
        name.to_owned()
    }

    /// A copy of the constant `name` under another name, to be altered.
    pub(super) fn derive(
        &mut self,
        name: &str,
        derived: &str,
    ) -> Result<&mut Constant, ExportError> {
        let constant = self.constants.get(name).cloned();
        let mut constant =
            constant.ok_or_else(|| self.model.wrong(format!("no large constant {name}")))?;
        constant.kind = Kind::Floats;
        let place = self.constants.entry(derived.to_owned());
        Ok(place.insert_entry(constant).into_mut())
    }

    /// How many nodes read `value`.
    pub(super) fn readers(&self, value: &str) -> usize {
        let reads = |node: &&NodeProto| node.input.iter().any(|input| input == value);
        self.nodes.iter().filter(reads).count()
    }

    /// Merges reshapes of reshapes and drops what nothing reads.
    pub(super) fn tidy(&mut self) {
        let mut reshaped = BTreeMap::new();
        for node in &mut self.nodes {
            if node.op_type() != "Reshape" {
                continue;
            }
            if let [input, _] = node.input.as_mut_slice() {
                if let Some(origin) = reshaped.get(input) {
                    *input = String::clone(origin);
                }
                let output = node.output.first().cloned().unwrap_or_default();
                reshaped.insert(output, input.clone());
            }
        }
        let mut wanted: BTreeSet<String> = self
            .model
            .outputs()
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut kept = Vec::new();
        for node in self.nodes.drain(..).rev() {
            if node.output.iter().any(|name| wanted.contains(name)) {
                wanted.extend(node.input.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.constants.retain(|name, _| wanted.contains(name));
        self.inline.retain(|name, _| wanted.contains(name));
    }

    /// Names of the constants in the order of their first reader.
    fn order(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let inputs = self.nodes.iter().flat_map(|node| &node.input);
        let constants = inputs.filter(|name| self.constants.contains_key(*name));
        constants
            .filter(|name| seen.insert(name.as_str()))
            .map(String::as_str)
            .collect()
    }

    /// Number of weights that [`Draft::write`] writes.
    pub fn weights(&self) -> usize {
        self.constants.len()
    }

    /// Writes the weights to `dir/name`, one tensor in memory at a time.
    ///
    /// `on_tensor` is called with the name of each before it is written; an error ends it.
    ///
    /// # Errors
    /// [`ExportError::Graph`] naming every constant that has a value beyond 16-bit floats where
    /// those were asked for; [`ExportError::Read`], [`ExportError::Write`].
    pub fn write(
        &self,
        dir: &Path,
        name: &str,
        on_tensor: OnTensor<'_>,
    ) -> Result<Vec<TensorProto>, ExportError> {
        let mut file = WeightFile::create(dir, name)?;
        let mut beyond = Vec::new();
        for name in self.order() {
            on_tensor(name)?;
            let Some(constant) = self.constants.get(name) else {
                continue;
            };
            let (bytes, overflow) = constant.bytes(self.model)?;
            if overflow {
                beyond.push(constant.source.as_str());
            }
            file.push_bytes(name, constant.element, &constant.shape, &bytes)?;
        }
        if beyond.is_empty() {
            return file.finish();
        }
        let message = format!(
            "expected weights within 65504, the range of 16-bit floats, found larger ones in {}",
            beyond.join(", ")
        );
        Err(self.model.wrong(message))
    }

    /// The graph over `tensors`, which [`Draft::write`] gave, as a file at `path`.
    ///
    /// # Errors
    /// [`ExportError::Graph`] for a constant that is not among them.
    pub fn model(&self, path: &Path, tensors: &[TensorProto]) -> Result<Model, ExportError> {
        let given: BTreeMap<&str, &TensorProto> = tensors
            .iter()
            .map(|tensor| (tensor.name(), tensor))
            .collect();
        let mut large = Vec::new();
        for name in self.order() {
            let fits = |tensor: &&&TensorProto| {
                let constant = self.constants.get(name);
                let dims = tensor.dims.iter().map(|&d| usize::try_from(d).ok());
                constant.is_some_and(|constant| {
                    tensor.data_type == Some(constant.element)
                        && dims.eq(constant.shape.iter().map(|&d| Some(d)))
                })
            };
            let tensor = given.get(name).filter(fits);
            let tensor =
                tensor.ok_or_else(|| self.model.wrong(format!("no weights for {name}")))?;
            large.push(TensorProto::clone(tensor));
        }
        self.over(path, large)
    }

    /// The graph over the source's own weight file, when no weight differs.
    ///
    /// # Errors
    /// [`ExportError::Graph`] if one does.
    pub fn same_weights(&self) -> Result<Model, ExportError> {
        let mut large = Vec::new();
        for name in self.order() {
            let kept = self
                .constants
                .get(name)
                .is_some_and(|c| c.kind == Kind::Kept);
            let tensor = self.model.constant(name).filter(|_| kept);
            let tensor =
                tensor.ok_or_else(|| self.model.wrong(format!("the weights of {name} differ")))?;
            large.push(tensor.clone());
        }
        self.over(self.model.path(), large)
    }

    fn over(&self, path: &Path, mut tensors: Vec<TensorProto>) -> Result<Model, ExportError> {
        tensors.extend(self.inline.values().cloned());
        let mut proto = self.model.proto.clone();
        let source = proto.graph.take().unwrap_or_default();
        proto.graph = Some(GraphProto {
            node: self.nodes.clone(),
            initializer: tensors,
            ..source
        });
        let set = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        proto.opset_import = vec![set("", OPSET)];
        if self.nodes.iter().any(|node| node.domain() == MICROSOFT) {
            proto.opset_import.push(set(MICROSOFT, 1));
        }
        let model = Model::checked(path, proto)?;
        model.values()?;
        Ok(model)
    }

    /// Turns an inline f32 scalar or a constant of floats into 16 bits; gives its name, which is
    /// another one where the f32 form is still read.
    pub(super) fn halved(&mut self, name: &str) -> Option<String> {
        let derived = format!("{name}.half");
        if self.constants.contains_key(&derived) || self.inline.contains_key(&derived) {
            return Some(derived);
        }
        if let Some(tensor) = self.inline.get(name) {
            if tensor.data_type != Some(FLOAT) {
                return None;
            }
            let (words, _) = tensor.raw_data.as_deref()?.as_chunks::<4>();
            let halves = words.iter().map(|&word| {
                let bits = super::number::half_bits(f32::from_le_bytes(word));
                if bits & 0x7FFF == 0 { bits | 1 } else { bits }
            });
            let mut tensor = tensor.clone();
            tensor.data_type = Some(FLOAT16);
            tensor.name = Some(derived.clone());
            tensor.raw_data = Some(halves.flat_map(u16::to_le_bytes).collect());
            self.inline.insert(derived.clone(), tensor);
            return Some(derived);
        }
        let constant = self.constants.get(name)?;
        if constant.element != FLOAT {
            return None;
        }
        let mut constant = constant.clone();
        constant.element = FLOAT16;
        if constant.kind == Kind::Kept {
            constant.kind = Kind::Floats;
        }
        constant.half_steps = true;
        self.constants.insert(derived.clone(), constant);
        Some(derived)
    }
}
