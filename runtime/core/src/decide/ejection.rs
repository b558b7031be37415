//! One EF from several clips.

use super::beats::{self, BeatRules, Rhythm};
use super::ladder::Level;
use super::view::ViewDecision;
use crate::events::Reason;
use serde::{Deserialize, Serialize};

/// Readings looked at, the newest.
pub const MAX_READINGS: usize = 32;

/// A stretch of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first frame.
    pub first_frame: u64,
    /// Its last frame.
    pub last_frame: u64,
    /// Capture time of the first.
    pub first_nanos: i64,
    /// Capture time of the last.
    pub last_nanos: i64,
}

impl Span {
    /// True when a frame belongs to both.
    pub fn shares_a_frame(&self, other: &Self) -> bool {
        self.first_frame <= other.last_frame && other.first_frame <= self.last_frame
    }
}

/// One EF of the head with the clips it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// EF in percent, neither clamped nor rounded.
    pub percent: f64,
    /// The clips, one or two.
    pub spans: [Option<Span>; 2],
    /// Number of the exam.
    pub exam: u64,
    /// Number of the sector.
    pub sector: u32,
    /// Index of the view label.
    pub view: usize,
}

impl Reading {
    fn spans(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().flatten()
    }

    /// True when a frame belongs to both.
    pub fn shares_a_frame(&self, other: &Self) -> bool {
        self.spans()
            .any(|a| other.spans().any(|b| a.shares_a_frame(b)))
    }
}

/// What an EF must be to be shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EjectionRules {
    /// Lowest and highest EF that may be shown, percent.
    pub range_percent: [f64; 2],
    /// Distance from the median within which a reading agrees, percentage points.
    pub agrees_within: f64,
    /// The rhythm's rules.
    pub beats: BeatRules,
}

impl Default for EjectionRules {
    fn default() -> Self {
        Self {
            range_percent: [5.0, 85.0],
            agrees_within: 5.0,
            beats: BeatRules::default(),
        }
    }
}

/// Several readings as one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Combined {
    /// Median of the readings, percent.
    pub percent: f64,
    /// Highest minus lowest of the readings that share no frame, percentage points.
    pub spread: f64,
    /// Readings in the median.
    pub readings: usize,
    /// Readings that share no frame with each other, the newest one among them.
    pub independent: usize,
    /// Those of them that agree with the median.
    pub agreeing: usize,
}

/// Says why no EF may be shown whatever the readings are, if so.
///
/// `screen` is the reason the screen gives, `accepted` the view labels of the head.
///
/// # Errors
/// The reason, by the order of the table at the top of [`crate::decide`].
pub fn gate(
    screen: Option<Reason>,
    level: Level,
    view: ViewDecision,
    accepted: &[usize],
) -> Result<usize, Reason> {
    if let Some(reason) = screen {
        return Err(reason);
    }
    if level > Level::LowerRate {
        return Err(Reason::Degraded);
    }
    match view {
        ViewDecision::WarmingUp => Err(Reason::WarmingUp),
        ViewDecision::Uncertain => Err(Reason::Uncertain),
        ViewDecision::Shown(label) if accepted.contains(&label) => Ok(label),
        ViewDecision::Shown(_) => Err(Reason::WrongView),
    }
}

