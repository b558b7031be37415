//! What calibration asks of whoever runs graphs.

pub use echocart_core::graph::{GraphInput as Input, GraphOutput as Output};
use std::path::Path;

/// A loaded graph.
pub trait LoadedGraph {
    /// Runs it once and gives every output.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn run(&mut self, inputs: &[(&str, Input<'_>)]) -> Result<Vec<Output>, String>;
}

/// Loads graphs.
pub trait GraphRunner {
    /// Provider and library, for example `CPU` and `onnxruntime 1.28.0`.
    fn name(&self) -> (String, String);

    /// Loads a graph file whose weights lie beside it.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn open(&mut self, path: &Path) -> Result<Box<dyn LoadedGraph>, String>;

    /// Loads the bytes of an ONNX file that holds all its weights.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn load(&mut self, model: &[u8]) -> Result<Box<dyn LoadedGraph>, String>;
}
