//! `expected.npz`.

use crate::error::ExportError;
use crate::input::check_regular;
use ndarray::{ArrayD, IxDyn};
use ndarray_npy::{NpzReader, ReadNpyError, ReadNpzError};
use std::fs::File;
use std::path::Path;

pub(super) struct Expected {
    arrays: NpzReader<File>,
    names: Vec<String>,
}

impl Expected {
    pub(super) fn open(path: &Path) -> Result<Self, ExportError> {
        check_regular("expected outputs", path)?;
        let file = File::open(path).map_err(ExportError::read(path))?;
        let wrong = |message: String| ExportError::Settings {
            what: "expected outputs",
            message,
            path: path.to_owned(),
        };
        let mut arrays = NpzReader::new(file).map_err(|e| wrong(e.to_string()))?;
        let mut names = arrays.names().map_err(|e| wrong(e.to_string()))?;
        for name in &mut names {
            if let Some(plain) = name.strip_suffix(".npy") {
                *name = plain.to_owned();
            }
        }
        names.sort_unstable();
        Ok(Self { arrays, names })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    /// An array of 32-bit floats, or of 64-bit floats rounded to them.
    pub(super) fn floats(&mut self, name: &str) -> Result<ArrayD<f32>, String> {
        if !self.has(name) {
            return Err("expected.npz lacks it".to_owned());
        }
        let array = match self.arrays.by_name::<_, IxDyn>(name) {
            Err(ReadNpzError::Npy(ReadNpyError::WrongDescriptor(_))) => self
                .arrays
                .by_name(name)
                .map(|wide: ArrayD<f64>| wide.mapv(|value| value as f32)),
            array => array,
        };
        array.map_err(|e| format!("expected.npz: {e}"))
    }

    /// A list of 64-bit or 32-bit integers; further dimensions of length 1 do not count.
    pub(super) fn integers(&mut self, name: &str) -> Result<Vec<i64>, String> {
        if !self.has(name) {
            return Err(format!("expected.npz lacks {name}"));
        }
        let array = match self.arrays.by_name::<_, IxDyn>(name) {
            Err(ReadNpzError::Npy(ReadNpyError::WrongDescriptor(_))) => self
                .arrays
                .by_name(name)
                .map(|narrow: ArrayD<i32>| narrow.mapv(i64::from)),
            array => array,
        };
        let array: ArrayD<i64> = array.map_err(|e| format!("expected.npz, {name}: {e}"))?;
        if array.shape().iter().filter(|&&length| length != 1).count() > 1 {
            let shape = array.shape();
            return Err(format!("{name}: expected one list, found shape {shape:?}"));
        }
        Ok(array.iter().copied().collect())
    }
}
