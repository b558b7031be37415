//! Safetensors files: a header that is checked whole, and tensors read where they lie.

use super::state::finite;
use crate::error::ExportError;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const LENGTH_BYTES: u64 = 8;
const MOST_HEADER_BYTES: u64 = 16 << 20;
const MOST_DIMENSIONS: usize = 8;
const METADATA: &str = "__metadata__";

/// One tensor of the header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    dtype: String,
    /// Shape.
    pub shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// An open safetensors file. Only its header has been read.
pub struct Safetensors {
    path: PathBuf,
    file: File,
    data_start: u64,
    entries: BTreeMap<String, Entry>,
}

struct Header(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Header(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// True if the file begins as a safetensors file does: a length, then a JSON object.
///
/// # Errors
/// [`ExportError::Read`].
pub(super) fn looks_like(path: &Path) -> Result<bool, ExportError> {
    let file = File::open(path).map_err(ExportError::read(path))?;
    if file.metadata().map_err(ExportError::read(path))?.is_dir() {
        return Ok(false);
    }
    let mut start = [0; LENGTH_BYTES as usize + 1];
    match file.read_exact_at(&mut start, 0) {
        Ok(()) => Ok(start.ends_with(b"{") && !start.starts_with(b"PK")),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(ExportError::read(path)(e)),
    }
}

impl Safetensors {
    /// Opens a file and checks its header: names come once, sizes follow from shapes, and the
    /// tensors lie end to end up to the end of the file.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Checkpoint`], [`ExportError::Tensor`].
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let wrong = |message: String| ExportError::checkpoint(path, message);
        let file = File::open(path).map_err(ExportError::read(path))?;
        let length = file.metadata().map_err(ExportError::read(path))?.len();
        let mut size = [0; LENGTH_BYTES as usize];
        file.read_exact_at(&mut size, 0)
            .map_err(ExportError::read(path))?;
        let size = u64::from_le_bytes(size);
        let room = length.saturating_sub(LENGTH_BYTES);
        if size > MOST_HEADER_BYTES || size > room {
            let most = room.min(MOST_HEADER_BYTES);
            let message =
                format!("expected a safetensors header of at most {most} bytes, found {size}");
            return Err(wrong(message));
        }
        let mut header = vec![0; size as usize];
        file.read_exact_at(&mut header, LENGTH_BYTES)
            .map_err(ExportError::read(path))?;
        let Header(pairs) = serde_json::from_slice(&header).map_err(|e| {
            wrong(format!(
                "expected a safetensors header, found other JSON: {e}"
            ))
        })?;
        let mut opened = Self {
            path: path.to_owned(),
            file,
            data_start: LENGTH_BYTES + size,
            entries: BTreeMap::new(),
        };
        for (name, value) in pairs {
            opened.add(name, value)?;
        }
        opened.check_places(room - size)?;
        Ok(opened)
    }

    fn wrong(
        &self,
        name: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> ExportError {
        ExportError::tensor(&self.path, name, expected, found)
    }

    fn add(&mut self, name: String, value: serde_json::Value) -> Result<(), ExportError> {
        if name == METADATA {
            return if value.is_object() {
                Ok(())
            } else {
                Err(self.wrong(METADATA, "an object", "another value"))
            };
        }
        let entry: Entry = serde_json::from_value(value)
            .map_err(|e| self.wrong(&name, "dtype, shape and data_offsets", e.to_string()))?;
        let [start, end] = entry.data_offsets;
        let Some(bytes) = end.checked_sub(start) else {
            let found = format!("{start} to {end}");
            return Err(self.wrong(&name, "offsets in order", found));
        };
        if entry.shape.len() > MOST_DIMENSIONS {
            let found = entry.shape.len().to_string();
            return Err(self.wrong(&name, "at most 8 dimensions", found));
        }
        if let Some(element) = element_bytes(&entry.dtype) {
            let lengths = entry.shape.iter();
            let needed = lengths.copied().try_fold(element, u64::checked_mul);
            if needed != Some(bytes) {
                let (dtype, shape) = (&entry.dtype, &entry.shape);
                let expected = match needed {
                    Some(needed) => format!("{needed} bytes for {dtype} {shape:?}"),
                    None => "a shape that can be counted".to_owned(),
                };
                return Err(self.wrong(&name, expected, format!("{bytes} bytes")));
            }
        }
        if self.entries.contains_key(&name) {
            let message = format!(
                "expected each tensor once, found {} twice",
                name.escape_debug()
            );
            return Err(ExportError::checkpoint(&self.path, message));
        }
        self.entries.insert(name, entry);
        Ok(())
    }

    fn check_places(&self, data_bytes: u64) -> Result<(), ExportError> {
        let mut places: Vec<_> = self
            .entries
            .iter()
            .map(|(name, entry)| (entry.data_offsets, name))
            .collect();
        places.sort_unstable();
        let mut next = 0;
        for ([start, end], name) in places {
            if start != next {
                let found = if start < next { "an overlap" } else { "a gap" };
                let expected = format!("to start at byte {next}");
                return Err(self.wrong(name, expected, format!("{found} at byte {start}")));
            }
            next = end;
        }
        if next != data_bytes {
            let message = format!("expected {next} bytes of tensors, found {data_bytes}");
            return Err(ExportError::checkpoint(&self.path, message));
        }
        Ok(())
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its tensors by name.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Reads the values of tensors one after the other; 16-bit ones become 32-bit ones exactly.
    ///
    /// # Errors
    /// [`ExportError::Tensor`] if one is not there, not a float of 32 or 16 bits, or not finite;
    /// [`ExportError::Read`].
    pub fn read(&self, names: &[String]) -> Result<Vec<f32>, ExportError> {
        let mut values = Vec::new();
        for name in names {
            let part = finite(&self.path, name, self.read_one(name)?)?;
            if names.len() == 1 {
                return Ok(part);
            }
            values.extend(part);
        }
        Ok(values)
    }

    fn read_one(&self, name: &str) -> Result<Vec<f32>, ExportError> {
        let Some(entry) = self.entries.get(name) else {
            return Err(self.wrong(name, "a tensor", "none"));
        };
        let [start, end] = entry.data_offsets;
        let bytes = || -> Result<Vec<u8>, ExportError> {
            let mut bytes = vec![0; (end - start) as usize];
            self.file
                .read_exact_at(&mut bytes, self.data_start + start)
                .map_err(ExportError::read(&self.path))?;
            Ok(bytes)
        };
        let widened = |widen: fn(u16) -> f32| -> Result<Vec<f32>, ExportError> {
            let bytes = bytes()?;
            let (words, _) = bytes.as_chunks::<2>();
            let words = words.iter().map(|&word| u16::from_le_bytes(word));
            Ok(words.map(widen).collect())
        };
        match entry.dtype.as_str() {
            "F32" => {
                let bytes = bytes()?;
                let (words, _) = bytes.as_chunks::<4>();
                Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
            }
            "F16" => widened(from_half),
            "BF16" => widened(from_brain),
            other => {
                let found = other.escape_debug().to_string();
                Err(self.wrong(name, "F32, F16 or BF16", found))
            }
        }
    }
}

fn element_bytes(dtype: &str) -> Option<u64> {
    match dtype {
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" => Some(1),
        "U16" | "I16" | "F16" | "BF16" => Some(2),
        "U32" | "I32" | "F32" => Some(4),
        "U64" | "I64" | "F64" => Some(8),
        _ => None,
    }
}

/// Widens a bfloat16: the upper half of a 32-bit float.
fn from_brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Widens an IEEE 754 binary16.
fn from_half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 0x1f);
    let fraction = u32::from(bits & 0x3ff);
    match exponent {
        0 => {
            let magnitude = fraction as f32 / 16_777_216.0;
            f32::from_bits(magnitude.to_bits() | sign)
        }
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_has_its_value() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            let found = f64::from(from_half(bits));
            let expected = match exponent {
                0x1f if fraction == 0.0 => sign * f64::INFINITY,
                0x1f => {
                    assert!(found.is_nan());
                    continue;
                }
                0 => sign * fraction * 2f64.powi(-24),
                _ => sign * (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            };
            assert_eq!(found.to_bits(), expected.to_bits(), "{bits:#06x}");
        }
    }

    #[test]
    fn a_bfloat_is_the_upper_half_of_a_float() {
        assert_eq!(from_brain(0x3f80), 1.0);
        assert_eq!(from_brain(0xc049), -3.140_625);
        assert_eq!(from_brain(1).to_bits(), 0x0001_0000);
        assert!(from_brain(0x7fc0).is_nan());
    }
}
