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
    let since = epoch.elapsed();
    // Below 2^63 for 292 years.
    (since.as_secs() as i64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(since.subsec_nanos().into())
}

/// How time passes for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Frames come when they were captured; what is late is superseded and counted.
    Real,
    /// Virtual time: the clock is capture time, every due clip is inferred, nothing is dropped.
    Max,
}