/// Combines readings, oldest first; of more than [`MAX_READINGS`] the newest.
///
/// # Errors
/// The reason why there is no number, by the order of the table at the top of
/// [`crate::decide`].
///
/// # Real-time
/// No allocation; O(readings squared).
pub fn combine(
    rules: &EjectionRules,
    readings: &[Reading],
    rhythm: Rhythm<'_>,
) -> Result<Combined, Reason> {
    let from = readings.len().saturating_sub(MAX_READINGS);
    let readings = readings.get(from..).unwrap_or(&[]);
    if readings.iter().any(|r| !r.percent.is_finite()) {
        return Err(Reason::EngineDown);
    }
    let newest = readings.last().ok_or(Reason::WarmingUp)?;
    let all = |same: fn(&Reading, &Reading) -> bool| readings.iter().all(|r| same(r, newest));
    if !all(|a, b| a.exam == b.exam) {
        return Err(Reason::NewExam);
    }
    if !all(|a, b| a.sector == b.sector) {
        return Err(Reason::SectorChanged);
    }
    if !all(|a, b| a.view == b.view) {
        return Err(Reason::WrongView);
    }
    let mut stretches = [Span::default(); 2 * MAX_READINGS];
    let merged = merge(readings, &mut stretches);
    let stretches = stretches.get(..merged).unwrap_or(&[]);
    beats::check(&rules.beats, rhythm, stretches, length_nanos(stretches))?;

    let mut values = [0.0; MAX_READINGS];
    for (value, reading) in values.iter_mut().zip(readings) {
        *value = reading.percent;
    }
    let values = values.get_mut(..readings.len()).unwrap_or(&mut []);
    let percent = median(values);
    let [low, high] = rules.range_percent;
    let shown = |percent: f64| (low..=high).contains(&percent);
    if !shown(newest.percent) || !shown(percent) {
        return Err(Reason::OutOfRange);
    }
    let mut combined = Combined {
        percent,
        spread: 0.0,
        readings: readings.len(),
        independent: 0,
        agreeing: 0,
    };
    let mut kept: [Option<&Reading>; MAX_READINGS] = [None; MAX_READINGS];
    let (mut least, mut most) = (newest.percent, newest.percent);
    for reading in readings.iter().rev() {
        if kept.iter().flatten().any(|k| k.shares_a_frame(reading)) {
            continue;
        }
        if let Some(free) = kept.get_mut(combined.independent) {
            *free = Some(reading);
        }
        combined.independent += 1;
        let agrees = (reading.percent - percent).abs() <= rules.agrees_within;
        combined.agreeing += usize::from(agrees);
        (least, most) = (least.min(reading.percent), most.max(reading.percent));
    }
    combined.spread = most - least;
    Ok(combined)
}

/// Time that the readings' clips cover together, each instant once.
pub fn covered_nanos(readings: &[Reading]) -> i64 {
    let from = readings.len().saturating_sub(MAX_READINGS);
    let mut stretches = [Span::default(); 2 * MAX_READINGS];
    let merged = merge(readings.get(from..).unwrap_or(&[]), &mut stretches);
    length_nanos(stretches.get(..merged).unwrap_or(&[]))
}

fn length_nanos(stretches: &[Span]) -> i64 {
    let lengths = stretches
        .iter()
        .map(|s| s.last_nanos.saturating_sub(s.first_nanos).max(0));
    lengths.fold(0, i64::saturating_add)
}

/// Writes the union of all spans as stretches that share no frame; says how many.
fn merge(readings: &[Reading], stretches: &mut [Span]) -> usize {
    let mut count = 0;
    for (span, stretch) in readings
        .iter()
        .flat_map(Reading::spans)
        .zip(&mut *stretches)
    {
        *stretch = *span;
        count += 1;
    }
    let Some(stretches) = stretches.get_mut(..count) else {
        return 0;
    };
    stretches.sort_unstable_by_key(|s| s.first_nanos);
    let mut merged: usize = 0;
    for at in 0..count {
        let Some(&next) = stretches.get(at) else {
            break;
        };
        match merged
            .checked_sub(1)
            .and_then(|last| stretches.get_mut(last))
        {
            Some(last) if next.first_nanos <= last.last_nanos => {
                last.last_nanos = last.last_nanos.max(next.last_nanos);
                last.last_frame = last.last_frame.max(next.last_frame);
            }
            _ => {
                if let Some(free) = stretches.get_mut(merged) {
                    *free = next;
                }
                merged += 1;
            }
        }
    }
    merged
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
    let half = values.len() / 2;
    match values.len() % 2 {
        1 => at(half),
        _ => 0.5 * (at(half.wrapping_sub(1)) + at(half)),
    }
}
