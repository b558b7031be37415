//! The encoder of a training checkpoint.

use super::archive::Archive;
use super::state::StateDict;
use crate::error::ExportError;
use crate::layout;
use crate::pickle::Node;
use echocart_core::manifest::Encoder;
use std::path::Path;

/// Which weights of a training checkpoint are the encoder: the averaged teacher.
pub const ENCODER_KEY: &str = "target_encoder";

/// Reads the encoder of a training checkpoint and checks it against `encoder`.
///
/// # Errors
/// [`ExportError::Checkpoint`] for another layout or a V-JEPA 2.1 file, [`ExportError::Tensor`] for
/// a tensor that is missing, left over or mis-shaped, [`ExportError::Read`].
pub fn read_encoder(path: &Path, encoder: &Encoder) -> Result<StateDict, ExportError> {
    let archive = Archive::open(path)?;
    let pickle = archive.pickle();
    let Some(entries) = pickle.text_entries(pickle.root()) else {
        let found = pickle.node(pickle.root()).kind();
        let message = format!("expected a training checkpoint (a dict), found {found}");
        return Err(ExportError::checkpoint(path, message));
    };
    if entries.iter().any(|(key, _)| *key == "ema_encoder") {
        return Err(newer_family(path, "the key ema_encoder"));
    }
    let Some(id) = pickle.entry(pickle.root(), ENCODER_KEY) else {
        let keys: Vec<_> = entries
            .iter()
            .take(12)
            .map(|(k, _)| k.escape_debug().to_string())
            .collect();
        let message = format!("expected the key {ENCODER_KEY}, found {}", words(&keys));
        return Err(ExportError::checkpoint(path, message));
    };
    if !matches!(pickle.node(id), Node::Dict(_)) {
        let found = pickle.node(id).kind();
        let message = format!("expected a dict at {ENCODER_KEY}, found {found}");
        return Err(ExportError::checkpoint(path, message));
    }
    let strip = |key: &str| key.replace("module.", "").replace("backbone.", "");
    let mut state = StateDict::new(archive, id, strip)?;
    let mark = ["norms_block", "mod_embed"]
        .into_iter()
        .find(|mark| state.keys().any(|key| key.contains(mark)));
    if let Some(mark) = mark {
        return Err(newer_family(path, &format!("{mark} tensors")));
    }
    if state.shape("norm.weight").is_none() {
        return Err(newer_family(path, "no norm.weight"));
    }
    state.ignore("pos_embed");
    let depth = state.blocks("blocks.");
    if depth > encoder.depth {
        let message = format!("expected {} blocks, found {depth}", encoder.depth);
        return Err(ExportError::checkpoint(path, message));
    }
    state.check(&layout::encoder(encoder))?;
    Ok(state)
}

fn newer_family(path: &Path, found: &str) -> ExportError {
    let message = format!(
        "expected a V-JEPA 2 encoder, found {found}: V-JEPA 2.1 is another architecture and is \
         not supported"
    );
    ExportError::checkpoint(path, message)
}

fn words(keys: &[String]) -> String {
    if keys.is_empty() {
        "no key".to_owned()
    } else {
        keys.join(", ")
    }
}
