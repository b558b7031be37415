//! Begin of each beat.

use serde::{Deserialize, Serialize};

/// Most onsets that are kept: 8 s at 240 beats per minute.
pub const MAX_ONSETS: usize = 32;
/// Fewest beats by which a rhythm is called irregular.
const LEAST_BEATS: usize = 2;

/// Times at which beats began, rising, nanoseconds of the frames' clock; the newest ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<i64>", into = "Vec<i64>")]
pub struct Onsets {
    times: [i64; MAX_ONSETS],
    used: usize,
}

impl Onsets {
    /// Adds the newest one; of more than [`MAX_ONSETS`] the oldest goes.
    pub fn push(&mut self, nanos: i64) {
        if self.used == MAX_ONSETS {
            self.times.rotate_left(1);
            self.used -= 1;
        }
        if let Some(free) = self.times.get_mut(self.used) {
            *free = nanos;
            self.used += 1;
        }
    }

    /// The times.
    pub fn times(&self) -> &[i64] {
        self.times.get(..self.used).unwrap_or_default()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Mean rate from the first to the last, beats per minute.
    pub fn mean_bpm(&self) -> Option<f64> {
        let (first, last) = (self.times().first()?, self.times().last()?);
        let nanos = last.saturating_sub(*first);
        (nanos > 0).then(|| (self.used - 1) as f64 * 60e9 / nanos as f64)
    }

    /// True where a beat differs from the median one by more than this share of it.
    pub fn is_irregular(&self, share: f64) -> bool {
        let mut lengths = [0_i64; MAX_ONSETS];
        let beats = self.used.saturating_sub(1);
        let pairs = self.times().windows(2).filter_map(|w| match w {
            [a, b] => Some(b.saturating_sub(*a)),
            _ => None,
        });
        for (to, length) in lengths.iter_mut().zip(pairs) {
            *to = length;
        }
        let lengths = lengths.get_mut(..beats).unwrap_or_default();
        lengths.sort_unstable();
        let Some(median) = lengths.get(beats / 2).map(|m| *m as f64) else {
            return false;
        };
        let differs = |length: &i64| (*length as f64 - median).abs() > share * median;
        beats >= LEAST_BEATS && lengths.iter().any(differs)
    }
}

impl TryFrom<Vec<i64>> for Onsets {
    type Error = String;

    fn try_from(times: Vec<i64>) -> Result<Self, String> {
        if times.len() > MAX_ONSETS {
            let found = times.len();
            return Err(format!(
                "onsets: expected at most {MAX_ONSETS}, found {found}"
            ));
        }
        if times.windows(2).any(|w| matches!(w, [a, b] if b <= a)) {
            return Err("onsets: expected rising times, found others".to_owned());
        }
        let mut onsets = Self::default();
        times.into_iter().for_each(|nanos| onsets.push(nanos));
        Ok(onsets)
    }
}

impl From<Onsets> for Vec<i64> {
    fn from(onsets: Onsets) -> Self {
        onsets.times().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn onsets(millis: &[i64]) -> Onsets {
        let times: Vec<i64> = millis.iter().map(|m| m * 1_000_000).collect();
        Onsets::try_from(times).unwrap()
    }

    #[test]
    fn the_oldest_makes_room_and_the_rate_is_the_mean() {
        let mut many = Onsets::default();
        (0..50).for_each(|at| many.push(at * 500_000_000));
        assert_eq!(many.times().len(), MAX_ONSETS);
        assert_eq!(many.times()[0], 18 * 500_000_000);
        assert_eq!(many.mean_bpm(), Some(120.0));
        assert_eq!(onsets(&[5]).mean_bpm(), None);
    }

    #[test]
    fn one_early_beat_is_irregular_and_a_breath_is_not() {
        assert!(onsets(&[0, 800, 1300, 2400, 3200]).is_irregular(0.2));
        assert!(!onsets(&[0, 800, 1640, 2420, 3200]).is_irregular(0.2));
        assert!(!onsets(&[0, 800]).is_irregular(0.2));
    }

    #[test]
    fn what_is_read_rises_and_is_not_too_many() {
        assert!(Onsets::try_from(vec![3, 3]).is_err());
        assert!(Onsets::try_from((0..33).collect::<Vec<i64>>()).is_err());
        let text = serde_json::to_string(&onsets(&[1, 2])).unwrap();
        assert_eq!(text, "[1000000,2000000]");
        assert_eq!(
            serde_json::from_str::<Onsets>(&text).unwrap(),
            onsets(&[1, 2])
        );
    }
}
