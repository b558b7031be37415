//! After what time the image is like itself again.

use super::likeness::Times;

/// Shortest and longest lag looked at, and the step between two.
const SHORTEST_NANOS: i64 = 300_000_000;
pub(super) const LONGEST_NANOS: i64 = 2_200_000_000;
const STEP_NANOS: i64 = 20_000_000;
const LAGS: usize = ((LONGEST_NANOS - SHORTEST_NANOS) / STEP_NANOS + 1) as usize;
/// Shortest and longest period that is believed, seconds: 167 to 37 per minute.
const PERIODS: [f64; 2] = [0.36, 1.62];
/// Fewest samples behind a lag, and fewest of all samples, one in so many.
const LEAST_BEHIND: u32 = 12;
const ONE_IN: u32 = 4;
/// Fewest lags that make a curve.
const LEAST_LAGS: usize = 10;
/// Depth, as a share of the curve's highest point, from which a dip counts at all.
const DIP: f64 = 0.05;
/// How far above the deepest dip one may lie that is as good, as a share of what is above it.
const NEARLY: f64 = 0.3;
/// Share by which a dip may be off a multiple of the period.
const OFF: f64 = 0.05;
/// Depth from which one dip is enough, and that from which two are that confirm each other.
const DEEP: f64 = 0.25;
const SHALLOW: f64 = 0.09;
const CONFIRMS: f64 = 0.10;
/// Periods that must have been seen, or so many seconds, and fewest seconds.
const PERIODS_SEEN: f64 = 4.0;
const SECONDS_SEEN: f64 = 5.8;
const LEAST_SECONDS: f64 = 3.0;
/// Length of the stretches that must each be alike one period before.
const STRETCH_NANOS: i64 = 340_000_000;
const WHOLE_STRETCH_NANOS: i64 = 300_000_000;
/// A stretch is unlike one period before where it is nearly as far from it as from any time.
const UNLIKE: f64 = 0.9;
/// Most stretches, of all, that may be unlike: with one deep dip, and with shallow ones.
const MOST_UNLIKE: [f64; 2] = [0.10, 0.45];

/// A sample and how far it is from those before it.
#[derive(Clone, Copy)]
pub(super) struct Earlier<'a> {
    pub at_nanos: i64,
    /// To the one before, to the one before that, and so on.
    pub distances: &'a [u32],
    pub times: Times<'a>,
}

impl Earlier<'_> {
    /// Calls for each lag that is covered with the distance then, between two samples the mean of
    /// theirs by time.
    fn each(&self, mut found: impl FnMut(usize, f64)) {
        let mut steps = 1;
        for lag in 0..LAGS {
            let then = self.at_nanos - lag_nanos(lag);
            while self.times.back(steps).is_some_and(|t| t > then) {
                steps += 1;
            }
            let (Some(older), Some(newer)) = (self.times.back(steps), self.times.back(steps - 1))
            else {
                return;
            };
            let Some(far) = self.distances.get(steps - 1) else {
                return;
            };
            let near = match steps {
                1 => Some(&0),
                _ => self.distances.get(steps - 2),
            };
            let (far, near) = (f64::from(*far), f64::from(*near.unwrap_or(&0)));
            let share = (then - older) as f64 / (newer - older).max(1) as f64;
            found(lag, far + (near - far) * share);
        }
    }
}

fn lag_nanos(lag: usize) -> i64 {
    SHORTEST_NANOS + STEP_NANOS * lag as i64
}

/// Mean distance by lag.
#[derive(Debug, Clone)]
pub(super) struct Curve {
    sums: [f64; LAGS],
    counts: [u32; LAGS],
    samples: u32,
    /// Capture time of the newest and the oldest sample.
    ends: Option<[i64; 2]>,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            sums: [0.0; LAGS],
            counts: [0; LAGS],
            samples: 0,
            ends: None,
        }
    }
}

impl Curve {
    /// Adds a sample; they come newest first.
    pub fn add(&mut self, earlier: &Earlier<'_>) {
        let at = earlier.at_nanos;
        self.ends = Some([self.ends.map_or(at, |e| e[0]), at]);
        self.samples += 1;
        earlier.each(|lag, distance| {
            if let (Some(sum), Some(count)) = (self.sums.get_mut(lag), self.counts.get_mut(lag)) {
                *sum += distance;
                *count += 1;
            }
        });
    }

    /// Lag in seconds and mean distance, where enough samples are behind it.
    pub fn points(&self) -> impl Iterator<Item = [f64; 2]> {
        let enough = LEAST_BEHIND.max(self.samples / ONE_IN);
        let lags = self.sums.iter().zip(&self.counts).zip(0..);
        lags.take_while(move |((_, count), _)| **count >= enough)
            .map(|((sum, count), lag)| [lag_nanos(lag) as f64 / 1e9, sum / f64::from(*count)])
    }

    fn seconds(&self) -> f64 {
        self.ends.map_or(0.0, |[newest, oldest]| {
            newest.saturating_sub(oldest) as f64 / 1e9
        })
    }
}

/// A dip of the curve.
#[derive(Debug, Clone, Copy, Default)]
struct Dip {
    lag: usize,
    seconds: f64,
    /// To the lower of the heights around it, and the height of its ground; shares of the highest
    /// point.
    depth: f64,
    ground: f64,
}

/// A period that the curve speaks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Its length.
    pub seconds: f64,
    lag: usize,
    deep: bool,
    lags: usize,
}

