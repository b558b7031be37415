//! The cart's `[engine]` table.

use super::{ConfigError, range};
use crate::clock::Pace;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which engine may serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Providers in order of preference: `CPU`, `OpenVINO`, `CUDA`, `TensorRT`,
    /// `TensorRT-RTX`.
    pub providers: Vec<String>,
    /// What to do when the first provider cannot serve.
    pub policy: Policy,
    /// Threads of one graph run, 1 to 64.
    pub intra_op_threads: usize,
    /// Where the graphs run. Without it: in a process of their own.
    #[serde(default)]
    pub isolation: Isolation,
    /// The worker's executable, with isolation `worker`. Without it: `echocart-worker` beside the
    /// program or the library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<PathBuf>,
    /// A provider of the list that serves until one before it is ready, or, under `auto`, until the
    /// fastest is. Only with policy `degrade` or `auto` and isolation `worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meanwhile: Option<String>,
    /// CPUs that the engine's threads may use, each once. Absent: those of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_set: Option<Vec<usize>>,
    /// Most bytes that the graphs of a package may take of a GPU's memory: weights, tokens and what is
    /// computed on the way, not the driver's own. Only with providers that keep to it: not
    /// `TensorRT`, not `TensorRT-RTX`. Absent: as many as they take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory_bytes: Option<u64>,
    /// The approved variant. Stands there exactly when the policy is `pinned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The approved variant of the package that guides, where there is one. Only with policy `pinned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guide_variant: Option<String>,
    /// SHA-256 of every approved library file. Stands there exactly when the policy is `pinned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub libraries: Option<Vec<String>>,
}

/// Highest number of a CPU in `engine.cpu_set`.
const MOST_CPU: usize = 1023;

/// The words that `engine.providers` may hold.
pub const PROVIDERS: [&str; 5] = ["CPU", "OpenVINO", "CUDA", "TensorRT", "TensorRT-RTX"];

/// Least that `engine.gpu_memory_bytes` may say, and less than any graph takes.
pub const LEAST_GPU_MEMORY: u64 = 1 << 20;

/// Those of them that take GPU memory which nobody can limit.
const UNLIMITED: [&str; 2] = ["TensorRT", "TensorRT-RTX"];

/// What to do when the preferred provider cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// One provider, the approved variant, approved library files only; anything else fails.
    Pinned,
    /// The first provider, or fail.
    Strict,
    /// Use the next one and say so in every event.
    Degrade,
    /// Measure every provider with every variant it may run and use the fastest: for development.
    Auto,
}

/// Where the graphs run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// In a child process, whose end does not end this one.
    #[default]
    Worker,
    /// In this process.
    InProcess,
}

impl EngineConfig {
    /// The same for the package that guides: its own variant where one is approved.
    ///
    /// # Errors
    /// [`ConfigError`] where the policy asks for an approved variant and there is none.
    pub fn of_the_guide(&self) -> Result<Self, ConfigError> {
        if self.policy == Policy::Pinned && self.guide_variant.is_none() {
            return Err(ConfigError {
                message:
                    "engine.guide_variant: expected the guide's approved variant with policy = \
                          \"pinned\", found none"
                        .to_owned(),
            });
        }
        Ok(Self {
            variant: self.guide_variant.clone(),
            ..self.clone()
        })
    }

    /// The table for a session of this pace. In virtual time no engine takes over from another: on
    /// which clip that falls depends on the machine.
    pub fn at(&self, pace: Pace) -> Self {
        let meanwhile = self.meanwhile.clone();
        Self {
            meanwhile: meanwhile.filter(|_| pace == Pace::Real),
            ..self.clone()
        }
    }

