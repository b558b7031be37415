//! The capture times of a DICOM cine's frames.

use std::path::Path;

use dicom_core::{DicomValue, Tag};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::header::{attribute_error, numbers, tag};
use crate::{OpenOptions, SourceError};

const NANOS_PER_MILLI: f64 = 1e6;
const NANOS_PER_SECOND: f64 = 1e9;
/// Longer than any cine; keeps every sum far from the end of an `i64`.
const MAX_TOTAL_NANOS: f64 = 365.0 * 86_400.0 * NANOS_PER_SECOND;

/// When each frame was captured, in nanoseconds from the first frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timing {
    clock: Clock,
    /// Median period.
    pub(super) nominal_period_nanos: i64,
    /// Where the times come from.
    pub(super) words: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Clock {
    /// The period in nanoseconds, not rounded: rounding comes after the multiplication.
    Constant(f64),
    Listed(Vec<i64>),
}

impl Timing {
    /// Reads the timing of a cine of `frames` frames.
    ///
    /// # Errors
    /// [`SourceError::Attribute`] where an attribute has an impossible value;
    /// [`SourceError::NoTiming`] where there is none and no rate is assumed.
    ///
    /// # Source
    /// DICOM PS3.3 C.7.6.5.1.1 (Frame Increment Pointer, Frame Time, Frame Time Vector): entry i of
    /// the vector is the time from frame i - 1 to frame i.
    pub(super) fn read(
        object: &InMemDicomObject,
        frames: u64,
        options: &OpenOptions,
        path: &Path,
    ) -> Result<Self, SourceError> {
        let pointer = pointed_at(object);
        let mut order = vec![tags::FRAME_TIME, tags::FRAME_TIME_VECTOR];
        if pointer == Some(tags::FRAME_TIME_VECTOR) {
            order.reverse();
        }
        order.extend([tags::CINE_RATE, tags::RECOMMENDED_DISPLAY_FRAME_RATE]);
        for which in order {
            if let Some(values) = numbers(object, which, path)? {
                return Self::from_values(which, &values, frames, path);
            }
        }
        let Some(fps) = options.assume_fps else {
            return Err(SourceError::NoTiming {
                expected: "FrameTimeVector, FrameTime, CineRate or RecommendedDisplayFrameRate",
                path: path.to_owned(),
            });
        };
        Ok(Self::constant(
            NANOS_PER_SECOND / fps,
            format!("assumed, {fps} frames/s"),
        ))
    }

    fn from_values(
        which: Tag,
        values: &[f64],
        frames: u64,
        path: &Path,
    ) -> Result<Self, SourceError> {
        if which == tags::FRAME_TIME_VECTOR {
            return Self::listed(values, frames, path);
        }
        let (name, expected) = match which {
            tags::FRAME_TIME => ("FrameTime", "one time above 0 ms"),
            tags::CINE_RATE => ("CineRate", "one rate above 0 frames/s"),
            _ => ("RecommendedDisplayFrameRate", "one rate above 0 frames/s"),
        };
        let wrong = |found: String| attribute_error(name, expected, found, path);
        let &[value] = values else {
            return Err(wrong(format!("{} values", values.len())));
        };
        if !(value.is_finite() && value > 0.0) {
            return Err(wrong(value.to_string()));
        }
        let (period_nanos, words) = if which == tags::FRAME_TIME {
            (value * NANOS_PER_MILLI, format!("{name}, {value:.1} ms"))
        } else {
            (
                NANOS_PER_SECOND / value,
                format!("{name}, {value} frames/s"),
            )
        };
        let total_nanos = period_nanos * frames as f64;
        if period_nanos < 1.0 || total_nanos > MAX_TOTAL_NANOS {
            let found = format!("{value}, {total_nanos:.0} ns for {frames} frames");
            return Err(attribute_error(
                name,
                "a cine of less than a year",
                found,
                path,
            ));
        }
        Ok(Self::constant(period_nanos, words))
    }

    fn constant(period_nanos: f64, words: String) -> Self {
        Self {
            clock: Clock::Constant(period_nanos),
            nominal_period_nanos: period_nanos.round() as i64,
            words,
        }
    }

    fn listed(values: &[f64], frames: u64, path: &Path) -> Result<Self, SourceError> {
        let wrong = |expected: String, found: String| {
            attribute_error("FrameTimeVector", expected, found, path)
        };
        if values.len() as u64 != frames {
            return Err(wrong(
                format!("one entry for each of {frames} frames"),
                format!("{} entries", values.len()),
            ));
        }
        let mut times = Vec::with_capacity(values.len());
        let mut increments = Vec::with_capacity(values.len());
        let mut sum_nanos = 0.0;
        for (index, &millis) in values.iter().enumerate() {
            let increment_nanos = millis * NANOS_PER_MILLI;
            let first = index == 0;
            if !millis.is_finite() || millis < 0.0 || (!first && increment_nanos < 1.0) {
                return Err(wrong(
                    "times above 0 ms".to_owned(),
                    format!("{millis} ms in entry {index} (from 0)"),
                ));
            }
            if !first {
                sum_nanos += increment_nanos;
                increments.push(millis);
            }
            if sum_nanos > MAX_TOTAL_NANOS {
                return Err(wrong(
                    "a cine of less than a year".to_owned(),
                    format!("{sum_nanos} ns"),
                ));
            }
            times.push(sum_nanos.round() as i64);
        }
        increments.sort_by(f64::total_cmp);
        let (Some(low), Some(high)) = (increments.first(), increments.last()) else {
            return Err(wrong(
                "at least 2 entries".to_owned(),
                values.len().to_string(),
            ));
        };
        let words = format!("FrameTimeVector, {low:.1} to {high:.1} ms");
        let nominal_period_nanos = (median(&increments) * NANOS_PER_MILLI).round() as i64;
        Ok(Self {
            clock: Clock::Listed(times),
            nominal_period_nanos,
            words,
        })
    }

    /// The capture time of a frame, in nanoseconds from the first frame.
    pub(super) fn nanos(&self, frame: u64) -> i64 {
        match &self.clock {
            Clock::Constant(period) => (period * frame as f64).round() as i64,
            Clock::Listed(times) => {
                let index = usize::try_from(frame).unwrap_or(usize::MAX);
                times.get(index).or(times.last()).copied().unwrap_or(0)
            }
        }
    }
}

fn median(sorted: &[f64]) -> f64 {
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let lower = sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(upper);
    (lower + upper) / 2.0
}

fn pointed_at(object: &InMemDicomObject) -> Option<Tag> {
    let element = object.get(tags::FRAME_INCREMENT_POINTER)?;
    match element.value() {
        DicomValue::Primitive(value) => tag(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
    }

    #[test]
    fn a_constant_period_does_not_drift() {
        let timing = Timing::constant(1e9 / 30.0, String::new());
        assert_eq!(timing.nanos(3), 100_000_000);
        assert_eq!(timing.nanos(30_000), 1_000_000_000_000);
        assert_eq!(timing.nominal_period_nanos, 33_333_333);
    }
}
