//! The inference thread: owns the engine, turns clips into estimates.

use crate::clip::Clip;
use crate::clock::{self, Pace};
use crate::decide::{ViewDecision, ViewSmoother, gate};
use crate::effort::{self, Effort};
use crate::engine::{Engine, EngineError};
use crate::events::{
    Estimate, Event, Evidence, LvefValue, Output, Raw, Reason, SCHEMA, Segment, State, StateKind,
    Status,
};
use crate::exam::NewestExam;
use crate::judge;
use crate::latency::Latencies;
use crate::manifest::{Calibration, HeadOutput, LVEF, Manifest, VIEW};
use crate::outbox::Outbox;
use crate::readings::{Group, Readings};
use crossbeam_channel::{Receiver, Sender};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Clips for which a label must have been shown before an EF is.
const STEADY_CLIPS: u32 = 2;
/// Share by which a measured frame rate may be off.
const FPS_SLACK: f64 = 0.05;

/// What every estimate repeats, and the rules it is made by.
pub(crate) struct Context {
    pub manifest: Arc<Manifest>,
    /// That of the variant that runs.
    pub calibration: Option<Calibration>,
    pub package: String,
    pub config: String,
    pub provider: String,
    pub degraded: Option<String>,
    pub pace: Pace,
    pub valid_for_nanos: i64,
    pub max_segment_gap_nanos: i64,
    pub newest_exam: NewestExam,
    pub latencies: Arc<Latencies>,
    pub effort: Effort,
}

impl Context {
    /// An estimate without any value.
    pub fn refused(&self, clip: u64, reason: Reason, segment: Option<Segment>) -> Estimate {
        let evidence = Evidence {
            segments: segment.into_iter().collect(),
            ..Evidence::default()
        };
        Estimate {
            schema: SCHEMA,
            clip,
            provider: self.provider.clone(),
            degraded: self.degraded(),
            package: self.package.clone(),
            config: self.config.clone(),
            sent_nanos: None,
            raw: None,
            view: Output::withheld(reason, evidence.clone()),
            lvef: if self.manifest.heads.contains_key(LVEF) {
                Output::withheld(reason, evidence)
            } else {
                Output::quiet(Status::Off)
            },
            signal: Output::quiet(Status::Off),
        }
    }

    /// Why the numbers are worse or fewer than they could be, in words.
    pub fn degraded(&self) -> Option<String> {
        effort::words(self.degraded.as_ref(), self.effort.level())
    }

    /// Takes a measurement of the load and tells of a step of the ladder.
    pub fn measure(&self, outbox: &Outbox, busy: f64, failed: bool) {
        let Some(level) = self.effort.step(busy, failed) else {
            return;
        };
        outbox.send(Event::State(Box::new(State {
            schema: SCHEMA,
            state: StateKind::LadderChanged,
            at_nanos: clock::now_nanos(),
            detail: format!("the degradation ladder is now at: {level}"),
            degraded: self.degraded(),
            counters: None,
            session: None,
        })));
    }

    /// Stamps an estimate and sends it, unless its exam is over.
    pub fn send(&self, outbox: &Outbox, mut estimate: Estimate) {
        let mut segments = estimate.view.evidence.segments.iter();
        if segments.any(|s| self.newest_exam.is_over(&s.exam)) {
            return;
        }
        let newest_nanos = estimate.view.evidence.segments.last();
        let newest_nanos = newest_nanos.map(|s| s.last_capture_nanos);
        if self.pace == Pace::Real {
            let now = clock::now_nanos();
            judge::expire(&mut estimate.view, now);
            judge::expire(&mut estimate.lvef, now);
            judge::stamp_age(&mut estimate.view, now);
            judge::stamp_age(&mut estimate.lvef, now);
            estimate.sent_nanos = Some(now);
            if let Some(newest) = newest_nanos.filter(|n| *n <= now) {
                let age = Duration::from_nanos((now - newest).unsigned_abs());
                self.latencies.event.record(age);
            }
        }
        outbox.send(Event::Estimate(Box::new(estimate)));
    }
}

/// A clip whose tokens are still in the engine's ring.
struct Encoded {
    slot: usize,
    segment: Segment,
}

pub(crate) struct Inference {
    context: Arc<Context>,
    engine: Box<dyn Engine>,
    outbox: Outbox,
    encoded: VecDeque<Encoded>,
    smoother: ViewSmoother,
    /// Clips in a row that the label shown has been the same for.
    steady: (Option<usize>, u32),
    readings: Readings,
    newest: Option<(Segment, u64)>,
    next_slot: usize,
    down: bool,
    /// After a panic nothing is known of the engine's state: it is not asked again.
    panicked: bool,
}

