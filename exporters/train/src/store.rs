//! Tensors in safetensors files, under the names that `echocart export` reads.

use std::fs;
use std::path::Path;

use echocart_export::checkpoint::Safetensors;
use serde_json::{Map, json};

use crate::TrainError;
use crate::net::params::Layout;

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 32 bits, as they are.
    Full,
    /// The upper 16 bits, rounded.
    Brain,
}

/// The tensors of a layout, `prefix` before their names.
pub fn tensors(layout: &Layout, values: &[f32], prefix: &str) -> Vec<Tensor> {
    let entries = layout.entries().iter();
    entries
        .filter_map(|entry| {
            Some(Tensor {
                name: format!("{prefix}{}", entry.name),
                shape: entry.shape.clone(),
                values: values.get(entry.range.clone())?.to_vec(),
            })
        })
        .collect()
}

/// Writes a file whole or not at all.
///
/// # Errors
/// [`TrainError::File`].
pub fn write(path: &Path, tensors: &[Tensor], width: Width) -> Result<(), TrainError> {
    let mut header = Map::new();
    let mut data: Vec<u8> = Vec::new();
    let dtype = match width {
        Width::Full => "F32",
        Width::Brain => "BF16",
    };
    for tensor in tensors {
        let from = data.len();
        for value in &tensor.values {
            match width {
                Width::Full => data.extend(value.to_le_bytes()),
                Width::Brain => data.extend(brain(*value).to_le_bytes()),
            }
        }
        let entry =
            json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [from, data.len()]});
        header.insert(tensor.name.clone(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.into_bytes());
    bytes.extend(data);
    let new = path.with_extension("new");
    fs::write(&new, bytes).map_err(TrainError::file(&new))?;
    fs::rename(&new, path).map_err(TrainError::file(path))
}

/// Reads tensors by name from an open file.
pub struct Stored<'a> {
    file: Safetensors,
    path: &'a Path,
}

impl<'a> Stored<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`TrainError::Content`] for what is no safetensors file.
    pub fn open(path: &'a Path) -> Result<Self, TrainError> {
        match Safetensors::open(path) {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => Err(unreadable(&error, path)),
        }
    }

    /// One tensor's values, however many.
    ///
    /// # Errors
    /// [`TrainError::Content`] if it is missing.
    pub fn all(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        let values = self.file.read(&[name.to_owned()]);
        values.map_err(|error| unreadable(&error, self.path))
    }

    /// One tensor's values.
    ///
    /// # Errors
    /// [`TrainError::Content`] if it is missing or has another size.
    pub fn values(&self, name: &str, count: usize) -> Result<Vec<f32>, TrainError> {
        let values = self.all(name)?;
        if values.len() == count {
            return Ok(values);
        }
        Err(TrainError::Content {
            what: "tensor",
            expected: format!("{count} values of {name}"),
            found: values.len().to_string(),
            path: self.path.to_owned(),
        })
    }

    /// The first `count` values of a layout, whose tensors have `prefix` before their names.
    ///
    /// # Errors
    /// As [`Stored::values`].
    pub fn layout(
        &self,
        layout: &Layout,
        prefix: &str,
        count: usize,
    ) -> Result<Vec<f32>, TrainError> {
        let mut values = Vec::with_capacity(count);
        let entries = layout.entries().iter();
        for entry in entries.take_while(|entry| entry.range.end <= count) {
            let name = format!("{prefix}{}", entry.name);
            values.extend(self.values(&name, entry.range.len())?);
        }
        Ok(values)
    }
}

fn unreadable(error: &dyn std::error::Error, path: &Path) -> TrainError {
    TrainError::Content {
        what: "checkpoint",
        expected: "a safetensors file of this network".to_owned(),
        found: error.to_string(),
        path: path.to_owned(),
    }
}

fn brain(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_the_nearest_ones() {
        for value in [0.0_f32, 1.0, -3.140_625, 0.017, -1e-4, 123.456] {
            let back = f32::from_bits(u32::from(brain(value)) << 16);
            assert!(
                (back - value).abs() <= value.abs() / 256.0,
                "{value} {back}"
            );
        }
    }
}
