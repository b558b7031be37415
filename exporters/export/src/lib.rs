//! EchoJEPA checkpoints to checked ONNX packages.
//!
//! [`export`] reads `.pt` and safetensors files, or makes weights by the generator, and writes a package.
//! [`parity`] runs an exported golden case on an engine and compares it with the original model.
#![forbid(unsafe_code)]

pub mod checkpoint;
mod error;
pub mod generator;
pub mod graph;
mod input;
pub mod layout;
pub mod onnx;
mod output;
mod package;
pub mod parity;
pub mod pickle;
mod progress;
mod recipe;
mod scaler;
mod source;

pub use error::ExportError;
pub use package::{ExportReport, ExportRequest, export};
pub use progress::Progress;
pub use recipe::{Recipe, RecipeHead};
pub use scaler::read_scaler;
pub use source::WeightSource;
