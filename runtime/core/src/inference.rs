//! The inference thread: owns the engine, turns clips into estimates.

use crate::clip::Clip;
use crate::clock::{self, Pace};
use crate::engine::{Engine, EngineError};
use crate::events::{
    Estimate, Event, Evidence, Output, Raw, Reason, SCHEMA, Segment, State, StateKind, Status,
};
use crate::exam::NewestExam;
use crate::judge;
use crate::latency::Latencies;
use crate::manifest::{Calibration, HeadOutput, LVEF, Manifest, VIEW};
use crate::outbox::Outbox;
use crossbeam_channel::{Receiver, Sender};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
            degraded: self.degraded.clone(),
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
    label: Option<String>,
}

pub(crate) struct Inference {
    context: Arc<Context>,
    engine: Box<dyn Engine>,
    outbox: Outbox,
    encoded: VecDeque<Encoded>,
    next_slot: usize,
    down: bool,
    /// After a panic nothing is known of the engine's state: it is not asked again.
    panicked: bool,
}

impl Inference {
    pub fn new(context: Arc<Context>, engine: Box<dyn Engine>, outbox: Outbox) -> Self {
        Self {
            context,
            engine,
            outbox,
            encoded: VecDeque::new(),
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
            }
            Err(error) => {
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
            degraded: self.context.degraded.clone(),
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
        estimate.view = judge::view(
            manifest,
            context.calibration.as_ref(),
            &logits,
            segment.clone(),
            context.valid_for_nanos,
        );
        raw.view = Some(logits);
        let label = estimate.view.value.as_ref().map(|v| v.label.clone());
        self.encoded.push_back(Encoded {
            slot,
            segment: Segment {
                view: label.clone(),
                ..segment.clone()
            },
            label,
        });
        if let Some(head) = manifest.heads.get(LVEF) {
            estimate.lvef = self.regress(LVEF, head.segments, &head.output, &estimate, &mut raw)?;
        }
        estimate.raw = Some(raw);
        Ok(estimate)
    }

    fn regress(
        &mut self,
        name: &str,
        segments: usize,
        output: &HeadOutput,
        estimate: &Estimate,
        raw: &mut Raw,
    ) -> Result<Output<crate::events::LvefValue>, EngineError> {
        let HeadOutput::Regression { required_views, .. } = output else {
            return Ok(Output::quiet(Status::Off));
        };
        let label = match judge::view_gate(required_views, &estimate.view) {
            Ok(label) => label,
            Err(reason) => {
                return Ok(Output::withheld(reason, estimate.view.evidence.clone()));
            }
        };
        let Some(newest) = self.encoded.back() else {
            return Ok(Output::quiet(Status::NotDue));
        };
        let mut slots = vec![newest.slot];
        let mut evidence = vec![newest.segment.clone()];
        if segments == 2 {
            let Some(earlier) = self.earlier(newest, &label) else {
                let evidence = estimate.view.evidence.clone();
                return Ok(Output::withheld(Reason::WarmingUp, evidence));
            };
            slots.insert(0, earlier.slot);
            evidence.insert(0, earlier.segment.clone());
        }
        let mut z = Vec::new();
        self.engine.head(name, &slots, &mut z)?;
        finite(name, &z)?;
        let judged = judge::regression(
            &self.context.manifest,
            self.context.calibration.as_ref(),
            output,
            &z,
            evidence,
            self.context.valid_for_nanos,
        );
        raw.lvef = Some(z);
        Ok(judged)
    }

    /// The newest earlier clip that shares no frame with `newest` and belongs with it.
    fn earlier(&self, newest: &Encoded, label: &str) -> Option<&Encoded> {
        let begin = newest.segment.first_capture_nanos;
        self.encoded.iter().rev().find(|e| {
            e.segment.last_frame < newest.segment.first_frame
                && begin - e.segment.last_capture_nanos <= self.context.max_segment_gap_nanos
                && e.segment.sector == newest.segment.sector
                && e.label.as_deref() == Some(label)
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
