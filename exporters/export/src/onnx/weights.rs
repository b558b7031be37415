//! External weights: one raw little-endian f32 file, written tensor by tensor.

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
        let bytes = values.len() as u64 * 4;
        let alignment = if bytes >= LARGE_BYTES {
            LARGE_ALIGNMENT_BYTES
        } else {
            SMALL_ALIGNMENT_BYTES
        };
        let offset = self.length_bytes.next_multiple_of(alignment);
        self.write(offset, values)
            .map_err(ExportError::write(&self.path))?;
        self.length_bytes = offset + bytes;
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        self.tensors.push(TensorProto {
            dims: shape.iter().map(|&n| n as i64).collect(),
            data_type: Some(FLOAT),
            name: Some(name),
            raw_data: None,
            external_data: vec![
                entry("location", self.name.clone()),
                entry("offset", offset.to_string()),
                entry("length", bytes.to_string()),
            ],
            data_location: Some(EXTERNAL),
        });
        Ok(())
    }

    fn write(&mut self, offset: u64, values: &[f32]) -> std::io::Result<()> {
        let padding = (offset - self.length_bytes) as usize;
        self.writer
            .write_all(&[0; LARGE_ALIGNMENT_BYTES as usize][..padding])?;
        let mut bytes = Vec::with_capacity(1 << 16);
        for chunk in values.chunks(1 << 14) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|v| v.to_le_bytes()));
            self.writer.write_all(&bytes)?;
        }
        Ok(())
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
