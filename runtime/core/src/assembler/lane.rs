//! What the assembler keeps for each package of the session.

use super::Handoff;
use crate::context::Context;
use crate::manifest::Encoder;
use crate::preprocess::Preprocessor;
use std::sync::Arc;

/// The way of clips to one package's inference thread.
pub(crate) struct Lane {
    pub context: Arc<Context>,
    pub encoder: Encoder,
    pub preprocessor: Preprocessor,
    pub handoff: Handoff,
    /// Clips that are not back.
    pub outstanding: usize,
    /// The thread is gone.
    pub gone: bool,
}

impl Lane {
    pub fn new(context: Arc<Context>, preprocessor: Preprocessor, handoff: Handoff) -> Self {
        Self {
            encoder: context.manifest.encoder.clone(),
            context,
            preprocessor,
            handoff,
            outstanding: 0,
            gone: false,
        }
    }
}
