//! Exit codes, and an error that knows its own.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Longest error line.
const MOST_CHARS: usize = 800;

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

    /// What went wrong.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The message as one line.
    pub fn line(&self) -> String {
        one_line(&self.error.to_string())
    }

    /// Prints the one line and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let _ = writeln!(std::io::stderr(), "echocart: {}", self.line());
        ExitCode::from(self.cause as u8)
    }
}

/// A message as one line that a terminal can show: no control characters, not endless.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    if line.chars().count() <= MOST_CHARS {
        return line;
    }
    let half = MOST_CHARS / 2;
    let start: String = line.chars().take(half).collect();
    let tail: Vec<char> = line.chars().rev().take(half).collect();
    format!("{start} [...] {}", tail.iter().rev().collect::<String>())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_keeps_its_beginning_and_its_end() {
        assert_eq!(one_line("a\n  b\x1b[31mc"), "a b[31mc");
        let long = format!("what {} where", "x".repeat(5000));
        let line = one_line(&long);
        assert!(line.starts_with("what x") && line.ends_with("x where"));
        assert!(line.chars().count() < 1000);
    }
}
