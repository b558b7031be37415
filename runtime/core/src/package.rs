//! A model package on disk: a folder with `package.toml` and the files it lists.

use crate::hash;
use crate::manifest::{Manifest, ManifestError};
use std::path::{Path, PathBuf};

/// Name of the manifest inside a package.
pub const MANIFEST: &str = "package.toml";

/// Largest manifest read.
const MOST_MANIFEST_BYTES: u64 = 1 << 20;

/// Why a package does not load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// A file of the package cannot be read.
    #[error("cannot read: {error} ({path})")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
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
    /// A file lies in the package that the manifest does not list, so that nothing vouches for it.
    #[error("package file not listed: expected only files of package.toml, found {name} ({path})")]
    Unlisted {
        /// The file's name.
        name: String,
        /// The package.
        path: PathBuf,
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
        let text = read_manifest(&path)?;
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
            let (sha256, bytes) = hash::sha256_file(&path).map_err(|error| PackageError::Read {
                path: path.clone(),
                error,
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
        refuse_unlisted(dir, &manifest)?;
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

fn read_manifest(path: &Path) -> Result<String, PackageError> {
    let read = |error| PackageError::Read {
        path: path.to_owned(),
        error,
    };
    let metadata = std::fs::metadata(path).map_err(read)?;
    if !metadata.is_file() {
        return Err(PackageError::Missing {
            path: path.to_owned(),
            found: "no plain file",
        });
    }
    if metadata.len() > MOST_MANIFEST_BYTES {
        return Err(PackageError::Syntax {
            path: path.to_owned(),
            message: format!(
                "expected at most {MOST_MANIFEST_BYTES} bytes, found {}",
                metadata.len()
            ),
        });
    }
    std::fs::read_to_string(path).map_err(read)
}

fn refuse_unlisted(dir: &Path, manifest: &Manifest) -> Result<(), PackageError> {
    let read = |error| PackageError::Read {
        path: dir.to_owned(),
        error,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(read)? {
        names.push(
            entry
                .map_err(read)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort_unstable();
    match names
        .into_iter()
        .find(|n| n != MANIFEST && !manifest.files.contains_key(n))
    {
        None => Ok(()),
        Some(name) => Err(PackageError::Unlisted {
            name,
            path: dir.to_owned(),
        }),
    }
}
