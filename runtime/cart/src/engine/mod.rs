//! From a configuration to an open engine, and what one provider does here.

mod ages;
mod auto;
mod delay;
mod probe;
mod start;
mod vacant;

pub use delay::Delayed;
pub use probe::{Probe, ProbeArgs, probe, report};
pub use start::{Announcer, Patience, start, worker};

use crate::exit::{Cause, Failure};
use echocart_core::config::EngineConfig;
use echocart_core::engine::EngineInfo;
use echocart_core::manifest::Manifest;
use echocart_core::package::Package;
use echocart_infer::{Libraries, OrtEngine, Passed, Refused, SelectError};
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
    let notes = start::settle(&mut config, file, package, say)?;
    let (libraries, proofs) = (libraries(file), proofs());
    let (engine, passed) =
        echocart_infer::open_proven(&config, libraries, package, proofs.as_deref(), say)
            .map_err(failure)?;
    Ok((engine.noting(notes), passed))
}

/// What serves, what the gate did and which ages to expect, a line each.
pub fn start_words(info: &EngineInfo, manifest: &Manifest) -> String {
    let mut text = format!("engine: {}\n", words(info));
    if let Some(gate) = &info.gate {
        text += &format!("gate: {gate}\n");
    }
    if let Some(timings) = &info.timings {
        let ages = ages::expected(manifest, timings).words();
        text += &format!("expected evidence age: {ages}\n");
    }
    text
}

/// A failure with the exit code of its kind.
pub fn failure(error: SelectError) -> Failure {
    Failure::new(cause(error.kind()), error)
}

/// Exit code: the package's, the configuration's, or the library's.
fn cause(kind: Refused) -> Cause {
    match kind {
        Refused::PackageUnreadable
        | Refused::PackageInvalid
        | Refused::PackageUnsupported
        | Refused::GraphFailed => Cause::Package,
        Refused::Configuration => Cause::Usage,
        _ => Cause::Library,
    }
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
