//! A graph under construction: nodes in order, small integer constants inline.

use super::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, ATTRIBUTE_STRING, AttributeProto,
    DimensionProto, FLOAT, GraphProto, INT64, IR_VERSION, ModelProto, NodeProto, OPSET,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use prost::Message;

/// Operator set of ONNX Runtime's fused operators.
pub const MICROSOFT: &str = "com.microsoft";

/// One dimension of a graph input or output.
#[derive(Debug, Clone, Copy)]
pub enum Dim<'a> {
    /// Fixed length.
    Fixed(usize),
    /// Length known at run time, by name.
    Named(&'a str),
}

/// An attribute value.
#[derive(Debug, Clone, Copy)]
pub enum Attribute<'a> {
    /// Integer.
    Int(i64),
    /// Integers.
    Ints(&'a [i64]),
    /// Floating point number.
    Float(f32),
    /// Text.
    Text(&'a str),
}

/// A graph under construction.
#[derive(Debug, Default)]
pub struct Graph {
    proto: GraphProto,
}

fn value(name: &str, elem_type: i32, shape: &[Dim<'_>]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|dim| match *dim {
            Dim::Fixed(length) => DimensionProto {
                dim_value: Some(length as i64),
                dim_param: None,
            },
            Dim::Named(name) => DimensionProto {
                dim_value: None,
                dim_param: Some(name.to_owned()),
            },
        })
        .collect();
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(elem_type),
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
    }
}

fn attribute(name: &str, value: Attribute<'_>) -> AttributeProto {
    let mut proto = AttributeProto {
        name: Some(name.to_owned()),
        ..AttributeProto::default()
    };
    match value {
        Attribute::Int(i) => {
            proto.i = Some(i);
            proto.r#type = Some(ATTRIBUTE_INT);
        }
        Attribute::Ints(ints) => {
            proto.ints = ints.to_vec();
            proto.r#type = Some(ATTRIBUTE_INTS);
        }
        Attribute::Float(f) => {
            proto.f = Some(f);
            proto.r#type = Some(ATTRIBUTE_FLOAT);
        }
        Attribute::Text(text) => {
            proto.s = Some(text.as_bytes().to_vec());
            proto.r#type = Some(ATTRIBUTE_STRING);
        }
    }
    proto
}

/// One operator call, named after its first output.
pub(crate) fn node(
    domain: &str,
    op: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[(&str, Attribute<'_>)],
) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
    NodeProto {
        input: owned(inputs),
        output: owned(outputs),
        name: outputs
            .iter()
            .find(|name| !name.is_empty())
            .map(|&n| n.to_owned()),
        op_type: Some(op.to_owned()),
        attribute: attributes
            .iter()
            .map(|&(name, value)| attribute(name, value))
            .collect(),
        domain: (!domain.is_empty()).then(|| domain.to_owned()),
    }
}

/// An inline vector of integers.
pub(crate) fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: Some(INT64),
        name: Some(name.to_owned()),
        raw_data: Some(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        ..TensorProto::default()
    }
}

impl Graph {
    /// An empty graph over `weights`.
    pub fn new(name: &str, weights: Vec<TensorProto>) -> Self {
        Self {
            proto: GraphProto {
                name: Some(name.to_owned()),
                initializer: weights,
                ..GraphProto::default()
            },
        }
    }

    /// Declares an f32 input.
    pub fn input_f32(&mut self, name: &str, shape: &[Dim<'_>]) {
        self.proto.input.push(value(name, FLOAT, shape));
    }

    /// Declares an int64 input.
    pub fn input_i64(&mut self, name: &str, shape: &[Dim<'_>]) {
        self.proto.input.push(value(name, INT64, shape));
    }

    /// Declares an f32 output.
    pub fn output_f32(&mut self, name: &str, shape: &[Dim<'_>]) {
        self.proto.output.push(value(name, FLOAT, shape));
    }

    /// Adds an inline vector of integers, for shapes and indices.
    pub fn ints(&mut self, name: &str, values: &[i64]) {
        self.proto.initializer.push(ints(name, values));
    }

    /// Adds a node of the standard operator set with one output; gives the output's name.
    pub fn op(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute<'_>)],
    ) -> String {
        self.node("", op, inputs, &[output], attributes);
        output.to_owned()
    }

    /// Adds a node.
    pub fn node(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) {
        self.proto
            .node
            .push(node(domain, op, inputs, outputs, attributes));
    }

    /// The bytes of the file.
    pub fn into_bytes(self) -> Vec<u8> {
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some("echocart".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            graph: Some(self.proto),
            opset_import: vec![opset("", OPSET), opset(MICROSOFT, 1)],
            metadata_props: Vec::new(),
        }
        .encode_to_vec()
    }
}
