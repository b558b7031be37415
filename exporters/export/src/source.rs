//! Where weights come from: a checked state dict or the generator.

use crate::checkpoint::StateDict;
use crate::error::ExportError;
use crate::generator;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the weights of an encoder or a probe come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightSource {
    /// A file written by `torch.save`, or a safetensors file.
    Checkpoint(PathBuf),
    /// The generator, under this tag.
    Generated(String),
}

/// Weights by key, read one tensor at a time.
pub(crate) enum Weights {
    File(StateDict),
    Generated {
        tag: String,
        group: String,
        shapes: BTreeMap<String, Vec<usize>>,
    },
}

impl Weights {
    pub(crate) fn generated(tag: &str, group: &str, layout: Vec<(String, Vec<usize>)>) -> Self {
        Self::Generated {
            tag: tag.to_owned(),
            group: group.to_owned(),
            shapes: layout.into_iter().collect(),
        }
    }

    pub(crate) fn read(&mut self, key: &str) -> Result<Vec<f32>, ExportError> {
        match self {
            Self::File(state) => state.read(key),
            Self::Generated { tag, group, shapes } => match shapes.get(key) {
                Some(shape) => Ok(generator::weight(tag, group, key, shape)),
                None => Err(ExportError::Request {
                    what: format!("generated {group} weights"),
                    expected: "a tensor of the layout".to_owned(),
                    found: key.to_owned(),
                }),
            },
        }
    }
}
