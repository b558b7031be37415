//! When an idle engine is run once so that it stays warm.

use crate::clock::Pace;
use std::time::{Duration, Instant};

/// An inference that follows the one before by more than this comes after a pause.
const PAUSE: Duration = Duration::from_secs(1);
/// A pulse that takes longer would keep the next clip waiting for more than it saves.
const LONGEST_PULSE: Duration = Duration::from_millis(100);
/// Idle time per time of a pulse: pulses on two cores take at most 1 % of one.
const IDLE_SHARE: u32 = 200;

/// What the inference thread knows of its last work.
#[derive(Debug)]
pub(crate) struct Warmth {
    pace: Pace,
    /// End of the newest clip's inference.
    clip_ended: Option<Instant>,
    /// How long the newest answer of an engine that works took: a clip's or a pulse's.
    took: Option<Duration>,
}

impl Warmth {
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            clip_ended: None,
            took: None,
        }
    }

    /// How long to wait for a clip before a pulse; none: no pulse is due before the next clip.
    pub fn patience(&self) -> Option<Duration> {
        match self.pace {
            Pace::Real => self.took.and_then(pulse_after),
            Pace::Max => None,
        }
    }

    /// Whether a clip that begins now comes after a pause. The first one does not.
    pub fn paused(&self, now: Instant) -> bool {
        self.clip_ended
            .is_some_and(|ended| now.saturating_duration_since(ended) > PAUSE)
    }

    /// A clip was answered.
    pub fn inferred(&mut self, now: Instant, took: Duration) {
        self.clip_ended = Some(now);
        self.took = Some(took);
    }

    /// A pulse was answered.
    pub fn pulsed(&mut self, took: Duration) {
        self.took = Some(took);
    }

    /// Nothing is known of the engine: no pulse until it answers a clip again.
    pub fn forget(&mut self) {
        self.took = None;
    }
}

fn pulse_after(took: Duration) -> Option<Duration> {
    (took <= LONGEST_PULSE).then(|| PAUSE.max(took * IDLE_SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulses_are_rare_and_never_long() {
        let millis = Duration::from_millis;
        assert_eq!(pulse_after(millis(2)), Some(millis(1000)));
        assert_eq!(pulse_after(millis(30)), Some(millis(6000)));
        assert_eq!(pulse_after(millis(101)), None);
    }

    #[test]
    fn nothing_is_due_before_the_first_work_after_a_failure_or_in_virtual_time() {
        let begin = Instant::now();
        let mut warmth = Warmth::new(Pace::Real);
        assert!(warmth.patience().is_none() && !warmth.paused(begin));
        warmth.inferred(begin, Duration::from_millis(5));
        assert_eq!(warmth.patience(), Some(PAUSE));
        assert!(!warmth.paused(begin + PAUSE));
        warmth.pulsed(Duration::from_millis(20));
        assert_eq!(warmth.patience(), Some(PAUSE * 4));
        assert!(warmth.paused(begin + PAUSE + Duration::from_nanos(1)));
        warmth.forget();
        assert!(warmth.patience().is_none());
        let mut warmth = Warmth::new(Pace::Max);
        warmth.inferred(begin, Duration::from_millis(5));
        assert!(warmth.patience().is_none());
    }
}
