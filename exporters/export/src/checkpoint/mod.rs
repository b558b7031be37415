//! Checkpoint files: `torch.save` archives and safetensors, the encoder's and the probes' tensors.

mod archive;
mod encoder;
mod huggingface;
mod probe;
mod safetensors;
mod state;

pub use archive::Archive;
pub use encoder::{CheckedEncoder, ENCODER_KEY, read_encoder};
pub use probe::{Best, ChosenProbe, FoundEmbedding, ProbeFacts, probe_facts, read_probe};
pub use safetensors::Safetensors;
pub use state::StateDict;
