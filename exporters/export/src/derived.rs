//! Packages that differ from their parent in the manifest alone.

use crate::error::ExportError;
use crate::output::Staging;
use crate::package::{ExportReport, publish};
use crate::progress::{Progress, Steps};
use echocart_core::manifest::{FileEntry, Manifest};
use echocart_core::package::Package;
use std::fs;
use std::path::Path;

/// Checks that [`derive`] may write there, before any work is done.
///
/// # Errors
/// [`ExportError::Output`], [`ExportError::Write`].
pub fn check_out_dir(out_dir: &Path, replace: bool) -> Result<(), ExportError> {
    Staging::create(out_dir, replace).map(drop)
}

/// Writes a package with the files of `package` and another manifest, whose parent it becomes.
///
/// The folder appears when it is complete. Its signature is not taken along: it is of the parent.
///
/// # Errors
/// [`ExportError`], with the output folder unchanged; [`ExportError::Interrupted`] if `progress`
/// stops it.
pub fn derive(
    package: &Package,
    edit: impl FnOnce(&mut Manifest),
    out_dir: &Path,
    replace: bool,
    progress: Progress<'_>,
) -> Result<ExportReport, ExportError> {
    let staging = Staging::create(out_dir, replace)?;
    let dir = staging.path();
    let mut manifest = package.manifest.clone();
    edit(&mut manifest);
    manifest.parent = Some(package.hash.clone());
    manifest.files.clone_from(&package.manifest.files);
    manifest.validate()?;
    let mut steps = Steps::new(progress);
    steps.count(2 * manifest.files.len());
    for (name, entry) in &manifest.files {
        copy(package, (name, entry), dir, &mut steps)?;
    }
    publish(staging, manifest, out_dir, &mut steps)
}

/// Copies a file of the parent, in two steps, and checks that it is what the parent says it is.
pub(crate) fn copy(
    package: &Package,
    (name, entry): (&str, &FileEntry),
    dir: &Path,
    steps: &mut Steps<'_>,
) -> Result<(), ExportError> {
    steps.step(&format!("copy {name}"))?;
    let to = dir.join(name);
    fs::copy(package.dir.join(name), &to).map_err(ExportError::write(&to))?;
    steps.step(&format!("hash {name}"))?;
    let (sha256, bytes) = steps.hash(&to)?;
    if (bytes, &sha256) == (entry.bytes, &entry.sha256) {
        return Ok(());
    }
    Err(ExportError::Request {
        what: format!("file {name} of the parent"),
        expected: entry.sha256.clone(),
        found: sha256,
    })
}
