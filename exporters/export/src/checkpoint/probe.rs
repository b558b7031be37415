//! Probe files: several trained heads, of which one is used.

use super::archive::Archive;
use super::huggingface;
use super::safetensors::{self, Safetensors};
use super::state::StateDict;
use crate::error::ExportError;
use crate::layout::{self, Probe, ProbeKind, SlotEmbedding};
use crate::pickle::Node;
use std::path::Path;

const MOST_MLP_RATIO: usize = 16;
const MOST_OUTPUTS: usize = 10_000;
const MOST_SLOTS: usize = 16;
const ONLY_HEAD: &str = "the only head of the file";

/// Which end of `val_acc_per_head` is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    /// Accuracy: the highest.
    Highest,
    /// Error: the lowest.
    Lowest,
}

/// The head chosen from a probe file.
pub struct ChosenProbe {
    /// Its tensors.
    pub state: StateDict,
    /// Its layout, the MLP width taken from the file.
    pub probe: Probe,
    /// Its index in `classifiers`, 0 where the file holds one head.
    pub index: usize,
    /// Why that one, in words.
    pub choice: String,
}

/// What a probe file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeFacts {
    /// How the probe pools.
    pub kind: ProbeKind,
    /// Blocks, the cross-attention block included; 0 without attention.
    pub depth: usize,
    /// Values it gives.
    pub outputs: usize,
    /// What it adds to the tokens of a slot, if it does.
    pub embedding: Option<FoundEmbedding>,
}

/// The vectors of a multi-view probe's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundEmbedding {
    /// Which vectors they are.
    pub kind: SlotEmbedding,
    /// Views, where the vectors say it.
    pub views: Option<usize>,
    /// Clips of a view, likewise.
    pub clips_per_view: Option<usize>,
    /// Slots.
    pub slots: usize,
}

/// Reads what a probe file says about the head that [`read_probe`] would choose.
///
/// # Errors
/// [`ExportError::Checkpoint`] for another layout or a score that is no number,
/// [`ExportError::Tensor`] for a last layer that is missing, [`ExportError::Read`].
pub fn probe_facts(path: &Path, best: Best) -> Result<ProbeFacts, ExportError> {
    let state = if safetensors::looks_like(path)? {
        let file = Safetensors::open(path)?;
        let named = |name: &String| huggingface::is_pooler(name) || huggingface::is_encoder(name);
        if file.entries().keys().any(named) {
            StateDict::from_safetensors(file, huggingface::probe_key)?
        } else {
            StateDict::from_safetensors(file, |name| Some(strip(name)))?
        }
    } else {
        best_head(Archive::open(path)?, best)?.0
    };
    let kind = kind(&state)?;
    let depth = match kind {
        ProbeKind::Attentive => {
            let blocks = ["pooler.blocks.", huggingface::POOLER_BLOCKS];
            let blocks = blocks.iter().map(|prefix| state.blocks(prefix)).max();
            blocks.unwrap_or(0) + 1
        }
        ProbeKind::Linear | ProbeKind::Mlp => 0,
    };
    let rows = |key: &str| match state.shape(key) {
        Some(&[rows, _]) => usize::try_from(rows).ok(),
        _ => None,
    };
    let last = ["linear", "regressor", "mlp.3", "classifier"];
    let outputs = last.iter().find_map(|name| rows(&format!("{name}.weight")));
    let Some(outputs) = outputs.filter(|outputs| (1..=MOST_OUTPUTS).contains(outputs)) else {
        let expected = format!("a last layer of 1 to {MOST_OUTPUTS} values");
        let found = outputs.map_or_else(|| "none".to_owned(), |n| n.to_string());
        return Err(ExportError::tensor(path, "linear.weight", expected, found));
    };
    let pair = rows(layout::VIEW_EMBEDDING).zip(rows(layout::CLIP_EMBEDDING));
    let embedding = if let Some((views, clips)) = pair {
        Some(FoundEmbedding {
            kind: SlotEmbedding::Factorized,
            views: Some(views),
            clips_per_view: Some(clips),
            slots: views.saturating_mul(clips),
        })
    } else {
        rows(layout::SLOT_EMBEDDING).map(|slots| FoundEmbedding {
            kind: SlotEmbedding::PerSlot,
            views: None,
            clips_per_view: None,
            slots,
        })
    };
    if embedding.is_some_and(|found| !(1..=MOST_SLOTS).contains(&found.slots)) {
        let message = format!("expected a probe of 1 to {MOST_SLOTS} slots, found another number");
        return Err(ExportError::checkpoint(path, message));
    }
    Ok(ProbeFacts {
        kind,
        depth,
        outputs,
        embedding,
    })
}

