//! What a variant is to look like, and the rewriting in its order.

use super::Model;
use super::constant::{Blocks, Format};
use super::draft::Draft;
use super::half::Islands;
use crate::error::ExportError;
use crate::quantise::plan::GraphPlan;

/// What becomes of the layers that a plan names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Floats, of the type the rest has.
    Floats,
    /// 8-bit numbers for weights and activations, a step per output channel and per tensor.
    Codes(Format),
    /// Quantised weights alone, on ONNX Runtime's own operator.
    Blocks(Blocks),
}

/// How a variant differs from its source, apart from the plan's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Whether attention becomes plain operators; fused otherwise.
    pub plain_attention: bool,
    /// What becomes of the layers that the plan names.
    pub numbers: Numbers,
    /// 16-bit floats for the rest, but for these islands; 32-bit floats if absent.
    pub half: Option<Islands>,
}

impl Form {
    /// 32-bit floats.
    pub fn fp32(plain_attention: bool) -> Self {
        Self {
            plain_attention,
            numbers: Numbers::Floats,
            half: None,
        }
    }

    /// 16-bit floats but for `islands` and for what the plan leaves out.
    pub fn fp16(plain_attention: bool, islands: Islands) -> Self {
        Self {
            plain_attention,
            numbers: Numbers::Floats,
            half: Some(islands),
        }
    }

    /// 8-bit matrix products with plain attention, the rest in 32-bit floats.
    pub fn codes(format: Format) -> Self {
        Self {
            plain_attention: true,
            numbers: Numbers::Codes(format),
            half: None,
        }
    }

    /// Weights of 4 or 8 bits in blocks of `rows`, the rest in 32-bit floats.
    pub fn blocks(bits: u32, rows: usize) -> Self {
        Self {
            plain_attention: false,
            numbers: Numbers::Blocks(Blocks { bits, rows }),
            half: None,
        }
    }
}

/// Makes a variant of an fp32 graph.
///
/// What `plan` does not name keeps its floats; in a 16-bit variant without quantised layers it
/// stays at 32 bits. A product of an attention whose two limits are both 0 keeps its floats too.
/// Migrations are carried out in every form.
///
/// # Errors
/// [`ExportError::Graph`] for a plan that does not fit the graph.
pub fn rewrite<'a>(
    model: &'a Model,
    plan: &GraphPlan,
    form: &Form,
) -> Result<Draft<'a>, ExportError> {
    let mut draft = Draft::new(model);
    draft.check_plan(plan)?;
    draft.migrate(&plan.migrations)?;
    let format = match form.numbers {
        Numbers::Floats => None,
        Numbers::Codes(format) => Some(format),
        Numbers::Blocks(_) => None,
    };
    match form.numbers {
        Numbers::Floats => {}
        Numbers::Codes(format) => draft.quantise(plan, format)?,
        Numbers::Blocks(blocks) => draft.quantise_weights(plan, blocks)?,
    }
    if form.plain_attention {
        draft.plain_attention(plan, format)?;
    } else if format.is_some() && !plan.attentions.is_empty() {
        return Err(model.wrong("quantised attention: expected plain operators, found fused ones"));
    }
    if let Some(islands) = &form.half {
        let mut islands = islands.clone();
        if form.numbers == Numbers::Floats {
            let layers = model.linear_layers().into_iter().map(|layer| layer.name);
            let attentions = model
                .attentions()
                .into_iter()
                .map(|attention| attention.name);
            islands
                .layers
                .extend(layers.filter(|name| !plan.linears.contains_key(name)));
            islands
                .layers
                .extend(attentions.filter(|name| !plan.attentions.contains_key(name)));
        }
        draft.halve(&islands);
    }
    draft.tidy();
    Ok(draft)
}
