//! What the assembler tells: states, counters, refusals.

use super::{Assembler, Lane};
use crate::clip::Clip;
use crate::clock::Pace;
use crate::context::Context;
use crate::events::{Counters, Event, ImagingArea, Reason, SignalValue, State, StateKind};
use crate::grid::Grid;
use crate::recorder::{AnnouncedRecord, Cause, Record};
use crate::source::Notice;
use std::sync::PoisonError;

const COUNTERS_EVERY_NANOS: i64 = 1_000_000_000;

impl Assembler {
    pub(super) fn counters(&mut self) -> Counters {
        if self.frames.is_closed() && self.frames.waiting() == 0 {
            self.frames.settle();
        }
        self.publish();
        let snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.clone()
    }

    pub(super) fn publish(&self) {
        let (captured, dropped) = self.frames.counts();
        let mut to = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        to.captured = captured;
        to.dropped_ring_full = dropped;
        to.used = self.ledger.used();
        to.unused = self.ledger.unused();
        to.in_flight = self.ledger.in_flight() + u64::from(self.at_hand);
        to.clips_superseded = self.clips_superseded;
        to.missed = self.frames.missed();
        if to.rejected.len() != self.ledger.rejected().len()
            || to.rejected.values().ne(self.ledger.rejected().values())
        {
            to.rejected.clone_from(self.ledger.rejected());
        }
    }

    pub(super) fn count(&mut self, at_nanos: i64) {
        self.publish();
        let due = *self
            .counters_due_nanos
            .get_or_insert(at_nanos + COUNTERS_EVERY_NANOS);
        if at_nanos >= due {
            self.counters_due_nanos = Some(at_nanos + COUNTERS_EVERY_NANOS);
            self.state(
                StateKind::Counters,
                at_nanos,
                "frames accounted for".to_owned(),
            );
        }
    }

    pub(super) fn state(&self, state: StateKind, at_nanos: i64, detail: String) {
        self.tell(state, at_nanos, detail, None, None);
    }

    pub(super) fn tell(
        &self,
        state: StateKind,
        at_nanos: i64,
        detail: String,
        area: Option<ImagingArea>,
        signal: Option<SignalValue>,
    ) {
        self.publish();
        let counters = self
            .snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.outbox.send(Event::State(Box::new(State {
            counters: Some(counters),
            area,
            signal,
            ..self.context.state(state, at_nanos, detail)
        })));
    }

    /// Blanks every reader at once, without waiting for the next clip.
    pub(super) fn announce(&mut self, cause: Cause, reason: Reason) {
        self.announce_of(&self.context.clone(), cause, reason);
    }

    /// Blanks what the package of `context` gives, or everything where the engine is not the cause.
    fn announce_of(&mut self, context: &Context, cause: Cause, reason: Reason) {
        let number = self.clips;
        self.clips += 1;
        let moment = context.moment();
        self.record(|| {
            Record::Announced(Box::new(AnnouncedRecord {
                clip: number,
                cause,
                reason,
                moment: (&moment).into(),
            }))
        });
        let mut blank = context.refused(number, reason, None, &moment);
        if cause == Cause::Engine {
            blank = context.alone(blank);
        }
        context.send(&self.outbox, blank);
    }

    /// Takes note of the engine; when it goes, every reader is blanked at once.
    pub(super) fn engine(&mut self) {
        let at_nanos = self.now_nanos();
        for at in 0..self.lanes.len() {
            let context = self.lanes[at].context.clone();
            if let Some(reason) = context.look(&self.outbox, at_nanos) {
                self.announce_of(&context, Cause::Engine, reason);
            }
        }
    }

    fn now_nanos(&self) -> i64 {
        match self.context.pace {
            Pace::Real => crate::clock::now_nanos(),
            Pace::Max => self.newest_nanos.unwrap_or(0),
        }
    }

    /// Takes note of what the screen shows; a change is told at once.
    pub(super) fn screen(&mut self, now: Option<Reason>, at_nanos: i64) {
        if now == self.unfit {
            return;
        }
        self.unfit = now;
        self.stretch += 1;
        if let Some(reason) = now {
            self.announce(Cause::Frame, reason);
        }
        let detail = match now {
            None => "the image is live",
            Some(Reason::Frozen) => "the image is frozen",
            Some(Reason::ReviewLoop) => "the image repeats: a stored loop is shown",
            Some(Reason::ColourOn) => "colour Doppler is on",
            Some(_) => self.watch.words().unwrap_or("the image cannot be used"),
        };
        self.state(StateKind::ScreenChanged, at_nanos, detail.to_owned());
    }

    /// A new imaging sector: numbers of the old one go at once.
    pub(super) fn sector_changed(&mut self, at_nanos: i64, detail: String) {
        self.watch.reset();
        self.pulse.reset_image();
        self.announce(Cause::Frame, Reason::SectorChanged);
        self.state(StateKind::SectorChanged, at_nanos, detail);
    }

    /// Tells what the source said.
    pub(super) fn noticed(&mut self, notice: Notice) {
        let at_nanos = self.now_nanos();
        match notice {
            Notice::Lost { why } => {
                self.announce(Cause::Source, Reason::Gap);
                self.state(StateKind::SourceLost, at_nanos, why);
            }
            Notice::Back { away_nanos } => {
                let detail = format!("back after {:.1} s", away_nanos as f64 / 1e9);
                self.state(StateKind::SourceBack, at_nanos, detail);
            }
            Notice::Reanchored => {
                let detail = "the device's clock was taken up anew".to_owned();
                self.state(StateKind::SourceReanchored, at_nanos, detail);
            }
            Notice::Missed { .. } => {}
        }
    }

    /// Begins the time grid, the window and the watch anew.
    pub(super) fn anew(&mut self) {
        self.grid.finish(&mut self.verdicts);
        self.obey();
        self.restart();
        self.grid = Grid::new(&self.context.manifest.sampling, self.encoder.frames);
        self.watch.reset();
        self.pulse.reset();
        self.stretch += 1;
    }

    /// Why the clip may not be inferred, if so.
    pub(super) fn reason_against(
        &self,
        clip: &Clip,
        gone: bool,
        rests: Option<Reason>,
    ) -> Option<Reason> {
        let mut sectors = self.window.iter().flat_map(|t| t.sectors.iter());
        clip_reason(
            gone,
            self.window.iter().any(|t| t.has_gap()),
            sectors.any(|s| *s != clip.sector),
            clip.frames.iter().rev().find_map(|f| f.unfit),
            rests,
        )
    }

    /// Why no engine serves or the ladder lets it rest, if nothing else is against the clip. While
    /// it rests the ladder is asked again.
    pub(super) fn rests(&self, at: usize, against: Option<Reason>) -> Option<Reason> {
        let Lane { context, gone, .. } = &self.lanes[at];
        if *gone || against.is_some() {
            return None;
        }
        let rests = context.rests();
        if context.effort.rests().is_some() {
            context.measure(&self.outbox, 0.0, false);
        }
        rests
    }
}

/// Why a clip may not be inferred, if so: the engine's thread is gone, a slot is a gap, its frames
/// are of several sectors, its newest unfit frame's reason, the seat's or the ladder's.
pub(crate) fn clip_reason(
    gone: bool,
    gap: bool,
    sectors: bool,
    unfit: Option<Reason>,
    rests: Option<Reason>,
) -> Option<Reason> {
    let facts = [
        gone.then_some(Reason::EngineDown),
        gap.then_some(Reason::Gap),
        sectors.then_some(Reason::SectorChanged),
        unfit,
        rests,
    ];
    facts.into_iter().flatten().next()
}
