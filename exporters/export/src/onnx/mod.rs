//! ONNX files: the messages, external weights, and a small graph builder.

pub mod graph;
pub mod proto;
pub mod weights;
