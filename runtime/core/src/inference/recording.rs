//! What the inference thread tells the recorder, and how a replay goes on from it.

use super::{Encoded, Inference};
use crate::clip::Clip;
use crate::decide::ViewSmoother;
use crate::engine::EngineError;
use crate::events::{Exam, Segment};
use crate::readings::Readings;
use crate::recorder::{Answer, JudgedRecord, MAX_SLOTS, Record};
use serde::{Deserialize, Serialize};

/// Clips from one recorded state of this thread to the next.
const MEMORY_EVERY: u64 = 16;

/// What this thread remembers from one clip to the next, as a recording holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    smoother: ViewSmoother,
    steady: (Option<usize>, u32),
    readings: Readings,
    encoded: Vec<Encoded>,
    newest: Option<(Segment, u64)>,
    /// Number of the exam of all segments.
    exam: u64,
    next_slot: usize,
    generation: u64,
    panicked: bool,
}

impl Memory {
    /// Capture times of everything remembered.
    pub(crate) fn times(&self) -> impl Iterator<Item = i64> {
        let encoded = self.encoded.iter().map(|e| &e.segment);
        let segments = encoded.chain(self.newest.iter().map(|n| &n.0));
        let times = segments.flat_map(|s| [s.first_capture_nanos, s.last_capture_nanos]);
        times.chain(self.readings.times())
    }
}

impl Inference {
    /// What is remembered.
    pub fn memory(&self) -> Memory {
        Memory {
            smoother: self.smoother.clone(),
            steady: self.steady,
            readings: self.readings.clone(),
            encoded: self.encoded.iter().cloned().collect(),
            newest: self.newest.clone(),
            exam: self.newest.as_ref().map_or(0, |(s, _)| s.exam.number),
            next_slot: self.next_slot,
            generation: self.generation,
            panicked: self.panicked,
        }
    }

    /// Goes on from what a recording remembers.
    pub fn restore(&mut self, memory: Memory) {
        let exam = Exam {
            number: memory.exam,
            ..Exam::default()
        };
        self.smoother.resume(memory.smoother);
        self.steady = memory.steady;
        self.readings = memory.readings.resumed(exam);
        self.encoded = memory.encoded.into();
        self.encoded.truncate(MAX_SLOTS);
        let encoded = self.encoded.iter_mut().map(|e| &mut e.segment);
        self.newest = memory.newest;
        let newest = self.newest.iter_mut().map(|n| &mut n.0);
        encoded.chain(newest).for_each(|s| s.exam = exam);
        self.next_slot = memory.next_slot.min(MAX_SLOTS);
        self.generation = memory.generation;
        self.panicked = memory.panicked;
    }

    /// Tells the recorder what is remembered, now and then.
    pub(super) fn remember(&mut self) {
        if self.context.recorder.is_on() {
            if self.judged.is_multiple_of(MEMORY_EVERY) {
                let exam = self.newest.as_ref().map(|(s, _)| s.exam.number);
                let memory = || Record::Memory(Box::new(self.memory()));
                self.context.recorder.record(exam, memory);
            }
            self.judged += 1;
        }
    }

    /// Tells the recorder that the engine panicked between two clips.
    pub(super) fn record_panic(&self) {
        self.context.recorder.record(None, || Record::Panicked);
    }

    /// Tells the recorder what the engine answered, and what the estimate repeats.
    pub(super) fn record(&mut self, clip: &Clip) {
        let [encoder, view, lvef] = std::mem::take(&mut self.answers);
        let record = || JudgedRecord {
            facts: clip.into(),
            moment: (&self.moment).into(),
            generation: self.generation,
            slots: self.slots,
            encoder,
            view,
            lvef,
            panicked: self.panicked,
            kept: self.kept.as_deref().map(<[u32]>::to_vec),
        };
        let recorder = &self.context.recorder;
        recorder.record(Some(clip.exam.number), || {
            Record::Judged(Box::new(record()))
        });
    }
}

impl From<&EngineError> for Answer {
    fn from(error: &EngineError) -> Self {
        match error {
            EngineError::Absent { .. } => Self::Absent,
            _ => Self::Failed,
        }
    }
}
