//! What can go wrong between a checkpoint and a package.

use echocart_core::manifest::ManifestError;
use std::io;
use std::path::{Path, PathBuf};

/// Why an export or a parity run did not finish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A file cannot be read.
    #[error("cannot read: {error} ({path})")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write: {error} ({path})")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A recipe or case file is wrong; nothing was read or written yet.
    #[error("{what}: {message} ({path})")]
    Settings {
        /// Which kind of file.
        what: &'static str,
        /// Key, expected and found.
        message: String,
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint is not what this version reads.
    #[error("checkpoint: {message} ({path})")]
    Checkpoint {
        /// Expected and found.
        message: String,
        /// The file.
        path: PathBuf,
    },
    /// A tensor is missing, left over, or has the wrong shape or type.
    #[error("checkpoint tensor {name}: expected {expected}, found {found} ({path})")]
    Tensor {
        /// Key after prefix stripping.
        name: String,
        /// Shape or type wanted.
        expected: String,
        /// Shape or type there.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// A graph that is read back is not one that this version writes, or a variant of it cannot
    /// be made.
    #[error("graph: {message} ({path})")]
    Graph {
        /// What, expected and found.
        message: String,
        /// The graph's file.
        path: PathBuf,
    },
    /// The request does not fit the recipe.
    #[error("{what}: expected {expected}, found {found}")]
    Request {
        /// Which part.
        what: String,
        /// What is allowed.
        expected: String,
        /// What was asked.
        found: String,
    },
    /// The package that would be written is not a valid one.
    #[error("package manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// The output folder is in use.
    #[error("output folder: expected {expected}, found {found} ({path})")]
    Output {
        /// What is allowed there.
        expected: &'static str,
        /// What is there.
        found: String,
        /// The folder.
        path: PathBuf,
    },
    /// The caller stopped it; what had been written is gone.
    #[error("interrupted, nothing was written")]
    Interrupted,
    /// A program of the build machine cannot be used, or did not do its work.
    #[error("tool: {message} ({path})")]
    Tool {
        /// What, expected and found.
        message: String,
        /// The program or its folder.
        path: PathBuf,
    },
    /// The engine that runs a parity case failed.
    #[error("engine: {message}")]
    Engine {
        /// What it said.
        message: String,
    },
}

impl ExportError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Read {
            path: path.to_owned(),
            error,
        }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Write {
            path: path.to_owned(),
            error,
        }
    }

    pub(crate) fn tensor(
        path: &Path,
        name: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Tensor {
            name: name.escape_debug().to_string(),
            expected: expected.into(),
            found: found.into(),
            path: path.to_owned(),
        }
    }

    pub(crate) fn checkpoint(path: &Path, message: impl Into<String>) -> Self {
        Self::Checkpoint {
            message: message.into(),
            path: path.to_owned(),
        }
    }
}
