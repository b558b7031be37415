//! The inference thread: owns the engine, turns clips into estimates.

mod recording;

pub use recording::Memory;

use crate::clip::Clip;
use crate::clock::{self, Pace};
use crate::context::Context;
use crate::decide::{Level, ViewDecision, ViewSmoother, gate};
use crate::engine::{Engine, EngineError};
use crate::events::{
    Estimate, Event, LvefValue, Output, Raw, Reason, Segment, StateKind, Status, TokenCount,
};
use crate::judge;
use crate::kept;
use crate::manifest::{HeadOutput, LVEF, VIEW};
use crate::moment::Moment;
use crate::outbox::Outbox;
use crate::pair::Role;
use crate::power;
use crate::readings::{Group, Readings};
use crate::recorder::Answer;
use crate::seat::Facts;
use crate::warmth::Warmth;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Clips for which a label must have been shown before an EF is.
const STEADY_CLIPS: u32 = 2;
/// Share by which a measured frame rate may be off.
const FPS_SLACK: f64 = 0.05;

/// A clip whose tokens are still in the engine's ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    generation: u64,
    down: bool,
    /// After a panic nothing is known of the engine's state: it is not asked again.
    panicked: bool,
    warmth: Warmth,
    /// When the encoder, and when the engine last answered for the clip at hand.
    answered: (Instant, Instant),
    /// What the estimate of the clip at hand repeats.
    moment: Moment,
    /// The engine's answers on the clip at hand, its slots, and clips judged; for the recorder.
    answers: [Answer; 3],
    slots: usize,
    judged: u64,
    /// Patches that the clip at hand was encoded of alone, and their rows and places.
    kept: Option<Arc<[u32]>>,
    rows: Vec<f32>,
    ids: Vec<usize>,
}

impl Inference {
    pub fn new(context: Arc<Context>, engine: Box<dyn Engine>, outbox: Outbox) -> Self {
        let labels = context.manifest.view_labels().len();
        let smoother = ViewSmoother::new(judge::view_rules(&context.manifest), labels);
        Self {
            warmth: Warmth::new(context.pace),
            answered: (Instant::now(), Instant::now()),
            moment: context.moment(),
            context,
            generation: engine.generation(),
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
            answers: Default::default(),
            slots: 0,
            judged: 0,
            kept: None,
            rows: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Serves clips until the sender is gone. Every clip goes back through `returns`.
    pub fn run(mut self, clips: &Receiver<Clip>, returns: &Sender<Clip>) {
        loop {
            let next = match self.warmth.patience() {
                Some(patience) => clips.recv_timeout(patience),
                None => clips.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let mut clip = match next {
                Ok(clip) => clip,
                Err(RecvTimeoutError::Timeout) => {
                    self.pulse();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut clip)));
            if served.is_err() {
                let level = self.context.effort.level();
                let refused = self.gave_up(&clip, level);
                self.record(&clip);
                self.report_down(&clip, "the engine panicked");
                self.context.send(&self.outbox, refused);
            }
            if returns.send(clip).is_err() {
                return;
            }
        }
    }

    /// Runs an idle engine once so that the first clip after the pause finds it ready.
    fn pulse(&mut self) {
        if power::on_battery() {
            return;
        }
        let begin = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| self.engine.keep_warm())) {
            Ok(Ok(true)) => {
                self.context
                    .latencies
                    .pulses
                    .fetch_add(1, Ordering::Relaxed);
                self.warmth.pulsed(begin.elapsed());
            }
            Ok(_) => self.warmth.forget(),
            Err(_) => {
                self.record_panic();
                self.panicked();
                self.warmth.forget();
            }
        }
    }

    fn serve(&mut self, clip: &mut Clip) {
        if let Some(segment) = clip.segment()
            && self.context.newest_exam.is_over(&segment.exam)
        {
            return;
        }
        let level = self.context.effort.level();
        self.remember();
        if self.panicked {
            let refused = self.gave_up(clip, level);
            self.record(clip);
            self.context.send(&self.outbox, refused);
            return;
        }
        let begin = Instant::now();
        let latencies = self.context.latencies.clone();
        let waited = begin.saturating_duration_since(clip.formed);
        latencies.clip_wait.record(waited);
        let (estimate, error) = self.judge(clip, level);
        self.record(clip);
        match error {
            None => {
                let took = begin.elapsed();
                latencies.inference.record(took);
                if self.warmth.paused(begin) {
                    latencies.after_pause.record(took);
                }
                self.down = false;
                self.context.send(&self.outbox, estimate);
                let (encoded, answered) = self.answered;
                latencies.encoder_to_event.record(encoded.elapsed());
                latencies.answer_to_event.record(answered.elapsed());
                self.record_age(clip);
                self.warmth.inferred(Instant::now(), took);
                let busy = clip.formed.elapsed().as_nanos() as f64;
                let time_nanos = self.context.valid_for_nanos as f64;
                self.context.measure(&self.outbox, busy / time_nanos, false);
            }
            Some(EngineError::Absent { .. }) => self.context.send(&self.outbox, estimate),
            Some(error) => {
                self.warmth.forget();
                self.context.measure(&self.outbox, 0.0, true);
                self.report_down(clip, &error.to_string());
                self.context.send(&self.outbox, estimate);
            }
        }
    }

