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
    /// The weights take more of the GPU's memory than the configuration allows.
    #[error(
        "GPU memory: expected engine.gpu_memory_bytes of at least {least}, which the graphs' \
         weights take, found {limit}"
    )]
    GpuMemory {
        /// What the configuration says.
        limit: u64,
        /// What the weights take.
        least: u64,
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
