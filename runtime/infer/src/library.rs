//! Which ONNX Runtime library is loaded, and proof that it is that one.
//!
//! # Source
//! Sizes and hashes are of the files inside the PyPI wheels `onnxruntime==1.28.0`
//! (`cp311`, `manylinux_2_27`). Wheels from 1.29 on collect and upload usage data by default, so
//! the version is fixed.

use echocart_core::hash;
use ort::environment::Environment;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A library this version may load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedLibrary {
    /// Version, for example `1.28.0`.
    pub version: &'static str,
    /// Architecture as in `std::env::consts::ARCH`.
    pub arch: &'static str,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, lower case hex.
    pub sha256: &'static str,
}

/// Every library this version may load.
pub const PINNED: [PinnedLibrary; 2] = [
    PinnedLibrary {
        version: "1.28.0",
        arch: "x86_64",
        bytes: 24_272_944,
        sha256: "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083",
    },
    PinnedLibrary {
        version: "1.28.0",
        arch: "aarch64",
        bytes: 20_657_248,
        sha256: "23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d",
    },
];

const REMEDY: &str = "`cargo xtask setup` fetches it";

/// Why no ONNX Runtime library is loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// There is no file, or it cannot be read.
    #[error(
        "ONNX Runtime library missing: expected a readable file, found {found}; \
         {REMEDY} ({path})"
    )]
    Missing {
        /// What reading it said.
        found: String,
        /// Where it was expected.
        path: PathBuf,
    },
    /// The file is not one this version may load.
    #[error(
        "ONNX Runtime library altered or of another version: expected sha256 {expected}, \
         found {found}; {REMEDY} ({path})"
    )]
    Unknown {
        /// The hash for this architecture.
        expected: String,
        /// The file's hash.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The operating system or ONNX Runtime refused it.
    #[error("ONNX Runtime library does not load: {message} ({path})")]
    Load {
        /// What the loader said.
        message: String,
        /// The file.
        path: PathBuf,
    },
    /// Another library file is already loaded; one process holds one.
    #[error("ONNX Runtime already loaded: expected {loaded}, found a request for {path}")]
    Another {
        /// The file in use.
        loaded: PathBuf,
        /// The file asked for.
        path: PathBuf,
    },
}

/// Where `cargo xtask setup` puts the library, below the checkout's root.
pub fn default_library_path(root: &Path) -> PathBuf {
    let version = PINNED[0].version;
    root.join(".echocart/lib")
        .join(format!("onnxruntime-{version}"))
        .join(format!("libonnxruntime.so.{version}"))
}

/// A loaded and checked ONNX Runtime library. Cheap to clone.
#[derive(Clone)]
pub struct Library {
    pub(crate) environment: Environment,
    path: PathBuf,
    version: &'static str,
}

static LOADED: Mutex<Option<Library>> = Mutex::new(None);

impl Library {
    /// Checks and loads the library at `path`; a second call for the same file gives the same one.
    ///
    /// # Errors
    /// [`LibraryError`]; nothing is loaded then.
    pub fn load(path: &Path) -> Result<Self, LibraryError> {
        let missing = |e: std::io::Error| LibraryError::Missing {
            found: e.to_string(),
            path: path.to_owned(),
        };
        let path = std::fs::canonicalize(path).map_err(missing)?;
        if !std::fs::metadata(&path).map_err(missing)?.is_file() {
            return Err(LibraryError::Missing {
                found: "no plain file".to_owned(),
                path,
            });
        }
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = loaded.as_ref() {
            if library.path == path {
                return Ok(library.clone());
            }
            return Err(LibraryError::Another {
                loaded: library.path.clone(),
                path,
            });
        }
        let version = check(&path)?;
        let load = |message: String| LibraryError::Load {
            message,
            path: path.clone(),
        };
        let environment = ort::init_from(&path)
            .map_err(|e| load(e.to_string()))?
            .with_name("echocart")
            .with_telemetry(false)
            .build()
            .map_err(|e| load(e.to_string()))?;
        let library = Self {
            environment,
            path,
            version,
        };
        *loaded = Some(library.clone());
        Ok(library)
    }

    /// Name and version, for example `onnxruntime 1.28.0`.
    pub fn name(&self) -> String {
        format!("onnxruntime {}", self.version)
    }
}

fn check(path: &Path) -> Result<&'static str, LibraryError> {
    let (found, _) = hash::sha256_file(path).map_err(|e| LibraryError::Missing {
        found: e.to_string(),
        path: path.to_owned(),
    })?;
    let pinned = PINNED.iter().find(|p| p.arch == std::env::consts::ARCH);
    match pinned {
        Some(p) if p.sha256 == found => Ok(p.version),
        _ => Err(LibraryError::Unknown {
            expected: pinned
                .map_or("none for this architecture", |p| p.sha256)
                .to_owned(),
            found,
            path: path.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_the_path_and_the_remedy() {
        let error = Library::load(Path::new("no/such/lib.so")).err().unwrap();
        let text = error.to_string();
        assert!(
            text.contains("no/such/lib.so") && text.contains("cargo xtask setup"),
            "{text}"
        );
    }

    #[test]
    fn a_file_with_another_hash_is_not_loaded() {
        let file = std::env::temp_dir().join(format!("echocart-lib-{}", std::process::id()));
        std::fs::write(&file, b"not a library").unwrap();
        let error = Library::load(&file).err().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(error, LibraryError::Unknown { .. }), "{error}");
    }
}
