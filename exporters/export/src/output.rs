//! A folder that appears whole or not at all.

use crate::error::ExportError;
use echocart_core::package::MANIFEST;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder being written beside its final place. Dropped before [`Staging::publish`], it is gone.
pub(crate) struct Staging {
    target: PathBuf,
    dir: TempDir,
    replace: bool,
}

impl Staging {
    /// Creates the folder after checking that `target` may be taken.
    pub(crate) fn create(target: &Path, replace: bool) -> Result<Self, ExportError> {
        check(target, replace)?;
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(ExportError::write(parent))?;
        let dir = temporary(parent).map_err(ExportError::write(parent))?;
        Ok(Self {
            target: target.to_owned(),
            dir,
            replace,
        })
    }

    /// The folder to write into.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Puts the folder in its place.
    pub(crate) fn publish(self) -> Result<(), ExportError> {
        check(&self.target, self.replace)?;
        let failed = ExportError::write(&self.target);
        let move_in = || -> io::Result<()> {
            if !self.target.join(MANIFEST).exists() {
                return fs::rename(self.dir.path(), &self.target);
            }
            let old = temporary(
                self.target
                    .parent()
                    .filter(|p| !p.as_os_str().is_empty())
                    .unwrap_or(Path::new(".")),
            )?;
            let kept = old.path().join("old");
            fs::rename(&self.target, &kept)?;
            fs::rename(self.dir.path(), &self.target)
                .inspect_err(|_| drop(fs::rename(&kept, &self.target)))
        };
        move_in().map_err(failed)
    }
}

fn temporary(parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new()
        .prefix(".echocart-export-")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(parent)
}

fn check(target: &Path, replace: bool) -> Result<(), ExportError> {
    let refused = |expected, found| {
        Err(ExportError::Output {
            expected,
            found,
            path: target.to_owned(),
        })
    };
    let metadata = match fs::symlink_metadata(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(ExportError::read(target)(e)),
        Ok(metadata) => metadata,
    };
    if !metadata.is_dir() {
        return refused("a folder or nothing", "something else");
    }
    if target.join(MANIFEST).is_file() {
        return if replace {
            Ok(())
        } else {
            refused("nothing, or --replace", "a package")
        };
    }
    let mut entries = fs::read_dir(target).map_err(ExportError::read(target))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => refused(
            "a package, an empty folder or nothing",
            "a folder with other files",
        ),
    }
}
