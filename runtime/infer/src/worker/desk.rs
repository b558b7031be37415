//! What an engine, its keeper and its watchers share.

use super::link::{Shared, Socket};
use super::message::Message;
use super::setup::Running;
use crate::refusal::Refused;
use echocart_core::engine::{self, EngineWatch};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a worker is to its engine.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// Started for the first time, and what it does.
    WarmingUp(String),
    /// Not there, and why; it may come back.
    Down(String),
    /// Open.
    Ready(Ready),
}

/// A worker that answers.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub socket: Arc<Socket>,
    pub shared: Arc<Shared>,
    pub running: Arc<Running>,
    /// How many workers there were before it.
    pub number: u64,
    pub pid: u32,
}

#[derive(Debug)]
pub(super) struct State {
    pub standing: Standing,
    pub reply: Option<Message>,
    /// When the call in flight was made.
    pub asked: Option<Instant>,
    pub stop: bool,
    /// An exam began since the keeper last looked.
    pub new_exam: bool,
    /// Why the first worker did not open, if so.
    pub refused: Option<(Refused, String)>,
}

#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    number: AtomicU64,
}

impl Desk {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                standing: Standing::WarmingUp("the worker is starting".to_owned()),
                reply: None,
                asked: None,
                stop: false,
                new_exam: false,
                refused: None,
            }),
            changed: Condvar::new(),
            number: AtomicU64::new(0),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.changed.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, for at most `patience`.
    pub fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State>,
        patience: Duration,
    ) -> MutexGuard<'a, State> {
        let woken = self.changed.wait_timeout(state, patience);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    pub fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.lock());
        self.changed.notify_all();
    }

    /// Changes the standing, which every watcher then sees.
    pub fn post(&self, standing: Standing) {
        let mut state = self.lock();
        state.standing = standing;
        (state.reply, state.asked) = (None, None);
        // ORDERING: Release pairs with the Acquire in `number`; the standing itself is under the
        // lock.
        self.number.fetch_add(1, Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }
}

impl Desk {
    /// Adds how the worker ended to why it is down; that alone is no news.
    pub fn amend(&self, why: String) {
        let mut state = self.lock();
        if matches!(state.standing, Standing::Down(_)) {
            state.standing = Standing::Down(why);
        } else {
            drop(state);
            self.post(Standing::Down(why));
        }
    }
}

impl EngineWatch for Desk {
    fn number(&self) -> u64 {
        // ORDERING: pairs with the Release in `post`.
        self.number.load(Ordering::Acquire)
    }

    fn standing(&self) -> engine::Standing {
        match &self.lock().standing {
            Standing::WarmingUp(what) => engine::Standing::WarmingUp(what.clone()),
            Standing::Down(why) => engine::Standing::Down(why.clone()),
            Standing::Ready(ready) => engine::Standing::Serving(Box::new(ready.running.info())),
        }
    }

    fn begin_exam(&self) {
        self.change(|state| state.new_exam = true);
    }
}
