//! The zip around a pickle and its storages.

use super::state::finite;
use crate::error::ExportError;
use crate::pickle::{self, Element, Pickle, Tensor};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use zip::{CompressionMethod, ZipArchive};

const MOST_PICKLE_BYTES: u64 = 64 << 20;
const ELEMENT_BYTES: u64 = 4;

/// An open checkpoint. Only its directory and its pickle have been read.
pub struct Archive {
    path: PathBuf,
    file: File,
    zip: ZipArchive<File>,
    stem: String,
    pickle: Pickle,
}

impl Archive {
    /// Opens a checkpoint and reads its pickle.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Checkpoint`].
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let file = File::open(path).map_err(ExportError::read(path))?;
        if file.metadata().map_err(ExportError::read(path))?.is_dir() {
            return Err(ExportError::checkpoint(
                path,
                "expected a file, found a folder",
            ));
        }
        let second = file.try_clone().map_err(ExportError::read(path))?;
        let mut zip = ZipArchive::new(second).map_err(|e| {
            let message =
                format!("expected a zip written by torch.save or safetensors, found neither: {e}");
            ExportError::checkpoint(path, message)
        })?;
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(|e| damaged(path, &e))?;
            if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
                let name = entry
                    .name()
                    .map_or_else(|_| String::new(), |n| n.escape_debug().to_string());
                let message = format!("expected stored entries, found a packed one: {name}");
                return Err(ExportError::checkpoint(path, message));
            }
        }
        let stem = stem(path, &zip)?;
        if let Some(order) = entry(path, &file, &mut zip, &format!("{stem}/byteorder"), 16)?
            && order != b"little"
        {
            let found = String::from_utf8_lossy(&order).escape_debug().to_string();
            let message = format!("expected byteorder little, found {found}");
            return Err(ExportError::checkpoint(path, message));
        }
        let name = format!("{stem}/data.pkl");
        let bytes = entry(path, &file, &mut zip, &name, MOST_PICKLE_BYTES)?.unwrap_or_default();
        let pickle =
            pickle::parse(&bytes).map_err(|e| ExportError::checkpoint(path, e.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            zip,
            stem,
            pickle,
        })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its pickle.
    pub fn pickle(&self) -> &Pickle {
        &self.pickle
    }

    /// Reads the values of one tensor, row-major whatever its strides.
    ///
    /// # Errors
    /// [`ExportError::Tensor`] if it is not 32-bit float, leaves its storage or is not finite,
    /// [`ExportError::Read`], [`ExportError::Checkpoint`] if the archive lacks it.
    pub fn read(&mut self, name: &str, tensor: &Tensor) -> Result<Vec<f32>, ExportError> {
        let storage = &tensor.storage;
        let wrong = |expected: String, found: String| ExportError::Tensor {
            name: name.to_owned(),
            expected,
            found,
            path: self.path.clone(),
        };
        if storage.element != Element::Float32 {
            let found = storage.element.storage_class().to_owned();
            return Err(wrong("FloatStorage (float32)".to_owned(), found));
        }
        let extent = extent(tensor);
        let inside = extent.is_some_and(|(first, end)| first <= end && end <= storage.elements);
        let (Some((first, end)), true) = (extent, inside) else {
            let expected = format!("a view inside {} stored values", storage.elements);
            return Err(wrong(expected, "one that leaves them".to_owned()));
        };
        let count = tensor.shape.iter().copied().try_fold(1, u64::checked_mul);
        if count.is_none_or(|count| count > storage.elements) {
            let expected = format!("at most {} values, each stored", storage.elements);
            return Err(wrong(expected, format!("shape {:?}", tensor.shape)));
        }
        let entry = format!("{}/data/{}", self.stem, storage.key);
        let (start, size) =
            place(&self.path, &self.file, &mut self.zip, &entry)?.ok_or_else(|| {
                let message = format!("expected the values of {name}, found no entry {entry}");
                ExportError::checkpoint(&self.path, message)
            })?;
        if storage.elements.checked_mul(ELEMENT_BYTES) != Some(size) {
            let expected = format!("{} stored values", storage.elements);
            return Err(wrong(expected, format!("{size} bytes")));
        }
        let mut bytes = vec![0; ((end - first) * ELEMENT_BYTES) as usize];
        self.file
            .read_exact_at(&mut bytes, start.saturating_add(first * ELEMENT_BYTES))
            .map_err(ExportError::read(&self.path))?;
        let (words, _) = bytes.as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        drop(bytes);
        let values = if is_contiguous(tensor) {
            values
        } else {
            gather(tensor, &values)
        };
        finite(&self.path, name, values)
    }
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> ExportError {
    ExportError::checkpoint(
        path,
        format!("expected a whole zip, found a damaged one: {error}"),
    )
}

