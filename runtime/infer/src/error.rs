//! Why an engine does not open.

use crate::provider::Provider;
use std::path::PathBuf;

/// Why an engine does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The package has no such variant.
    #[error("package has no variant {variant}: found {found} ({path})")]
    NoVariant {
        /// Asked for.
        variant: String,
        /// Variants of the package.
        found: String,
        /// The package.
        path: PathBuf,
    },
    /// A CPU of the set is not there.
    #[error("{message}")]
    Cpus {
        /// Which.
        message: String,
    },
    /// The variant is not made for the provider.
    #[error(
        "variant {variant}: expected a provider of its list, {listed}, found {provider} ({path})"
    )]
    WrongProvider {
        /// The variant.
        variant: String,
        /// Providers it is made for.
        listed: String,
        /// Asked for.
        provider: Provider,
        /// The package.
        path: PathBuf,
    },
    /// ONNX Runtime or the provider does not take a graph.
    #[error("graph does not load: {message} ({path})")]
    Graph {
        /// What ONNX Runtime said.
        message: String,
        /// The graph file.
        path: PathBuf,
    },
}