/// The period, where nothing in the curve speaks against it.
///
/// The shortest lag whose dip is nearly as deep as the deepest is taken: that of two periods is as
/// deep. Every other dip must lie at a multiple of it, and every multiple must have its dip: so a
/// rhythm that repeats after two or three beats has no period here.
pub(super) fn find(curve: &Curve) -> Option<Found> {
    let mut heights = [0.0; LAGS];
    let lags = smoothed(curve, &mut heights);
    let heights = heights.get(..lags).filter(|h| h.len() >= LEAST_LAGS)?;
    let mut dips = [Dip::default(); LAGS];
    let count = all_dips(heights, &mut dips);
    let dips = dips.get(..count)?;
    let lowest = dips.iter().map(|d| d.ground).fold(f64::INFINITY, f64::min);
    let nearly = lowest + NEARLY * (1.0 - lowest);
    let first = dips.iter().find(|d| d.ground <= nearly)?;
    let period = first.seconds;
    let [shortest, longest] = PERIODS;
    let seen = curve.seconds();
    if !(shortest..=longest).contains(&period)
        || seen < (PERIODS_SEEN * period).clamp(LEAST_SECONDS, SECONDS_SEEN)
    {
        return None;
    }
    let (mut confirmed, mut seconds) = (0.0, period);
    for dip in dips {
        let multiple = (dip.seconds / period + 0.5).floor();
        if multiple < 1.0 || !is_near(dip.seconds, multiple * period) {
            return None;
        }
        if dip.depth >= CONFIRMS {
            confirmed = multiple;
            seconds = dip.seconds / multiple;
        }
    }
    let last = lag_nanos(lags - 1) as f64 / 1e9;
    for multiple in [2.0, 3.0, 4.0] {
        let at = multiple * period;
        if at * (1.0 + OFF) + 0.02 < last && !dips.iter().any(|d| is_near(d.seconds, at)) {
            return None;
        }
    }
    let deep = first.depth >= DEEP;
    (deep || first.depth >= SHALLOW && confirmed >= 2.0).then_some(Found {
        seconds,
        lag: first.lag,
        deep,
        lags,
    })
}

fn is_near(seconds: f64, expected: f64) -> bool {
    (seconds - expected).abs() <= OFF * expected
}

/// Writes the curve's heights, each with its neighbours; says how many.
fn smoothed(curve: &Curve, heights: &mut [f64; LAGS]) -> usize {
    let mut lags = 0;
    let mut raw = [0.0; LAGS];
    for (to, [_, height]) in raw.iter_mut().zip(curve.points()) {
        *to = height;
        lags += 1;
    }
    let raw = raw.get(..lags).unwrap_or_default();
    for (at, to) in heights.iter_mut().enumerate().take(lags) {
        let height = |at: Option<usize>| at.and_then(|at| raw.get(at)).copied();
        let here = height(Some(at)).unwrap_or(0.0);
        *to = match (height(at.checked_sub(1)), height(at.checked_add(1))) {
            (Some(before), Some(after)) => (before + 2.0 * here + after) / 4.0,
            _ => here,
        };
    }
    lags
}

/// Writes the dips that count, by lag; says how many.
fn all_dips(heights: &[f64], dips: &mut [Dip; LAGS]) -> usize {
    let top = heights.iter().copied().fold(0.0, f64::max);
    let mut count = 0;
    for (w, at) in heights.windows(3).zip(1..) {
        let &[before, here, after] = w else {
            continue;
        };
        if !(here <= before && here < after) {
            continue;
        }
        let higher = |h: &&f64| **h >= here;
        let most = |most: f64, h: &f64| most.max(*h);
        let (left, right) = heights.split_at(at);
        let left = left.iter().rev().take_while(higher).fold(here, most);
        let right = right.iter().take_while(higher).fold(here, most);
        let depth = (left.min(right) - here) / top;
        if depth < DIP {
            continue;
        }
        let bend = before - 2.0 * here + after;
        let aside = if bend > 0.0 {
            0.5 * (before - after) / bend
        } else {
            0.0
        };
        if let Some(free) = dips.get_mut(count) {
            *free = Dip {
                lag: at,
                seconds: (lag_nanos(at) as f64 + aside * STEP_NANOS as f64) / 1e9,
                depth,
                ground: here / top,
            };
            count += 1;
        }
    }
    count
}

/// True where nearly every stretch of time is like the one a period before: an early beat or a
/// hand that moves is not.
pub(super) fn is_regular<'a>(
    instants: impl Iterator<Item = Earlier<'a>> + Clone,
    found: Found,
) -> bool {
    // what a sample is from the one a period before, and from any within the lags
    let measured = instants.filter_map(|instant| {
        let (mut then, mut sum, mut count) = (None, 0.0, 0_u32);
        instant.each(|lag, distance| {
            if lag < found.lags {
                sum += distance;
                count += 1;
            }
            if lag == found.lag {
                then = Some(distance);
            }
        });
        let any = sum / f64::from(count.max(1));
        then.map(|then| (instant.at_nanos, then, any))
    });
    let newest = measured.clone().next().map(|m| m.0);
    let (mut unlike, mut all) = (0_u32, 0_u32);
    let (mut then_sum, mut any_sum) = (0.0, 0.0);
    let mut oldest_in = measured.clone().peekable();
    for (at_nanos, then, any) in measured {
        then_sum += then;
        any_sum += any;
        while let Some((_, then, any)) =
            oldest_in.next_if(|(t, _, _)| t.saturating_sub(at_nanos) > STRETCH_NANOS)
        {
            then_sum -= then;
            any_sum -= any;
        }
        if newest.is_some_and(|n| n.saturating_sub(at_nanos) >= WHOLE_STRETCH_NANOS) {
            all += 1;
            unlike += u32::from(then_sum > UNLIKE * any_sum);
        }
    }
    let [deep, shallow] = MOST_UNLIKE;
    let most = if found.deep { deep } else { shallow };
    all > 0 && f64::from(unlike) <= most * f64::from(all)
}
