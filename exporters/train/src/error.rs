//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// Why a step of training cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A file cannot be read or written.
    #[error("file: {error}: {}", path.display())]
    File {
        /// What the system said.
        error: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// A file holds something else than it should.
    #[error("{what}: expected {expected}, found {found}: {}", path.display())]
    Content {
        /// Which part.
        what: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// A setting that does not work.
    #[error("{what}: expected {expected}, found {found}")]
    Setting {
        /// Which one.
        what: &'static str,
        /// What works.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The phantom refused a clip.
    #[error("phantom: {error}: clip {index}")]
    Phantom {
        /// Why.
        error: echocart_phantom::PhantomError,
        /// The clip.
        index: u64,
    },
    /// Training left the numbers.
    #[error("loss: expected a finite number, found {loss}: step {step}")]
    Diverged {
        /// What was found.
        loss: f32,
        /// When.
        step: usize,
    },
}

impl TrainError {
    /// For `map_err` on a file's errors.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File {
            error,
            path: path.to_owned(),
        }
    }

    /// A setting that does not work.
    pub fn setting(what: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting {
            what,
            expected: expected.into(),
            found: found.to_string(),
        }
    }
}
