//! Exit codes, and an error that knows its own.

use std::fmt::Display;
use std::process::ExitCode;

/// What went wrong, as an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A check failed, or a file could not be written.
    Other = 1,
    /// Usage or configuration.
    Usage = 2,
    /// The source.
    Source = 3,
    /// The package or checkpoint.
    Package = 4,
    /// The ONNX Runtime library.
    Library = 5,
}

/// A failure on its way to `main`.
#[derive(Debug)]
pub struct Failure {
    cause: Cause,
    error: anyhow::Error,
}

impl Failure {
    /// A failure with its cause.
    pub fn new(cause: Cause, error: impl Into<anyhow::Error>) -> Self {
        Self {
            cause,
            error: error.into(),
        }
    }

    /// A failure from a sentence.
    pub fn text(cause: Cause, text: impl Display) -> Self {
        Self::new(cause, anyhow::anyhow!("{text}"))
    }

    /// Prints the one line and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let text = self.error.to_string();
        let line: Vec<&str> = text.split_whitespace().collect();
        eprintln!("echocart: {}", line.join(" "));
        ExitCode::from(self.cause as u8)
    }
}

/// Gives an error its cause.
pub trait Because<T> {
    /// Maps the error to a [`Failure`].
    fn because(self, cause: Cause) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> Because<T> for Result<T, E> {
    fn because(self, cause: Cause) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(cause, e))
    }
}
