//! The engine of a page that has none to show.

use echocart_core::engine::{Engine, EngineError, EngineInfo, EngineWatch, Standing};
use std::sync::Arc;

/// An engine that could not be made, and why.
pub struct Vacant(Arc<Why>);

struct Why(String);

impl Vacant {
    /// Says `why` in every event.
    pub fn new(why: String) -> Self {
        Self(Arc::new(Why(why)))
    }

    fn error(&self) -> EngineError {
        let message = self.0.0.clone();
        EngineError::Absent { message }
    }
}

impl EngineWatch for Why {
    fn number(&self) -> u64 {
        0
    }

    fn standing(&self) -> Standing {
        Standing::Down(self.0.clone())
    }

    fn begin_exam(&self) {}
}

impl Engine for Vacant {
    fn info(&self) -> EngineInfo {
        EngineInfo::default()
    }

    fn watch(&self) -> Option<Arc<dyn EngineWatch>> {
        Some(self.0.clone())
    }

    fn slots(&self) -> usize {
        0
    }

    fn encode(&mut self, _: &[Arc<Vec<f32>>], _: usize) -> Result<(), EngineError> {
        Err(self.error())
    }

    fn encode_kept(&mut self, _: &[f32], _: &[usize], _: usize) -> Result<(), EngineError> {
        Err(self.error())
    }

    fn head(&mut self, _: &str, _: &[usize], _: &mut Vec<f32>) -> Result<(), EngineError> {
        Err(self.error())
    }

    fn multi_view_head(
        &mut self,
        _: &str,
        _: &[usize],
        _: &[usize],
        _: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        Err(self.error())
    }

    fn tokens(&mut self, _: usize, _: &mut Vec<f32>) -> Result<(), EngineError> {
        Err(self.error())
    }
}
