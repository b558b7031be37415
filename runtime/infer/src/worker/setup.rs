//! What a worker is started with, and what it says of itself once it is open.

use super::backoff::BackoffRules;
use echocart_core::config::{EngineConfig, PackageConfig};
use echocart_core::engine::EngineInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// File name of the worker's executable.
pub const WORKER: &str = "echocart-worker";

/// What an engine in a worker is opened from.
#[derive(Debug, Clone)]
pub struct WorkerSetup {
    /// The worker's executable, see [`find`].
    pub executable: PathBuf,
    /// The `[engine]` table.
    pub engine: EngineConfig,
    /// Which packages may be loaded.
    pub trust: PackageConfig,
    /// The one ONNX Runtime library, or none for those below `root`.
    pub library: Option<PathBuf>,
    /// Where libraries lie, as `cargo xtask` puts them.
    pub root: PathBuf,
    /// Nice value of the threads that compute, or none to leave it.
    pub nice: Option<i32>,
    /// CPUs that the worker may use; empty: as they are.
    pub cpus: Vec<usize>,
    /// When a worker that failed is started again.
    pub backoff: BackoffRules,
}

/// Why there is no engine in a worker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// No executable.
    #[error("worker missing: expected an executable file {WORKER}, found none ({tried})")]
    Missing {
        /// Where it was looked for.
        tried: String,
    },
    /// It does not start, or does not open the engine.
    #[error("worker: {message} ({path})")]
    Refused {
        /// Why.
        message: String,
        /// The executable.
        path: PathBuf,
    },
}

/// Finds the worker's executable: the file given, else the one in the first of `folders`.
///
/// # Errors
/// [`WorkerError::Missing`] with every place that was looked at.
pub fn find(given: Option<&Path>, folders: &[PathBuf]) -> Result<PathBuf, WorkerError> {
    let places: Vec<PathBuf> = match given {
        Some(path) => vec![path.to_owned()],
        None => folders.iter().map(|folder| folder.join(WORKER)).collect(),
    };
    let found = places.iter().find(|path| path.is_file());
    found.cloned().ok_or_else(|| WorkerError::Missing {
        tried: places
            .iter()
            .map(|p| p.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    })
}

/// The folder of this process's executable, where the worker lies beside `echocart`.
pub fn beside_this_process() -> Vec<PathBuf> {
    let exe = std::env::current_exe().ok();
    exe.and_then(|exe| exe.parent().map(Path::to_owned))
        .into_iter()
        .collect()
}

/// The first message of the host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    pub version: String,
    pub package: PathBuf,
    pub package_name: String,
    pub engine: EngineConfig,
    pub trust: PackageConfig,
    pub library: Option<PathBuf>,
    pub root: PathBuf,
    pub nice: Option<i32>,
    pub cpus: Vec<usize>,
}

/// What is running, as a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Running {
    pub provider: String,
    pub library: String,
    pub variant: String,
    pub nodes: BTreeMap<String, usize>,
    pub degraded: Option<String>,
    pub slots: usize,
}

impl Running {
    pub fn new(info: EngineInfo, slots: usize) -> Self {
        Self {
            provider: info.provider,
            library: info.library,
            variant: info.variant,
            nodes: info.nodes,
            degraded: info.degraded,
            slots,
        }
    }

    pub fn info(&self) -> EngineInfo {
        EngineInfo {
            provider: self.provider.clone(),
            library: self.library.clone(),
            variant: self.variant.clone(),
            nodes: self.nodes.clone(),
            degraded: self.degraded.clone(),
        }
    }
}
