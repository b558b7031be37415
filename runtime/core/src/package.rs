//! A model package on disk: a folder with `package.toml` and the files it lists.

use crate::config::PackageConfig;
use crate::hash;
use crate::manifest::{FORMAT, Manifest, ManifestError, version};
use crate::signature::{MOST_SIGNATURE_BYTES, PackageSignature, SIGNATURE, Signed};
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
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
    /// The package has no signature by a trusted key and the cart's config does not allow that.
    #[error(
        "package is not signed by a trusted key: expected one of package.trusted_keys, or \
         package.allow_unsigned = true, found it {found} ({path})"
    )]
    Unsigned {
        /// What is known of the signature.
        found: Signed,
        /// The package.
        path: PathBuf,
    },
    /// The signature is no signature, or is one of another manifest. Refused even where unsigned
    /// packages are allowed.
    #[error("package signature: {message} ({path})")]
    Signature {
        /// What, expected and found.
        message: String,
        /// The signature file.
        path: PathBuf,
    },
    /// The package needs a newer echocart.
    #[error(
        "package needs a newer echocart: expected min_version up to {ours}, found {needed} ({path})"
    )]
    TooNew {
        /// Its `min_version`.
        needed: String,
        /// This version.
        ours: &'static str,
        /// The manifest.
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
    /// Who vouches for it.
    pub signed: Signed,
}

/// What is read of a manifest before the rest of it is.
#[derive(Deserialize)]
struct Preface {
    format: Option<toml::Value>,
    min_version: Option<toml::Value>,
}

impl Package {
    /// Reads the manifest and checks, in this order: its signature, whether this version may run
    /// it, its keys, every file's size and hash, and that no other file is there.
    ///
    /// # Errors
    /// [`PackageError`] of the first check that fails. Nothing of the package is parsed before its
    /// signature has been checked, and nothing of a graph before all the checks.
    pub fn open(dir: &Path, trust: &PackageConfig) -> Result<Self, PackageError> {
        let path = dir.join(MANIFEST);
        let bytes = read_whole(&path, MOST_MANIFEST_BYTES)?;
        let signed = check_signature(dir, &bytes, trust)?;
        let manifest = parse(&bytes, &path)?;
        for (name, entry) in &manifest.files {
            let path = dir.join(name);
            plain_file(&path)?;
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
            hash: hash::sha256_hex(&bytes),
            signed,
        })
    }

    /// `id@hash`, twelve digits of the hash: how events name the package.
    pub fn name(&self) -> String {
        format!("{}@{}", self.manifest.id, &self.hash[..12])
    }
}

/// Checks that `path` is a file and no link to one.
fn plain_file(path: &Path) -> Result<(), PackageError> {
    let found = match std::fs::symlink_metadata(path) {
        Err(_) => "nothing",
        Ok(m) if m.is_symlink() => "a link",
        Ok(m) if m.is_file() => return Ok(()),
        Ok(_) => "no plain file",
    };
    Err(PackageError::Missing {
        path: path.to_owned(),
        found,
    })
}

fn read_whole(path: &Path, most_bytes: u64) -> Result<Vec<u8>, PackageError> {
    let read = |error| PackageError::Read {
        path: path.to_owned(),
        error,
    };
    std::fs::symlink_metadata(path).map_err(read)?;
    plain_file(path)?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most_bytes + 1).read_to_end(&mut bytes))
        .map_err(read)?;
    if bytes.len() as u64 > most_bytes {
        return Err(PackageError::Syntax {
            path: path.to_owned(),
            message: format!("expected at most {most_bytes} bytes, found more"),
        });
    }
    Ok(bytes)
}

fn check_signature(
    dir: &Path,
    manifest: &[u8],
    trust: &PackageConfig,
) -> Result<Signed, PackageError> {
    let path = dir.join(SIGNATURE);
    let signed = match std::fs::symlink_metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Signed::No,
        _ => {
            let wrong = |message: String| PackageError::Signature {
                message,
                path: path.clone(),
            };
            let text = read_whole(&path, MOST_SIGNATURE_BYTES).map_err(|error| match error {
                PackageError::Syntax { message, .. } => wrong(message),
                error => error,
            })?;
            let signature = PackageSignature::parse(&text).map_err(|e| wrong(e.to_string()))?;
            if !signature.fits(manifest) {
                let found = "a signature of something else";
                return Err(wrong(format!("expected one of {MANIFEST}, found {found}")));
            }
            if trust.trusted_keys.contains(&signature.key) {
                Signed::Trusted(signature.key)
            } else {
                Signed::Unknown(signature.key)
            }
        }
    };
    if signed.is_trusted() || trust.allow_unsigned {
        return Ok(signed);
    }
    Err(PackageError::Unsigned {
        found: signed,
        path: dir.to_owned(),
    })
}

fn parse(bytes: &[u8], path: &Path) -> Result<Manifest, PackageError> {
    let wrong = |message: String| PackageError::Syntax {
        path: path.to_owned(),
        message,
    };
    let one_line = |e: toml::de::Error| wrong(e.to_string().trim_end().replace('\n', " "));
    let text =
        std::str::from_utf8(bytes).map_err(|e| wrong(format!("expected UTF-8 text, found {e}")))?;
    let preface: Preface = toml::from_str(text).map_err(one_line)?;
    let ours = env!("CARGO_PKG_VERSION");
    if let Some(toml::Value::String(needed)) = preface.min_version
        && version(&needed) > version(ours)
    {
        return Err(PackageError::TooNew {
            needed,
            ours,
            path: path.to_owned(),
        });
    }
    let manifest_error = |error| PackageError::Manifest {
        path: path.to_owned(),
        error,
    };
    if let Some(toml::Value::Integer(format)) = preface.format
        && format != i64::from(FORMAT)
    {
        return Err(manifest_error(ManifestError {
            key: "format".to_owned(),
            expected: FORMAT.to_string(),
            found: format.to_string(),
        }));
    }
    let manifest: Manifest = toml::from_str(text).map_err(one_line)?;
    manifest.validate().map_err(manifest_error)?;
    Ok(manifest)
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
        .find(|n| n != MANIFEST && n != SIGNATURE && !manifest.files.contains_key(n))
    {
        None => Ok(()),
        Some(name) => Err(PackageError::Unlisted {
            name,
            path: dir.to_owned(),
        }),
    }
}
