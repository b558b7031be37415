//! Probe files: several trained heads, of which one is used.

use super::archive::Archive;
use super::state::StateDict;
use crate::error::ExportError;
use crate::layout::{self, Probe};
use crate::pickle::Node;
use std::path::Path;

const MOST_MLP_RATIO: usize = 16;

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
    /// Its index in `classifiers`.
    pub index: usize,
    /// Why that one, in words.
    pub choice: String,
}

/// Reads the best head of a probe file and checks it against `probe`.
///
/// # Errors
/// [`ExportError::Checkpoint`] for another layout or a score that is no number,
/// [`ExportError::Tensor`] for a tensor that is missing, left over or mis-shaped,
/// [`ExportError::Read`].
pub fn read_probe(path: &Path, probe: &Probe, best: Best) -> Result<ChosenProbe, ExportError> {
    let archive = Archive::open(path)?;
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
    let state = StateDict::new(archive, id, |key| {
        key.strip_prefix("module.").unwrap_or(key).to_owned()
    })?;
    let mut probe = probe.clone();
    if let Some(&[hidden, _]) = state.shape(layout::PROBE_HIDDEN_KEY)
        && let Ok(hidden) = usize::try_from(hidden)
        && (1..=MOST_MLP_RATIO * probe.dim).contains(&hidden)
    {
        probe.hidden = hidden;
    }
    let depth = state.blocks("pooler.blocks.") + 1;
    if depth > probe.depth {
        let message = format!("expected a probe of depth {}, found {depth}", probe.depth);
        return Err(ExportError::checkpoint(path, message));
    }
    state.check(&layout::probe(&probe))?;
    Ok(ChosenProbe {
        state,
        probe,
        index,
        choice,
    })
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
