//! Time-exact sampling: which frame stands for which grid time.
//!
//! Slot `k` is due at `origin + k / rate`. It takes the nearest frame, at most `max_skew` away,
//! and no frame stands for two slots. A slot is decided when a frame at or after its grid time
//! arrives, or when [`Grid::expire`] says that none will come. After as many gaps in a row as a
//! clip has frames the grid waits, and starts again with the next frame.

use crate::manifest::Sampling;
use crate::ring::MAX_CAPTURE_NANOS;
use serde::{Deserialize, Serialize};

/// Most slots of a grid that was read: years at any rate.
const MOST_SLOTS: u64 = 1 << 40;

/// A frame as the grid sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Frame number.
    pub number: u64,
    /// Capture time.
    pub capture_nanos: i64,
}

/// What the grid says about frames and slots, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This frame stands for the next slot.
    Chosen(Candidate),
    /// No frame stands for the next slot.
    Gap,
    /// This frame stands for no slot.
    Passed(Candidate),
    /// A clip's worth of slots were gaps: slots start again from 0 at the next frame.
    Restarted,
}

/// The sampling grid of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    #[serde(skip)]
    rate_hz: f64,
    #[serde(skip)]
    max_skew_nanos: i64,
    #[serde(skip)]
    most_gaps: usize,
    gaps: usize,
    origin_nanos: Option<i64>,
    slot: u64,
    before: Option<Candidate>,
}

impl Grid {
    /// A grid that starts with the first frame, for clips of `frames`.
    pub fn new(sampling: &Sampling, frames: usize) -> Self {
        Self {
            rate_hz: sampling.rate_hz,
            max_skew_nanos: (sampling.max_skew_millis * 1e6) as i64,
            most_gaps: frames,
            gaps: 0,
            origin_nanos: None,
            slot: 0,
            before: None,
        }
    }

    /// Goes on where another grid stands, by this one's own rules.
    pub fn resume(&mut self, other: &Self) {
        *self = Self {
            rate_hz: self.rate_hz,
            max_skew_nanos: self.max_skew_nanos,
            most_gaps: self.most_gaps,
            gaps: other.gaps.min(self.most_gaps.saturating_sub(1)),
            ..*other
        };
    }

    /// Checks that a grid that was read stands at a time that a clock gives.
    ///
    /// # Errors
    /// What is out of range.
    pub fn check(&self) -> Result<(), String> {
        let times = [self.origin_nanos, self.before.map(|c| c.capture_nanos)];
        let wrong = |t: &i64| !(0..=MAX_CAPTURE_NANOS).contains(t);
        match times.iter().flatten().any(wrong) || self.slot > MOST_SLOTS {
            false => Ok(()),
            true => Err(format!(
                "time grid: expected times of 0 to {MAX_CAPTURE_NANOS} ns and at most \
                 {MOST_SLOTS} slots, found {times:?} and {}",
                self.slot
            )),
        }
    }

    fn due_nanos(&self, origin: i64) -> i64 {
        origin.saturating_add((self.slot as f64 * 1e9 / self.rate_hz).round() as i64)
    }

    /// Takes the next frame; capture times must grow. Appends what follows from it to `verdicts`.
    pub fn frame(&mut self, frame: Candidate, verdicts: &mut Vec<Verdict>) {
        let time = frame.capture_nanos;
        loop {
            let origin = *self.origin_nanos.get_or_insert(time);
            let due = self.due_nanos(origin);
            if time < due {
                if let Some(before) = self.before.take() {
                    verdicts.push(Verdict::Passed(before));
                }
                if due - time <= self.max_skew_nanos {
                    self.before = Some(frame);
                } else {
                    verdicts.push(Verdict::Passed(frame));
                }
                return;
            }
            let fits = time - due <= self.max_skew_nanos;
            match self.before.take() {
                Some(before) if !fits || due - before.capture_nanos <= time - due => {
                    self.choose(before, verdicts);
                }
                before => {
                    verdicts.extend(before.map(Verdict::Passed));
                    if fits {
                        self.choose(frame, verdicts);
                        return;
                    }
                    self.gap(verdicts);
                }
            }
        }
    }

    fn choose(&mut self, candidate: Candidate, verdicts: &mut Vec<Verdict>) {
        self.slot += 1;
        self.gaps = 0;
        verdicts.push(Verdict::Chosen(candidate));
    }

    fn gap(&mut self, verdicts: &mut Vec<Verdict>) {
        self.slot += 1;
        self.gaps += 1;
        verdicts.push(Verdict::Gap);
        if self.gaps == self.most_gaps {
            self.gaps = 0;
            self.slot = 0;
            self.origin_nanos = None;
            verdicts.push(Verdict::Restarted);
        }
    }

    /// Decides the slots whose grid time and skew passed before `now_nanos` without a frame.
    /// The caller subtracts what a frame may arrive late.
    pub fn expire(&mut self, now_nanos: i64, verdicts: &mut Vec<Verdict>) {
        while let Some(origin) = self.origin_nanos
            && now_nanos.saturating_sub(self.due_nanos(origin)) > self.max_skew_nanos
        {
            match self.before.take() {
                Some(before) => self.choose(before, verdicts),
                None => self.gap(verdicts),
            }
        }
    }