fn stem(path: &Path, zip: &ZipArchive<File>) -> Result<String, ExportError> {
    let mut stems = Vec::new();
    for name in zip.file_names() {
        let name = name.map_err(|e| damaged(path, &e))?;
        if let Some(stem) = name.strip_suffix("/data.pkl")
            && !stem.contains('/')
        {
            stems.push(stem.to_owned());
        }
    }
    match stems.pop() {
        Some(stem) if stems.is_empty() => Ok(stem),
        found => {
            let found = if found.is_some() { "several" } else { "none" };
            Err(ExportError::checkpoint(
                path,
                format!("expected one data.pkl, found {found}"),
            ))
        }
    }
}

fn place(
    path: &Path,
    file: &File,
    zip: &mut ZipArchive<File>,
    name: &str,
) -> Result<Option<(u64, u64)>, ExportError> {
    let Some(index) = zip.index_for_name(name) else {
        return Ok(None);
    };
    let entry = zip.by_index_raw(index).map_err(|e| damaged(path, &e))?;
    let (start, size) = (entry.data_start().unwrap_or(u64::MAX), entry.size());
    let length = file.metadata().map_err(ExportError::read(path))?.len();
    if start.checked_add(size).is_none_or(|end| end > length) {
        return Err(damaged(path, &format!("{name} leaves the file")));
    }
    Ok(Some((start, size)))
}

fn entry(
    path: &Path,
    file: &File,
    zip: &mut ZipArchive<File>,
    name: &str,
    most_bytes: u64,
) -> Result<Option<Vec<u8>>, ExportError> {
    let Some((start, size)) = place(path, file, zip, name)? else {
        return Ok(None);
    };
    if size > most_bytes {
        let message = format!("expected at most {most_bytes} bytes, found {size} in {name}");
        return Err(ExportError::checkpoint(path, message));
    }
    let mut bytes = vec![0; size as usize];
    match file.read_exact_at(&mut bytes, start) {
        Ok(()) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(damaged(path, &e)),
        Err(e) => Err(ExportError::read(path)(e)),
    }
}

/// First element and one past the last one of a view.
fn extent(tensor: &Tensor) -> Option<(u64, u64)> {
    if tensor.shape.contains(&0) {
        return Some((tensor.offset, tensor.offset));
    }
    let mut last = tensor.offset;
    for (&length, &stride) in tensor.shape.iter().zip(&tensor.strides) {
        last = last.checked_add((length - 1).checked_mul(stride)?)?;
    }
    Some((tensor.offset, last.checked_add(1)?))
}

fn is_contiguous(tensor: &Tensor) -> bool {
    let mut expected = 1;
    tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .rev()
        .all(|(&length, &stride)| {
            let fits = length == 1 || stride == expected;
            expected = expected.saturating_mul(length);
            fits
        })
}

fn gather(tensor: &Tensor, values: &[f32]) -> Vec<f32> {
    let mut offsets = vec![0];
    for (&length, &stride) in tensor.shape.iter().zip(&tensor.strides) {
        offsets = offsets
            .iter()
            .flat_map(|&base| (0..length).map(move |i| base + i * stride))
            .collect::<Vec<u64>>();
    }
    offsets
        .iter()
        .filter_map(|&offset| values.get(offset as usize).copied())
        .collect()
}
