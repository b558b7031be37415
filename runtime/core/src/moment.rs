//! What an estimate repeats of the instant it is made at, read once so that its parts agree.

use crate::decide::Level;
use crate::recorder::{EngineRecord, MomentRecord};
use crate::screen::signal::Reading;
use crate::seat::Facts;
use std::sync::Arc;

/// Engine, ladder and image at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub facts: Arc<Facts>,
    pub level: Level,
    pub signal: Option<Reading>,
}

impl From<&Moment> for MomentRecord {
    fn from(moment: &Moment) -> Self {
        let facts = &moment.facts;
        Self {
            level: moment.level,
            engine: EngineRecord {
                provider: facts.provider.clone(),
                degraded: facts.degraded.clone(),
                variant: facts.variant.clone(),
                rests: facts.rests,
            },
            signal: moment.signal,
        }
    }
}
