//! An engine that answers what was recorded, and asks a real one beside it where there is one.

use crate::engine::{Engine, EngineError, EngineInfo};
use crate::manifest::{LVEF, VIEW};
use crate::recorder::record::Answer;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a real engine answered beside the recorded answers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Inferred {
    /// Clips whose frames were all stored, so that the model ran on them.
    pub clips: u64,
    /// Clips whose frames were not all stored.
    pub without_frames: u64,
    /// Clips on which the engine failed.
    pub failed: u64,
    /// Numbers of all heads that were compared.
    pub numbers: u64,
    /// Of them, those with other bits.
    pub differing: u64,
    /// Largest difference of a view logit.
    pub view_most: f32,
    /// Largest difference of a standardised EF.
    pub lvef_most: f32,
}

/// What the next clip's questions are answered with.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub encoder: Answer,
    pub view: Answer,
    pub lvef: Answer,
    pub generation: u64,
    pub slots: usize,
    /// A question that was not asked then.
    pub strayed: Option<&'static str>,
    pub inferred: Inferred,
}

/// The script as both ends hold it; both are used by one thread.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Script>>);

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Recorded {
    script: Shared,
    real: Option<Box<dyn Engine>>,
    /// Which slots of the real engine hold tokens.
    filled: Vec<bool>,
}

impl Recorded {
    pub fn new(script: Shared, real: Option<Box<dyn Engine>>) -> Self {
        Self {
            script,
            filled: vec![false; real.as_ref().map_or(0, |r| r.slots())],
            real,
        }
    }

    fn compare(&mut self, name: &str, slots: &[usize], bits: &[u32]) {
        let filled = |s: &usize| self.filled.get(*s).copied().unwrap_or(false);
        let Some(real) = self.real.as_mut().filter(|_| slots.iter().all(filled)) else {
            return;
        };
        let mut now = Vec::new();
        let answered = real.head(name, slots, &mut now);
        let inferred = &mut self.script.lock().inferred;
        if answered.is_err() || now.len() != bits.len() {
            inferred.failed += 1;
            return;
        }
        let most = match name {
            VIEW => &mut inferred.view_most,
            _ => &mut inferred.lvef_most,
        };
        for (now, then) in now.iter().zip(bits) {
            inferred.numbers += 1;
            inferred.differing += u64::from(now.to_bits() != *then);
            *most = most.max((now - f32::from_bits(*then)).abs());
        }
    }

    /// The recorded answer; the real engine, where there is one, is asked as well.
    fn encode_with(
        &mut self,
        without_frames: bool,
        slot: usize,
        encode: impl FnOnce(&mut dyn Engine) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let answer = self.script.lock().encoder.clone();
        if answer == Answer::NotAsked {
            self.script.lock().strayed = Some("the encoder");
        }
        if let Some(filled) = self.filled.get_mut(slot) {
            *filled = false;
        }
        match answer {
            Answer::Gave(_) => {}
            Answer::Absent => return Err(absent()),
            Answer::NotAsked | Answer::Failed => return Err(failed("encoder")),
        }
        if let Some(real) = &mut self.real {
            let inferred = &mut self.script.lock().inferred;
            if without_frames {
                inferred.without_frames += 1;
            } else if encode(real.as_mut()).is_ok() {
                inferred.clips += 1;
                if let Some(filled) = self.filled.get_mut(slot) {
                    *filled = true;
                }
            } else {
                inferred.failed += 1;
            }
        }
        Ok(())
    }
}

impl Engine for Recorded {
    fn info(&self) -> EngineInfo {
        EngineInfo::default()
    }

    fn generation(&self) -> u64 {
        self.script.lock().generation
    }

    fn slots(&self) -> usize {
        self.script.lock().slots
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        self.encode_with(tubelets.is_empty(), slot, |real| {
            real.encode(tubelets, slot)
        })
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        self.encode_with(rows.is_empty(), slot, |real| {
            real.encode_kept(rows, ids, slot)
        })
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        let answer = {
            let mut script = self.script.lock();
            let (answer, who) = match name {
                VIEW => (script.view.clone(), "the view head"),
                LVEF => (script.lvef.clone(), "the EF head"),
                _ => (Answer::NotAsked, "another head"),
            };
            if answer == Answer::NotAsked {
                script.strayed = Some(who);
            }
            answer
        };
        let bits = match answer {
            Answer::Gave(bits) => bits,
            Answer::Absent => return Err(absent()),
            Answer::NotAsked | Answer::Failed => return Err(failed(name)),
        };
        out.clear();
        out.extend(bits.iter().map(|b| f32::from_bits(*b)));
        self.compare(name, slots, &bits);
        Ok(())
    }

    fn multi_view_head(
        &mut self,
        _name: &str,
        _places: &[usize],
        _slots: &[usize],
        _out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        Err(failed("multi-view head"))
    }

    fn tokens(&mut self, slot: usize, _out: &mut Vec<f32>) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot })
    }
}

fn absent() -> EngineError {
    EngineError::Absent {
        message: "as recorded".to_owned(),
    }
}

fn failed(what: &str) -> EngineError {
    EngineError::Failed {
        what: what.to_owned(),
        message: "as recorded".to_owned(),
    }
}
