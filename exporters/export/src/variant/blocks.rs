//! Weights alone quantised, in blocks: small in memory, exact activations.

use super::codes::product_name;
use super::constant::{Blocks, Kind};
use super::draft::Draft;
use crate::error::ExportError;
use crate::onnx::graph::{Attribute, MICROSOFT, node};
use crate::onnx::proto::UINT8;
use crate::quantise::plan::GraphPlan;

/// Only MLPs, two thirds of a block's weights, stand 4 bits: an error of attention's weights or of the
/// embedding moves every token after it, so these keep 8.
fn blocks_of(layer: &str, blocks: Blocks) -> Blocks {
    let bits = if layer.contains(".mlp.") {
        blocks.bits
    } else {
        8
    };
    Blocks { bits, ..blocks }
}

impl Draft<'_> {
    /// Quantises the weights of every layer that the plan names.
    pub(super) fn quantise_weights(
        &mut self,
        plan: &GraphPlan,
        blocks: Blocks,
    ) -> Result<(), ExportError> {
        if !matches!(blocks.bits, 4 | 8) || blocks.rows < 16 || !blocks.rows.is_power_of_two() {
            let message = format!(
                "blocks: expected 4 or 8 bits and a power of two of at least 16 rows, found {} \
                 bits and {} rows",
                blocks.bits, blocks.rows
            );
            return Err(self.model.wrong(message));
        }
        for old in std::mem::take(&mut self.nodes) {
            let layer = self.model.linear(&old);
            let planned = layer.and_then(|l| plan.linears.get(&l.name).map(|p| (l, p)));
            let Some((layer, planned)) = planned else {
                self.nodes.push(old);
                continue;
            };
            let blocks = blocks_of(&layer.name, blocks);
            let (weight, count) = (&layer.weight, blocks.count(layer.inputs));
            let (codes, steps) = (format!("{weight}.codes"), format!("{weight}.steps"));
            let constant = self.derive(weight, &codes)?;
            constant.kind = Kind::BlockCodes(blocks);
            constant.element = UINT8;
            constant.shape = vec![layer.outputs, count, blocks.bytes()];
            let constant = self.derive(weight, &steps)?;
            constant.kind = Kind::BlockSteps(blocks);
            constant.shape = vec![layer.outputs, count];
            let product = product_name(&layer);
            let attributes = [
                ("K", Attribute::Int(layer.inputs as i64)),
                ("N", Attribute::Int(layer.outputs as i64)),
                ("bits", Attribute::Int(i64::from(blocks.bits))),
                ("block_size", Attribute::Int(blocks.rows as i64)),
            ];
            let inputs = [layer.input.as_str(), &codes, &steps];
            let outputs = [product.as_str()];
            self.nodes.push(node(
                MICROSOFT,
                "MatMulNBits",
                &inputs,
                &outputs,
                &attributes,
            ));
            self.add_bias(&layer, planned, &product)?;
        }
        Ok(())
    }
}
