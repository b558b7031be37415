//! When a worker that failed is started again.

use std::time::Duration;

/// How patient the host is with a worker that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffRules {
    /// Wait after the first failure; each further one within the window waits four times as long.
    pub first_wait: Duration,
    /// How long a failure counts.
    pub window: Duration,
    /// Failures within the window after which the worker stays off.
    pub most_failures: usize,
    /// How waits pass.
    pub waits: Waits,
}

/// How the time of a wait passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Waits {
    /// By itself.
    #[default]
    Slept,
    /// At once, on a clock that then is so much ahead: for tests.
    Skipped,
}

impl Default for BackoffRules {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(250),
            window: Duration::from_secs(600),
            most_failures: 3,
            waits: Waits::Slept,
        }
    }
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start again after this long.
    After(Duration),
    /// Do not start before the next exam.
    Off,
}

/// Counts failures. Pure: time is what the caller says.
#[derive(Debug, Clone)]
pub struct Backoff {
    rules: BackoffRules,
    failed_at: Vec<Duration>,
    off: bool,
}

impl Backoff {
    /// Starts without a failure.
    pub fn new(rules: BackoffRules) -> Self {
        Self {
            rules,
            failed_at: Vec::new(),
            off: false,
        }
    }

    /// Takes a failure at `now`, time since some fixed start.
    pub fn failed(&mut self, now: Duration) -> Next {
        let window = self.rules.window;
        self.failed_at.retain(|at| now.saturating_sub(*at) < window);
        self.failed_at.push(now);
        self.off |= self.failed_at.len() >= self.rules.most_failures;
        if self.off {
            return Next::Off;
        }
        let steps = u32::try_from(self.failed_at.len() - 1).unwrap_or(u32::MAX);
        let times = 4u32.saturating_pow(steps);
        Next::After(self.rules.first_wait.saturating_mul(times))
    }

    /// Forgets every failure: the next exam begins.
    pub fn new_exam(&mut self) {
        self.failed_at.clear();
        self.off = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_third_failure_within_ten_minutes_is_off_until_the_next_exam() {
        let mut backoff = Backoff::new(BackoffRules::default());
        assert_eq!(
            backoff.failed(secs(0)),
            Next::After(Duration::from_millis(250))
        );
        assert_eq!(backoff.failed(secs(300)), Next::After(secs(1)));
        assert_eq!(backoff.failed(secs(599)), Next::Off);
        assert_eq!(backoff.failed(secs(9000)), Next::Off);
        backoff.new_exam();
        assert!(matches!(backoff.failed(secs(9001)), Next::After(_)));
    }

    #[test]
    fn a_failure_of_ten_minutes_ago_no_longer_counts() {
        let mut backoff = Backoff::new(BackoffRules::default());
        for at in [0, 301, 602, 903, 1204] {
            assert!(matches!(backoff.failed(secs(at)), Next::After(_)), "{at}");
        }
    }

    proptest! {
        #[test]
        fn it_is_off_exactly_when_three_failures_of_one_exam_lie_within_the_window(
            steps in prop::collection::vec((0u64..400, any::<bool>()), 1..40),
        ) {
            let mut backoff = Backoff::new(BackoffRules::default());
            let (mut now, mut since, mut off) = (0, Vec::new(), false);
            for (gap, exam) in steps {
                now += gap;
                if exam {
                    backoff.new_exam();
                    since.clear();
                    off = false;
                }
                since.push(now);
                off |= since.iter().filter(|at| now - **at < 600).count() >= 3;
                prop_assert_eq!(backoff.failed(secs(now)) == Next::Off, off);
            }
        }
    }
}