impl Inference {
    pub fn new(context: Arc<Context>, engine: Box<dyn Engine>, outbox: Outbox) -> Self {
        let labels = context.manifest.view_labels().len();
        let smoother = ViewSmoother::new(judge::view_rules(&context.manifest), labels);
        Self {
            context,
            engine,
            outbox,
            encoded: VecDeque::new(),
            smoother,
            steady: (None, 0),
            readings: Readings::default(),
            newest: None,
            next_slot: 0,
            down: false,
            panicked: false,
        }
    }

    /// Serves clips until the sender is gone. Every clip goes back through `returns`.
    pub fn run(mut self, clips: &Receiver<Clip>, returns: &Sender<Clip>) {
        for mut clip in clips {
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut clip)));
            if served.is_err() {
                self.panicked = true;
                self.forget();
                self.report_down(&clip, "the engine panicked");
                self.refuse(&clip);
            }
            if returns.send(clip).is_err() {
                return;
            }
        }
    }

    fn serve(&mut self, clip: &mut Clip) {
        if let Some(segment) = clip.segment()
            && self.context.newest_exam.is_over(&segment.exam)
        {
            return;
        }
        if self.panicked {
            self.refuse(clip);
            return;
        }
        let begin = Instant::now();
        let latencies = self.context.latencies.clone();
        let waited = begin.saturating_duration_since(clip.formed);
        latencies.clip_wait.record(waited);
        match self.estimate(clip) {
            Ok(estimate) => {
                latencies.inference.record(begin.elapsed());
                self.down = false;
                self.context.send(&self.outbox, estimate);
                let busy = clip.formed.elapsed().as_nanos() as f64;
                let time_nanos = self.context.valid_for_nanos as f64;
                self.context.measure(&self.outbox, busy / time_nanos, false);
            }
            Err(error) => {
                self.forget();
                self.context.measure(&self.outbox, 0.0, true);
                self.report_down(clip, &error.to_string());
                self.refuse(clip);
            }
        }
    }

    fn refuse(&self, clip: &Clip) {
        let segment = clip.segment();
        let refused = self
            .context
            .refused(clip.number, Reason::EngineDown, segment);
        self.context.send(&self.outbox, refused);
    }

    fn report_down(&mut self, clip: &Clip, detail: &str) {
        if self.down {
            return;
        }
        self.down = true;
        self.outbox.send(Event::State(Box::new(State {
            schema: SCHEMA,
            state: StateKind::EngineDown,
            at_nanos: clip.frames.last().map_or(0, |f| f.capture_nanos),
            detail: detail.to_owned(),
            degraded: self.context.degraded(),
            counters: None,
            session: None,
        })));
    }

    fn estimate(&mut self, clip: &mut Clip) -> Result<Estimate, EngineError> {
        let segment = clip.segment().ok_or_else(|| EngineError::Failed {
            what: "clip".to_owned(),
            message: "it has no frame".to_owned(),
        })?;
        let context = self.context.clone();
        let manifest = &context.manifest;
        let slot = self.next_slot;
        self.encoded
            .retain(|e| e.slot != slot && e.segment.exam.number == clip.exam.number);
        self.engine.encode(&clip.tubelets, slot)?;
        clip.inferred = true;
        self.next_slot = (slot + 1) % self.engine.slots();

        let mut estimate = context.refused(clip.number, Reason::WarmingUp, Some(segment.clone()));
        let mut raw = Raw::default();
        let mut logits = Vec::new();
        self.engine.head(VIEW, &[slot], &mut logits)?;
        finite(VIEW, &logits)?;
        self.follow(&segment, clip.stretch);
        let probabilities =
            judge::softmax(&logits, judge::temperature(context.calibration.as_ref()));
        self.smoother.push(&probabilities);
        let label = judge::clip_label(manifest, &probabilities);
        let label = label.and_then(|at| manifest.view_labels().get(at).cloned());
        let segment = Segment {
            view: label,
            ..segment
        };
        let status = judge::worth(
            manifest.card.trained,
            clip.frames.iter().all(|f| f.simulated),
        );
        estimate.view = judge::view(
            manifest,
            &self.smoother,
            segment.clone(),
            status,
            context.valid_for_nanos,
        );
        raw.view = Some(logits);
        self.encoded.push_back(Encoded { slot, segment });
        if let Some(head) = manifest.heads.get(LVEF) {
            let outcome = self.regress(clip, head.segments, &head.output, &mut raw)?;
            estimate.lvef = match outcome {
                Ok(()) => self.ejection(&head.output, status),
                Err(reason) => {
                    let view = self.smoother.decision();
                    let lost = !matches!(view, ViewDecision::Shown(_));
                    if lost || reason == Reason::WrongView {
                        self.readings.clear();
                    }
                    Output::withheld(reason, estimate.view.evidence.clone())
                }
            };
        }
        estimate.raw = Some(raw);
        Ok(estimate)
    }

    /// Forgets what was said so far where `segment` does not go on from it.
    fn follow(&mut self, segment: &Segment, stretch: u64) {
        let goes_on = self.newest.as_ref().is_some_and(|(newest, before)| {
            let gap_nanos = segment.first_capture_nanos - newest.last_capture_nanos;
            newest.exam.number == segment.exam.number
                && newest.sector == segment.sector
                && *before == stretch
                && gap_nanos <= self.context.max_segment_gap_nanos
        });
        if !goes_on {
            self.forget();
        }
        self.newest = Some((segment.clone(), stretch));
    }

    fn forget(&mut self) {
        self.smoother.reset();
        self.steady = (None, 0);
        self.readings.clear();
        self.newest = None;
    }

    /// Reads the EF from the newest clip, if it may be read.
    fn regress(
        &mut self,
        clip: &Clip,
        segments: usize,
        output: &HeadOutput,
        raw: &mut Raw,
    ) -> Result<Result<(), Reason>, EngineError> {
        let view = self.smoother.decision();
        let shown = match view {
            ViewDecision::Shown(label) => Some(label),
            _ => None,
        };
        self.steady = match self.steady {
            (label, clips) if label == shown => (label, clips.saturating_add(1)),
            _ => (shown, 1),
        };
        let HeadOutput::Regression { required_views, .. } = output else {
            return Ok(Err(Reason::NotPermitted));
        };
        let labels = self.context.manifest.view_labels();
        let known = |label: &String| labels.iter().position(|l| l == label);
        let accepted: Vec<usize> = required_views.iter().filter_map(known).collect();
        let label = match gate(None, self.context.effort.level(), view, &accepted) {
            Ok(label) => label,
            Err(reason) => return Ok(Err(reason)),
        };
        let limits = &self.context.manifest.limits;
        let tested = limits.min_fps * (1.0 - FPS_SLACK)..=limits.max_fps * (1.0 + FPS_SLACK);
        if clip.source_fps.is_some_and(|fps| !tested.contains(&fps)) {
            return Ok(Err(Reason::NotPermitted));
        }
        let name = labels.get(label).cloned();
        let Some(newest) = self.encoded.back() else {
            return Ok(Err(Reason::WarmingUp));
        };
        if newest.segment.view != name {
            return Ok(Err(Reason::Uncertain));
        }
        let mut slots = vec![newest.slot];
        let mut evidence = vec![newest.segment.clone()];
        if segments == 2 {
            let Some(earlier) = self.earlier(newest) else {
                return Ok(Err(Reason::WarmingUp));
            };
            slots.insert(0, earlier.slot);
            evidence.insert(0, earlier.segment.clone());
        }
        let mut z = Vec::new();
        self.engine.head(LVEF, &slots, &mut z)?;
        finite(LVEF, &z)?;
        let percent = judge::percent(output, &z);
        raw.lvef = Some(z);
        let Some(percent) = percent else {
            return Ok(Err(Reason::EngineDown));
        };
        let group = Group {
            exam: clip.exam.number,
            sector: clip.sector,
            stretch: clip.stretch,
            view: label,
        };
        self.readings.push(group, percent, evidence);
        Ok(Ok(()))
    }

    /// The readings so far as one number, once the view has been the same for long enough.
    fn ejection(&self, output: &HeadOutput, status: Status) -> Output<LvefValue> {
        let HeadOutput::Regression { range, .. } = output else {
            return Output::quiet(Status::Off);
        };
        let (combined, segments) = self.readings.combine(&judge::ejection_rules(*range));
        let combined = match self.steady.1 >= STEADY_CLIPS {
            true => combined,
            false => Err(Reason::WarmingUp),
        };
        judge::ejection(
            self.context.calibration.as_ref(),
            combined,
            segments,
            status,
            self.context.valid_for_nanos,
        )
    }

    /// The newest earlier clip that shares no frame with `newest` and belongs with it.
    fn earlier(&self, newest: &Encoded) -> Option<&Encoded> {
        let begin = newest.segment.first_capture_nanos;
        self.encoded.iter().rev().find(|e| {
            e.segment.last_frame < newest.segment.first_frame
                && begin - e.segment.last_capture_nanos <= self.context.max_segment_gap_nanos
                && e.segment.sector == newest.segment.sector
                && e.segment.view == newest.segment.view
        })
    }
}

/// A head that gives no number speaks for an engine that nothing of can be trusted.
fn finite(head: &str, values: &[f32]) -> Result<(), EngineError> {
    match values.iter().find(|v| !v.is_finite()) {
        None => Ok(()),
        Some(value) => Err(EngineError::Failed {
            what: format!("head {head}"),
            message: format!("expected finite numbers, found {value}"),
        }),
    }
}
