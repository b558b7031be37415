//! A folder that appears whole or not at all.

use crate::error::ExportError;
use crate::input::read_text;
use echocart_core::manifest::Manifest;
use echocart_core::package::MANIFEST;
use echocart_core::signature::SIGNATURE;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MOST_MANIFEST_BYTES: u64 = 2 << 20;

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
    let refused = |expected, found: &str| {
        Err(ExportError::Output {
            expected,
            found: found.to_owned(),
            path: target.to_owned(),
        })
    };
    let metadata = match fs::symlink_metadata(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(ExportError::write(target)(e)),
        Ok(metadata) => metadata,
    };
    if !metadata.is_dir() {
        return refused("a folder or nothing", "something else");
    }
    let entries = entries(target).map_err(ExportError::write(target))?;
    if entries.is_empty() {
        return Ok(());
    }
    if !entries.contains_key(OsStr::new(MANIFEST)) {
        return refused(
            "a package, an empty folder or nothing",
            "a folder with other files",
        );
    }
    let path = target.join(MANIFEST);
    let manifest: Option<Manifest> = read_text("package.toml", &path, MOST_MANIFEST_BYTES)
        .ok()
        .and_then(|text| toml::from_str(&text).ok());
    let Some(manifest) = manifest else {
        let found = "a folder whose package.toml is no manifest";
        return refused("a package, an empty folder or nothing", found);
    };
    let own = |name: &OsStr| {
        let name = name.to_str();
        name.is_some_and(|name| {
            [MANIFEST, SIGNATURE].contains(&name) || manifest.files.contains_key(name)
        })
    };
    let foreign = |(name, regular): &(&OsString, &bool)| !(**regular && own(name));
    if let Some((name, _)) = entries.iter().find(foreign) {
        let found = name.to_string_lossy().escape_debug().to_string();
        return refused("a package and nothing else", &found);
    }
    if replace {
        Ok(())
    } else {
        refused("nothing, or --replace", "a package")
    }
}

/// Names in a folder, and which are regular files.
fn entries(dir: &Path) -> io::Result<BTreeMap<OsString, bool>> {
    let named = |entry: fs::DirEntry| Ok((entry.file_name(), entry.file_type()?.is_file()));
    fs::read_dir(dir)?.map(|entry| named(entry?)).collect()
}
