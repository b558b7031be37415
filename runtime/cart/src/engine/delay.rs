//! An engine that takes longer than it needs: the latency of a larger model, for benches.

use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::engine_of_field;
use std::sync::Arc;
use std::time::Duration;

/// Waits after every clip; the time is slept, so it costs no processor time.
pub struct Delayed {
    engine: Box<dyn Engine>,
    by: Duration,
}

impl Delayed {
    /// Makes `engine` slower by `by` per clip.
    pub fn new(engine: Box<dyn Engine>, by: Duration) -> Self {
        Self { engine, by }
    }
}

impl Engine for Delayed {
    fn info(&self) -> EngineInfo {
        let mut info = self.engine.info();
        let said = format!("bench: {} ms added to every clip", self.by.as_millis());
        info.degraded = Some(match info.degraded {
            Some(before) => format!("{before}; {said}"),
            None => said,
        });
        info
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        std::thread::sleep(self.by);
        self.engine.encode(tubelets, slot)
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        std::thread::sleep(self.by);
        self.engine.encode_kept(rows, ids, slot)
    }

    engine_of_field!(engine);
}
