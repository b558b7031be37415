//! SHA-256 of files, and of what is being written to one.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// Size and SHA-256 that a file must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Length, bytes.
    pub bytes: u64,
    /// SHA-256, lower case hex.
    pub sha256: &'static str,
}

/// What a look at a file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The pinned file.
    Whole,
    /// Nothing.
    Absent,
    /// Another file; says in which way.
    Altered(String),
}

impl Pin {
    /// Compares a file with the pin.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn look(&self, path: &Path) -> Result<Found> {
        let length = match fs::metadata(path) {
            Ok(found) if found.is_file() => found.len(),
            Ok(_) => {
                return Ok(Found::Altered(
                    "expected a plain file, found none".to_owned(),
                ));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read ({})", path.display()));
            }
        };
        if length != self.bytes {
            let expected = self.bytes;
            return Ok(Found::Altered(format!(
                "expected {expected} bytes, found {length}"
            )));
        }
        let mut file =
            File::open(path).with_context(|| format!("cannot read ({})", path.display()))?;
        let sha256 = copy(&mut file, path, &mut std::io::sink(), path)?;
        Ok(if sha256 == self.sha256 {
            Found::Whole
        } else {
            Found::Altered(format!("expected sha256 {}, found {sha256}", self.sha256))
        })
    }

    /// Writes what `reader` gives to `path`, which is replaced in one step and only by the pinned bytes.
    ///
    /// `from` names the reader in messages.
    ///
    /// # Errors
    /// When reading or writing fails, or the bytes are not the pinned ones. `path` is then as it was.
    pub fn write(&self, reader: &mut dyn Read, from: &Path, path: &Path) -> Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let written = self.write_part(reader, from, &part).and_then(|()| {
            fs::rename(&part, path).with_context(|| format!("cannot write ({})", path.display()))
        });
        if written.is_err() {
            fs::remove_file(&part).ok();
        }
        written
    }

    fn write_part(&self, reader: &mut dyn Read, from: &Path, part: &Path) -> Result<()> {
        let cannot_write = || format!("cannot write ({})", part.display());
        let mut file = File::create(part).with_context(cannot_write)?;
        let sha256 = copy(reader, from, &mut file, part)?;
        if sha256 != self.sha256 {
            let expected = self.sha256;
            bail!(
                "wrong content: expected sha256 {expected}, found {sha256} ({})",
                from.display()
            );
        }
        file.sync_all().with_context(cannot_write)
    }
}

fn copy(reader: &mut dyn Read, from: &Path, writer: &mut dyn Write, to: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read ({})", from.display()));
            }
        };
        let piece = buffer.get(..read).unwrap_or_default();
        hasher.update(piece);
        writer
            .write_all(piece)
            .with_context(|| format!("cannot write ({})", to.display()))?;
    }
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: Pin = Pin {
        bytes: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    #[test]
    fn a_look_tells_whole_absent_and_altered_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(ABC.look(&path).unwrap(), Found::Absent);
        fs::write(&path, "abc").unwrap();
        assert_eq!(ABC.look(&path).unwrap(), Found::Whole);
        fs::write(&path, "abd").unwrap();
        assert!(
            matches!(ABC.look(&path).unwrap(), Found::Altered(how) if how.contains(ABC.sha256))
        );
        fs::write(&path, "abcd").unwrap();
        let short = Found::Altered("expected 3 bytes, found 4".to_owned());
        assert_eq!(ABC.look(&path).unwrap(), short);
        assert!(matches!(ABC.look(dir.path()).unwrap(), Found::Altered(_)));
    }

    #[test]
    fn wrong_bytes_are_refused_and_the_old_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        let error = ABC
            .write(&mut &b"abd"[..], Path::new("the wheel"), &path)
            .unwrap_err();
        let message = error.to_string();
        assert!(message.contains(ABC.sha256), "{message}");
        assert!(message.ends_with("(the wheel)"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_pinned_bytes_replace_an_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        ABC.write(&mut &b"abc"[..], Path::new("the wheel"), &path)
            .unwrap();
        assert_eq!(ABC.look(&path).unwrap(), Found::Whole);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_names_the_file() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let mut file = fs::OpenOptions::new().write(true).open(full).unwrap();
        let error = copy(&mut &b"abc"[..], Path::new("wheel"), &mut file, full).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot write (/dev/full): No space left"));
    }
}