    /// How old the newest frame of an inferred clip is now that its event was sent.
    fn record_age(&self, clip: &Clip) {
        let newest = clip.frames.last().map(|frame| frame.capture_nanos);
        let age = newest.map(|nanos| clock::now_nanos() - nanos).unwrap_or(-1);
        if self.context.pace == Pace::Real && age >= 0 {
            let age = Duration::from_nanos(age.unsigned_abs());
            self.context.latencies.evidence.record(age);
        }
    }

    /// The estimate of a clip; where the engine fails or is absent, one without any value, and why.
    pub fn judge(&mut self, clip: &mut Clip, level: Level) -> (Estimate, Option<EngineError>) {
        match self.estimate(clip, level) {
            Ok(estimate) => (estimate, None),
            Err(error) => {
                self.forget_tokens();
                if matches!(error, EngineError::Absent { .. }) {
                    self.look(clip);
                }
                (self.refused(clip, level), Some(error))
            }
        }
    }

    /// The estimate of a clip on which the engine panicked, or of one after it.
    pub fn gave_up(&mut self, clip: &Clip, level: Level) -> Estimate {
        self.panicked();
        self.refused(clip, level)
    }

    /// Forgets everything for good: whatever the engine says from now on is not asked.
    pub fn panicked(&mut self) {
        self.panicked = true;
        self.forget_tokens();
        (self.next_slot, self.generation) = (0, 0);
    }

    fn refused(&mut self, clip: &Clip, level: Level) -> Estimate {
        self.moment = self.context.moment_at(level);
        let reason = self.moment.facts.rests.unwrap_or(Reason::EngineDown);
        let segment = clip.segment();
        let context = &self.context;
        context.alone(context.refused(clip.number, reason, segment, &self.moment))
    }

    /// Asks a head.
    fn ask(&mut self, name: &str, slots: &[usize]) -> Result<Vec<f32>, EngineError> {
        let mut values = Vec::new();
        let answered = self.engine.head(name, slots, &mut values);
        if self.context.recorder.is_on() {
            let [_, view, lvef] = &mut self.answers;
            let to = if name == VIEW { view } else { lvef };
            *to = match &answered {
                Ok(()) => Answer::Gave(values.iter().map(|v| v.to_bits()).collect()),
                Err(error) => error.into(),
            };
        }
        answered?;
        self.answered.1 = Instant::now();
        finite(name, &values)?;
        Ok(values)
    }

    fn look(&self, clip: &Clip) {
        let at_nanos = clip.frames.last().map_or(0, |f| f.capture_nanos);
        self.context.look(&self.outbox, at_nanos);
    }

    fn report_down(&mut self, clip: &Clip, detail: &str) {
        if self.down {
            return;
        }
        self.down = true;
        let at_nanos = clip.frames.last().map_or(0, |f| f.capture_nanos);
        let state = StateKind::EngineDown;
        let state = self.context.state(state, at_nanos, detail.to_owned());
        self.outbox.send(Event::State(Box::new(state)));
    }

