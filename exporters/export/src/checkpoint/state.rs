//! A state dict: tensors by key, checked against the layout a model must have.

use super::archive::Archive;
use super::safetensors::Safetensors;
use crate::error::ExportError;
use crate::pickle::{Node, NodeId, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Tensors by key, after prefix stripping. Values are read when asked for.
pub struct StateDict {
    store: Store,
    shapes: BTreeMap<String, Vec<u64>>,
}

enum Store {
    Torch {
        archive: Archive,
        tensors: BTreeMap<String, Tensor>,
    },
    Safetensors {
        file: Safetensors,
        parts: BTreeMap<String, Vec<String>>,
    },
}

impl StateDict {
    /// Takes the dict at `id` of `archive`, each key passed through `strip`.
    ///
    /// # Errors
    /// [`ExportError::Checkpoint`] if it holds anything but named tensors, or a name twice.
    pub fn new(
        archive: Archive,
        id: NodeId,
        strip: impl Fn(&str) -> String,
    ) -> Result<Self, ExportError> {
        let pickle = archive.pickle();
        let wrong = |message: String| ExportError::checkpoint(archive.path(), message);
        let Node::Dict(entries) = pickle.node(id) else {
            let found = pickle.node(id).kind();
            return Err(wrong(format!("expected a dict of tensors, found {found}")));
        };
        let mut tensors = BTreeMap::new();
        for &(key, value) in entries {
            let Node::Text(key) = pickle.node(key) else {
                let found = pickle.node(key).kind();
                return Err(wrong(format!("expected tensor names, found {found}")));
            };
            let key = strip(key);
            let Node::Tensor(tensor) = pickle.node(value) else {
                let found = pickle.node(value).kind();
                return Err(wrong(format!("expected a tensor, found {found} at {key}")));
            };
            if tensors.contains_key(&key) {
                return Err(wrong(twice(&key)));
            }
            tensors.insert(key, (**tensor).clone());
        }
        let shapes = tensors
            .iter()
            .map(|(key, tensor)| (key.clone(), tensor.shape.clone()))
            .collect();
        Ok(Self {
            store: Store::Torch { archive, tensors },
            shapes,
        })
    }

    /// Takes the tensors of `file` to which `key` gives a key.
    ///
    /// # Errors
    /// [`ExportError::Checkpoint`] if a key comes twice.
    pub fn from_safetensors(
        file: Safetensors,
        key: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ExportError> {
        let (mut parts, mut shapes) = (BTreeMap::new(), BTreeMap::new());
        for (name, entry) in file.entries() {
            let Some(key) = key(name) else { continue };
            if shapes.insert(key.clone(), entry.shape.clone()).is_some() {
                return Err(ExportError::checkpoint(file.path(), twice(&key)));
            }
            parts.insert(key, vec![name.clone()]);
        }
        Ok(Self {
            store: Store::Safetensors { file, parts },
            shapes,
        })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        match &self.store {
            Store::Torch { archive, .. } => archive.path(),
            Store::Safetensors { file, .. } => file.path(),
        }
    }

    /// Its keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.shapes.keys().map(String::as_str)
    }

    /// Shape of `key`, if it is there.
    pub fn shape(&self, key: &str) -> Option<&[u64]> {
        self.shapes.get(key).map(Vec::as_slice)
    }

    /// Blocks listed under `prefix`: one more than the highest index.
    pub fn blocks(&self, prefix: &str) -> usize {
        let index = |key: &str| {
            let (number, _) = key.strip_prefix(prefix)?.split_once('.')?;
            number.parse::<u16>().ok().map(usize::from)
        };
        self.keys()
            .filter_map(index)
            .max()
            .map_or(0, |last| last + 1)
    }

    /// Removes `key`, which the model does not use.
    pub fn ignore(&mut self, key: &str) {
        self.shapes.remove(key);
    }

    fn wrong(
        &self,
        name: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> ExportError {
        ExportError::tensor(self.path(), name, expected, found)
    }

    /// Checks that exactly the tensors of `layout` are there.
    ///
    /// # Errors
    /// [`ExportError::Tensor`] with the first one missing, mis-shaped or left over.
    pub fn check(&self, layout: &[(String, Vec<usize>)]) -> Result<(), ExportError> {
        for (name, shape) in layout {
            let Some(found) = self.shape(name) else {
                return Err(self.wrong(name, format!("shape {shape:?}"), "none"));
            };
            if !found.iter().copied().eq(shape.iter().map(|&n| n as u64)) {
                return Err(self.wrong(name, format!("shape {shape:?}"), format!("{found:?}")));
            }
        }
        let known: BTreeSet<&str> = layout.iter().map(|(name, _)| name.as_str()).collect();
        match self
            .shapes
            .iter()
            .find(|(name, _)| !known.contains(name.as_str()))
        {
            Some((name, shape)) => Err(self.wrong(name, "no such tensor", format!("{shape:?}"))),
            None => Ok(()),
        }
    }

    /// Checks a safetensors file that has other names than `layout`, and joins its tensors to ours.
    ///
    /// `parts` gives the names that a tensor of the layout is joined from along its first
    /// dimension.
    ///
    /// # Errors
    /// As [`StateDict::check`], with the names of the file.
    pub fn join(
        &mut self,
        layout: &[(String, Vec<usize>)],
        parts: impl Fn(&str) -> Vec<String>,
    ) -> Result<(), ExportError> {
        let mut names = Vec::new();
        for (key, shape) in layout {
            let from = parts(key);
            let mut shape = shape.clone();
            if let Some(first) = shape.first_mut() {
                *first /= from.len().max(1);
            }
            names.extend(from.into_iter().map(|name| (name, shape.clone())));
        }
        self.check(&names)?;
        if let Store::Safetensors { parts: stored, .. } = &mut self.store {
            let mut take = |key: &str| -> Vec<String> {
                let names = parts(key);
                names
                    .iter()
                    .filter_map(|name| stored.remove(name))
                    .flatten()
                    .collect()
            };
            *stored = layout
                .iter()
                .map(|(key, _)| (key.clone(), take(key)))
                .collect();
        }
        self.shapes = layout
            .iter()
            .map(|(key, shape)| (key.clone(), shape.iter().map(|&n| n as u64).collect()))
            .collect();
        Ok(())
    }

    /// Reads the values of `key`.
    ///
    /// # Errors
    /// [`ExportError::Tensor`] also for a value that is NaN or infinite, [`ExportError::Read`],
    /// [`ExportError::Checkpoint`].
    pub fn read(&mut self, key: &str) -> Result<Vec<f32>, ExportError> {
        let found = match &mut self.store {
            _ if !self.shapes.contains_key(key) => None,
            Store::Torch { archive, tensors } => {
                tensors.get(key).map(|tensor| archive.read(key, tensor))
            }
            Store::Safetensors { file, parts } => parts.get(key).map(|names| file.read(names)),
        };
        found.unwrap_or_else(|| Err(self.wrong(key, "a tensor", "none")))
    }
}

/// Passes values on if all of them are numbers.
pub(super) fn finite(path: &Path, name: &str, values: Vec<f32>) -> Result<Vec<f32>, ExportError> {
    match values
        .iter()
        .enumerate()
        .find(|(_, value)| !value.is_finite())
    {
        Some((index, value)) => Err(ExportError::Tensor {
            name: name.escape_debug().to_string(),
            expected: "finite values".to_owned(),
            found: format!("{value} at index {index}"),
            path: path.to_owned(),
        }),
        None => Ok(values),
    }
}

fn twice(key: &str) -> String {
    format!(
        "expected each tensor once, found {} twice",
        key.escape_debug()
    )
}
