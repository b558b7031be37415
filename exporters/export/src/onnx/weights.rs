//! External weights: one raw little-endian file, written tensor by tensor.

use super::proto::{EXTERNAL, FLOAT, StringStringEntryProto, TensorProto};
use crate::error::ExportError;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const LARGE_BYTES: u64 = 65_536;
const LARGE_ALIGNMENT_BYTES: u64 = 4096;
const SMALL_ALIGNMENT_BYTES: u64 = 64;

/// A weight file that is being written. Tensors lie in the order they are pushed.
pub struct WeightFile {
    name: String,
    path: PathBuf,
    writer: BufWriter<File>,
    length_bytes: u64,
    tensors: Vec<TensorProto>,
}

impl WeightFile {
    /// Creates `dir/name`.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn create(dir: &Path, name: &str) -> Result<Self, ExportError> {
        let path = dir.join(name);
        let file = File::create(&path).map_err(ExportError::write(&path))?;
        Ok(Self {
            name: name.to_owned(),
            writer: BufWriter::with_capacity(1 << 20, file),
            path,
            length_bytes: 0,
            tensors: Vec::new(),
        })
    }

    /// Appends one tensor.
    ///
    /// # Shapes
    /// - `values`: row-major, as many as `shape` says.
    ///
    /// # Errors
    /// [`ExportError::Write`], [`ExportError::Request`] for a value that is NaN or infinite.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: &[f32],
    ) -> Result<(), ExportError> {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let name = name.into();
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(ExportError::Request {
                what: format!("weights of {name} as they are written"),
                expected: "finite values".to_owned(),
                found: value.to_string(),
            });
        }
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.push_bytes(name, FLOAT, shape, &bytes)
    }

    /// Appends one tensor of any element type.
    ///
    /// # Shapes
    /// - `bytes`: little-endian elements, row-major, as many as `shape` says.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn push_bytes(
        &mut self,
        name: impl Into<String>,
        element: i32,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<(), ExportError> {
        let length = bytes.len() as u64;
        let alignment = if length >= LARGE_BYTES {
            LARGE_ALIGNMENT_BYTES
        } else {
            SMALL_ALIGNMENT_BYTES
        };
        let offset = self.length_bytes.next_multiple_of(alignment);
        self.write(offset, bytes)
            .map_err(ExportError::write(&self.path))?;
        self.length_bytes = offset + length;
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        self.tensors.push(TensorProto {
            dims: shape.iter().map(|&n| n as i64).collect(),
            data_type: Some(element),
            name: Some(name.into()),
            raw_data: None,
            external_data: vec![
                entry("location", self.name.clone()),
                entry("offset", offset.to_string()),
                entry("length", length.to_string()),
            ],
            data_location: Some(EXTERNAL),
        });
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let padding = (offset - self.length_bytes) as usize;
        self.writer
            .write_all(&[0; LARGE_ALIGNMENT_BYTES as usize][..padding])?;
        self.writer.write_all(bytes)
    }

    /// Ends the file and gives the tensors that point into it.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn finish(mut self) -> Result<Vec<TensorProto>, ExportError> {
        self.writer
            .flush()
            .map_err(ExportError::write(&self.path))?;
        Ok(self.tensors)
    }
}
