//! What every estimate repeats, and the rules it is made by.

use crate::clock::{self, Pace};
use crate::decide::Level;
use crate::effort::{self, Effort};
use crate::events::{
    Estimate, Event, Evidence, Output, Reason, SCHEMA, Segment, State, StateKind, Status,
};
use crate::exam::NewestExam;
use crate::judge;
use crate::latency::Latencies;
use crate::manifest::{LVEF, Manifest};
use crate::moment::Moment;
use crate::outbox::Outbox;
use crate::pair::{Agreement, Role};
use crate::recorder::{Header, MomentRecord, Tap};
use crate::screen::ScreenSetup;
use crate::screen::signal::{Reading, SignalBoard};
use crate::seat::Seat;
use std::sync::Arc;
use std::time::Duration;

/// Shared by the threads of one session.
pub(crate) struct Context {
    pub manifest: Arc<Manifest>,
    pub package: String,
    pub config: String,
    pub seat: Seat,
    pub pace: Pace,
    pub valid_for_nanos: i64,
    pub max_segment_gap_nanos: i64,
    pub newest_exam: NewestExam,
    pub latencies: Arc<Latencies>,
    pub effort: Effort,
    /// How the scanner's screen lies.
    pub screen: ScreenSetup,
    /// The newest image signal.
    pub signal: Arc<SignalBoard>,
    pub recorder: Tap,
    /// What the package is in its session.
    pub role: Role,
    /// Whether the session gives an EF, of this package or of the other one.
    pub measures: bool,
    /// What both say of the view, where there are two.
    pub agreement: Option<Arc<Agreement>>,
}

impl Context {
    /// That of a recorded session.
    pub fn recorded(header: &Header, manifest: Manifest) -> Self {
        let pace = match header.real_pace {
            true => Pace::Real,
            false => Pace::Max,
        };
        let manifest = Arc::new(manifest);
        Self {
            seat: Seat::recorded(manifest.clone()),
            measures: manifest.heads.contains_key(LVEF),
            manifest,
            package: header.package.clone(),
            config: header.config.clone(),
            pace,
            valid_for_nanos: header.valid_for_nanos,
            max_segment_gap_nanos: header.max_segment_gap_nanos,
            newest_exam: NewestExam::default(),
            latencies: Arc::default(),
            effort: Effort::new(pace, Tap::default()),
            screen: ScreenSetup::default(),
            signal: Arc::default(),
            recorder: Tap::default(),
            role: Role::Alone,
            agreement: None,
        }
    }

    /// What an estimate made now repeats.
    pub fn moment(&self) -> Moment {
        self.moment_at(self.effort.level())
    }

    /// As [`Context::moment`], for a clip that is judged with the ladder at `level`.
    pub fn moment_at(&self, level: Level) -> Moment {
        Moment {
            facts: self.seat.facts(),
            level,
            signal: self.signal.reading(),
        }
    }

    /// Goes back to a recorded moment; for a context of [`Context::recorded`].
    pub fn relive(&self, moment: &MomentRecord) -> Moment {
        self.seat.set(&moment.engine);
        self.signal.restore(moment.signal);
        self.moment_at(moment.level)
    }

    /// An estimate without any value, made at `moment`.
    pub fn refused(
        &self,
        clip: u64,
        reason: Reason,
        segment: Option<Segment>,
        moment: &Moment,
    ) -> Estimate {
        let evidence = Evidence {
            segments: segment.into_iter().collect(),
            ..Evidence::default()
        };
        let facts = &moment.facts;
        Estimate {
            schema: SCHEMA,
            clip,
            provider: facts.provider.clone(),
            degraded: effort::words(facts.degraded.as_ref(), moment.level),
            package: self.package.clone(),
            config: self.config.clone(),
            sent_nanos: None,
            raw: None,
            view: Output::withheld(reason, evidence.clone()),
            signal: Reading::output(moment.signal, evidence.clone(), self.valid_for_nanos),
            lvef: if self.measures {
                Output::withheld(reason, evidence)
            } else {
                Output::quiet(Status::Off)
            },
            heart: None,
            tokens: None,
        }
    }

    /// Makes a refusal of everything one of this package alone: beside a guide, a measuring one leaves
    /// the view to it, and without the guide's word there is no EF.
    pub fn alone(&self, mut estimate: Estimate) -> Estimate {
        match (self.role, &self.agreement) {
            (Role::Guide, Some(agreement)) => agreement.lost(),
            (Role::Measure, _) => {
                let evidence = std::mem::take(&mut estimate.view.evidence);
                estimate.view = Output::not_due(evidence);
            }
            _ => {}
        }
        estimate
    }

    /// Why the numbers are worse or fewer than they could be, in words.
    pub fn degraded(&self) -> Option<String> {
        effort::words(self.seat.facts().degraded.as_ref(), self.effort.level())
    }

    /// Why no clip is inferred at present, if so.
    pub fn rests(&self) -> Option<Reason> {
        self.seat.facts().rests.or_else(|| self.effort.rests())
    }

    /// A state of the session now, with nothing but its words.
    pub fn state(&self, kind: StateKind, at_nanos: i64, detail: String) -> State {
        let detail = match self.role {
            Role::Guide => format!("guide: {detail}"),
            Role::Alone | Role::Measure => detail,
        };
        State {
            schema: SCHEMA,
            state: kind,
            at_nanos,
            detail,
            degraded: self.degraded(),
            counters: None,
            session: None,
            guide: None,
            area: None,
            signal: None,
        }
    }

    /// Tells of a change of the engine, and gives why no clip is inferred from now on, if so.
    pub fn look(&self, outbox: &Outbox, at_nanos: i64) -> Option<Reason> {
        let news = self.seat.look()?;
        let mut state = self.state(news.kind, at_nanos, news.detail);
        match self.role {
            Role::Guide => state.guide = Some(news.session),
            Role::Alone | Role::Measure => state.session = Some(news.session),
        }
        outbox.send(Event::State(Box::new(state)));
        news.rests
    }

    /// Takes a measurement of the load and tells of a step of the ladder.
    pub fn measure(&self, outbox: &Outbox, busy: f64, failed: bool) {
        let Some(level) = self.effort.step(busy, failed) else {
            return;
        };
        let detail = format!("the degradation ladder is now at: {level}");
        let state = self.state(StateKind::LadderChanged, clock::now_nanos(), detail);
        outbox.send(Event::State(Box::new(state)));
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
            judge::stamp(&mut estimate, now);
            if let Some(newest) = newest_nanos.filter(|n| *n <= now) {
                let age = Duration::from_nanos((now - newest).unsigned_abs());
                self.latencies.event.record(age);
            }
        }
        outbox.send(Event::Estimate(Box::new(estimate)));
    }
}