/// Reads a probe and checks it against `probe`: the best head of a probe file, or the only head of
/// a safetensors file. The format is known by the first bytes of the file.
///
/// # Errors
/// [`ExportError::Checkpoint`] for another layout, another kind of probe or a score that is no
/// number, [`ExportError::Tensor`] for a tensor that is missing, left over or mis-shaped,
/// [`ExportError::Read`].
pub fn read_probe(path: &Path, probe: &Probe, best: Best) -> Result<ChosenProbe, ExportError> {
    if !safetensors::looks_like(path)? {
        let (state, index, choice) = best_head(Archive::open(path)?, best)?;
        return plain(state, probe, index, choice);
    }
    let file = Safetensors::open(path)?;
    let names = || file.entries().keys();
    if !names().any(|name| huggingface::is_pooler(name) || huggingface::is_encoder(name)) {
        let state = StateDict::from_safetensors(file, |name| Some(strip(name)))?;
        return plain(state, probe, 0, ONLY_HEAD.to_owned());
    }
    let mut state = StateDict::from_safetensors(file, huggingface::probe_key)?;
    if state.keys().next().is_none() {
        let message = "expected a VJEPA2ForVideoClassification with pooler and classifier, found \
                       an encoder alone";
        return Err(ExportError::checkpoint(path, message));
    }
    same_kind(&state, probe)?;
    let probe = with_hidden(&state, probe, huggingface::POOLER_HIDDEN_KEY);
    check_depth(&state, huggingface::POOLER_BLOCKS, &probe)?;
    state.join(&layout::probe(&probe), huggingface::probe_parts)?;
    Ok(ChosenProbe {
        state,
        probe,
        index: 0,
        choice: ONLY_HEAD.to_owned(),
    })
}

fn strip(key: &str) -> String {
    key.strip_prefix("module.").unwrap_or(key).to_owned()
}

fn plain(
    state: StateDict,
    probe: &Probe,
    index: usize,
    choice: String,
) -> Result<ChosenProbe, ExportError> {
    same_kind(&state, probe)?;
    let probe = with_hidden(&state, probe, layout::probe_hidden_key(probe.kind));
    check_depth(&state, "pooler.blocks.", &probe)?;
    state.check(&layout::probe(&probe))?;
    Ok(ChosenProbe {
        state,
        probe,
        index,
        choice,
    })
}

fn kind(state: &StateDict) -> Result<ProbeKind, ExportError> {
    let has = |prefix: &str| state.keys().any(|key| key.starts_with(prefix));
    if has("pooler.") {
        Ok(ProbeKind::Attentive)
    } else if has("mlp.") {
        Ok(ProbeKind::Mlp)
    } else if has("norm.") || has("linear.") || has("regressor.") {
        Ok(ProbeKind::Linear)
    } else {
        let message = "expected a probe (attentive, linear or mlp), found other tensors";
        Err(ExportError::checkpoint(state.path(), message))
    }
}

fn same_kind(state: &StateDict, probe: &Probe) -> Result<(), ExportError> {
    let found = kind(state)?;
    if found == probe.kind {
        return Ok(());
    }
    let (expected, found) = (probe.kind.as_str(), found.as_str());
    let message = format!("expected the recipe's probe = \"{expected}\", found \"{found}\"");
    Err(ExportError::checkpoint(state.path(), message))
}

fn with_hidden(state: &StateDict, probe: &Probe, key: &str) -> Probe {
    let mut probe = probe.clone();
    if let Some(&[hidden, _]) = state.shape(key)
        && let Ok(hidden) = usize::try_from(hidden)
        && (1..=MOST_MLP_RATIO * probe.dim).contains(&hidden)
    {
        probe.hidden = hidden;
    }
    probe
}

fn check_depth(state: &StateDict, blocks: &str, probe: &Probe) -> Result<(), ExportError> {
    let depth = state.blocks(blocks) + 1;
    if probe.kind != ProbeKind::Attentive || depth <= probe.depth {
        return Ok(());
    }
    let message = format!("expected a probe of depth {}, found {depth}", probe.depth);
    Err(ExportError::checkpoint(state.path(), message))
}

fn best_head(archive: Archive, best: Best) -> Result<(StateDict, usize, String), ExportError> {
    let path = archive.path();
    let pickle = archive.pickle();
    let wrong = |message: String| ExportError::checkpoint(path, message);
    let list = |key: &str| match pickle.entry(pickle.root(), key).map(|id| pickle.node(id)) {
        Some(Node::List(items) | Node::Tuple(items)) => Ok(items),
        Some(other) => Err(wrong(format!(
            "expected a list at {key}, found {}",
            other.kind()
        ))),
        None => Err(wrong(format!(
            "expected a probe file with the key {key}, found none"
        ))),
    };
    let classifiers = list("classifiers")?;
    let scores = list("val_acc_per_head")?
        .iter()
        .map(|&id| score(pickle.node(id)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    if scores.is_empty() || scores.len() != classifiers.len() {
        let (heads, found) = (classifiers.len(), scores.len());
        return Err(wrong(format!(
            "expected a score per head of {heads}, found {found}"
        )));
    }
    let better = |a: f64, b: f64| match best {
        Best::Highest => a > b,
        Best::Lowest => a < b,
    };
    let mut index = 0;
    for (candidate, &score) in scores.iter().enumerate() {
        if scores
            .get(index)
            .is_some_and(|&current| better(score, current))
        {
            index = candidate;
        }
    }
    let Some(&id) = classifiers.get(index) else {
        return Err(wrong("expected at least one head, found none".to_owned()));
    };
    let word = match best {
        Best::Highest => "highest",
        Best::Lowest => "lowest",
    };
    let choice = format!(
        "{word} val_acc_per_head, {} of {scores:?}",
        scores.get(index).unwrap_or(&f64::NAN)
    );
    Ok((StateDict::new(archive, id, strip)?, index, choice))
}

fn score(node: &Node) -> Result<f64, String> {
    let value = match node {
        Node::Float(value) => *value,
        Node::Int(value) => *value as f64,
        other => {
            return Err(format!(
                "expected numbers in val_acc_per_head, found {}",
                other.kind()
            ));
        }
    };
    if value.is_finite() {
        Ok(value)
    } else {
        Err(format!(
            "expected finite numbers in val_acc_per_head, found {value}"
        ))
    }
}
