//! How long one call may compute before its worker counts as hung.

use echocart_core::clock;
use echocart_core::engine::Timings;
use std::time::Duration;

/// A call may take this many times what the slowest took so far.
const FACTOR: u32 = 8;
/// Bounds of the time allowed, unless the slowest call so far came near the upper one.
const LEAST: Duration = Duration::from_secs(2);
pub(super) const MOST: Duration = Duration::from_secs(60);
/// How long a worker may take to open: a provider may build its engines in that time.
pub(super) const OPENING: Duration = Duration::from_secs(1800);

/// What calls took so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    slowest: Duration,
    least: Duration,
}

impl Pace {
    /// Starts with what the golden clips took, if that is known.
    pub fn of(timings: Option<&Timings>, pace: clock::Pace) -> Self {
        let heads = |t: &Timings| t.heads_nanos.values().copied().max().unwrap_or(0);
        let nanos = timings.map(|t| t.encode_nanos.max(heads(t)));
        Self {
            slowest: Duration::from_nanos(nanos.unwrap_or(0)),
            least: match pace {
                clock::Pace::Real => LEAST,
                clock::Pace::Max => MOST,
            },
        }
    }

    /// Takes a call that was answered.
    pub fn answered(&mut self, took: Duration) {
        self.slowest = self.slowest.max(took);
    }

    /// How long the next call may take.
    pub fn allowed(&self) -> Duration {
        if self.slowest.is_zero() {
            return MOST;
        }
        let usual = self.slowest.saturating_mul(FACTOR).clamp(self.least, MOST);
        usual.max(self.slowest.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_allowed_follows_what_was_measured_within_its_bounds() {
        let after = |millis: u64| {
            let mut pace = Pace::of(None, clock::Pace::Real);
            pace.answered(Duration::from_millis(millis));
            pace.allowed().as_millis()
        };
        assert_eq!(Pace::of(None, clock::Pace::Real).allowed(), MOST);
        let mut virtual_time = Pace::of(None, clock::Pace::Max);
        virtual_time.answered(Duration::from_millis(10));
        assert_eq!(virtual_time.allowed(), MOST);
        assert_eq!(
            [10, 250, 500, 7_000, 9_000].map(after),
            [2_000, 2_000, 4_000, 56_000, 60_000]
        );
        assert_eq!(after(45_000), 90_000);
        let timings = Timings {
            encode_nanos: 500_000_000,
            ..Timings::default()
        };
        let mut pace = Pace::of(Some(&timings), clock::Pace::Real);
        assert_eq!(pace.allowed(), Duration::from_secs(4));
        pace.answered(Duration::from_millis(1));
        assert_eq!(pace.allowed(), Duration::from_secs(4));
    }
}
