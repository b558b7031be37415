//! A model package on disk: a folder with `package.toml` and the files it lists.

use crate::hash;
use crate::manifest::{Manifest, ManifestError};
use std::path::{Path, PathBuf};

/// Name of the manifest inside a package.
pub const MANIFEST: &str = "package.toml";

/// Why a package does not load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// A file of the package cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `package.toml` is no manifest.
    #[error("not a package manifest: {message} ({path})")]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// What the TOML reader said.
        message: String,
    },
    /// A key of the manifest is wrong.
    #[error("package manifest: {error} ({path})")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Which key and why.
        error: ManifestError,
    },
    /// A file is missing, or is no plain file.
    #[error("package file missing: expected a plain file, found {found} ({path})")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// A file is not the one the manifest lists.
    #[error("package file altered: expected {expected}, found {found} ({path})")]
    Altered {
        /// The file.
        path: PathBuf,
        /// Size or hash listed.
        expected: String,
        /// Size or hash found.
        found: String,
    },
    /// The package has no signature and the cart's config does not allow that.
    #[error(
        "package is not signed: expected a signature or package.allow_unsigned = true, \
         found neither ({path})"
    )]
    Unsigned {
        /// The package.
        path: PathBuf,
    },
}

/// A package whose files are all present and unaltered.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its folder.
    pub dir: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// SHA-256 of `package.toml`, which holds the hashes of all other files.
    pub hash: String,
}

impl Package {
    /// Reads the manifest and checks every file's size and hash.
    ///
    /// # Errors
    /// [`PackageError`], before anything of a graph is parsed.
    pub fn open(dir: &Path, allow_unsigned: bool) -> Result<Self, PackageError> {
        let path = dir.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|source| PackageError::Read {
            path: path.clone(),
            source,
        })?;
        if !allow_unsigned {
            return Err(PackageError::Unsigned {
                path: dir.to_owned(),
            });
        }
        let manifest: Manifest = toml::from_str(&text).map_err(|e| PackageError::Syntax {
            path: path.clone(),
            message: e.to_string().trim_end().replace('\n', " "),
        })?;
        manifest
            .validate()
            .map_err(|error| PackageError::Manifest {
                path: path.clone(),
                error,
            })?;
        for (name, entry) in &manifest.files {
            let path = dir.join(name);
            let found = match std::fs::symlink_metadata(&path) {
                Err(_) => "nothing",
                Ok(m) if m.is_symlink() => "a link",
                Ok(m) if m.is_file() => "",
                Ok(_) => "no plain file",
            };
            if !found.is_empty() {
                return Err(PackageError::Missing { path, found });
            }
            let (sha256, bytes) =
                hash::sha256_file(&path).map_err(|source| PackageError::Read {
                    path: path.clone(),
                    source,
                })?;
            if bytes != entry.bytes {
                return Err(PackageError::Altered {
                    path,
                    expected: format!("{} bytes", entry.bytes),
                    found: format!("{bytes} bytes"),
                });
            }
            if sha256 != entry.sha256 {
                return Err(PackageError::Altered {
                    path,
                    expected: format!("sha256 {}", entry.sha256),
                    found: sha256,
                });
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            hash: hash::sha256_hex(text.as_bytes()),
        })
    }

    /// `id@hash`, twelve digits of the hash: how events name the package.
    pub fn name(&self) -> String {
        format!("{}@{}", self.manifest.id, &self.hash[..12])
    }
}
