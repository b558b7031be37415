//! A running session as a monitor sees it.

use crate::assembler::Snapshot;
use crate::context::Context;
use crate::decide::Level;
use crate::events::Counters;
use crate::latency::Latencies;
use std::fmt;
use std::sync::{Arc, PoisonError};

/// Reads a session's counters, latencies and ladder from any thread, also after its end.
#[derive(Clone)]
pub struct Observer {
    context: Arc<Context>,
    snapshot: Snapshot,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    pub(crate) fn new(context: Arc<Context>, snapshot: Snapshot) -> Self {
        Self { context, snapshot }
    }

    /// Where every frame is, as of the assembler's newest decision.
    pub fn counters(&self) -> Counters {
        let counters = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        counters.clone()
    }

    /// How long things take.
    pub fn latencies(&self) -> &Latencies {
        &self.context.latencies
    }

    /// Where the degradation ladder is.
    pub fn level(&self) -> Level {
        self.context.effort.level()
    }
}
