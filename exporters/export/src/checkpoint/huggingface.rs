//! Names of Hugging Face `VJEPA2Model` and `VJEPA2ForVideoClassification`.
//!
//! Each function gives, for a tensor of our layout, the tensors it is joined from along its first
//! dimension.

/// Prefix of the encoder's and the predictor's names inside `VJEPA2ForVideoClassification`.
const PREFIX: &str = "vjepa2.";

/// Prefix of the encoder's blocks.
pub(super) const BLOCKS: &str = "encoder.layer.";
/// Prefix of the pooler's self-attention blocks.
pub(super) const POOLER_BLOCKS: &str = "pooler.self_attention_layers.";
/// Name whose first dimension is the MLP width of the pooler.
pub(super) const POOLER_HIDDEN_KEY: &str = "pooler.cross_attention_layer.mlp.fc1.weight";

/// Removes the prefix that not every file has.
pub(super) fn strip(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// True if `name` belongs to an encoder that was saved by Hugging Face.
pub(super) fn is_encoder(name: &str) -> bool {
    let name = strip(name);
    name.starts_with("encoder.embeddings.") || name.starts_with(BLOCKS)
}

/// True if `name` belongs to a pooler that was saved by Hugging Face.
pub(super) fn is_pooler(name: &str) -> bool {
    name.starts_with("pooler.cross_attention_layer.") || name.starts_with(POOLER_BLOCKS)
}

/// The encoder's part of a file: everything but the parts that are known to be others.
pub(super) fn encoder_key(name: &str) -> Option<String> {
    let name = strip(name);
    let others = ["predictor.", "pooler.", "classifier."];
    (!others.iter().any(|other| name.starts_with(other))).then(|| name.to_owned())
}

/// The probe's part of a file, likewise.
pub(super) fn probe_key(name: &str) -> Option<String> {
    let others = ["predictor.", "encoder."];
    let other = others.iter().any(|other| strip(name).starts_with(other));
    (!other).then(|| name.to_owned())
}

fn joined(prefix: &str, parts: &[&str], rest: &str) -> Vec<String> {
    let name = |part: &&str| format!("{prefix}.{part}.{rest}");
    parts.iter().map(name).collect()
}

/// Where a tensor of the encoder is.
pub(super) fn encoder_parts(key: &str) -> Vec<String> {
    if let Some(rest) = key.strip_prefix("patch_embed.") {
        return vec![format!("encoder.embeddings.patch_embeddings.{rest}")];
    }
    let Some((index, rest)) = key
        .strip_prefix("blocks.")
        .and_then(|rest| rest.split_once('.'))
    else {
        return vec![key.replacen("norm.", "encoder.layernorm.", 1)];
    };
    let block = format!("{BLOCKS}{index}");
    if let Some(rest) = rest.strip_prefix("attn.qkv.") {
        let attention = format!("{block}.attention");
        return joined(&attention, &["query", "key", "value"], rest);
    }
    vec![format!(
        "{block}.{}",
        rest.replacen("attn.", "attention.", 1)
    )]
}

/// Where a tensor of an attentive probe is.
pub(super) fn probe_parts(key: &str) -> Vec<String> {
    if let Some(rest) = key.strip_prefix("linear.") {
        return vec![format!("classifier.{rest}")];
    }
    let (block, rest) = if let Some(rest) = key.strip_prefix("pooler.cross_attention_block.") {
        ("pooler.cross_attention_layer".to_owned(), rest)
    } else if let Some((index, rest)) = key
        .strip_prefix("pooler.blocks.")
        .and_then(|rest| rest.split_once('.'))
    {
        (format!("{POOLER_BLOCKS}{index}"), rest)
    } else {
        return vec![key.to_owned()];
    };
    let (attention, parts, rest) = if let Some(rest) = rest.strip_prefix("attn.qkv.") {
        ("self_attn", &["q_proj", "k_proj", "v_proj"][..], rest)
    } else if let Some(rest) = rest.strip_prefix("attn.proj.") {
        ("self_attn", &["out_proj"][..], rest)
    } else if let Some(rest) = rest.strip_prefix("xattn.kv.") {
        ("cross_attn", &["k_proj", "v_proj"][..], rest)
    } else if let Some(rest) = rest.strip_prefix("xattn.q.") {
        ("cross_attn", &["q_proj"][..], rest)
    } else {
        return vec![format!(
            "{block}.{}",
            rest.replacen("norm", "layer_norm", 1)
        )];
    };
    joined(&format!("{block}.{attention}"), parts, rest)
}