    /// The first provider of the list that takes GPU memory without a limit.
    pub fn unlimited(&self) -> Option<&str> {
        let takes = |p: &&String| UNLIMITED.contains(&p.as_str());
        self.providers.iter().find(takes).map(String::as_str)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |message: String| Err(ConfigError { message });
        range(
            "engine.intra_op_threads",
            self.intra_op_threads as u64,
            1,
            64,
        )?;
        if let Some(bytes) = self.gpu_memory_bytes {
            if bytes < LEAST_GPU_MEMORY {
                return wrong(format!(
                    "engine.gpu_memory_bytes: expected at least {LEAST_GPU_MEMORY}, found {bytes}"
                ));
            }
            if let Some(provider) = self.unlimited() {
                return wrong(format!(
                    "engine.gpu_memory_bytes: expected only providers whose GPU memory can be \
                     limited, not {}, found {provider}",
                    UNLIMITED.join(" and not ")
                ));
            }
        }
        if self.isolation == Isolation::InProcess && self.worker.is_some() {
            return wrong(
                "engine.worker: expected none with isolation = \"in_process\", found one"
                    .to_owned(),
            );
        }
        let listed = self.cpu_set.as_deref().unwrap_or(&[0]);
        let twice = (1..listed.len()).any(|at| listed[..at].contains(&listed[at]));
        if listed.is_empty() || twice || listed.iter().any(|&cpu| cpu > MOST_CPU) {
            return wrong(format!(
                "engine.cpu_set: expected one or more CPUs from 0 to {MOST_CPU}, each once, found \
                  {listed:?}"
            ));
        }
        let given = &self.providers;
        let known = given.iter().all(|p| PROVIDERS.contains(&p.as_str()));
        let repeated = given
            .iter()
            .enumerate()
            .any(|(at, p)| given[..at].contains(p));
        if given.is_empty() || !known || repeated {
            return wrong(format!(
                "engine.providers: expected one or more of {}, each once, found {given:?}",
                PROVIDERS.join(", ")
            ));
        }
        if let Some(meanwhile) = &self.meanwhile {
            let at = given.iter().position(|p| p == meanwhile);
            let fits = match self.policy {
                Policy::Degrade => at.is_some_and(|at| at > 0),
                Policy::Auto => at.is_some(),
                Policy::Pinned | Policy::Strict => false,
            };
            if !fits || self.isolation != Isolation::Worker {
                return wrong(format!(
                    "engine.meanwhile: expected a provider of the list, with policy = \"degrade\" \
                     not the first, or with \"auto\", and isolation = \"worker\", found \
                     {meanwhile:?}"
                ));
            }
        }
        if self.guide_variant.is_some() && self.policy != Policy::Pinned {
            return wrong(
                "engine.guide_variant: expected none without policy = \"pinned\", found one"
                    .to_owned(),
            );
        }
        if self.policy != Policy::Pinned {
            return match (&self.variant, &self.libraries) {
                (None, None) => Ok(()),
                (Some(_), _) => wrong(
                    "engine.variant: expected none without policy = \"pinned\", found one"
                        .to_owned(),
                ),
                _ => wrong(
                    "engine.libraries: expected none without policy = \"pinned\", found some"
                        .to_owned(),
                ),
            };
        }
        if given.len() != 1 {
            return wrong(format!(
                "engine.providers: expected one with policy = \"pinned\", found {given:?}"
            ));
        }
        if self.variant.as_deref().unwrap_or_default().is_empty() {
            return wrong(
                "engine.variant: expected the approved variant with policy = \"pinned\", found none"
                    .to_owned(),
            );
        }
        let libraries = self.libraries.as_deref().unwrap_or_default();
        let hex =
            |h: &String| h.len() == 64 && h.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if libraries.is_empty() || !libraries.iter().all(hex) {
            return wrong(format!(
                "engine.libraries: expected SHA-256 hashes, 64 lower case hex digits each, with \
                 policy = \"pinned\", found {libraries:?}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::CartConfig;
    use super::*;

    #[test]
    fn a_guide_has_an_approved_variant_of_its_own() {
        let mut engine = CartConfig::demo().unwrap().engine;
        engine.variant = Some("int8".to_owned());
        assert_eq!(engine.of_the_guide().unwrap().variant, None);
        engine.policy = Policy::Pinned;
        let error = engine.of_the_guide().unwrap_err().message;
        assert!(
            error.starts_with("engine.guide_variant: expected the guide's"),
            "{error}"
        );
        engine.guide_variant = Some("fp32".to_owned());
        let guide = engine.of_the_guide().unwrap();
        assert_eq!(guide.variant.as_deref(), Some("fp32"));
    }
    #[test]
    fn gpu_memory_is_limited_only_where_the_provider_keeps_to_it() {
        let mut engine = CartConfig::demo().unwrap().engine;
        engine.gpu_memory_bytes = Some(1 << 30);
        engine.providers = ["CUDA", "OpenVINO", "CPU"].map(str::to_owned).to_vec();
        engine.validate().unwrap();
        engine.providers.insert(1, "TensorRT".to_owned());
        let error = engine.validate().unwrap_err().message;
        assert_eq!(
            error,
            "engine.gpu_memory_bytes: expected only providers whose GPU memory can be limited, not \
             TensorRT and not TensorRT-RTX, found TensorRT"
        );
        engine.providers.remove(1);
        engine.gpu_memory_bytes = Some(4);
        let error = engine.validate().unwrap_err().message;
        assert!(error.ends_with("at least 1048576, found 4"), "{error}");
    }
}
