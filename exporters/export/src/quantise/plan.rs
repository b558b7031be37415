//! What a variant is to be: decided here by measurement, carried out by [`crate::variant`].
//!
//! Whatever a plan does not name stays in fp32. Layers are named by the prefix of their weights in
//! the fp32 graph (`blocks.0.attn.q`, `blocks.0.mlp.fc1`), norms likewise (`blocks.0.norm1`),
//! attentions by the prefix of their layers (`blocks.0.attn`).

use echocart_core::manifest::Precision;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One graph's plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GraphPlan {
    /// By norm: what its scale and bias are divided by, channel by channel; the rows of the layers
    /// that read it are multiplied by the same. Exact but for rounding, whatever the layers' format.
    pub migrations: BTreeMap<String, Vec<f32>>,
    /// Linear layers that leave fp32.
    pub linears: BTreeMap<String, LinearPlan>,
    /// Attentions whose two products leave fp32.
    pub attentions: BTreeMap<String, AttentionPlan>,
}

/// A linear layer in the variant's precision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LinearPlan {
    /// Largest magnitude of the layer's input that is told apart, after migration: the step is
    /// this over the format's largest number. One number per tensor: layers that read the same
    /// value have the same. Not used where only weights are quantised and for fp16.
    pub input_limit: f32,
    /// Added to the layer's bias, one per output: what quantisation moves its mean by, with the
    /// other sign. Empty for none, and always for layers without bias.
    pub bias_shift: Vec<f32>,
}

/// The largest magnitudes of an attention's operands, as [`LinearPlan::input_limit`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AttentionPlan {
    /// Queries, as they enter the product: after rotation, before the scale.
    pub query_limit: f32,
    /// Keys, after rotation.
    pub key_limit: f32,
    /// Attention's shares, at most 1.
    pub share_limit: f32,
    /// Values.
    pub value_limit: f32,
}

/// A whole variant's plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Number format; any but fp32.
    pub precision: Precision,
    /// The encoder.
    pub encoder: GraphPlan,
    /// Each head, for every number of segments alike.
    pub heads: BTreeMap<String, GraphPlan>,
}
