//! R waves of an ECG that comes with the frames, one value each.

use super::onsets::Onsets;

/// What is remembered.
const WINDOW_NANOS: i64 = 9_000_000_000;
/// Shortest time between two values: 125 a second.
const EVERY_NANOS: i64 = 7_500_000;
const HELD: usize = 1210;
/// Longest time between two values that go on from each other.
const GAP_NANOS: i64 = 75_000_000;
/// Longest mean time between two values in which no R wave is missed.
const SLOWEST_NANOS: i64 = 42_000_000;
/// Time over which the steepness is taken, at least.
const RISE_NANOS: i64 = 20_000_000;
/// Time in which a QRS complex rises and falls.
const COMPLEX_NANOS: i64 = 130_000_000;
/// Longest time from an R wave to a value that is steep because of it.
const AROUND_NANOS: i64 = 190_000_000;
/// Shortest time from one R wave to the next, and longest.
const REFRACTORY_NANOS: i64 = 270_000_000;
const LONGEST_BEAT_NANOS: i64 = 2_200_000_000;
/// Length of the blocks whose highest steepness is compared.
const BLOCK_NANOS: i64 = 2_000_000_000;
/// Share of the usual highest steepness that makes an R wave.
const THRESHOLD: f64 = 0.3;
/// How much steeper R waves are at least than the quietest quarter of the values.
const STANDS_OUT: f64 = 4.0;
/// Fewest R waves that make a rate.
const LEAST_WAVES: usize = 4;

#[derive(Debug, Clone, Copy, Default)]
struct Value {
    at_nanos: i64,
    millivolts: f32,
}

/// The newest seconds of an ECG.
#[derive(Debug)]
pub(super) struct Ecg {
    /// Oldest first.
    values: Vec<Value>,
    steepness: Vec<f64>,
    sorted: Vec<f64>,
}

impl Ecg {
    pub fn new() -> Self {
        Self {
            values: Vec::with_capacity(HELD),
            steepness: Vec::with_capacity(HELD),
            sorted: Vec::with_capacity(HELD),
        }
    }

    pub fn reset(&mut self) {
        self.values.clear();
    }

    /// Takes a value; after a gap it begins anew.
    ///
    /// # Real-time
    /// No allocation; now and then 1210 values are moved.
    pub fn push(&mut self, millivolts: f32, at_nanos: i64) {
        if let Some(newest) = self.values.last() {
            let step_nanos = at_nanos.saturating_sub(newest.at_nanos);
            if (0..EVERY_NANOS).contains(&step_nanos) {
                return;
            }
            if !(0..=GAP_NANOS).contains(&step_nanos) {
                self.reset();
            }
        }
        if self.values.len() == HELD {
            let old = |v: &Value| at_nanos.saturating_sub(v.at_nanos) > WINDOW_NANOS;
            let kept = self.values.iter().position(|v| !old(v)).unwrap_or(HELD);
            self.values.drain(..kept.max(HELD / 16));
        }
        self.values.push(Value {
            at_nanos,
            millivolts,
        });
    }

    /// The R waves of the newest seconds, where they are sure to be some.
    ///
    /// # Real-time
    /// No allocation; sorts at most 1210 values.
    pub fn onsets(&mut self) -> Option<Onsets> {
        let newest_nanos = self.values.last()?.at_nanos;
        let from = self
            .values
            .partition_point(|v| newest_nanos.saturating_sub(v.at_nanos) > WINDOW_NANOS);
        let values = self.values.get(from..).unwrap_or_default();
        let nanos = newest_nanos.saturating_sub(values.first()?.at_nanos);
        if nanos > SLOWEST_NANOS.saturating_mul(values.len() as i64) {
            return None;
        }
        rise_and_fall(values, &mut self.steepness);
        let usual = usual_peak(values, &self.steepness, &mut self.sorted)?;
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.steepness);
        self.sorted.sort_unstable_by(f64::total_cmp);
        let quiet = *self.sorted.get(self.sorted.len() / 4)?;
        if !(usual > 0.0 && usual >= STANDS_OUT * quiet) {
            return None;
        }
        let threshold = THRESHOLD * usual;
        let onsets = waves(values, &self.steepness, threshold);
        if strays(values, &self.steepness, threshold, onsets.times()) > onsets.times().len() / 4 {
            return None;
        }
        let times = onsets.times();
        let too_long = |w: &[i64]| matches!(w, [a, b] if b - a > LONGEST_BEAT_NANOS);
        let last_nanos = *times.last()?;
        let lost = newest_nanos.saturating_sub(last_nanos) > LONGEST_BEAT_NANOS;
        let sure = times.len() >= LEAST_WAVES && !lost && !times.windows(2).any(too_long);
        sure.then_some(onsets)
    }
}

