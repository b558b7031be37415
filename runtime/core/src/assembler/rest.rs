//! How the assembler's thread sleeps.

use crate::ring::FrameConsumer;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

/// Longest sleep: how soon a gap or a returned clip is noticed.
pub(super) const IDLE: Duration = Duration::from_millis(20);
/// Sleep between looks at the ring while live frames come: they wait no longer, and the thread
/// that pushes them need not wake this one.
const NAP: Duration = Duration::from_millis(2);
/// How long after a live frame the next one is expected.
const EXPECTANT: Duration = Duration::from_millis(250);

/// Whether a live frame is expected soon.
#[derive(Debug, Default)]
pub(super) struct Rest {
    until: Option<Instant>,
}

impl Rest {
    /// A live frame came.
    pub fn live_frame(&mut self) {
        self.until = Instant::now().checked_add(EXPECTANT);
    }

    /// Sleeps until there may be something to do.
    pub fn sleep(&self, frames: &FrameConsumer) {
        if self.until.is_some_and(|until| Instant::now() < until) {
            park_timeout(NAP);
        } else if frames.doze() {
            park_timeout(IDLE);
        }
    }
}
