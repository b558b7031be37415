//! The degradation ladder as both threads see it.

use crate::clock::{self, Pace};
use crate::decide::{Ladder, LadderRules, Level, Load};
use crate::events::Reason;
use crate::recorder::{LoadRecord, Record, Tap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The ladder; it stays at [`Level::Full`] in virtual time.
#[derive(Debug)]
pub(crate) struct Effort {
    pace: Pace,
    state: Mutex<State>,
    recorder: Tap,
}

#[derive(Debug)]
struct State {
    ladder: Ladder,
    failed: bool,
}

impl Effort {
    pub fn new(pace: Pace, recorder: Tap) -> Self {
        Self {
            pace,
            state: Mutex::new(State {
                ladder: Ladder::new(LadderRules::default()),
                failed: false,
            }),
            recorder,
        }
    }

    pub fn level(&self) -> Level {
        self.lock().ladder.level()
    }

    /// Takes a measurement; the new level when it has changed.
    pub fn step(&self, busy: f64, failed: bool) -> Option<Level> {
        if self.pace == Pace::Max {
            return None;
        }
        let mut state = self.lock();
        let before = state.ladder.level();
        let load = Load {
            at_nanos: clock::now_nanos(),
            busy,
            hot: false,
            failed,
        };
        let ladder = self.recorder.is_on().then(|| state.ladder.clone());
        let level = state.ladder.step(load);
        if let Some(before) = ladder {
            let after = level;
            let record = LoadRecord {
                before,
                load,
                after,
            };
            self.recorder
                .record(None, || Record::Load(Box::new(record)));
        }
        state.failed |= failed;
        state.failed &= level >= Level::SignalOnly;
        (level != before).then_some(level)
    }

    /// Why no clip is inferred at present, if so.
    pub fn rests(&self) -> Option<Reason> {
        let state = self.lock();
        (state.ladder.level() >= Level::SignalOnly).then_some(match state.failed {
            true => Reason::EngineDown,
            false => Reason::Degraded,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the numbers are fewer than they could be, in words.
pub(crate) fn words(engine: Option<&String>, level: Level) -> Option<String> {
    match (engine, level) {
        (engine, Level::Full) => engine.cloned(),
        (None, level) => Some(level.to_string()),
        (Some(engine), level) => Some(format!("{engine}; {level}")),
    }
}