/// Writes how steeply the ECG rises and falls around each value: the sum of the steepest rise and
/// the steepest fall within a QRS complex's time before it. A T wave is slower, and a step of the
/// base line does not come back.
fn rise_and_fall(values: &[Value], steepness: &mut Vec<f64>) {
    steepness.clear();
    let mut first = 0;
    for (value, at) in values.iter().zip(0..) {
        let ago = |other: &Value| value.at_nanos.saturating_sub(other.at_nanos);
        while values.get(first).is_some_and(|v| ago(v) > COMPLEX_NANOS) {
            first += 1;
        }
        let (mut rise, mut fall) = (0.0_f64, 0.0_f64);
        for to in first..=at {
            let Some(end) = values.get(to) else {
                continue;
            };
            let mut earlier = values.get(first..to).unwrap_or_default().iter().rev();
            let long = |b: &&Value| end.at_nanos.saturating_sub(b.at_nanos) >= RISE_NANOS;
            let Some(begin) = earlier.find(long) else {
                continue;
            };
            let change = f64::from(end.millivolts) - f64::from(begin.millivolts);
            let slope = change * 1e9 / end.at_nanos.saturating_sub(begin.at_nanos).max(1) as f64;
            rise = rise.max(slope);
            fall = fall.max(-slope);
        }
        steepness.push(rise.min(fall));
    }
}

/// Median of the blocks' highest steepness; none before two whole blocks.
fn usual_peak(values: &[Value], steepness: &[f64], sorted: &mut Vec<f64>) -> Option<f64> {
    sorted.clear();
    let (mut begin, mut most) = (values.first()?.at_nanos, 0.0_f64);
    for (value, steep) in values.iter().zip(steepness) {
        if value.at_nanos.saturating_sub(begin) >= BLOCK_NANOS {
            sorted.push(most);
            (begin, most) = (value.at_nanos, 0.0);
        }
        most = most.max(*steep);
    }
    sorted.sort_unstable_by(f64::total_cmp);
    (sorted.len() >= 2).then(|| sorted.get((sorted.len() - 1) / 2).copied())?
}

/// The steepest place of each run above the threshold.
fn waves(values: &[Value], steepness: &[f64], threshold: f64) -> Onsets {
    let mut onsets = Onsets::default();
    let mut peak: Option<(i64, f64)> = None;
    for (value, steep) in values.iter().zip(steepness) {
        if let Some((at_nanos, _)) = peak
            && value.at_nanos.saturating_sub(at_nanos) >= REFRACTORY_NANOS
        {
            onsets.push(at_nanos);
            peak = None;
        }
        if *steep >= threshold && peak.is_none_or(|(_, most)| *steep > most) {
            peak = Some((value.at_nanos, *steep));
        }
    }
    if let Some((at_nanos, _)) = peak {
        onsets.push(at_nanos);
    }
    onsets
}

/// Values as steep as an R wave soon after one, but not of it: noise has many.
fn strays(values: &[Value], steepness: &[f64], threshold: f64, waves: &[i64]) -> usize {
    let steep = values.iter().zip(steepness);
    let steep = steep.filter(|(_, steepness)| **steepness >= threshold);
    let stray = |value: &&Value| {
        let after = waves.partition_point(|wave| *wave <= value.at_nanos);
        let around = waves.get(after.saturating_sub(1)..).unwrap_or_default();
        // those before the first one that is kept are of beats that are not
        after > 0
            && !around
                .iter()
                .take(2)
                .any(|wave| (value.at_nanos - wave).abs() <= AROUND_NANOS)
    };
    steep.map(|(value, _)| value).filter(stray).count()
}
