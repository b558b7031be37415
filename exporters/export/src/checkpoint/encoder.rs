//! The encoder of a checkpoint: its format, its names, its tensors.

use super::archive::Archive;
use super::huggingface;
use super::safetensors::{self, Safetensors};
use super::state::StateDict;
use crate::error::ExportError;
use crate::layout;
use crate::pickle::Node;
use echocart_core::manifest::Encoder;
use std::path::Path;

/// Which weights of a training checkpoint are the encoder: the averaged teacher.
pub const ENCODER_KEY: &str = "target_encoder";
const WHOLE_FILE: &str = "all tensors";
const HUGGING_FACE: &str = "VJEPA2Model.encoder";

/// An encoder's tensors, checked.
pub struct CheckedEncoder {
    /// The tensors, by the names of our layout.
    pub state: StateDict,
    /// Which weights of the file they are.
    pub key: &'static str,
}

/// Reads the encoder of a training checkpoint or of a safetensors file, and checks it against
/// `encoder`. The format is known by the first bytes of the file.
///
/// # Errors
/// [`ExportError::Checkpoint`] for another layout or a V-JEPA 2.1 file, [`ExportError::Tensor`] for
/// a tensor that is missing, left over or mis-shaped, [`ExportError::Read`].
pub fn read_encoder(path: &Path, encoder: &Encoder) -> Result<CheckedEncoder, ExportError> {
    if !safetensors::looks_like(path)? {
        let state = teacher(Archive::open(path)?)?;
        return plain(state, ENCODER_KEY, encoder);
    }
    let file = Safetensors::open(path)?;
    if !file
        .entries()
        .keys()
        .any(|name| huggingface::is_encoder(name))
    {
        let state = StateDict::from_safetensors(file, |name| Some(strip(name)))?;
        return plain(state, WHOLE_FILE, encoder);
    }
    let mut state = StateDict::from_safetensors(file, huggingface::encoder_key)?;
    refuse_newer_family(&state)?;
    check_depth(&state, huggingface::BLOCKS, encoder)?;
    state.join(&layout::encoder(encoder), huggingface::encoder_parts)?;
    Ok(CheckedEncoder {
        state,
        key: HUGGING_FACE,
    })
}

fn strip(key: &str) -> String {
    key.replace("module.", "").replace("backbone.", "")
}

fn teacher(archive: Archive) -> Result<StateDict, ExportError> {
    let path = archive.path();
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
    StateDict::new(archive, id, strip)
}

fn plain(
    mut state: StateDict,
    key: &'static str,
    encoder: &Encoder,
) -> Result<CheckedEncoder, ExportError> {
    refuse_newer_family(&state)?;
    if state.shape("norm.weight").is_none() {
        return Err(newer_family(state.path(), "no norm.weight"));
    }
    state.ignore("pos_embed");
    check_depth(&state, "blocks.", encoder)?;
    state.check(&layout::encoder(encoder))?;
    Ok(CheckedEncoder { state, key })
}

fn check_depth(state: &StateDict, blocks: &str, encoder: &Encoder) -> Result<(), ExportError> {
    let depth = state.blocks(blocks);
    if depth <= encoder.depth {
        return Ok(());
    }
    let message = format!("expected {} blocks, found {depth}", encoder.depth);
    Err(ExportError::checkpoint(state.path(), message))
}

fn refuse_newer_family(state: &StateDict) -> Result<(), ExportError> {
    let marks = ["norms_block", "mod_embed"].into_iter();
    let mut marks = marks.filter(|mark| state.keys().any(|key| key.contains(mark)));
    match marks.next() {
        Some(mark) => Err(newer_family(state.path(), &format!("{mark} tensors"))),
        None => Ok(()),
    }
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
