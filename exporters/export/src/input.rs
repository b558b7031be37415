//! Small text files that a person wrote.

use crate::error::ExportError;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Most bytes of a recipe or a case file.
pub const MOST_TEXT_BYTES: u64 = 1 << 20;

/// Checks that `path` is a regular file, or a link to one: opening a pipe or a device can hang.
pub(crate) fn check_regular(what: &'static str, path: &Path) -> Result<(), ExportError> {
    let metadata = fs::metadata(path).map_err(ExportError::read(path))?;
    let found = if metadata.is_file() {
        return Ok(());
    } else if metadata.is_dir() {
        "a folder"
    } else {
        "a device, pipe or socket"
    };
    Err(ExportError::Settings {
        what,
        message: format!("expected a regular file, found {found}"),
        path: path.to_owned(),
    })
}

/// Reads a text file of at most `most_bytes`.
///
/// # Errors
/// [`ExportError::Read`], [`ExportError::Settings`] for what is no text or no file or too large.
pub fn read_text(what: &'static str, path: &Path, most_bytes: u64) -> Result<String, ExportError> {
    check_regular(what, path)?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most_bytes + 1).read_to_end(&mut bytes))
        .map_err(ExportError::read(path))?;
    let wrong = |message: String| ExportError::Settings {
        what,
        message,
        path: path.to_owned(),
    };
    if bytes.len() as u64 > most_bytes {
        let message = format!("expected at most {most_bytes} bytes, found more");
        return Err(wrong(message));
    }
    String::from_utf8(bytes)
        .map_err(|e| wrong(format!("expected UTF-8 text, found {}", e.utf8_error())))
}
