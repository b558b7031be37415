//! Trains a small EchoJEPA and its probes on simulated hearts.
//!
//! Clips of the phantom go into a cache, an encoder learns to predict hidden parts of them from the
//! rest, and probes read views and ejection fractions from what it learned. No clinical meaning.

pub mod augment;
pub mod cache;
pub mod collapse;
pub mod encoder_file;
pub mod equal;
mod error;
pub mod evaluate;
pub mod fit;
pub mod head;
pub mod jepa;
pub mod masks;
pub mod measure;
pub mod net;
pub mod optimiser;
pub mod parallel;
pub mod perturb;
pub mod phantoms;
pub mod plot;
pub mod pretrain;
pub mod probing;
pub mod progress;
pub mod render;
pub mod settings;
pub mod store;
pub mod supervised;
pub mod whiten;

pub use error::TrainError;
