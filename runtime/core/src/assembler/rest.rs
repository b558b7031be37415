//! How the assembler's thread sleeps.

use crate::ring::FrameConsumer;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

/// Longest sleep: how soon a gap or a returned clip is noticed.
pub(super) const IDLE: Duration = Duration::from_millis(20);
/// Sleep between looks at the ring while live frames come: they wait no longer, and the thread
/// that pushes them need not wake this one.
const NAP: Duration = Duration::from_millis(2);
/// The same while the image stands still: nothing waits for its end but the next clip.
const STILL_NAP: Duration = Duration::from_millis(8);
/// How long after a live frame the next one is expected.
const EXPECTANT: Duration = Duration::from_millis(250);

/// Whether a live frame is expected soon.
#[derive(Debug, Default)]
pub(super) struct Rest {
    until: Option<Instant>,
    still: bool,
}

impl Rest {
    /// A live frame came; `still` says that the image is frozen.
    pub fn live_frame(&mut self, still: bool) {
        self.still = still;
        self.until = Instant::now().checked_add(EXPECTANT);
    }

    /// Sleeps until there may be something to do.
    pub fn sleep(&self, frames: &FrameConsumer) {
        if self.until.is_some_and(|until| Instant::now() < until) {
            park_timeout(if self.still { STILL_NAP } else { NAP });
        } else if frames.doze() {
            park_timeout(IDLE);
        }
    }
}
