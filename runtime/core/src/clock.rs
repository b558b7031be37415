//! One monotonic clock for capture, arrival and sending.

use std::sync::OnceLock;
use std::time::Instant;

static EPOCH: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds since the process first asked for the time. Never goes back.
///
/// # Real-time
/// One clock read, no lock after the first call.
#[inline]
pub fn now_nanos() -> i64 {
    let epoch = EPOCH.get_or_init(Instant::now);
    i64::try_from(epoch.elapsed().as_nanos()).unwrap_or(i64::MAX)
}

/// How time passes for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Frames come when they were captured; what is late is superseded and counted.
    Real,
    /// Virtual time: the clock is capture time, every due clip is inferred, nothing is dropped.
    Max,
}
