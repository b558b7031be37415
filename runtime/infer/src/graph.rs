//! One graph by itself, with any inputs and outputs: for measuring, not for the live path.

use crate::library::Library;
use echocart_core::graph::{GraphInput, GraphOutput};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;
use std::borrow::Cow;
use std::path::Path;

/// Quantise and dequantise nodes run as they stand: no integer kernels, which round differently from
/// one processor to the next, and no moving of 8-bit floats to where no kernel takes them.
const AS_WRITTEN: &str = "session.disable_quant_qdq";

/// Why a graph does not load or run; the message is ONNX Runtime's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("graph: {message}")]
pub struct GraphError {
    /// What ONNX Runtime said, in one line.
    pub message: String,
}

fn said(error: impl std::fmt::Display) -> GraphError {
    GraphError {
        message: error.to_string().replace('\n', " "),
    }
}

fn builder(library: &Library, threads: usize) -> Result<SessionBuilder, GraphError> {
    Session::builder(&library.environment)
        .map_err(said)?
        .with_intra_threads(threads)
        .map_err(said)?
        .with_intra_op_spinning(false)
        .map_err(said)?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(said)?
        .with_config_entry(AS_WRITTEN, "1")
        .map_err(said)
}

/// A graph on its own, on ONNX Runtime's CPU provider.
pub struct GraphSession {
    session: Session,
}

impl GraphSession {
    /// Loads `model`, the bytes of an ONNX file without external data.
    ///
    /// # Errors
    /// [`GraphError`] for what ONNX Runtime does not take.
    pub fn open(library: &Library, model: &[u8], threads: usize) -> Result<Self, GraphError> {
        let session = builder(library, threads)?
            .commit_from_memory(model)
            .map_err(said)?;
        Ok(Self { session })
    }

    /// Loads a graph file whose weights lie beside it.
    ///
    /// # Errors
    /// [`GraphError`] for what ONNX Runtime does not take.
    pub fn open_file(library: &Library, path: &Path, threads: usize) -> Result<Self, GraphError> {
        let session = builder(library, threads)?
            .commit_from_file(path)
            .map_err(said)?;
        Ok(Self { session })
    }

    /// Runs it once and gives every output.
    ///
    /// # Errors
    /// [`GraphError`] for inputs that do not fit and for outputs that are not 32-bit floats.
    pub fn run(
        &mut self,
        inputs: &[(&str, GraphInput<'_>)],
    ) -> Result<Vec<GraphOutput>, GraphError> {
        let mut given: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
        for &(name, input) in inputs {
            let value = match input {
                GraphInput::Floats { shape, values } => {
                    TensorRef::from_array_view((shape, values)).map(SessionInputValue::from)
                }
                GraphInput::Integers { shape, values } => {
                    TensorRef::from_array_view((shape, values)).map(SessionInputValue::from)
                }
            };
            given.push((Cow::Borrowed(name), value.map_err(said)?));
        }
        let outputs = self.session.run(given).map_err(said)?;
        outputs
            .iter()
            .map(|(name, value)| {
                let (shape, values) = value.try_extract_tensor::<f32>().map_err(said)?;
                Ok(GraphOutput {
                    name: name.to_owned(),
                    shape: shape.iter().map(|&n| n.max(0) as usize).collect(),
                    values: values.to_vec(),
                })
            })
            .collect()
    }
}
