//! The only crate of echocart that knows ONNX Runtime: engines for `echocart-core`.
//!
//! One process loads one ONNX Runtime library, by absolute path, after checking its SHA-256
//! against the libraries this version was built for. `ORT_DYLIB_PATH` is never read.

mod engine;
mod library;
mod signature;

pub use engine::{OpenError, OrtEngine};
pub use library::{Library, LibraryError, PINNED, PinnedLibrary, default_library_path};
