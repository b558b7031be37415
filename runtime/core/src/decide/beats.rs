//! Whether the evidence holds enough heartbeats.

use super::ejection::Span;
use crate::events::Reason;

/// What is known of the heart's rhythm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rhythm<'a> {
    /// Nothing: the slowest rate of the tested range is assumed.
    Unknown,
    /// Beats per minute, regular as far as is known.
    Rate(f64),
    /// Begin of each beat, rising, nanoseconds of the frames' clock.
    Onsets(&'a [i64]),
}

/// What a rhythm must be for a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeatRules {
    /// Lowest and highest tested heart rate, beats per minute.
    pub rate_bpm: [f64; 2],
    /// Share by which a beat may differ from the median beat of a regular rhythm.
    pub irregular_above: f64,
    /// Whole beats an irregular rhythm needs.
    pub irregular_beats: usize,
}

impl Default for BeatRules {
    fn default() -> Self {
        Self {
            rate_bpm: [40.0, 150.0],
            irregular_above: 0.2,
            irregular_beats: 5,
        }
    }
}

const NANOS_PER_MINUTE: f64 = 60e9;
/// Beats looked at, the newest.
const LOOK: usize = 64;

/// Says why the beats within `spans` do not allow a number, if so.
///
/// A rate counts as beats by the time covered. Onsets count by whole beats: both ends within one
/// stretch of the spans' union. `covered_nanos` is the length of that union.
///
/// # Errors
/// NOT_PERMITTED for a rate outside the range, or one that is no number; BAD_TIMESTAMP for onsets
/// that do not rise; WARMING_UP without a whole beat; RHYTHM for an irregular one with too few.
///
/// # Real-time
/// No allocation.
pub fn check(
    rules: &BeatRules,
    rhythm: Rhythm<'_>,
    stretches: &[Span],
    covered_nanos: i64,
) -> Result<(), Reason> {
    let [slowest, fastest] = rules.rate_bpm;
    let within_rate = |bpm: f64| match (slowest..=fastest).contains(&bpm) {
        true => Ok(()),
        false => Err(Reason::NotPermitted),
    };
    let one_beat_at = |bpm: f64| match covered_nanos as f64 * bpm >= NANOS_PER_MINUTE {
        true => Ok(()),
        false => Err(Reason::WarmingUp),
    };
    let onsets = match rhythm {
        Rhythm::Unknown => return one_beat_at(slowest),
        Rhythm::Rate(bpm) => {
            within_rate(bpm)?;
            return one_beat_at(bpm);
        }
        Rhythm::Onsets(onsets) => onsets,
    };
    if onsets.windows(2).any(|w| matches!(w, [a, b] if b <= a)) {
        return Err(Reason::BadTimestamp);
    }
    let mut lengths = [0_i64; LOOK];
    let mut beats = 0;
    let newest = onsets.windows(2).rev().filter_map(|w| match *w {
        [begin, end] => Some((begin, end)),
        _ => None,
    });
    let whole = |begin: i64, end: i64| {
        let holds = |s: &Span| s.first_nanos <= begin && end <= s.last_nanos;
        stretches.iter().any(holds)
    };
    for ((begin, end), length) in newest.filter(|b| whole(b.0, b.1)).zip(&mut lengths) {
        *length = end.saturating_sub(begin);
        beats += 1;
    }
    let lengths = lengths.get_mut(..beats).unwrap_or(&mut []);
    lengths.sort_unstable();
    let Some(&median) = lengths.get(beats / 2) else {
        return Err(Reason::WarmingUp);
    };
    let median = median as f64;
    within_rate(NANOS_PER_MINUTE / median)?;
    let differs = |length: &i64| (*length as f64 - median).abs() > rules.irregular_above * median;
    if lengths.iter().any(differs) && beats < rules.irregular_beats {
        return Err(Reason::Rhythm);
    }
    Ok(())
}
