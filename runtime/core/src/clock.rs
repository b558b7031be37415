//! One monotonic clock for capture, arrival and sending.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::sync::OnceLock;

static EPOCH: OnceLock<i64> = OnceLock::new();

/// Nanoseconds since the process first asked for the time. Never goes back.
///
/// # Real-time
/// One clock read, no lock after the first call.
#[inline]
pub fn now_nanos() -> i64 {
    // Before the time is read: the first call of a process sets it.
    let epoch_nanos = epoch_nanos();
    monotonic_nanos() - epoch_nanos
}

/// When the process first asked for the time, on the system's clock CLOCK_MONOTONIC.
#[inline]
pub fn epoch_nanos() -> i64 {
    *EPOCH.get_or_init(monotonic_nanos)
}

#[inline]
fn monotonic_nanos() -> i64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    // Below 2^63 for 292 years.
    tv_sec * 1_000_000_000 + tv_nsec
}

/// How time passes for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Frames come when they were captured; what is late is superseded and counted.
    Real,
    /// Virtual time: the clock is capture time, every due clip is inferred, nothing is dropped.
    Max,
}
