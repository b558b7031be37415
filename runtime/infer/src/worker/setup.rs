//! What a worker is started with, and what it says of itself once it is open.

use super::backoff::BackoffRules;
use crate::provider::Provider;
use crate::refusal::Refused;
use crate::select::NONE_SERVES;
use echocart_core::clock;
use echocart_core::config::{EngineConfig, PackageConfig, Policy};
use echocart_core::engine::{EngineInfo, Timings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf, absolute};

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
    /// Folder of the parity gate's proofs, or none to prove at every start.
    pub proofs: Option<PathBuf>,
    /// Why the engine is not the one asked for, before it was opened.
    pub notes: Vec<String>,
    /// Nice value of the threads that compute, or none to leave it.
    pub nice: Option<i32>,
    /// CPUs that the worker may use; empty: as they are.
    pub cpus: Vec<usize>,
    /// When a worker that failed is started again.
    pub backoff: BackoffRules,
    /// In virtual time nothing is late: there a worker that a busy machine holds up is waited for.
    pub pace: clock::Pace,
}

impl WorkerSetup {
    /// Any package, the libraries below `root`, nothing kept, nothing lowered, in real time.
    pub fn new(executable: impl Into<PathBuf>, engine: EngineConfig, root: PathBuf) -> Self {
        Self {
            executable: executable.into(),
            engine,
            trust: PackageConfig::ANY,
            library: None,
            root,
            proofs: None,
            notes: Vec::new(),
            nice: None,
            cpus: Vec::new(),
            backoff: BackoffRules::default(),
            pace: clock::Pace::Real,
        }
    }
}

/// Why there is no engine in a worker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// No executable.
    #[error(
        "worker missing: expected an executable file {WORKER}, found none; it is built and \
         installed beside the program or library ({tried})"
    )]
    Missing {
        /// Where it was looked for.
        tried: String,
    },
    /// It does not start, or does not open the engine.
    #[error("{message} (worker {path})")]
    Refused {
        /// What kind of reason it is.
        kind: Refused,
        /// Why.
        message: String,
        /// The executable.
        path: PathBuf,
    },
}

impl WorkerError {
    /// Its kind.
    pub fn kind(&self) -> Refused {
        match self {
            Self::Missing { .. } => Refused::EngineFailed,
            Self::Refused { kind, .. } => *kind,
        }
    }
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    pub version: String,
    pub package: PathBuf,
    pub package_name: String,
    pub engine: EngineConfig,
    pub trust: PackageConfig,
    pub library: Option<PathBuf>,
    pub root: PathBuf,
    pub proofs: Option<PathBuf>,
    pub notes: Vec<String>,
    pub nice: Option<i32>,
    pub cpus: Vec<usize>,
}

impl Opening {
    /// Of a setup, one for each worker to try in turn, with every path made absolute: a worker has
    /// its own idea of where it is.
    pub fn line(setup: &WorkerSetup, package: &Path, name: &str) -> io::Result<Vec<Self>> {
        let whole = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        let mut line = Vec::new();
        for providers in families(&setup.engine, setup.library.is_some()) {
            line.push(Self {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                package: absolute(package)?,
                package_name: name.to_owned(),
                engine: EngineConfig {
                    providers,
                    ..setup.engine.clone()
                },
                trust: setup.trust.clone(),
                library: whole(&setup.library)?,
                root: std::env::current_dir()?.join(&setup.root),
                proofs: whole(&setup.proofs)?,
                notes: setup.notes.clone(),
                nice: setup.nice,
                cpus: setup.cpus.clone(),
            });
        }
        Ok(line)
    }

    /// Why it does not serve, as a note of the next in line.
    pub fn refusal(&self, why: &str) -> String {
        match self.engine.providers.as_slice() {
            [only] => format!("{only} does not serve: {why}"),
            _ => why.strip_prefix(NONE_SERVES).unwrap_or(why).to_owned(),
        }
    }
}

/// The providers to try, cut where the next one needs another library: a process holds one. Of a
/// policy that names one provider, or with one library given, there is nothing to cut.
fn families(engine: &EngineConfig, one_library: bool) -> Vec<Vec<String>> {
    let family = |name: &String| name.parse::<Provider>().ok().map(Provider::family);
    let same = |a: &String, b: &String| one_library || family(a) == family(b);
    match engine.policy {
        Policy::Degrade => engine.providers.chunk_by(same).map(<[_]>::to_vec).collect(),
        _ => vec![engine.providers.clone()],
    }
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
    pub gate: Option<String>,
    pub encode_nanos: Option<u64>,
    /// Head, graph key and time.
    pub heads: Vec<(String, String, u64)>,
    pub slots: usize,
}

impl Running {
    pub fn new(info: EngineInfo, slots: usize) -> Self {
        let heads = info.timings.iter().flat_map(|t| &t.heads_nanos);
        Self {
            provider: info.provider,
            library: info.library,
            variant: info.variant,
            nodes: info.nodes,
            degraded: info.degraded,
            gate: info.gate,
            encode_nanos: info.timings.as_ref().map(|t| t.encode_nanos),
            heads: heads
                .map(|((name, key), nanos)| (name.clone(), key.clone(), *nanos))
                .collect(),
            slots,
        }
    }

    pub fn info(&self) -> EngineInfo {
        let graph =
            |(name, key, nanos): &(String, String, u64)| ((name.clone(), key.clone()), *nanos);
        EngineInfo {
            provider: self.provider.clone(),
            library: self.library.clone(),
            variant: self.variant.clone(),
            nodes: self.nodes.clone(),
            degraded: self.degraded.clone(),
            gate: self.gate.clone(),
            timings: self.encode_nanos.map(|encode_nanos| Timings {
                encode_nanos,
                heads_nanos: self.heads.iter().map(graph).collect(),
            }),
            coming: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use echocart_core::config::CartConfig;

    #[test]
    fn a_list_is_cut_where_the_next_provider_needs_another_library() {
        let mut engine = CartConfig::demo().unwrap().engine;
        let list = ["TensorRT", "CUDA", "OpenVINO", "CPU"];
        engine.providers = list.map(str::to_owned).to_vec();
        engine.policy = Policy::Degrade;
        let cut = |engine: &EngineConfig, one| families(engine, one);
        let alone = [vec!["TensorRT", "CUDA"], vec!["OpenVINO"], vec!["CPU"]];
        assert_eq!(cut(&engine, false), alone);
        assert_eq!(cut(&engine, true), [list.to_vec()]);
        engine.policy = Policy::Strict;
        assert_eq!(cut(&engine, false), [list.to_vec()]);
    }
}
