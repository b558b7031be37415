//! `torch.save` files: the archive, the encoder's and the probes' state dicts.

mod archive;
mod encoder;
mod probe;
mod state;

pub use archive::Archive;
pub use encoder::{ENCODER_KEY, read_encoder};
pub use probe::{Best, ChosenProbe, read_probe};
pub use state::StateDict;
