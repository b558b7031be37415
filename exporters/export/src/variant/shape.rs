//! Shapes of every value of a graph, lengths that are only known at run time by name.

use super::Model;
use super::parts::int;
use crate::error::ExportError;
use crate::onnx::proto::{
    DimensionProto, NodeProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use std::collections::BTreeMap;
use std::fmt;

/// One length: a number, times lengths known at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// The number.
    pub factor: usize,
    /// Names of the lengths it is multiplied by, in order.
    pub names: Vec<String>,
}

/// Element type and shape of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Element type of ONNX.
    pub element: i32,
    /// Lengths.
    pub shape: Vec<Extent>,
}

impl From<usize> for Extent {
    fn from(factor: usize) -> Self {
        Self {
            factor,
            names: Vec::new(),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.factor != 1 || self.names.is_empty() {
            write!(f, "{}", self.factor)?;
        }
        for (at, name) in self.names.iter().enumerate() {
            let times = if at > 0 || self.factor != 1 { "*" } else { "" };
            write!(f, "{times}{name}")?;
        }
        Ok(())
    }
}

impl Extent {
    /// The number, if it is known.
    pub fn fixed(&self) -> Option<usize> {
        self.names.is_empty().then_some(self.factor)
    }

    fn times(&self, other: &Self) -> Option<Self> {
        let mut names = [self.names.as_slice(), &other.names].concat();
        names.sort();
        let factor = self.factor.checked_mul(other.factor)?;
        Some(Self { factor, names })
    }

    fn over(&self, other: &Self) -> Option<Self> {
        let mut names = self.names.clone();
        for name in &other.names {
            names.remove(names.iter().position(|n| n == name)?);
        }
        let whole = other.factor != 0 && self.factor.is_multiple_of(other.factor);
        whole.then(|| Self {
            factor: self.factor / other.factor,
            names,
        })
    }

    fn plus(&self, other: &Self) -> Self {
        match (self.fixed(), other.fixed()) {
            (Some(a), Some(b)) => (a + b).into(),
            _ => Self {
                factor: 1,
                names: vec![format!("{self}+{other}")],
            },
        }
    }

    fn proto(&self) -> DimensionProto {
        let fixed = self.fixed();
        DimensionProto {
            dim_value: fixed.map(|length| length as i64),
            dim_param: fixed.is_none().then(|| self.to_string()),
        }
    }
}

fn product(shape: &[Extent]) -> Option<Extent> {
    shape.iter().try_fold(1.into(), |a: Extent, b| a.times(b))
}

impl Value {
    /// The declaration of a graph input or output.
    pub(super) fn declared(&self, name: &str) -> ValueInfoProto {
        ValueInfoProto {
            name: Some(name.to_owned()),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorTypeProto {
                    elem_type: Some(self.element),
                    shape: Some(TensorShapeProto {
                        dim: self.shape.iter().map(Extent::proto).collect(),
                    }),
                }),
            }),
        }
    }

    fn of(declared: &ValueInfoProto) -> Option<Self> {
        let tensor = declared.r#type.as_ref()?.tensor_type.as_ref()?;
        let extent = |dim: &DimensionProto| match (dim.dim_value, &dim.dim_param) {
            (Some(length), None) => usize::try_from(length).ok().map(Extent::from),
            (None, Some(name)) => Some(Extent {
                factor: 1,
                names: vec![name.clone()],
            }),
            _ => None,
        };
        let shape = tensor.shape.as_ref()?.dim.iter().map(extent);
        Some(Self {
            element: tensor.elem_type?,
            shape: shape.collect::<Option<_>>()?,
        })
    }
}

