//! From a configuration to an open engine, and what one provider does here.

mod auto;
mod probe;

pub use probe::{Probe, ProbeArgs, probe, report};

use crate::exit::{Because, Cause, Failure};
use echocart_core::config::{EngineConfig, Policy};
use echocart_core::engine::EngineInfo;
use echocart_core::package::Package;
use echocart_infer::{EngineOptions, Libraries, OrtEngine, SelectError};
use std::path::Path;

/// The libraries of `--library`, or those below the working directory.
pub fn libraries(file: Option<&Path>) -> Libraries<'_> {
    file.map_or(Libraries::Under(Path::new("")), Libraries::File)
}

/// Opens what the configuration asks for; under `auto` it measures first, and `say` is given what
/// was measured.
pub fn open(
    config: &EngineConfig,
    file: Option<&Path>,
    package: &Package,
    say: &mut dyn FnMut(&str),
) -> Result<OrtEngine, Failure> {
    if config.policy != Policy::Auto {
        return echocart_infer::open_configured(config, libraries(file), package).map_err(failure);
    }
    let (provider, variant) = auto::fastest(config, file, package, say)?;
    let library = echocart_infer::library_for(provider, libraries(file)).map_err(failure)?;
    let options = EngineOptions::new(provider, config.intra_op_threads);
    OrtEngine::open_on(&library, package, &variant, options).because(Cause::Package)
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
