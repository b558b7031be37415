//! From the cart's `[engine]` table to an open engine.

use crate::engine::{OpenError, OrtEngine};
use crate::gate::{self, GateError, Passed};
use crate::library::{Library, LibraryError, family_library_path};
use crate::options::{EngineOptions, Fallback, has_vnni};
use crate::provider::{NoProvider, Provider};
use crate::system;
use echocart_core::config::{EngineConfig, Policy};
use echocart_core::manifest::{Manifest, Measured, Precision, Tokens, Variant};
use echocart_core::package::Package;
use std::path::{Path, PathBuf};

/// Where libraries come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Libraries<'a> {
    /// This file and no other.
    File(&'a Path),
    /// Each family's own, below a checkout's root as `cargo xtask` puts them.
    Under(&'a Path),
}

/// How [`SelectError::NoneServes`] begins.
pub(crate) const NONE_SERVES: &str = "no provider serves: ";

/// Why the configured policy gives no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// A provider's name is none.
    #[error(transparent)]
    Provider(#[from] NoProvider),
    /// The library does not load.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The library holds no such provider.
    #[error("{provider} is not in this ONNX Runtime library: found {found} ({path})")]
    NotInLibrary {
        /// Asked for.
        provider: Provider,
        /// The library.
        found: String,
        /// Its file.
        path: PathBuf,
    },
    /// A library file is not in the configuration's list.
    #[error(
        "library not approved: expected a file of engine.libraries, found sha256 {sha256} ({name})"
    )]
    NotApproved {
        /// The file's hash.
        sha256: String,
        /// The file's name.
        name: String,
    },
    /// The system lacks what the provider needs.
    #[error("{message}")]
    System {
        /// What, and what to do about it.
        message: String,
    },
    /// The package has nothing that the provider may run.
    #[error("package has no variant that {provider} may run: {found} ({path})")]
    NoVariant {
        /// The provider.
        provider: Provider,
        /// Each variant and why not.
        found: String,
        /// The package.
        path: PathBuf,
    },
    /// The engine does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The engine does not give the package's golden answers.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// No provider of the list serves.
    #[error("{NONE_SERVES}{tried}")]
    NoneServes {
        /// Each provider and why not.
        tried: String,
    },
    /// Measuring takes one process per library, which is not done here.
    #[error("engine.policy: expected pinned, strict or degrade here, found auto")]
    Auto,
}

/// Opens what the configuration asks for and proves it on the golden clips, without a cache.
///
/// # Errors
/// As [`open_proven`].
pub fn open_configured(
    config: &EngineConfig,
    libraries: Libraries,
    package: &Package,
) -> Result<OrtEngine, SelectError> {
    open_proven(config, libraries, package, None, &mut |_| {}).map(|(engine, _)| engine)
}