fn axis(node: &NodeProto, rank: usize) -> Option<usize> {
    let axis = int(node, "axis").unwrap_or(0);
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

fn broadcast(a: &[Extent], b: &[Extent]) -> Option<Vec<Extent>> {
    let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let (mut shape, start) = (long.to_vec(), long.len() - short.len());
    for (out, other) in shape.iter_mut().skip(start).zip(short) {
        if out.fixed() == Some(1) {
            *out = other.clone();
        } else if out != other && other.fixed() != Some(1) {
            return None;
        }
    }
    Some(shape)
}

fn matmul(a: &[Extent], b: &[Extent]) -> Option<Vec<Extent>> {
    let ([batch_a @ .., rows, inner], [batch_b @ .., other, columns]) = (a, b) else {
        return None;
    };
    let mut shape = broadcast(batch_a, batch_b)?;
    shape.extend([rows.clone(), columns.clone()]);
    (inner == other).then_some(shape)
}

fn reshaped(from: &[Extent], wanted: &[i64]) -> Option<Vec<Extent>> {
    let known = wanted.iter().filter(|&&length| length != -1);
    let known: Option<Vec<Extent>> = known
        .map(|&length| usize::try_from(length).ok().map(Extent::from))
        .collect();
    let known = known?;
    let rest = product(from)?.over(&product(&known)?)?;
    let open = wanted.len() - known.len();
    if open > 1 || (open == 0 && rest.fixed() != Some(1)) {
        return None;
    }
    let mut known = known.into_iter();
    wanted
        .iter()
        .map(|&length| match length {
            -1 => Some(rest.clone()),
            _ => known.next(),
        })
        .collect()
}

impl Model {
    fn infer(&self, node: &NodeProto, values: &BTreeMap<String, Value>) -> Option<Value> {
        let input = |at: usize| values.get(node.input.get(at)?);
        let shape = |at: usize| input(at).map(|value| value.shape.as_slice());
        let first = input(0)?;
        let like = |shape: Vec<Extent>| Value {
            element: first.element,
            shape,
        };
        match node.op_type() {
            "LayerNormalization" | "Gelu" | "Softmax" | "Identity" | "MultiHeadAttention" => {
                Some(first.clone())
            }
            "Cast" => Some(Value {
                element: i32::try_from(int(node, "to")?).ok()?,
                shape: first.shape.clone(),
            }),
            "QuantizeLinear" => Some(Value {
                element: input(2)?.element,
                shape: first.shape.clone(),
            }),
            "DequantizeLinear" => Some(Value {
                element: input(1)?.element,
                shape: first.shape.clone(),
            }),
            "Add" | "Mul" | "Sub" | "Div" => Some(like(broadcast(&first.shape, shape(1)?)?)),
            "MatMul" => Some(like(matmul(&first.shape, shape(1)?)?)),
            "Gemm" => Some(like(matmul(&first.shape, shape(1)?)?)),
            "MatMulNBits" => {
                let (columns, mut shape) = (int(node, "N")?, first.shape.clone());
                *shape.last_mut()? = usize::try_from(columns).ok()?.into();
                Some(like(shape))
            }
            "Reshape" => {
                let wanted = self.ints(node.input.get(1)?)?;
                Some(like(reshaped(&first.shape, &wanted)?))
            }
            "Transpose" => {
                let order = node.attribute.iter().find(|a| a.name() == "perm");
                let order: Vec<usize> = match order {
                    Some(order) => order
                        .ints
                        .iter()
                        .map(|&i| i.try_into().ok())
                        .collect::<Option<_>>()?,
                    None => (0..first.shape.len()).rev().collect(),
                };
                let shape = order.iter().map(|&from| first.shape.get(from).cloned());
                Some(like(shape.collect::<Option<_>>()?))
            }
            "Gather" => {
                let at = axis(node, first.shape.len())?;
                let mut out = first.shape.clone();
                out.splice(at..=at, shape(1)?.iter().cloned());
                Some(like(out))
            }
            "Concat" => {
                let at = axis(node, first.shape.len())?;
                let mut out = first.shape.clone();
                for part in 1..node.input.len() {
                    out[at] = out[at].plus(shape(part)?.get(at)?);
                }
                Some(like(out))
            }
            "ReduceMean" => {
                let axes = self.ints(node.input.get(1)?)?;
                let keep = int(node, "keepdims") != Some(0);
                let place = |(at, extent): (usize, &Extent)| match axes.contains(&(at as i64)) {
                    true => keep.then(|| Extent::from(1)),
                    false => Some(extent.clone()),
                };
                let shape = first.shape.iter().enumerate();
                Some(like(shape.filter_map(place).collect()))
            }
            _ => None,
        }
    }

    /// Element type and shape of every value and constant.
    ///
    /// # Errors
    /// [`ExportError::Graph`] for an operator this version does not know or shapes that do not fit.
    pub fn values(&self) -> Result<BTreeMap<String, Value>, ExportError> {
        let mut values = BTreeMap::new();
        let graph = self.proto.graph.as_ref();
        for tensor in graph.into_iter().flat_map(|graph| &graph.initializer) {
            let name = tensor.name().to_owned();
            let shape = self.shape(&name).unwrap_or_default();
            let value = Value {
                element: tensor.data_type(),
                shape: shape.into_iter().map(Extent::from).collect(),
            };
            values.insert(name, value);
        }
        for declared in graph.into_iter().flat_map(|graph| &graph.input) {
            let name = declared.name().to_owned();
            let value = Value::of(declared)
                .ok_or_else(|| self.wrong(format!("input {name} has no shape")))?;
            values.insert(name, value);
        }
        for node in self.nodes() {
            let value = self.infer(node, &values).ok_or_else(|| {
                let inputs = node.input.iter().filter_map(|name| values.get(name));
                let shapes: Vec<String> = inputs
                    .map(|value| {
                        let lengths: Vec<String> =
                            value.shape.iter().map(Extent::to_string).collect();
                        format!("[{}]", lengths.join(", "))
                    })
                    .collect();
                self.wrong(format!(
                    "node {} ({}) does not take {}",
                    node.name(),
                    node.op_type(),
                    shapes.join(" and ")
                ))
            })?;
            if let [output] = node.output.as_slice() {
                values.insert(output.clone(), value);
            } else {
                let message = format!("node {}: expected one output", node.name());
                return Err(self.wrong(message));
            }
        }
        Ok(values)
    }
}
