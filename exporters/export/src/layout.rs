//! Which tensors an encoder and a probe consist of, with their shapes.

use echocart_core::manifest::Encoder;
pub use echocart_core::manifest::{ProbeKind, SlotEmbedding};

/// MLP width of an attentive probe over its token width, where no file says it.
pub const PROBE_MLP_RATIO: usize = 4;

/// Key of the vectors of the views, `[views, dim]`.
pub const VIEW_EMBEDDING: &str = "view_embed.weight";
/// Key of the vectors of the clips of a view, `[clips_per_view, dim]`.
pub const CLIP_EMBEDDING: &str = "clip_embed.weight";
/// Key of the vectors of the slots, `[views x clips_per_view, dim]`.
pub const SLOT_EMBEDDING: &str = "slot_embed.weight";

type Layout = Vec<(String, Vec<usize>)>;

/// Places of a multi-view probe: slot = view x clips per view + clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Views.
    pub views: usize,
    /// Clips of each view.
    pub clips_per_view: usize,
    /// What is added to the tokens of a slot.
    pub embedding: SlotEmbedding,
}

impl Places {
    /// Number of slots.
    pub fn count(&self) -> usize {
        self.views * self.clips_per_view
    }
}

/// Sizes of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// How it pools.
    pub kind: ProbeKind,
    /// Token width.
    pub dim: usize,
    /// Blocks, the cross-attention block included; 0 without attention.
    pub depth: usize,
    /// Attention heads; 1 without attention.
    pub heads: usize,
    /// MLP width; not used by a linear probe.
    pub hidden: usize,
    /// Name of the last layer, `linear` or `regressor`; not used by an mlp probe.
    pub last: &'static str,
    /// Values it gives.
    pub outputs: usize,
    /// Places of a multi-view probe; none for any other.
    pub places: Option<Places>,
}

/// MLP width of an encoder.
pub fn encoder_hidden(encoder: &Encoder) -> usize {
    (encoder.dim as f64 * encoder.mlp_ratio) as usize
}

fn affine(layout: &mut Layout, name: &str, out: usize, inputs: Option<usize>) {
    let mut shape = vec![out];
    shape.extend(inputs);
    layout.push((format!("{name}.weight"), shape));
    layout.push((format!("{name}.bias"), vec![out]));
}

fn block(layout: &mut Layout, name: &str, dim: usize, hidden: usize) {
    affine(layout, &format!("{name}.norm1"), dim, None);
    affine(layout, &format!("{name}.attn.qkv"), 3 * dim, Some(dim));
    affine(layout, &format!("{name}.attn.proj"), dim, Some(dim));
    affine(layout, &format!("{name}.norm2"), dim, None);
    affine(layout, &format!("{name}.mlp.fc1"), hidden, Some(dim));
    affine(layout, &format!("{name}.mlp.fc2"), dim, Some(hidden));
}

/// Every tensor of an encoder.
pub fn encoder(encoder: &Encoder) -> Layout {
    let patch = vec![
        encoder.dim,
        encoder.channels,
        encoder.tubelet_frames,
        encoder.patch_px,
        encoder.patch_px,
    ];
    let mut layout = vec![
        ("patch_embed.proj.weight".to_owned(), patch),
        ("patch_embed.proj.bias".to_owned(), vec![encoder.dim]),
    ];
    for index in 0..encoder.depth {
        block(
            &mut layout,
            &format!("blocks.{index}"),
            encoder.dim,
            encoder_hidden(encoder),
        );
    }
    affine(&mut layout, "norm", encoder.dim, None);
    layout
}

/// Key whose first dimension is the MLP width of a probe.
pub fn probe_hidden_key(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Mlp => "mlp.0.weight",
        ProbeKind::Attentive | ProbeKind::Linear => "pooler.cross_attention_block.mlp.fc1.weight",
    }
}

/// Every tensor of a probe.
pub fn probe(probe: &Probe) -> Layout {
    let dim = Some(probe.dim);
    let mut layout = match probe.kind {
        ProbeKind::Attentive => attentive(probe),
        ProbeKind::Linear => {
            let mut layout = Layout::new();
            affine(&mut layout, "norm", probe.dim, None);
            affine(&mut layout, probe.last, probe.outputs, dim);
            layout
        }
        ProbeKind::Mlp => {
            let mut layout = Layout::new();
            affine(&mut layout, "norm", probe.dim, None);
            affine(&mut layout, "mlp.0", probe.hidden, dim);
            affine(&mut layout, "mlp.3", probe.outputs, Some(probe.hidden));
            layout
        }
    };
    let Some(places) = &probe.places else {
        return layout;
    };
    let mut vectors = |key: &str, count| layout.push((key.to_owned(), vec![count, probe.dim]));
    match places.embedding {
        SlotEmbedding::Factorized => {
            vectors(VIEW_EMBEDDING, places.views);
            vectors(CLIP_EMBEDDING, places.clips_per_view);
        }
        SlotEmbedding::PerSlot => vectors(SLOT_EMBEDDING, places.count()),
        SlotEmbedding::None => {}
    }
    layout
}

fn attentive(probe: &Probe) -> Layout {
    let mut layout = vec![("pooler.query_tokens".to_owned(), vec![1, 1, probe.dim])];
    let cross = "pooler.cross_attention_block";
    affine(&mut layout, &format!("{cross}.norm1"), probe.dim, None);
    affine(
        &mut layout,
        &format!("{cross}.xattn.q"),
        probe.dim,
        Some(probe.dim),
    );
    affine(
        &mut layout,
        &format!("{cross}.xattn.kv"),
        2 * probe.dim,
        Some(probe.dim),
    );
    affine(&mut layout, &format!("{cross}.norm2"), probe.dim, None);
    affine(
        &mut layout,
        &format!("{cross}.mlp.fc1"),
        probe.hidden,
        Some(probe.dim),
    );
    affine(
        &mut layout,
        &format!("{cross}.mlp.fc2"),
        probe.dim,
        Some(probe.hidden),
    );
    for index in 0..probe.depth.saturating_sub(1) {
        block(
            &mut layout,
            &format!("pooler.blocks.{index}"),
            probe.dim,
            probe.hidden,
        );
    }
    affine(&mut layout, probe.last, probe.outputs, Some(probe.dim));
    layout
}
