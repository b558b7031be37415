//! The newest readings of the ejection fraction, and which of them make one number.

use crate::decide::{BeatRules, Combined, EjectionRules, Reading, Rhythm, Span, combine};
use crate::decide::{MAX_READINGS, covered_nanos};
use crate::events::{Exam, Reason, Segment};
use crate::pulse::Heart;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Segments that make a number, unless they do not hold one beat.
const MOST_SEGMENTS: usize = 4;
/// Longest time from the oldest to the newest frame of a number.
const MOST_NANOS: i64 = 8_000_000_000;
/// No share: the few beats that lie within the evidence as a whole are the shorter ones, and may
/// look regular where the rhythm is not.
const KNOWN_IRREGULAR: f64 = -1.0;
const NANOS_PER_MINUTE: f64 = 60e9;

/// What readings must share to make one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub exam: u64,
    pub sector: u32,
    pub stretch: u64,
    pub view: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    reading: Reading,
    segments: Vec<Segment>,
}

/// Readings of one group, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Readings {
    group: Option<Group>,
    kept: VecDeque<Kept>,
    /// What was known of the heartbeat with the newest one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    heart: Option<Heart>,
}

impl Readings {
    /// As read from a recording: of one exam, and no more than there may be.
    pub fn resumed(mut self, exam: Exam) -> Self {
        while self.kept.len() > MAX_READINGS {
            self.kept.pop_front();
        }
        let segments = self.kept.iter_mut().flat_map(|k| &mut k.segments);
        segments.for_each(|s| s.exam = exam);
        self
    }

    /// Capture times of everything kept.
    pub fn times(&self) -> impl Iterator<Item = i64> {
        let spans = self.kept.iter().flat_map(|k| k.reading.spans.iter());
        let spans = spans.flatten().flat_map(|s| [s.first_nanos, s.last_nanos]);
        let segments = self.kept.iter().flat_map(|k| k.segments.iter());
        let segments = segments.flat_map(|s| [s.first_capture_nanos, s.last_capture_nanos]);
        let onsets = self.heart.iter().flat_map(|h| h.onsets.times());
        spans.chain(segments).chain(onsets.copied())
    }

    pub fn clear(&mut self) {
        (self.group, self.heart) = (None, None);
        self.kept.clear();
    }

    /// Adds the newest reading, of one or two clips, and what is known of the heartbeat; those of
    /// another group are forgotten.
    pub fn push(
        &mut self,
        group: Group,
        percent: f64,
        segments: Vec<Segment>,
        heart: Option<Heart>,
    ) {
        if self.group != Some(group) {
            self.clear();
            self.group = Some(group);
        }
        self.heart = heart;
        if self.kept.len() == MAX_READINGS {
            self.kept.pop_front();
        }
        let mut spans = [None; 2];
        for (to, from) in spans.iter_mut().zip(&segments) {
            *to = Some(Span {
                first_frame: from.first_frame,
                last_frame: from.last_frame,
                first_nanos: from.first_capture_nanos,
                last_nanos: from.last_capture_nanos,
            });
        }
        let reading = Reading {
            percent,
            spans,
            exam: group.exam,
            sector: group.sector,
            view: group.view,
        };
        self.kept.push_back(Kept { reading, segments });
    }

    /// The newest reading with the earlier ones that share no frame with it or with each other,
    /// as one number, and the clips behind it.
    pub fn combine(&self, rules: &EjectionRules) -> (Result<Combined, Reason>, Vec<Segment>) {
        let rhythm = match &self.heart {
            Some(heart) => heart.rhythm(&rules.beats),
            None => Rhythm::Unknown,
        };
        let mut rules = *rules;
        if matches!(rhythm, Rhythm::Onsets(_)) {
            rules.beats.irregular_above = KNOWN_IRREGULAR;
        }
        let mut chosen: Vec<&Kept> = Vec::new();
        let mut readings: Vec<Reading> = Vec::new();
        let newest_nanos = self.kept.back().map_or(0, |k| end_nanos(&k.segments));
        for kept in self.kept.iter().rev() {
            let first = kept.segments.iter().map(|s| s.first_capture_nanos).min();
            let segments: usize = chosen.iter().map(|k| k.segments.len()).sum();
            let enough = segments + kept.segments.len() > MOST_SEGMENTS
                && holds_enough(&rules.beats, &readings, rhythm);
            let old = first.is_none_or(|f| newest_nanos.saturating_sub(f) > MOST_NANOS);
            if !chosen.is_empty() && (enough || old) {
                break;
            }
            if !readings.iter().any(|r| r.shares_a_frame(&kept.reading)) {
                readings.push(kept.reading);
                chosen.push(kept);
            }
        }
        readings.reverse();
        let combined = combine(&rules, &readings, rhythm);
        let segments = chosen.iter().rev().flat_map(|k| k.segments.iter().cloned());
        (combined, segments.collect())
    }
}