/// Opens what the configuration asks for; it serves only if the parity gate passes it.
///
/// `degrade` serves with the next variant or provider, or with a graph that is only partly on the
/// provider, and says so in the engine's `info`; every other policy is an error then. `cache` is
/// the folder of earlier proofs; `say` is told what the gate does.
///
/// # Errors
/// [`SelectError`] of the first provider under `pinned` and `strict`, of all under `degrade`.
pub fn open_proven(
    config: &EngineConfig,
    libraries: Libraries,
    package: &Package,
    cache: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<(OrtEngine, Passed), SelectError> {
    let mut providers = Vec::new();
    for name in &config.providers {
        providers.push(name.parse::<Provider>()?);
    }
    match config.policy {
        Policy::Auto => return Err(SelectError::Auto),
        Policy::Pinned | Policy::Strict => providers.truncate(1),
        Policy::Degrade => {}
    }
    let mut tried: Vec<(String, SelectError)> = Vec::new();
    for provider in providers {
        for variant in in_line(config, package, provider) {
            let opened = variant.and_then(|variant| {
                let mut engine = open_one(config, libraries, package, provider, &variant)?;
                let passed = gate::prove(&mut engine, package, cache, say)?;
                Ok((engine, passed))
            });
            let error = match opened {
                Ok((engine, passed)) => {
                    let engine = engine.noting(refusals(&tried)).proven(&passed);
                    return Ok((engine, passed));
                }
                Err(error) => error,
            };
            let of_the_variant = matches!(error, SelectError::Open(_) | SelectError::Gate(_));
            tried.push((provider.to_string(), error));
            if !of_the_variant {
                break;
            }
        }
    }
    match tried.pop() {
        Some((_, only)) if tried.is_empty() => Err(only),
        last => {
            tried.extend(last);
            let tried = refusals(&tried).join("; ");
            Err(SelectError::NoneServes { tried })
        }
    }
}

fn refusals(tried: &[(String, SelectError)]) -> Vec<String> {
    let words = |(what, error): &(String, SelectError)| format!("{what} does not serve: {error}");
    tried.iter().map(words).collect()
}

/// The variants to try on a provider in turn, or why there is none.
fn in_line(
    config: &EngineConfig,
    package: &Package,
    provider: Provider,
) -> Vec<Result<String, SelectError>> {
    if let Some(variant) = &config.variant {
        return vec![Ok(variant.clone())];
    }
    match choose(&package.manifest, provider) {
        Err(found) => vec![Err(SelectError::NoVariant {
            provider,
            found,
            path: package.dir.clone(),
        })],
        Ok(first) if config.policy != Policy::Degrade => vec![Ok(first.to_owned())],
        Ok(_) => candidates(&package.manifest, provider)
            .into_iter()
            .map(|variant| Ok(variant.to_owned()))
            .collect(),
    }
}

fn open_one(
    config: &EngineConfig,
    libraries: Libraries,
    package: &Package,
    provider: Provider,
    variant: &str,
) -> Result<OrtEngine, SelectError> {
    let library = library_for(provider, libraries)?;
    if let Some(approved) = &config.libraries {
        let unlisted = |file: &&crate::PinnedLibrary| !approved.iter().any(|h| h == file.sha256);
        if let Some(file) = library.files().find(unlisted) {
            return Err(SelectError::NotApproved {
                sha256: file.sha256.to_owned(),
                name: file.name.to_owned(),
            });
        }
    }
    system::needed(provider).map_err(|message| SelectError::System { message })?;
    let mut options = EngineOptions::new(provider, config.intra_op_threads);
    options.cpus = config.cpu_set.clone().unwrap_or_default();
    options.gpu_memory = config.gpu_memory_bytes;
    if config.policy == Policy::Degrade {
        options.fallback = Fallback::Tell;
    }
    Ok(OrtEngine::open_on(&library, package, variant, options)?)
}

/// Loads the library for a provider. A process that holds one already serves the CPU provider
/// from it, whichever it is.
///
/// # Errors
/// [`SelectError`] when it does not load, or does not hold the provider.
pub fn library_for(provider: Provider, libraries: Libraries) -> Result<Library, SelectError> {
    let library = match (Library::loaded(), libraries) {
        (Some(loaded), Libraries::Under(_)) if loaded.offers(provider) => loaded,
        (_, Libraries::File(path)) => Library::load(path)?,
        (_, Libraries::Under(root)) => {
            Library::load(&family_library_path(root, provider.family())?)?
        }
    };
    if library.offers(provider) {
        return Ok(library);
    }
    Err(SelectError::NotInLibrary {
        provider,
        found: library.name(),
        path: library.path().to_owned(),
    })
}

/// Precisions a provider is given, best first. 8-bit graphs are never for CPU and CUDA, whose
/// kernels for them are slower than for floating point, or absent; and for OpenVINO only on a
/// processor with VNNI: without it they are no faster, and sums of two products saturate at 16 bits.
fn preferred(provider: Provider, vnni: bool) -> &'static [Precision] {
    use Precision::{Fp8, Fp16, Fp32, Int8, WeightInt4, WeightInt8};
    match provider {
        Provider::Cpu => &[Fp32, WeightInt8, WeightInt4],
        Provider::OpenVino if vnni => &[Int8, Fp32, Fp16],
        Provider::OpenVino => &[Fp32, Fp16],
        Provider::Cuda => &[Fp16, Fp32],
        Provider::TensorRt | Provider::TensorRtRtx => &[Fp8, Int8, Fp16, Fp32],
    }
}

/// The variant a provider is given when the configuration names none: made for it, for all tokens
/// of a clip, compared with fp32 when it was made, and of the first precision it prefers.
///
/// # Errors
/// Each variant and why it is not the one, in words.
pub fn choose(manifest: &Manifest, provider: Provider) -> Result<&str, String> {
    let mut fit: Vec<(usize, &str)> = Vec::new();
    let mut unfit = Vec::new();
    for (name, variant) in &manifest.variants {
        match fits(manifest, variant, provider) {
            Ok(rank) => fit.push((rank, name)),
            Err(why) => unfit.push(format!("{name} {why}")),
        }
    }
    fit.sort_unstable();
    fit.first()
        .map(|(_, name)| *name)
        .ok_or_else(|| unfit.join(", "))
}

/// Every variant that a provider may run and would be given, best first.
pub fn candidates(manifest: &Manifest, provider: Provider) -> Vec<&str> {
    let mut fit: Vec<(usize, &str)> = manifest
        .variants
        .iter()
        .filter_map(|(name, v)| Some((fits(manifest, v, provider).ok()?, name.as_str())))
        .collect();
    fit.sort_unstable();
    fit.into_iter().map(|(_, name)| name).collect()
}

fn fits(manifest: &Manifest, variant: &Variant, provider: Provider) -> Result<usize, String> {
    if !variant.providers.iter().any(|p| p == provider.as_str()) {
        return Err(format!("is for {}", variant.providers.join(" and ")));
    }
    let all = manifest.encoder.tokens();
    if let Tokens::Exactly(tokens) = variant.tokens
        && tokens != all
    {
        return Err(format!("takes {tokens} of {all} tokens"));
    }
    if let Measured::NotRun { .. } = variant.measured {
        return Err("was never compared with fp32".to_owned());
    }
    let precision = variant.precision;
    let vnni = has_vnni();
    let without = match precision == Precision::Int8 && !vnni {
        true => " on a processor without VNNI",
        false => "",
    };
    preferred(provider, vnni)
        .iter()
        .position(|p| *p == precision)
        .ok_or_else(|| {
            let precision = precision.as_str();
            format!("is {precision}, never chosen for {provider}{without}")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_are_for_processors_that_multiply_them() {
        let openvino = |vnni| preferred(Provider::OpenVino, vnni);
        assert_eq!(openvino(true).first(), Some(&Precision::Int8));
        assert!(!openvino(false).contains(&Precision::Int8));
        assert!(!preferred(Provider::Cpu, true).contains(&Precision::Int8));
        assert!(preferred(Provider::TensorRt, false).contains(&Precision::Int8));
    }
}
