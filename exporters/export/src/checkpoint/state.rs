//! A state dict: tensors by key, checked against the layout a model must have.

use super::archive::Archive;
use crate::error::ExportError;
use crate::pickle::{Node, NodeId, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// Tensors by key, after prefix stripping. Values are read when asked for.
pub struct StateDict {
    archive: Archive,
    tensors: BTreeMap<String, Tensor>,
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
                return Err(wrong(format!(
                    "expected each tensor once, found {key} twice"
                )));
            }
            tensors.insert(key, (**tensor).clone());
        }
        Ok(Self { archive, tensors })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        self.archive.path()
    }

    /// Its keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape of `key`, if it is there.
    pub fn shape(&self, key: &str) -> Option<&[u64]> {
        self.tensors.get(key).map(|tensor| tensor.shape.as_slice())
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
        self.tensors.remove(key);
    }

    /// Checks that exactly the tensors of `layout` are there.
    ///
    /// # Errors
    /// [`ExportError::Tensor`] with the first one missing, mis-shaped or left over.
    pub fn check(&self, layout: &[(String, Vec<usize>)]) -> Result<(), ExportError> {
        let wrong = |name: &str, expected: String, found: String| ExportError::Tensor {
            name: name.to_owned(),
            expected,
            found,
            path: self.path().to_owned(),
        };
        for (name, shape) in layout {
            let Some(found) = self.shape(name) else {
                return Err(wrong(name, format!("shape {shape:?}"), "none".to_owned()));
            };
            if !found.iter().copied().eq(shape.iter().map(|&n| n as u64)) {
                return Err(wrong(
                    name,
                    format!("shape {shape:?}"),
                    format!("{found:?}"),
                ));
            }
        }
        let known: std::collections::BTreeSet<&str> =
            layout.iter().map(|(name, _)| name.as_str()).collect();
        match self
            .tensors
            .iter()
            .find(|(name, _)| !known.contains(name.as_str()))
        {
            Some((name, tensor)) => Err(wrong(
                name,
                "no such tensor".to_owned(),
                format!("{:?}", tensor.shape),
            )),
            None => Ok(()),
        }
    }

    /// Reads the values of `key`.
    ///
    /// # Errors
    /// [`ExportError::Tensor`], [`ExportError::Read`], [`ExportError::Checkpoint`].
    pub fn read(&mut self, key: &str) -> Result<Vec<f32>, ExportError> {
        match self.tensors.get(key) {
            Some(tensor) => self.archive.read(key, tensor),
            None => Err(ExportError::Tensor {
                name: key.to_owned(),
                expected: "a tensor".to_owned(),
                found: "none".to_owned(),
                path: self.path().to_owned(),
            }),
        }
    }
}
