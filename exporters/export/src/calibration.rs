//! A calibration apart from its package: it goes with the weights it was measured on, and is put
//! back whenever a package is made of them.

use crate::error::ExportError;
use crate::input::{MOST_TEXT_BYTES, read_text};
use echocart_core::manifest::{Calibration, KeptTokens, Manifest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const HEAD: &str = "# Written by `--keep` of `echocart calibrate` and `keep-tokens`, read by `echocart export --calibration`.\n\n";

/// The calibrations of a package's variants, and the weights that they belong to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptCalibration {
    /// SHA-256 of the encoder's checkpoint.
    checkpoint: String,
    /// The weights of each head, in the manifest's words, which hold their files' SHA-256.
    heads: BTreeMap<String, String>,
    /// Calibrations by variant.
    variants: BTreeMap<String, Calibration>,
    /// What fewer tokens do, by variant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kept_tokens: BTreeMap<String, KeptTokens>,
}

impl KeptCalibration {
    /// Takes it from a package.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            checkpoint: manifest.checkpoint.sha256.clone(),
            heads: weights(manifest),
            variants: manifest.calibration.clone(),
            kept_tokens: manifest.kept_tokens.clone(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Settings`].
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let text = read_text("calibration", path, MOST_TEXT_BYTES)?;
        toml::from_str(&text).map_err(|e| ExportError::Settings {
            what: "calibration",
            message: e.to_string(),
            path: path.to_owned(),
        })
    }

    /// Writes a file.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), ExportError> {
        let text = toml::to_string(self).map_err(|e| ExportError::Request {
            what: "calibration".to_owned(),
            expected: "one that can be written".to_owned(),
            found: e.to_string(),
        })?;
        fs::write(path, format!("{HEAD}{text}")).map_err(ExportError::write(path))
    }

    /// Puts it into a package of the same weights, for the variants that the package has.
    ///
    /// # Errors
    /// [`ExportError::Request`] for other weights.
    pub(crate) fn apply(&self, manifest: &mut Manifest) -> Result<(), ExportError> {
        let found = Self::of(manifest);
        if (&found.checkpoint, &found.heads) != (&self.checkpoint, &self.heads) {
            return Err(ExportError::Request {
                what: "calibration".to_owned(),
                expected: format!("one of these weights ({})", found.words()),
                found: format!("one of others ({}): calibrate anew", self.words()),
            });
        }
        let there = |name: &String| manifest.variants.contains_key(name);
        let (mut variants, mut kept) = (self.variants.clone(), self.kept_tokens.clone());
        variants.retain(|name, _| there(name));
        kept.retain(|name, _| there(name));
        (manifest.calibration, manifest.kept_tokens) = (variants, kept);
        Ok(())
    }

    fn words(&self) -> String {
        let heads: Vec<String> = self
            .heads
            .iter()
            .map(|(n, c)| format!("{n}: {c}"))
            .collect();
        format!("encoder {}, {}", self.checkpoint, heads.join(", "))
    }
}

fn weights(manifest: &Manifest) -> BTreeMap<String, String> {
    let heads = manifest.heads.iter();
    heads
        .map(|(name, head)| (name.clone(), head.classifier_choice.clone()))
        .collect()
}
