//! What a source really delivers.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use crate::Arrival;

/// A step this much longer than the usual one is a gap.
const GAP_STEPS: f64 = 1.5;

/// Collects the first frames of a source.
#[derive(Debug, Default)]
pub struct SelfTest {
    arrivals_nanos: Vec<i64>,
    device_nanos: Vec<i64>,
    missed: u64,
    repeated: u64,
    backward: u64,
    newest_picture: Option<u64>,
    newest_device_nanos: Option<i64>,
}

/// The findings.
#[derive(Debug, Clone, PartialEq)]
pub struct SelfTestReport {
    /// Frames looked at.
    pub frames: u64,
    /// From the first to the last arrival.
    pub span_nanos: i64,
    /// Frames that arrived per second.
    pub rate_hz: f64,
    /// Rate that the usual step between two frames stands for.
    pub nominal_hz: f64,
    /// Frames missing: what the source dropped, and what gaps between stamps have room for.
    pub lost: u64,
    /// Frames whose picture or stamp is that of the one before.
    pub repeated: u64,
    /// Stamps that go back.
    pub backward: u64,
    /// Whether the device gives stamps; otherwise the figures are those of the arrivals.
    pub stamped: bool,
    /// How far the arrivals stray from the stamps: the 99th percentile above the least delay.
    pub jitter_p99_nanos: i64,
}

impl SelfTest {
    /// Looks at a frame.
    ///
    /// # Real-time
    /// Reads every byte once; 16 bytes are kept of each frame.
    pub fn frame(&mut self, arrival: &Arrival, pixels: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write(pixels);
        let picture = Some(hasher.finish());
        let device = arrival.device_nanos;
        let same_stamp = device.is_some() && device == self.newest_device_nanos;
        if picture == self.newest_picture || same_stamp {
            self.repeated += 1;
        }
        if let (Some(new), Some(old)) = (device, self.newest_device_nanos) {
            self.backward += u64::from(new < old);
        }
        self.newest_picture = picture;
        self.newest_device_nanos = device;
        self.missed = self.missed.saturating_add(arrival.missed);
        self.arrivals_nanos.push(arrival.arrival_nanos);
        self.device_nanos.extend(device);
    }

    /// Time between the first arrival and the newest one.
    pub fn span_nanos(&self) -> i64 {
        let ends = self.arrivals_nanos.first().zip(self.arrivals_nanos.last());
        ends.map_or(0, |(first, last)| last.saturating_sub(*first))
    }

    /// The findings; nothing with fewer than three frames.
    pub fn report(&self) -> Option<SelfTestReport> {
        let frames = self.arrivals_nanos.len();
        let span_nanos = self.span_nanos();
        if frames < 3 || span_nanos <= 0 {
            return None;
        }
        let stamped = self.device_nanos.len() == frames;
        let times = if stamped {
            &self.device_nanos
        } else {
            &self.arrivals_nanos
        };
        let mut steps: Vec<i64> = steps(times).filter(|&step| step > 0).collect();
        steps.sort_unstable();
        let usual = *steps.get(steps.len() / 2)?;
        let room = |step: i64| (step as f64 / usual as f64).round() as u64 - 1;
        let gaps = steps.iter().rev().map(|&step| (step, step as f64));
        let gaps = gaps.take_while(|&(_, step)| step > GAP_STEPS * usual as f64);
        Some(SelfTestReport {
            frames: frames as u64,
            span_nanos,
            rate_hz: (frames - 1) as f64 * 1e9 / span_nanos as f64,
            nominal_hz: 1e9 / usual as f64,
            lost: self.missed.max(gaps.map(|(step, _)| room(step)).sum()),
            repeated: self.repeated,
            backward: self.backward,
            stamped,
            jitter_p99_nanos: if stamped { self.delays() } else { 0 },
        })
    }

    fn delays(&self) -> i64 {
        let pairs = self.arrivals_nanos.iter().zip(&self.device_nanos);
        let mut delays: Vec<i64> = pairs.map(|(a, d)| a.saturating_sub(*d)).collect();
        delays.sort_unstable();
        let rank = (delays.len() * 99).div_ceil(100).saturating_sub(1);
        let least = delays.first().copied().unwrap_or(0);
        delays
            .get(rank)
            .map_or(0, |delay| delay.saturating_sub(least))
    }
}

impl fmt::Display for SelfTestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} frames/s over {:.1} s ({:.2} by the usual step), {} lost, {} repeated",
            self.rate_hz,
            self.span_nanos as f64 / 1e9,
            self.nominal_hz,
            self.lost,
            self.repeated
        )?;
        if !self.stamped {
            return f.write_str(", no device time stamps");
        }
        let jitter = self.jitter_p99_nanos as f64 / 1e6;
        write!(
            f,
            ", {} stamps back, delay jitter {jitter:.1} ms (p99)",
            self.backward
        )
    }
}

fn steps(times: &[i64]) -> impl Iterator<Item = i64> {
    let pairs = times.iter().zip(times.iter().skip(1));
    pairs.map(|(a, b)| b.saturating_sub(*a))
}
