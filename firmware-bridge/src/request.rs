//! What the caller asked for, checked.

use crate::abi::*;
use crate::callback::Log;
use crate::codes::Code;
use crate::fault::Fault;
use echocart_core::clock::Pace;
use echocart_core::config::{CartConfig, Isolation, LEAST_GPU_MEMORY, Policy};
use std::path::{Path, PathBuf};

/// How much the session's threads stand back for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Nice value, or none to leave it.
    pub nice: Option<i32>,
    /// CPUs allowed; all zero: as they are.
    pub cpu_set: [u64; ECHOCART_CPU_SET_WORDS],
}

impl Standing {
    /// The CPUs of the set; none for those of the creating thread.
    pub fn cpus(&self) -> Vec<usize> {
        let bit = |cpu: &usize| {
            let word = self.cpu_set.get(cpu / 64).copied().unwrap_or(0);
            word >> (cpu % 64) & 1 == 1
        };
        (0..ECHOCART_CPU_SET_WORDS * 64).filter(bit).collect()
    }
}

/// A configuration of the caller's, with its texts copied.
#[derive(Debug)]
pub(crate) struct Request {
    pub package_dir: PathBuf,
    pub library_path: PathBuf,
    /// Folder of the proofs, if they are kept.
    pub cache_dir: Option<PathBuf>,
    pub config: CartConfig,
    pub pace: Pace,
    pub allow_demonstration: bool,
    pub standing: Standing,
    pub reserve_frame_bytes: usize,
    pub log: Log,
}

impl Request {
    /// Checks `c`, whose texts are the other arguments.
    pub fn new(
        c: &echocart_session_config_t,
        package_dir: String,
        library_path: String,
        config_toml: String,
        worker_path: String,
        cache_dir: String,
    ) -> Result<Self, Fault> {
        let pace = match c.pace {
            ECHOCART_PACE_REAL => Pace::Real,
            ECHOCART_PACE_MAX => Pace::Max,
            unknown => return Err(Fault::bad("pace", "one of ECHOCART_PACE_*", unknown)),
        };
        let allow_demonstration = match c.allow_demonstration {
            0 => false,
            1 => true,
            other => return Err(Fault::bad("allow_demonstration", "0 or 1", other)),
        };
        let isolation = match c.isolation {
            ECHOCART_ISOLATION_DEFAULT => None,
            ECHOCART_ISOLATION_WORKER => Some(Isolation::Worker),
            ECHOCART_ISOLATION_IN_PROCESS => Some(Isolation::InProcess),
            unknown => {
                let expected = "one of ECHOCART_ISOLATION_*";
                return Err(Fault::bad("isolation", expected, unknown));
            }
        };
        let nice = match c.priority {
            ECHOCART_PRIORITY_LOWEST => Some(19),
            ECHOCART_PRIORITY_LOW => Some(10),
            ECHOCART_PRIORITY_INHERIT => None,
            unknown => {
                return Err(Fault::bad(
                    "priority",
                    "one of ECHOCART_PRIORITY_*",
                    unknown,
                ));
            }
        };
        if c.threads > 64 {
            return Err(Fault::bad("threads", "0 to 64", c.threads));
        }
        if c.log_level > ECHOCART_LOG_INFO {
            return Err(Fault::bad("log_level", "0 to 3", c.log_level));
        }
        if !Path::new(&library_path).is_absolute() {
            return Err(Fault::bad(
                "library_path",
                "the absolute path of the ONNX Runtime library this version was built for",
                format!("{library_path:?}"),
            ));
        }
        if package_dir.is_empty() {
            let expected = "the folder of a package";
            return Err(Fault::bad("package_dir", expected, "nothing"));
        }
        let mut config = match config_toml.as_str() {
            "" => CartConfig::demo()?,
            text => CartConfig::parse(text)?,
        };
        if config.engine.policy == Policy::Auto {
            return Err(Fault::new(
                Code::ConfigInvalid,
                "configuration: engine.policy: expected pinned, strict or degrade here, found auto, \
                 which is for development with echocart",
            ));
        }
        if c.gpu_memory_bytes > 0 {
            gpu_memory(&mut config, c.gpu_memory_bytes)?;
        }
        if c.threads > 0 {
            config.engine.intra_op_threads = c.threads as usize;
        }
        if let Some(isolation) = isolation {
            config.engine.isolation = isolation;
        }
        if !worker_path.is_empty() {
            config.engine.worker = Some(worker_path.into());
        }
        let most = config.pipeline.max_frame_bytes;
        let reserve = usize::try_from(c.reserve_frame_bytes).unwrap_or(usize::MAX);
        if reserve > most {
            return Err(Fault::bad(
                "reserve_frame_bytes",
                &format!("0 to {most}"),
                c.reserve_frame_bytes,
            ));
        }
        Ok(Self {
            package_dir: package_dir.into(),
            library_path: library_path.into(),
            cache_dir: (!cache_dir.is_empty()).then(|| cache_dir.into()),
            config,
            pace,
            allow_demonstration,
            standing: Standing {
                nice,
                cpu_set: c.cpu_set,
            },
            reserve_frame_bytes: reserve,
            log: Log::new(c.log_callback, c.log_user_data, c.log_level),
        })
    }
}

/// Limits the GPU memory of the session's engine.
fn gpu_memory(config: &mut CartConfig, bytes: u64) -> Result<(), Fault> {
    if let Some(provider) = config.engine.unlimited() {
        let message = format!(
            "gpu_memory_bytes: expected 0 with {provider}, whose GPU memory cannot be limited, found \
             {bytes}"
        );
        return Err(Fault::new(Code::Unsupported, message));
    }
    if bytes < LEAST_GPU_MEMORY {
        let expected = format!("0 or at least {LEAST_GPU_MEMORY}");
        return Err(Fault::bad("gpu_memory_bytes", &expected, bytes));
    }
    config.engine.gpu_memory_bytes = Some(bytes);
    Ok(())
}
