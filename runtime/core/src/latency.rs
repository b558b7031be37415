//! How long things take: histograms that are written without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets that share a power of two.
const PER_OCTAVE: u64 = 64;
const OCTAVE_BITS: u32 = PER_OCTAVE.trailing_zeros();
const BUCKETS: usize = (PER_OCTAVE as usize) * (65 - OCTAVE_BITS as usize);

/// A histogram of durations, in buckets no wider than 1/64 of what they hold.
///
/// # Real-time
/// Recording allocates nothing, waits for nobody and takes a few atomic additions.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum_nanos: AtomicU64,
    min_nanos: AtomicU64,
    max_nanos: AtomicU64,
}

/// How far a [`Histogram`] was at one instant.
#[derive(Debug, Clone, Default)]
pub struct Mark {
    counts: Vec<u64>,
    sum_nanos: u64,
}

/// What a [`Histogram`] held at one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// Durations recorded; without any the rest is 0.
    pub count: u64,
    /// Shortest.
    pub min_nanos: u64,
    /// Mean.
    pub mean_nanos: u64,
    /// Half took no longer.
    pub p50_nanos: u64,
    /// 90 % took no longer.
    pub p90_nanos: u64,
    /// 99 % took no longer.
    pub p99_nanos: u64,
    /// 99.9 % took no longer.
    pub p999_nanos: u64,
    /// Longest.
    pub max_nanos: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum_nanos: AtomicU64::new(0),
            min_nanos: AtomicU64::new(u64::MAX),
            max_nanos: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Records one duration.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(place(nanos)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.min_nanos.fetch_min(nanos, Ordering::Relaxed);
        self.max_nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    /// As [`Histogram::record`], where no other thread records at the same time: waits for no line
    /// of memory.
    #[inline(always)]
    pub fn record_alone(&self, nanos: u64) {
        let add = |to: &AtomicU64, more: u64| {
            to.store(
                to.load(Ordering::Relaxed).wrapping_add(more),
                Ordering::Relaxed,
            );
        };
        if let Some(bucket) = self.buckets.get(place(nanos)) {
            add(bucket, 1);
        }
        add(&self.sum_nanos, nanos);
        if nanos < self.min_nanos.load(Ordering::Relaxed) {
            self.min_nanos.store(nanos, Ordering::Relaxed);
        }
        if nanos > self.max_nanos.load(Ordering::Relaxed) {
            self.max_nanos.store(nanos, Ordering::Relaxed);
        }
    }

    /// How many durations took no longer than each of `ends`, which rise; exact for a power of two
    /// less one. Then how many there are, and their sum in nanoseconds.
    pub fn up_to(&self, ends: &[u64]) -> (Vec<u64>, u64, u64) {
        let mut buckets = self.buckets.iter().enumerate().peekable();
        let mut seen = 0;
        let mut counts = Vec::with_capacity(ends.len());
        for end in ends {
            while let Some((_, n)) = buckets.next_if(|(at, _)| upper_end(*at) <= *end) {
                seen += n.load(Ordering::Relaxed);
            }
            counts.push(seen);
        }
        let rest: u64 = buckets.map(|(_, n)| n.load(Ordering::Relaxed)).sum();
        (counts, seen + rest, self.sum_nanos.load(Ordering::Relaxed))
    }

    /// What was recorded up to now, for [`Histogram::since`] and [`Histogram::until`].
    pub fn mark(&self) -> Mark {
        let counts = self.buckets.iter().map(|b| b.load(Ordering::Relaxed));
        Mark {
            counts: counts.collect(),
            sum_nanos: self.sum_nanos.load(Ordering::Relaxed),
        }
    }

    /// Reads it. What is recorded meanwhile may be in part of the numbers.
    pub fn spread(&self) -> Spread {
        self.since(&Mark::default())
    }

    /// What was recorded before `mark`. Shortest and longest are those of their buckets.
    pub fn until(&self, mark: &Mark) -> Spread {
        self.read(&mark.counts, mark.sum_nanos)
    }

    /// What was recorded after `mark`. Shortest and longest are those of their buckets.
    pub fn since(&self, mark: &Mark) -> Spread {
        let now = self.mark();
        let before = mark.counts.iter().copied().chain(std::iter::repeat(0));
        let counts = now.counts.iter().zip(before).map(|(n, b)| n - b);
        let counts: Vec<u64> = counts.collect();
        self.read(&counts, now.sum_nanos - mark.sum_nanos)
    }

    fn read(&self, counts: &[u64], sum_nanos: u64) -> Spread {
        let count: u64 = counts.iter().sum();
        if count == 0 {
            return Spread::default();
        }
        let least = self.min_nanos.load(Ordering::Relaxed);
        let most = self.max_nanos.load(Ordering::Relaxed);
        let first = counts.iter().position(|n| *n > 0).unwrap_or(0);
        let min_nanos = first.checked_sub(1).map_or(0, |b| upper_end(b) + 1);
        let min_nanos = min_nanos.max(least);
        let last = counts.iter().rposition(|n| *n > 0);
        let max_nanos = last.map_or(most, |b| upper_end(b).min(most));
        let at = |per_mille: u64| {
            let rank = (count * per_mille).div_ceil(1000).max(1);
            let mut seen = 0;
            let bucket = counts.iter().position(|n| {
                seen += n;
                seen >= rank
            });
            bucket.map_or(max_nanos, upper_end).min(max_nanos)
        };
        Spread {
            count,
            min_nanos,
            mean_nanos: sum_nanos / count,
            p50_nanos: at(500),
            p90_nanos: at(900),
            p99_nanos: at(990),
            p999_nanos: at(999),
            max_nanos,
        }
    }
}