    fn estimate(&mut self, clip: &mut Clip, level: Level) -> Result<Estimate, EngineError> {
        let segment = clip.segment().ok_or_else(|| EngineError::Failed {
            what: "clip".to_owned(),
            message: "it has no frame".to_owned(),
        })?;
        let context = self.context.clone();
        let manifest = &context.manifest;
        let slot = self.next_slot;
        self.encoded
            .retain(|e| e.slot != slot && e.segment.exam.number == clip.exam.number);
        self.kept = None;
        let kept = clip.kept.clone();
        let mut kept = kept.filter(|_| context.seat.facts().keeps_fewer);
        let encoded = self.encode(&clip.tubelets, kept.as_deref(), slot);
        if self.context.recorder.is_on() {
            self.answers[0] = match &encoded {
                Ok(()) => Answer::Gave(Vec::new()),
                Err(error) => error.into(),
            };
        }
        encoded?;
        clip.inferred = true;
        let encoded = Instant::now();
        self.slots = self.engine.slots();
        self.next_slot = (slot + 1) % self.slots.max(1);
        let generation = self.engine.generation();
        if generation != self.generation {
            self.generation = generation;
            self.forget_tokens();
            self.look(clip);
        }
        self.moment = context.moment_at(level);
        let facts = self.moment.facts.clone();
        if kept.is_some() && !facts.keeps_fewer {
            // Another engine has taken over, which may not be given fewer.
            kept = None;
            self.encode(&clip.tubelets, None, slot)?;
        }
        self.kept = kept;

        let evidence = Some(segment.clone());
        let mut estimate = context.refused(clip.number, Reason::WarmingUp, evidence, &self.moment);
        estimate.heart = clip.heart.map(|h| h.rate());
        estimate.tokens = self.kept.as_ref().map(|patches| TokenCount {
            used: patches.len() * manifest.encoder.tubelets(),
            all: manifest.encoder.tokens(),
        });
        let mut raw = Raw::default();
        let logits = self.ask(VIEW, &[slot])?;
        self.answered.0 = encoded;
        self.follow(&segment, clip.stretch);
        let probabilities = judge::softmax(&logits, judge::temperature(facts.calibration.as_ref()));
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
        if context.role == Role::Guide {
            self.guide(clip, &mut estimate);
        } else if let Some(head) = manifest.heads.get(LVEF) {
            let outcome = self.regress(clip, level, (head.segments, &head.output), &mut raw)?;
            estimate.lvef = match outcome {
                Ok(()) => self.ejection(&facts, &head.output, status),
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
        if context.role == Role::Measure {
            self.leave_the_view(clip, &mut estimate);
        }
        estimate.raw = Some(raw);
        Ok(estimate)
    }

    /// Of the guide: tells the measuring package what the view is, and blanks its EF where that may
    /// not be shown any more.
    fn guide(&self, clip: &Clip, estimate: &mut Estimate) {
        let Some(agreement) = &self.context.agreement else {
            return;
        };
        let newest = clip.frames.last().map_or(0, |f| f.capture_nanos);
        let until_nanos = newest.saturating_add(self.context.valid_for_nanos);
        let decision = self.smoother.decision();
        let evidence = estimate.view.evidence.clone();
        estimate.lvef = match agreement.say(clip.exam, clip.number, decision, until_nanos) {
            Ok(()) => Output::not_due(evidence),
            Err(reason) => Output::withheld(reason, evidence),
        };
    }

    /// Of the measuring package beside a guide: the view is the guide's to say, and the guide is told
    /// which one the EF stands for.
    fn leave_the_view(&self, clip: &Clip, estimate: &mut Estimate) {
        let evidence = std::mem::take(&mut estimate.view.evidence);
        let view = estimate.view.value.take().map(|view| view.label);
        estimate.view = Output::not_due(evidence);
        if let Some(agreement) = &self.context.agreement
            && !self.context.newest_exam.is_over(&clip.exam)
        {
            agreement.release(view.as_deref().filter(|_| estimate.lvef.has_value()));
        }
    }

    /// Encodes a clip, or of each tubelet only the patches `kept`.
    fn encode(
        &mut self,
        tubelets: &[Arc<Vec<f32>>],
        kept: Option<&[u32]>,
        slot: usize,
    ) -> Result<(), EngineError> {
        let Some(kept) = kept else {
            return self.engine.encode(tubelets, slot);
        };
        let encoder = &self.context.manifest.encoder;
        kept::gather(tubelets, kept, encoder, &mut self.rows, &mut self.ids);
        self.engine.encode_kept(&self.rows, &self.ids, slot)
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

    /// Forgets everything that came of the engine, which no longer holds it.
    fn forget_tokens(&mut self) {
        self.encoded.clear();
        self.forget();
    }

    /// Reads the EF from the newest clip, if it may be read.
    fn regress(
        &mut self,
        clip: &Clip,
        level: Level,
        (segments, output): (usize, &HeadOutput),
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
        let label = match gate(None, level, view, &accepted) {
            Ok(label) => label,
            Err(reason) => return Ok(Err(reason)),
        };
        let limits = &self.context.manifest.limits;
        let tested = limits.min_fps * (1.0 - FPS_SLACK)..=limits.max_fps * (1.0 + FPS_SLACK);
        if clip.source_fps.is_some_and(|fps| !tested.contains(&fps)) {
            return Ok(Err(Reason::NotPermitted));
        }
        let name = labels.get(label).cloned();
        if let Some(agreement) = &self.context.agreement {
            let view = name.as_deref().unwrap_or_default();
            let now = (self.context.pace == Pace::Real).then(clock::now_nanos);
            if let Err(reason) = agreement.check(clip.exam, clip.number, view, now) {
                self.readings.clear();
                return Ok(Err(reason));
            }
        }
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
        let z = self.ask(LVEF, &slots)?;
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
        self.readings.push(group, percent, evidence, clip.heart);
        Ok(Ok(()))
    }

    /// The readings so far as one number, once the view has been the same for long enough.
    fn ejection(&self, facts: &Facts, output: &HeadOutput, status: Status) -> Output<LvefValue> {
        let HeadOutput::Regression { range, .. } = output else {
            return Output::quiet(Status::Off);
        };
        let (combined, segments) = self.readings.combine(&judge::ejection_rules(*range));
        let combined = match self.steady.1 >= STEADY_CLIPS {
            true => combined,
            false => Err(Reason::WarmingUp),
        };
        judge::ejection(
            facts.calibration.as_ref(),
            self.context.manifest.limits.widest_interval,
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
