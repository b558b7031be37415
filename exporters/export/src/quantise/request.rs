//! What is asked for, and what came out.

use super::clip::Clip;
use super::report::Report;
use crate::error::ExportError;
use echocart_core::manifest::{Manifest, Precision};
use echocart_core::package::Package;
use std::path::PathBuf;

/// What to make.
pub struct QuantiseRequest<'a> {
    /// The package, with an fp32 variant.
    pub package: &'a Package,
    /// Id of the new package.
    pub id: String,
    /// Precisions of the new variants.
    pub precisions: Vec<Precision>,
    /// Clips to choose by.
    pub calibration: Vec<Clip>,
    /// How many of them, the last ones, are the package's golden clips: nothing is tried on those.
    pub golden: usize,
    /// Clips to measure on.
    pub held_out: Vec<Clip>,
    /// How those were picked, in words.
    pub held_out_rule: String,
    /// The command, for the report.
    pub command: String,
    /// The new package's folder.
    pub out_dir: PathBuf,
    /// Whether a package that is already there may be replaced.
    pub replace: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantiseReport {
    /// The package's folder.
    pub dir: PathBuf,
    /// The manifest as written.
    pub manifest: Manifest,
    /// SHA-256 of `package.toml`.
    pub hash: String,
    /// `report.json`.
    pub report: Report,
}

/// A request that does not fit.
pub(super) fn wrong(what: &str, expected: &str, found: impl Into<String>) -> ExportError {
    ExportError::Request {
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.into(),
    }
}

/// Refuses what cannot be made.
pub(super) fn check(request: &QuantiseRequest<'_>) -> Result<(), ExportError> {
    let manifest = &request.package.manifest;
    if request.precisions.is_empty() || request.precisions.contains(&Precision::Fp32) {
        return Err(wrong("variants", "precisions other than fp32", "none"));
    }
    for precision in &request.precisions {
        if manifest.variants.contains_key(precision.as_str()) {
            let expected = "one that the package does not have";
            return Err(wrong("variants", expected, precision.as_str()));
        }
    }
    if request.held_out.is_empty() {
        return Err(wrong("held-out clips", "at least 1", "0"));
    }
    if request.calibration.len() <= request.golden {
        return Err(wrong("calibration clips", "at least 1", "0"));
    }
    Ok(())
}