    /// Gives up the frame that waits for its slot, at the end of a stream.
    pub fn finish(&mut self, verdicts: &mut Vec<Verdict>) {
        verdicts.extend(self.before.take().map(Verdict::Passed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLI: i64 = 1_000_000;

    fn grid() -> Grid {
        let sampling = Sampling {
            rate_hz: 8.0,
            hop_slots: 2,
            max_skew_millis: 60.0,
        };
        Grid::new(&sampling, 16)
    }

    fn run(times_millis: &[i64]) -> Vec<Verdict> {
        let mut grid = grid();
        let mut verdicts = Vec::new();
        for (number, time) in times_millis.iter().enumerate() {
            let frame = Candidate {
                number: number as u64,
                capture_nanos: time * MILLI,
            };
            grid.frame(frame, &mut verdicts);
        }
        verdicts
    }

    fn chosen(verdicts: &[Verdict]) -> Vec<u64> {
        let number = |v: &Verdict| match v {
            Verdict::Chosen(c) => Some(c.number),
            _ => None,
        };
        verdicts.iter().filter_map(number).collect()
    }

    #[test]
    fn the_nearest_frame_stands_for_a_slot() {
        let times: Vec<i64> = (0..12).map(|i| i * 33).collect();
        assert_eq!(chosen(&run(&times)), [0, 4, 8]);
    }

    #[test]
    fn a_missing_stretch_is_a_gap_and_not_a_copy() {
        let verdicts = run(&[0, 120, 500]);
        assert_eq!(
            verdicts.iter().filter(|v| **v == Verdict::Gap).count(),
            2,
            "{verdicts:?}"
        );
        assert_eq!(chosen(&verdicts), [0, 1, 2]);
    }

    #[test]
    fn a_long_interruption_is_a_clip_of_gaps_and_a_new_start() {
        let verdicts = run(&[0, 60_000]);
        assert_eq!(verdicts[1..17], [Verdict::Gap; 16]);
        assert_eq!(verdicts[17], Verdict::Restarted);
        assert_eq!(chosen(&verdicts), [0, 1]);
        assert_eq!(verdicts.len(), 19);
    }

    #[test]
    fn waiting_for_an_interruption_to_end_changes_nothing() {
        let frame = |number, millis: i64| Candidate {
            number,
            capture_nanos: millis * MILLI,
        };
        let (mut grid, mut verdicts) = (grid(), Vec::new());
        grid.frame(frame(0, 0), &mut verdicts);
        for now in (0..10_000).step_by(20) {
            grid.expire(now * MILLI, &mut verdicts);
        }
        grid.frame(frame(1, 10_000), &mut verdicts);
        assert_eq!(verdicts, run(&[0, 10_000]));
    }

    #[test]
    fn a_silent_source_gives_gaps_when_time_passes() {
        let mut grid = grid();
        let mut verdicts = Vec::new();
        let first = Candidate {
            number: 0,
            capture_nanos: 0,
        };
        grid.frame(first, &mut verdicts);
        grid.expire(184 * MILLI, &mut verdicts);
        assert_eq!(chosen(&verdicts), [0]);
        grid.expire(186 * MILLI, &mut verdicts);
        assert_eq!(verdicts.last(), Some(&Verdict::Gap));
    }

    proptest! {
        #[test]
        fn every_frame_is_judged_once(steps in proptest::collection::vec(1i64..400, 1..200)) {
            let mut time = 0;
            let times: Vec<i64> = steps.iter().map(|s| { time += s; time }).collect();
            let mut grid = grid();
            let mut verdicts = Vec::new();
            for (number, time) in times.iter().enumerate() {
                let capture_nanos = time * MILLI;
                grid.frame(Candidate { number: number as u64, capture_nanos }, &mut verdicts);
            }
            grid.finish(&mut verdicts);
            let mut seen: Vec<u64> = verdicts.iter().filter_map(|v| match v {
                Verdict::Chosen(c) | Verdict::Passed(c) => Some(c.number),
                _ => None,
            }).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..times.len() as u64).collect::<Vec<_>>());
        }

        #[test]
        fn a_chosen_frame_is_within_the_skew(steps in proptest::collection::vec(1i64..200, 1..200)) {
            let mut time = 0;
            let times: Vec<i64> = steps.iter().map(|s| { time += s; time }).collect();
            let mut slot = 0i64;
            let mut origin = times[0];
            let mut restarting = false;
            for verdict in run(&times) {
                match verdict {
                    Verdict::Restarted => restarting = true,
                    Verdict::Gap => slot += 1,
                    Verdict::Passed(_) => {}
                    Verdict::Chosen(c) => {
                        if restarting {
                            origin = c.capture_nanos / MILLI;
                            slot = 0;
                            restarting = false;
                        }
                        let skew = (c.capture_nanos / MILLI - origin - slot * 125).abs();
                        prop_assert!(skew <= 60, "slot {} skew {}", slot, skew);
                        slot += 1;
                    }
                }
            }
        }
    }
}
