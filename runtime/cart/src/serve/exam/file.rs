//! What of an exam outlives the process: decisions and numbers, never an image.

use super::wire::Exam;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const NAME: &str = "exam.json";
const MOST_BYTES: u64 = 4 << 20;

/// The file of one cart, which no other process writes meanwhile.
#[derive(Debug)]
pub struct ExamFile {
    folder: PathBuf,
    _lock: File,
}

/// What could not be done, on one line.
fn wrong(what: &str, path: &Path, source: impl std::fmt::Display) -> String {
    format!(
        "serve.exam.state_folder: {what}: {source} ({})",
        path.display()
    )
}

/// Held until the process ends, however it does.
fn lock(folder: &Path) -> Result<File, String> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options
        .open(&path)
        .map_err(|e| wrong("cannot make", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(wrong(
            "in use",
            folder,
            "expected a folder of this process only, found another echocart in it",
        )),
        Err(TryLockError::Error(e)) => Err(wrong("cannot lock", &path, e)),
    }
}

impl ExamFile {
    /// Makes the folder if it is missing; only this user may enter it.
    ///
    /// # Errors
    /// One line: it cannot be made, others can enter it, or another process has it open.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(folder)
            .map_err(|e| wrong("cannot make the folder", folder, e))?;
        let mode = fs::metadata(folder)
            .map_err(|e| wrong("cannot look at the folder", folder, e))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            let found = format!(
                "expected a folder of this user only (mode 0700), found {:o}",
                mode & 0o777
            );
            return Err(wrong("others can enter", folder, found));
        }
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock(folder)?,
        })
    }

    /// The exam that was open when the process last ended; none if there was none.
    ///
    /// # Errors
    /// One line for a file that cannot be read or is not an exam; it is left as it is.
    pub fn read(&self) -> Result<Option<Exam>, String> {
        let path = self.folder.join(NAME);
        let size = match fs::metadata(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(wrong("cannot read", &path, e)),
            Ok(found) => found.len(),
        };
        if size > MOST_BYTES {
            return Err(wrong(
                "cannot read",
                &path,
                format!("{size} bytes are no exam"),
            ));
        }
        let text = fs::read_to_string(&path).map_err(|e| wrong("cannot read", &path, e))?;
        let exam = serde_json::from_str(&text).map_err(|e| wrong("is not an exam", &path, e))?;
        Ok(Some(exam))
    }

    /// Writes the exam whole or not at all, readable by this user only.
    ///
    /// # Errors
    /// One line.
    pub fn write(&self, exam: &Exam) -> Result<(), String> {
        let path = self.folder.join(NAME);
        let part = self.folder.join("exam.json.part");
        let text = serde_json::to_string(exam).map_err(|e| wrong("cannot write", &path, e))?;
        let done = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file: File = options.open(&part)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&part, &path)
        };
        done().map_err(|e| wrong("cannot write", &path, e))
    }

    /// Removes it.
    ///
    /// # Errors
    /// One line.
    pub fn erase(&self) -> Result<(), String> {
        for name in [NAME, "exam.json.part"] {
            let path = self.folder.join(name);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(wrong("cannot erase", &path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