/// The bucket of a duration: its leading 1 and the six bits behind it.
#[inline]
fn place(nanos: u64) -> usize {
    if nanos < PER_OCTAVE {
        return nanos as usize;
    }
    let octave = nanos.ilog2() - OCTAVE_BITS;
    (u64::from(octave) * PER_OCTAVE + (nanos >> octave)) as usize
}

/// The longest duration of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PER_OCTAVE {
        return bucket;
    }
    let octave = bucket / PER_OCTAVE - 1;
    let next = u128::from(bucket % PER_OCTAVE + PER_OCTAVE + 1) << octave;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

/// Latencies of one session.
#[derive(Debug, Default)]
pub struct Latencies {
    /// From a whole clip to the start of its inference.
    pub clip_wait: Histogram,
    /// Encoder and heads of one clip.
    pub inference: Histogram,
    /// The same, of clips that came after more than a second without one. Also in `inference`.
    pub after_pause: Histogram,
    /// From the end of the encoder to the event, heads included.
    pub encoder_to_event: Histogram,
    /// From the engine's last answer for a clip to its event.
    pub answer_to_event: Histogram,
    /// Runs of an idle engine that kept it warm.
    pub pulses: AtomicU64,
    /// From the capture of an inferred clip's newest frame to its event, in real pace.
    pub evidence: Histogram,
    /// From the capture of a clip's newest frame to its event, in real pace.
    pub event: Histogram,
    /// From the begin of a slot's decision to the whole clip at the hand-off, preprocessing included.
    pub slot_to_clip: Histogram,
    /// From the capture of a frame to the decision that a slot is its, in real pace.
    pub decision: Histogram,
    /// What the assembler does for one frame.
    pub frame: Histogram,
    /// Bytes of the clips' blocks made so far.
    pub clip_bytes: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_is_told_from_what_comes_after_it() {
        let histogram = Histogram::default();
        for micros in 1..=100 {
            histogram.record(Duration::from_micros(micros));
        }
        let whole = histogram.spread();
        let mark = histogram.mark();
        histogram.record(Duration::from_millis(5));
        let (before, after) = (histogram.until(&mark), histogram.since(&mark));
        assert_eq!((before.count, before.p50_nanos), (100, whole.p50_nanos));
        assert!(
            (100_000..=102_000).contains(&before.max_nanos),
            "{before:?}"
        );
        assert_eq!((after.count, after.p50_nanos), (1, 5_000_000));
        assert_eq!((after.mean_nanos, after.max_nanos), (5_000_000, 5_000_000));
        assert!(
            (4_900_000..=5_000_000).contains(&after.min_nanos),
            "{after:?}"
        );
    }

    #[test]
    fn every_duration_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut nanos = 0_u64;
        while nanos < u64::MAX / 2 {
            let bucket = place(nanos);
            assert!(bucket < BUCKETS, "{nanos}");
            assert!(nanos <= upper_end(bucket), "{nanos}");
            assert!(bucket == 0 || upper_end(bucket - 1) < nanos, "{nanos}");
            assert!(upper_end(bucket) - nanos <= nanos / 16, "{nanos}");
            nanos += 1 + nanos / 7;
        }
        assert!(place(u64::MAX) < BUCKETS);
    }

    #[test]
    fn a_thousand_durations_have_their_percentiles() {
        let histogram = Histogram::default();
        assert_eq!(histogram.spread(), Spread::default());
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        let spread = histogram.spread();
        assert_eq!((spread.count, spread.min_nanos), (1000, 1000));
        assert_eq!((spread.mean_nanos, spread.max_nanos), (500_500, 1_000_000));
        let (counts, count, sum_nanos) = histogram.up_to(&[1023, (1 << 19) - 1, (1 << 20) - 1]);
        assert_eq!((counts.as_slice(), count), (&[1, 524, 1000][..], 1000));
        assert_eq!(sum_nanos, 500_500_000);
        for (found, exact) in [
            (spread.p50_nanos, 500_000),
            (spread.p90_nanos, 900_000),
            (spread.p99_nanos, 990_000),
            (spread.p999_nanos, 999_000),
        ] {
            assert!((exact..=exact * 17 / 16).contains(&found), "{found}");
        }
    }
}
