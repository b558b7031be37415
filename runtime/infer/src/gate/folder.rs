//! A folder and a key file that no other user can write.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const KEY: &str = "key";
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Makes the folder if it is not there, and gives its real path.
///
/// # Errors
/// Who else can write it or a folder above it.
pub(crate) fn private(folder: &Path) -> Result<PathBuf, String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| said(&e, folder))?;
    let real = fs::canonicalize(folder).map_err(|e| said(&e, folder))?;
    let ours = ourselves()?;
    for (depth, folder) in real.ancestors().enumerate() {
        let found = fs::symlink_metadata(folder).map_err(|e| said(&e, folder))?;
        refuse_others(&found, ours, depth > 0, folder)?;
    }
    Ok(real)
}

fn refuse_others(found: &Metadata, ours: u32, above: bool, path: &Path) -> Result<(), String> {
    let shown = path.display();
    let owner = found.uid();
    if owner != ours && !(above && owner == 0) {
        return Err(format!(
            "folder: expected owner {ours}, found {owner} ({shown})"
        ));
    }
    let mode = found.mode();
    let kept_apart = above && mode & STICKY != 0;
    if mode & WRITABLE_BY_OTHERS != 0 && !kept_apart {
        let mode = mode & 0o7777;
        return Err(format!(
            "folder: expected one that no other user can write, found mode {mode:o} ({shown})"
        ));
    }
    Ok(())
}

/// The user that this process runs as.
fn ourselves() -> Result<u32, String> {
    let path = Path::new("/proc/self");
    Ok(fs::metadata(path).map_err(|e| said(&e, path))?.uid())
}

/// The folder's key, made on first use.
///
/// # Errors
/// A key that others can read, or that is none.
pub(crate) fn key(folder: &Path) -> Result<[u8; 32], String> {
    let path = folder.join(KEY);
    let mut fresh = [0u8; 32];
    getrandom::fill(&mut fresh).map_err(|e| format!("no random numbers: {e}"))?;
    match new_file(&path).and_then(|mut file| file.write_all(&fresh)) {
        Ok(()) => return Ok(fresh),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(said(&e, &path)),
    }
    let bytes = plain_file(&path, 33)?;
    let mode = fs::symlink_metadata(&path)
        .map_err(|e| said(&e, &path))?
        .mode();
    let shown = path.display();
    if mode & 0o077 != 0 {
        let mode = mode & 0o7777;
        return Err(format!("key: expected mode 600, found {mode:o} ({shown})"));
    }
    let found = bytes.len();
    <[u8; 32]>::try_from(bytes)
        .map_err(|_| format!("key: expected 32 bytes, found {found} ({shown})"))
}

/// Creates a file that only this user reads and writes, and that was not there.
pub(crate) fn new_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// The first `most` bytes of a file that is no link and is this user's.
pub(crate) fn plain_file(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let found = fs::symlink_metadata(path).map_err(|e| said(&e, path))?;
    if !found.is_file() || found.uid() != ourselves()? {
        let shown = path.display();
        return Err(format!("expected this user's plain file ({shown})"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| said(&e, path))?;
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|e| said(&e, path))?;
    Ok(bytes)
}

pub(crate) fn said(error: &std::io::Error, path: &Path) -> String {
    format!("{error} ({})", path.display())
}
