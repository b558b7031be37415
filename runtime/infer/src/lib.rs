//! The only crate of echocart that knows ONNX Runtime: engines for `echocart-core`.
//!
//! One process loads one ONNX Runtime library, by absolute path, after checking its SHA-256
//! against the libraries this version was built for. `ORT_DYLIB_PATH` is never read.

mod affinity;
mod assignment;
mod bound;
mod engine;
mod error;
mod gate;
mod gpu_memory;
mod graph;
mod heads;
mod library;
mod options;
mod pins;
mod plugin;
mod provider;
mod refusal;
mod said;
mod select;
mod session;
mod signature;
mod smoke;
mod system;
#[cfg(target_os = "linux")]
pub mod worker;

pub use echocart_core::engine::Timings;
pub use echocart_core::graph::{GraphInput, GraphOutput};
pub use engine::{Assignments, OpenError, OrtEngine};
pub use gate::{GateError, Passed, prove};
pub use graph::{GraphError, GraphSession};
pub use library::{
    Library, LibraryError, check_library, default_library_path, family_library_path,
};
pub use options::{Arithmetic, EngineOptions, Fallback, has_bf16, has_vnni};
pub use pins::{PINNED, PinnedLibrary, PinnedSet};
pub use provider::{Family, NoProvider, Provider};
pub use refusal::Refused;
pub use select::{
    Libraries, SelectError, candidates, choose, library_for, open_configured, open_proven,
};
pub use smoke::smoke;
pub use system::has_nvidia_gpu;
#[cfg(target_os = "linux")]
pub use system::{end_with_parent, leave_the_host_behind, step_back};
