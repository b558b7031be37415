//! The clock of `echocart_core`, read in one step.
#![expect(
    unsafe_code,
    reason = "a call of libc's that writes to a local variable"
)]

use echocart_core::clock;
pub(crate) use echocart_core::clock::epoch_nanos;

/// As [`clock::now_nanos`], but by libc's function, for which a host may put its own: the conformance kit
/// makes it fail to provoke a panic.
///
/// # Real-time
/// One clock read.
#[inline(always)]
pub(crate) fn now_nanos() -> i64 {
    // Before the time is read: the first call of a process sets it.
    since_nanos(clock::epoch_nanos())
}

/// As [`now_nanos`], by who has asked for [`clock::epoch_nanos`] before.
///
/// # Real-time
/// One clock read.
#[inline(always)]
pub(crate) fn since_nanos(epoch_nanos: i64) -> i64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a place for the answer.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) } != 0 {
        no_clock();
    }
    // Times of this clock begin with the machine: no sum of them overflows.
    now.tv_sec
        .wrapping_mul(1_000_000_000)
        .wrapping_add(now.tv_nsec)
        .wrapping_sub(epoch_nanos)
}

#[cold]
#[expect(
    clippy::panic,
    reason = "a defect of the system, caught at the boundary"
)]
fn no_clock() -> ! {
    panic!("the system gives no time of CLOCK_MONOTONIC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_read_the_clock_give_the_same_time() {
        let mut last = clock::now_nanos();
        for _ in 0..1000 {
            for now in [now_nanos(), clock::now_nanos()] {
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        }
    }
}
