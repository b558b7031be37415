//! Matrix products on 8-bit numbers: quantise and dequantise nodes before both operands.

use super::constant::{Constant, Format, Kind};
use super::draft::Draft;
use super::parts::Linear;
use crate::error::ExportError;
use crate::onnx::graph::Attribute;
use crate::onnx::proto::TensorProto;
use crate::quantise::plan::{GraphPlan, LinearPlan};

impl Draft<'_> {
    fn zeros(&mut self, format: Format, length: Option<usize>) -> String {
        let kind = match format {
            Format::Int8 => "int8",
            Format::E4m3 => "e4m3",
        };
        let name = match length {
            Some(length) => format!("zeros.{kind}.{length}"),
            None => format!("zero.{kind}"),
        };
        let tensor = TensorProto {
            dims: length.into_iter().map(|length| length as i64).collect(),
            data_type: Some(format.element()),
            name: Some(name.clone()),
            raw_data: Some(vec![0; length.unwrap_or(1)]),
            ..TensorProto::default()
        };
        self.inline.insert(name.clone(), tensor);
        name
    }

    /// Adds the pair of nodes that rounds `value` to the format; gives the rounded value. The pair
    /// is added once for all readers.
    pub(super) fn coarse(
        &mut self,
        value: &str,
        limit: f32,
        format: Format,
    ) -> Result<String, ExportError> {
        if !(limit.is_finite() && limit > 0.0) {
            let message = format!("limit of {value}: expected above 0, found {limit}");
            return Err(self.model.wrong(message));
        }
        let rounded = format!("{value}.coarse");
        let step_name = format!("{value}.step");
        let step = format.step(limit);
        if let Some(made) = self.inline.get(&step_name) {
            if made.raw_data.as_deref() == Some(&step.to_le_bytes()) {
                return Ok(rounded);
            }
            let message = format!("limit of {value}: expected one, found two");
            return Err(self.model.wrong(message));
        }
        self.push_scalar(&step_name, step);
        let zero = self.zeros(format, None);
        let codes = format!("{value}.codes");
        self.push("QuantizeLinear", &[value, &step_name, &zero], &codes, &[]);
        self.push(
            "DequantizeLinear",
            &[&codes, &step_name, &zero],
            &rounded,
            &[],
        );
        Ok(rounded)
    }

    fn coarse_weight(&mut self, layer: &Linear, format: Format) -> Result<String, ExportError> {
        let weight = &layer.weight;
        let (codes, steps) = (format!("{weight}.codes"), format!("{weight}.steps"));
        let constant = self.derive(weight, &codes)?;
        constant.kind = Kind::Codes(format);
        constant.element = format.element();
        let constant = self.derive(weight, &steps)?;
        constant.kind = Kind::Steps(format);
        constant.shape = vec![layer.outputs];
        let zeros = self.zeros(format, Some(layer.outputs));
        let inputs = [codes.as_str(), &steps, &zeros];
        let axis = [("axis", Attribute::Int(1))];
        Ok(self.push(
            "DequantizeLinear",
            &inputs,
            &format!("{weight}.coarse"),
            &axis,
        ))
    }

    /// Adds the bias of a layer, altered as the plan says, to `product`, whose name must be the
    /// one that [`product_name`] gave.
    pub(super) fn add_bias(
        &mut self,
        layer: &Linear,
        plan: &LinearPlan,
        product: &str,
    ) -> Result<(), ExportError> {
        let shift = &plan.bias_shift;
        let length = layer.bias.as_ref().map_or(0, |_| layer.outputs);
        if !shift.is_empty() && shift.len() != length {
            let message = format!(
                "bias shift of {}: expected {length} numbers, found {}",
                layer.name,
                shift.len()
            );
            return Err(self.model.wrong(message));
        }
        let Some(bias) = &layer.bias else {
            return Ok(());
        };
        if !shift.is_empty()
            && let Some(constant) = self.constants.get_mut(bias)
        {
            constant.change.shift.clone_from(shift);
            constant.kind = Kind::Floats;
        }
        self.push("Add", &[product, bias], &layer.output, &[]);
        Ok(())
    }

    /// Puts every layer that the plan names on 8-bit numbers.
    pub(super) fn quantise(&mut self, plan: &GraphPlan, format: Format) -> Result<(), ExportError> {
        for node in std::mem::take(&mut self.nodes) {
            let layer = self.model.linear(&node);
            let planned = layer.and_then(|l| plan.linears.get(&l.name).map(|p| (l, p)));
            let Some((layer, planned)) = planned else {
                self.nodes.push(node);
                continue;
            };
            let input = self.coarse(&layer.input, planned.input_limit, format)?;
            let weight = self.coarse_weight(&layer, format)?;
            let product = product_name(&layer);
            self.push("MatMul", &[&input, &weight], &product, &[]);
            self.add_bias(&layer, planned, &product)?;
        }
        Ok(())
    }

    /// Refuses a plan that names what the graph does not have.
    pub(super) fn check_plan(&self, plan: &GraphPlan) -> Result<(), ExportError> {
        let linears: Vec<String> = self
            .model
            .linear_layers()
            .into_iter()
            .map(|layer| layer.name)
            .collect();
        let attentions: Vec<String> = self
            .model
            .attentions()
            .into_iter()
            .map(|attention| attention.name)
            .collect();
        let unknown = plan.linears.keys().find(|name| !linears.contains(name));
        let other = plan
            .attentions
            .keys()
            .find(|name| !attentions.contains(name));
        match unknown.or(other) {
            Some(name) => Err(self
                .model
                .wrong(format!("the plan names {name}, which is not there"))),
            None => Ok(()),
        }
    }
}

/// Name of a layer's product before its bias is added.
pub(super) fn product_name(layer: &Linear) -> String {
    match layer.bias {
        Some(_) => format!("{}.product", layer.name),
        None => layer.output.clone(),
    }
}

impl Constant {
    /// Whether it holds quantised numbers that a step per column belongs to.
    pub(super) fn has_steps(&self) -> bool {
        matches!(self.kind, Kind::Codes(_) | Kind::BlockCodes(_))
    }
}
