//! Packages that differ from their parent in the manifest alone.

use crate::error::ExportError;
use crate::output::Staging;
use crate::package::ExportReport;
use crate::progress::{Progress, Steps};
use echocart_core::hash::sha256_hex;
use echocart_core::manifest::Manifest;
use echocart_core::package::{MANIFEST, Package};
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
    let mut total_bytes = 0;
    for (name, entry) in &manifest.files {
        steps.step(&format!("copy {name}"))?;
        let to = dir.join(name);
        fs::copy(package.dir.join(name), &to).map_err(ExportError::write(&to))?;
        steps.step(&format!("hash {name}"))?;
        let (sha256, bytes) = steps.hash(&to)?;
        if (bytes, &sha256) != (entry.bytes, &entry.sha256) {
            return Err(ExportError::Request {
                what: format!("file {name} of the parent"),
                expected: entry.sha256.clone(),
                found: sha256,
            });
        }
        total_bytes += bytes;
    }
    let text = toml::to_string(&manifest).map_err(|e| ExportError::Request {
        what: MANIFEST.to_owned(),
        expected: "a manifest that can be written".to_owned(),
        found: e.to_string(),
    })?;
    let path = dir.join(MANIFEST);
    fs::write(&path, &text).map_err(ExportError::write(&path))?;
    steps.check()?;
    staging.publish()?;
    steps.done();
    Ok(ExportReport {
        dir: out_dir.to_owned(),
        manifest,
        hash: sha256_hex(text.as_bytes()),
        bytes: total_bytes + text.len() as u64,
    })
}