fn end_nanos(segments: &[Segment]) -> i64 {
    let ends = segments.iter().map(|s| s.last_capture_nanos);
    ends.max().unwrap_or(0)
}

/// True where earlier readings would add no beat that is asked for.
fn holds_enough(rules: &BeatRules, readings: &[Reading], rhythm: Rhythm<'_>) -> bool {
    let [slowest_bpm, _] = rules.rate_bpm;
    let covered = covered_nanos(readings) as f64;
    match rhythm {
        Rhythm::Unknown => covered * slowest_bpm >= NANOS_PER_MINUTE,
        Rhythm::Rate(bpm) => covered * bpm.max(slowest_bpm) >= NANOS_PER_MINUTE,
        Rhythm::Onsets(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::{FrameRef, segment};

    const GROUP: Group = Group {
        exam: 0,
        sector: 0,
        stretch: 0,
        view: 0,
    };

    /// A clip of 2 s that begins with frame `first`, 25 frames a second.
    fn clip(first: u64) -> Vec<Segment> {
        let frame = |number: u64| FrameRef {
            number,
            capture_nanos: number as i64 * 40_000_000,
            pass: 0,
            host_frame: None,
            unfit: None,
            simulated: false,
        };
        let ends = [frame(first), frame(first + 50)];
        segment(&ends, 0, Exam::default()).into_iter().collect()
    }

    fn combined(readings: &[(u64, f64)]) -> (Result<Combined, Reason>, Vec<Segment>) {
        let mut kept = Readings::default();
        for (first, percent) in readings {
            kept.push(GROUP, *percent, clip(*first), None);
        }
        kept.combine(&EjectionRules::default())
    }

    #[test]
    fn clips_that_share_frames_count_once_and_the_newest_counts() {
        let (number, segments) = combined(&[(0, 40.0), (10, 44.0), (60, 50.0), (70, 60.0)]);
        let number = number.unwrap();
        assert_eq!((number.independent, number.percent), (2, 52.0));
        let firsts: Vec<u64> = segments.iter().map(|s| s.first_frame).collect();
        assert_eq!(firsts, [10, 70]);
    }

    #[test]
    fn one_reading_far_off_does_not_move_the_number_far() {
        let (number, _) = combined(&[(0, 55.0), (51, 20.0), (102, 56.0)]);
        let number = number.unwrap();
        assert_eq!((number.percent, number.agreeing), (55.0, 2));
        assert_eq!(number.spread, 36.0);
    }

    #[test]
    fn what_is_older_than_eight_seconds_is_left_out() {
        let (number, segments) = combined(&[(0, 10.0), (300, 50.0)]);
        assert_eq!(number.unwrap().percent, 50.0);
        assert_eq!(segments.len(), 1);
    }

    #[test]
    fn another_group_starts_anew() {
        let mut kept = Readings::default();
        kept.push(GROUP, 30.0, clip(0), None);
        kept.push(
            Group {
                stretch: 1,
                ..GROUP
            },
            50.0,
            clip(60),
            None,
        );
        let (number, _) = kept.combine(&EjectionRules::default());
        assert_eq!(number.unwrap().readings, 1);
        assert_eq!(
            Readings::default().combine(&EjectionRules::default()).0,
            Err(Reason::WarmingUp)
        );
    }
}
