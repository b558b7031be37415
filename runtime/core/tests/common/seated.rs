//! An engine that comes and goes.

use super::{Act, Scripted};
use echocart_core::engine::{Engine, EngineError, EngineInfo, EngineWatch, Standing};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Where an engine's standing is posted.
pub struct Board {
    number: AtomicU64,
    pub exams: AtomicU64,
    /// The engine panics when it is kept warm.
    pub panics_idle: AtomicBool,
    standing: Mutex<Standing>,
}

impl Board {
    pub fn post(&self, standing: Standing) {
        *self.standing.lock().unwrap() = standing;
        self.number.fetch_add(1, Ordering::SeqCst);
    }

    /// The engine serves; its variant has the same name in small letters.
    pub fn serve(&self, provider: &str) {
        self.post(Standing::Serving(Box::new(EngineInfo {
            provider: provider.to_owned(),
            variant: provider.to_lowercase(),
            ..EngineInfo::default()
        })));
    }
}

impl EngineWatch for Board {
    fn number(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    fn standing(&self) -> Standing {
        self.standing.lock().unwrap().clone()
    }

    fn begin_exam(&self) {
        self.exams.fetch_add(1, Ordering::SeqCst);
    }
}

/// A scripted engine that is there when its board says so; each post is another generation.
struct Seated {
    engine: Box<dyn Engine>,
    board: Arc<Board>,
    generation: u64,
}

impl Engine for Seated {
    fn info(&self) -> EngineInfo {
        EngineInfo::default()
    }

    fn watch(&self) -> Option<Arc<dyn EngineWatch>> {
        Some(self.board.clone())
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn slots(&self) -> usize {
        4
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        match self.board.standing() {
            Standing::Serving(_) => self.engine.encode(tubelets, slot)?,
            Standing::WarmingUp(message) | Standing::Down(message) => {
                return Err(EngineError::Absent { message });
            }
        }
        self.generation = self.board.number();
        Ok(())
    }

    fn keep_warm(&mut self) -> Result<bool, EngineError> {
        let panics = self.board.panics_idle.load(Ordering::SeqCst);
        assert!(!panics, "scripted");
        Ok(false)
    }

    fn encode_kept(&mut self, _: &[f32], _: &[usize], slot: usize) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot })
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.engine.head(name, slots, out)
    }

    fn multi_view_head(
        &mut self,
        _: &str,
        _: &[usize],
        slots: &[usize],
        _: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot: slots[0] })
    }

    fn tokens(&mut self, slot: usize, _: &mut Vec<f32>) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot })
    }
}

/// A scripted engine that warms up, and its board.
pub fn seated(script: impl FnMut(u64) -> Act + Send + 'static) -> (Box<dyn Engine>, Arc<Board>) {
    let board = Arc::new(Board {
        number: AtomicU64::new(0),
        exams: AtomicU64::new(0),
        panics_idle: AtomicBool::new(false),
        standing: Mutex::new(Standing::WarmingUp("loading".to_owned())),
    });
    let engine = Seated {
        engine: Scripted::engine(script),
        board: board.clone(),
        generation: 0,
    };
    (Box::new(engine), board)
}
