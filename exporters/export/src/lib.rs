//! EchoJEPA checkpoints to checked ONNX packages.
//!
//! [`export`] reads `.pt` and safetensors files, or makes weights by the generator, and writes a package.
//! [`parity`] runs an exported golden case on an engine and compares it with the original model.
#![forbid(unsafe_code)]

mod calibration;
pub mod checkpoint;
mod derived;
pub mod engines;
mod error;
pub mod generator;
mod golden;
pub mod graph;
mod input;
pub mod layout;
pub mod onnx;
mod output;
mod package;
pub mod parity;
pub mod pickle;
mod plain;
mod progress;
pub mod quantise;
mod recipe;
mod refit;
mod scaler;
#[cfg(test)]
mod schema;
mod source;
pub mod variant;

pub use calibration::KeptCalibration;
pub use derived::{check_out_dir, derive};
pub use error::ExportError;
pub use golden::{GoldenFrames, GoldenPlan, MakeGoldenEngine};
pub use input::{MOST_TEXT_BYTES, read_text};
pub use package::{ExportReport, ExportRequest, export, export_with_golden};
pub use plain::{PlainVariant, UnknownVariant, check_variants};
pub use progress::Progress;
pub use recipe::{Recipe, RecipeHead, RecipeOutput, ScalerFrom};
pub use refit::{NewHead, refit, replaceable};
pub use scaler::read_scaler;
pub use source::{OUTLIERS, WeightSource};
