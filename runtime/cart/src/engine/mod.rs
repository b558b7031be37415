//! From a configuration to an open engine, and what one provider does here.

mod ages;
mod auto;
mod probe;

pub use probe::{Probe, ProbeArgs, probe, report};

use crate::exit::{Cause, Failure};
use echocart_core::config::{EngineConfig, Policy};
use echocart_core::engine::EngineInfo;
use echocart_core::manifest::Manifest;
use echocart_core::package::Package;
use echocart_infer::{Libraries, OrtEngine, Passed, SelectError};
use std::path::{Path, PathBuf};

/// The libraries of `--library`, or those below the working directory.
pub fn libraries(file: Option<&Path>) -> Libraries<'_> {
    file.map_or(Libraries::Under(Path::new("")), Libraries::File)
}

/// Where proofs of the parity gate are kept: beside the libraries, if that folder is here.
pub fn proofs() -> Option<PathBuf> {
    let own = Path::new(".echocart");
    own.is_dir().then(|| own.join("gate"))
}

/// Opens what the configuration asks for, as [`open_proven`].
pub fn open(
    config: &EngineConfig,
    file: Option<&Path>,
    package: &Package,
    say: &mut dyn FnMut(&str),
) -> Result<OrtEngine, Failure> {
    open_proven(config, file, package, say).map(|(engine, _)| engine)
}

/// Opens what the configuration asks for and takes it through the parity gate; under `auto` it
/// measures first. `say` is given what is measured and done.
pub fn open_proven(
    config: &EngineConfig,
    file: Option<&Path>,
    package: &Package,
    say: &mut dyn FnMut(&str),
) -> Result<(OrtEngine, Passed), Failure> {
    let mut config = config.clone();
    if config.policy == Policy::Auto {
        let (provider, variant) = auto::fastest(&config, file, package, say)?;
        config.policy = Policy::Strict;
        config.providers = vec![provider.to_string()];
        config.variant = Some(variant);
    }
    let (libraries, proofs) = (libraries(file), proofs());
    echocart_infer::open_proven(&config, libraries, package, proofs.as_deref(), say)
        .map_err(failure)
}

/// What the gate did and which ages to expect, two lines.
pub fn start_words(passed: &Passed, manifest: &Manifest) -> String {
    let mut text = format!("gate: {}\n", passed.words);
    if let Some(timings) = &passed.timings {
        let ages = ages::expected(manifest, timings).words();
        text += &format!("expected evidence age: {ages}\n");
    }
    text
}

/// Exit code of an error: the package's, the configuration's, or the library's.
pub fn failure(error: SelectError) -> Failure {
    let cause = match &error {
        SelectError::Open(_) | SelectError::NoVariant { .. } => Cause::Package,
        SelectError::Provider(_) | SelectError::Auto => Cause::Usage,
        _ => Cause::Library,
    };
    Failure::new(cause, error)
}

/// `OpenVINO int8 on onnxruntime 1.24.1 (OpenVINO 812 nodes)`.
pub fn words(info: &EngineInfo) -> String {
    let nodes: Vec<String> = info.nodes.iter().map(|(p, n)| format!("{p} {n}")).collect();
    let mut words = format!(
        "{} {} on {}, nodes: {}",
        info.provider,
        info.variant,
        info.library,
        nodes.join(", ")
    );
    if let Some(degraded) = &info.degraded {
        words += &format!("\nengine degraded: {degraded}");
    }
    words
}
