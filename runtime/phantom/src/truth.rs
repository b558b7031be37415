//! What is true about a clip.

use crate::View;
use crate::label::{PoseError, pose_error};
use crate::phantom::Phantom;
use crate::rhythm::Beat;

/// One beat's volumes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeatTruth {
    /// Time of end-diastole in milliseconds from frame 0.
    pub end_diastole_millis: f64,
    /// Time of end-systole in milliseconds from frame 0.
    pub end_systole_millis: f64,
    /// Volume of the left ventricle at end-diastole.
    pub end_diastolic_ml: f64,
    /// Volume of the left ventricle at end-systole.
    pub end_systolic_ml: f64,
}

impl BeatTruth {
    fn of(beat: &Beat, phantom: &Phantom) -> Self {
        let volume = |contraction| phantom.heart().motion().lv_volume_ml(contraction);
        Self {
            end_diastole_millis: beat.start_millis,
            end_systole_millis: beat.end_systole_millis(),
            end_diastolic_ml: volume(beat.contraction_start),
            end_systolic_ml: volume(beat.contraction_peak),
        }
    }

    /// Ejection fraction in percent.
    pub fn ef_percent(&self) -> f64 {
        100.0 * (1.0 - self.end_systolic_ml / self.end_diastolic_ml)
    }
}

/// What is true about a span of frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// The view, or nothing where a pose on the way is too close to a class border or where the
    /// view changes.
    pub label: Option<View>,
    /// Distance of the first frame's pose from the standard one of the exam's view.
    pub pose_error: PoseError,
    /// Mean ejection fraction of `beats`; nothing where no beating heart is seen.
    pub ef_percent: Option<f64>,
    /// Mean rate of the beats that start within the span.
    pub rate_bpm: f64,
    /// The beats whose end-systole lies within the span; where there is none, the one at its
    /// middle.
    pub beats: Vec<BeatTruth>,
}

impl Phantom {
    /// What is true about the frames `first..first + count`.
    pub fn truth(&self, first: u32, count: u32) -> Truth {
        let last = first.saturating_add(count.max(1) - 1);
        let millis = |frame| self.time_nanos(frame) as f64 / 1e6;
        let (from, to) = (millis(first), millis(last));
        let mut beats: Vec<BeatTruth> = self
            .beats()
            .all()
            .iter()
            .filter(|beat| (from..=to).contains(&beat.end_systole_millis()))
            .map(|beat| BeatTruth::of(beat, self))
            .collect();
        if beats.is_empty() {
            beats.push(BeatTruth::of(&self.beats().at(0.5 * (from + to)), self));
        }
        let mean = beats.iter().map(BeatTruth::ef_percent).sum::<f64>() / beats.len() as f64;
        let exam = self.exam();
        Truth {
            label: self.label(first, last),
            pose_error: pose_error(&self.pose(first), exam.view, &exam.anatomy),
            ef_percent: self.shows_a_beating_heart().then_some(mean),
            rate_bpm: self.beats().rate_bpm(from, to),
            beats,
        }
    }

    fn label(&self, first: u32, last: u32) -> Option<View> {
        let stride = (last - first).div_ceil(32).max(1) as usize;
        let seconds = |frame: u32| self.time_nanos(frame) as f32 / 1e9;
        let label = self.exam().label_at(seconds(first));
        let same = (first..=last)
            .step_by(stride)
            .chain([last])
            .all(|frame| self.exam().label_at(seconds(frame)) == label);
        if same { label } else { None }
    }
}
