//! The assembler thread: frames from the ring become clips for the inference thread.
//!
//! Guarantees: every frame taken ends exactly once as used, unused or rejected, or is counted as
//! in flight; a snapshot's identity holds at every instant because one thread does the counting.

mod area;
mod handoff;
mod lane;
mod recording;
mod report;
mod rest;
mod watch;

pub(crate) use lane::Lane;
pub(crate) use report::clip_reason;

use crate::clip::{Clip, FrameRef, Tubelet, TubeletPool, Window};
use crate::clock::{self, Pace};
use crate::context::Context;
use crate::events::{Counters, Exam, Reason, StateKind};
use crate::frame::{FrameMeta, PixelFormat};
use crate::grid::{Candidate, Grid, Verdict};
use crate::ledger::Ledger;
use crate::manifest::Encoder;
use crate::outbox::Outbox;
use crate::pulse::Pulse;
use crate::recorder::{Cause, Record, SlotRecord};
use crate::ring::{FrameConsumer, Queued};
use crate::screen::grey;
use crate::screen::sector::{Outline, SectorMask};
use area::Inside;
use crossbeam_channel::{Receiver, Sender};
use rest::{IDLE, Rest};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use watch::Watch;

/// How long the source may fall silent before the slots it owes are gaps.
const SILENCE_NANOS: i64 = 500_000_000;
/// Slots from one recorded state of this thread to the next.
const STANDING_EVERY: u32 = 64;

/// The channels between assembler and inference thread.
pub(crate) struct Handoff {
    pub clips: Sender<Clip>,
    /// The same queue from the other end, to take back a clip that a newer one replaces.
    pub superseded: Receiver<Clip>,
    pub returns: Receiver<Clip>,
}

/// A frame that no slot was decided for yet.
struct Waiting {
    queued: Box<Queued>,
    sector: u32,
    /// The imaging area was known when it came, and nothing spoke against it.
    sure: bool,
    /// It was grey under a tint.
    tinted: bool,
    unfit: Option<Reason>,
}

/// Counters that other threads may read, as of the newest decision.
pub(crate) type Snapshot = Arc<Mutex<Counters>>;

pub(crate) struct Assembler {
    /// That of the first lane.
    context: Arc<Context>,
    encoder: Encoder,
    hop_tubelets: u64,
    frames: FrameConsumer,
    /// The package that measures, then the one that guides it, if there is one.
    lanes: Vec<Lane>,
    outbox: Outbox,
    stop: Arc<AtomicBool>,
    snapshot: Snapshot,

    grid: Grid,
    ledger: Ledger,
    pool: TubeletPool,
    window: Window,
    spare_clips: Vec<Clip>,
    verdicts: Vec<Verdict>,
    /// True while a frame was taken and neither admitted nor refused.
    at_hand: bool,
    rest: Rest,
    waiting: Vec<Waiting>,
    watch: Watch,
    pulse: Pulse,
    /// What is outside the area of `masked`.
    mask: SectorMask,
    masked: Option<Outline>,
    inside: Inside,
    /// Why the newest frame is unfit, if so.
    unfit: Option<Reason>,
    stretch: u64,
    open: Option<Tubelet>,
    tubelets: u64,
    clips: u64,
    clips_superseded: u64,
    geometry: Option<(u32, u32, PixelFormat)>,
    /// Pass of the newest frame that the heartbeat was followed on.
    pass: u32,
    exam: Exam,
    sector: u32,
    newest_nanos: Option<i64>,
    /// How much later than its capture the newest frame arrived.
    lag_nanos: i64,
    counters_due_nanos: Option<i64>,
    /// When the decision of the newest slot began.
    decided: Instant,
    /// Slots since the recorder was told where this thread stands.
    untold_slots: u32,
}

impl Assembler {
    pub fn new(
        context: Arc<Context>,
        lanes: Vec<Lane>,
        frames: FrameConsumer,
        outbox: Outbox,
        stop: Arc<AtomicBool>,
        snapshot: Snapshot,
    ) -> Self {
        let encoder = context.manifest.encoder.clone();
        let sampling = context.manifest.sampling.clone();
        Self {
            hop_tubelets: (sampling.hop_slots / encoder.tubelet_frames) as u64,
            frames,
            outbox,
            stop,
            snapshot,
            grid: Grid::new(&sampling, encoder.frames),
            ledger: Ledger::default(),
            pool: TubeletPool::new(
                lanes
                    .iter()
                    .map(|lane| lane.encoder.tokens_per_tubelet() * lane.encoder.row())
                    .collect(),
                encoder.tubelet_frames,
            ),
            lanes,
            window: Window::new(encoder.tubelets()),
            spare_clips: Vec::new(),
            verdicts: Vec::new(),
            at_hand: false,
            rest: Rest::default(),
            waiting: Vec::new(),
            watch: Watch::new(context.screen),
            pulse: Pulse::new(),
            mask: SectorMask::default(),
            masked: None,
            inside: Inside::default(),
            unfit: None,
            stretch: 0,
            open: None,
            tubelets: 0,
            clips: 0,
            clips_superseded: 0,
            geometry: None,
            pass: 0,
            exam: Exam::default(),
            sector: 0,
            newest_nanos: None,
            lag_nanos: 0,
            counters_due_nanos: None,
            decided: Instant::now(),
            untold_slots: 0,
            context,
            encoder,
        }
    }

    /// Runs until the source is closed and everything is settled, or until it is stopped.
    pub fn run(mut self) -> Counters {
        self.stands();
        loop {
            self.take_returns();
            if self.stop.load(Ordering::Relaxed) {
                return self.break_off();
            }
            self.engine();
            let closed = self.frames.is_closed();
            while let Some(notice) = self.frames.notice() {
                self.noticed(notice);
            }
            if let Some(queued) = self.frames.take() {
                let begin = Instant::now();
                self.frame(queued);
                self.context.latencies.frame.record(begin.elapsed());
                if self.context.pace == Pace::Real {
                    self.rest.live_frame(self.watch.is_frozen());
                }
                continue;
            }
            if closed {
                return self.finish();
            }
            if self.context.pace == Pace::Real {
                let silent_nanos = clock::now_nanos() - self.lag_nanos - SILENCE_NANOS;
                self.grid.expire(silent_nanos, &mut self.verdicts);
                if !self.verdicts.is_empty() {
                    let nanos = silent_nanos;
                    self.record(|| Record::Expired { nanos });
                }
                self.obey();
            }
            self.rest.sleep(&self.frames);
        }
    }

    fn frame(&mut self, mut queued: Box<Queued>) {
        self.at_hand = true;
        for notice in std::mem::take(&mut queued.notices) {
            self.noticed(notice);
        }
        if queued.anew {
            self.anew();
        }
        if queued.exam.number > self.exam.number {
            self.enter_exam(queued.exam, queued.meta.capture_nanos);
            queued.anew = false;
        }
        if self.context.newest_exam.is_over(&queued.exam) {
            self.refuse(queued, Reason::NewExam);
            return;
        }
        self.exam = queued.exam;
        let FrameMeta {
            width_px,
            height_px,
            format,
            capture_nanos,
            ..
        } = queued.meta;
        if self
            .newest_nanos
            .is_some_and(|newest| capture_nanos <= newest)
        {
            self.refuse(queued, Reason::BadTimestamp);
            return;
        }
        let mut changed = false;
        if self.geometry != Some((width_px, height_px, format)) {
            let lanes = self.lanes.iter_mut();
            let mut prepared =
                lanes.map(|lane| lane.preprocessor.prepare(width_px, height_px, format));
            if let Some(Err(error)) = prepared.find(Result::is_err) {
                self.prepare_as_before();
                self.refuse(queued, Reason::NotPermitted);
                self.state(StateKind::SectorChanged, capture_nanos, error.to_string());
                return;
            }
            changed = self.geometry.is_some();
            self.sector += u32::from(changed);
            self.geometry = Some((width_px, height_px, format));
        }
        self.newest_nanos = Some(capture_nanos);
        if self.context.pace == Pace::Real {
            self.lag_nanos = (clock::now_nanos() - capture_nanos).max(0);
        }
        self.ledger.admit(queued.number);
        self.at_hand = false;
        if changed {
            let detail = format!("frames are now {width_px}x{height_px} {format}");
            self.sector_changed(capture_nanos, detail);
        }
        let seen = self.watch.look(&queued);
        self.area_news(capture_nanos);
        let seen = seen.or_else(|| self.remove_surroundings(&mut queued));
        let unfit = FrameRef::new(queued.number, &queued.meta).unfit.or(seen);
        self.screen(unfit, capture_nanos);
        self.signal(capture_nanos);
        self.beat(&queued, unfit);
        self.record(|| Record::Frame(self.frame_record(&queued, None, seen)));
        let candidate = Candidate {
            number: queued.number,
            capture_nanos,
        };
        self.waiting.push(Waiting {
            queued,
            sector: self.sector,
            sure: self.watch.area_holds(),
            tinted: self.watch.is_tinted(),
            unfit,
        });
        self.grid.frame(candidate, &mut self.verdicts);
        self.obey();
        self.count(capture_nanos);
        if self.untold_slots >= STANDING_EVERY {
            self.stands();
        }
    }

    /// Goes back to the frames before one that not every package takes.
    fn prepare_as_before(&mut self) {
        let Some((width_px, height_px, format)) = self.geometry else {
            return;
        };
        if self.lanes.len() > 1 {
            for lane in &mut self.lanes {
                let _ = lane.preprocessor.prepare(width_px, height_px, format);
            }
        }
    }

    /// Drops everything of the exam before: frames that wait, the window, clips on their way.
    fn enter_exam(&mut self, exam: Exam, first_nanos: i64) {
        self.context.newest_exam.begin(exam.number, first_nanos);
        self.ledger.reject_all(Reason::NewExam);
        for waiting in self.waiting.drain(..) {
            self.frames.give_back(waiting.queued);
        }
        for at in 0..self.lanes.len() {
            self.lanes[at].context.seat.begin_exam();
            while let Ok(clip) = self.lanes[at].handoff.superseded.try_recv() {
                self.settle(at, clip);
            }
        }
        self.restart();
        self.grid = Grid::new(&self.context.manifest.sampling, self.encoder.frames);
        self.watch.reset();
        self.context.signal.set(None, first_nanos);
        self.pulse.reset();
        self.unfit = None;
        self.exam = exam;
        self.publish();
        self.stands();
        self.announce(Cause::Exam, Reason::NewExam);
    }

    fn refuse(&mut self, queued: Box<Queued>, reason: Reason) {
        self.at_hand = false;
        self.record(|| Record::Frame(self.frame_record(&queued, Some(reason), None)));
        self.ledger.reject(reason);
        self.frames.give_back(queued);
        self.publish();
    }

    /// Does what the grid said.
    fn obey(&mut self) {
        let mut verdicts = std::mem::take(&mut self.verdicts);
        for verdict in verdicts.drain(..) {
            match verdict {
                Verdict::Passed(candidate) => {
                    if let Some(waiting) = self.waiting_frame(candidate.number) {
                        self.frames.give_back(waiting.queued);
                    }
                    self.ledger.release(candidate.number);
                }
                Verdict::Chosen(candidate) => {
                    let waiting = self.waiting_frame(candidate.number);
                    self.slot(waiting);
                }
                Verdict::Gap => self.slot(None),
                Verdict::Restarted => self.restart(),
            }
        }
        self.verdicts = verdicts;
    }

    fn waiting_frame(&mut self, number: u64) -> Option<Waiting> {
        let at = self
            .waiting
            .iter()
            .position(|w| w.queued.number == number)?;
        Some(self.waiting.swap_remove(at))
    }

    /// Fills the next slot with a frame or a gap.
    fn slot(&mut self, waiting: Option<Waiting>) {
        self.decided = Instant::now();
        let open = self.open.take();
        let mut tubelet = open.unwrap_or_else(|| self.pool.take());
        let mut chosen = None;
        let mut decided = SlotRecord::Gap;
        if let Some(Waiting {
            mut queued,
            sector,
            sure,
            tinted,
            unfit,
        }) = waiting
        {
            let at = tubelet.frames.len();
            if self.context.pace == Pace::Real {
                let late_nanos = clock::now_nanos() - queued.meta.capture_nanos;
                let late = Duration::from_nanos(u64::try_from(late_nanos).unwrap_or(0));
                self.context.latencies.decision.record(late);
            }
            if tinted {
                let pixels = self.frames.owned(&mut queued.pixels);
                grey::reduce(pixels, queued.layout, &queued.meta);
            }
            self.record_image(&queued, sure && sector == self.sector);
            decided = SlotRecord::Chosen(queued.number);
            let mut each = self.lanes.iter_mut().zip(&mut tubelet.blocks);
            let done = each.all(|(lane, block)| {
                Arc::get_mut(block).is_some_and(|block| {
                    let pixels = &queued.pixels;
                    let into = lane.preprocessor.layout_into(
                        pixels,
                        queued.layout,
                        &queued.meta,
                        at,
                        block,
                    );
                    into.is_ok()
                })
            });
            if done {
                chosen = Some(FrameRef {
                    unfit,
                    simulated: queued.source.simulated,
                    ..FrameRef::new(queued.number, &queued.meta)
                });
                tubelet.sectors.push(sector);
            } else {
                decided = SlotRecord::Refused(queued.number);
                self.ledger
                    .release_rejected(queued.number, Reason::NotPermitted);
            }
            self.frames.give_back(queued);
        }
        self.untold_slots += 1;
        self.record(|| Record::Slot(decided));
        tubelet.frames.push(chosen);
        if tubelet.frames.len() < self.encoder.tubelet_frames {
            self.open = Some(tubelet);
            return;
        }
        self.tubelets += 1;
        let made_bytes = self.pool.made_bytes();
        let clip_bytes = &self.context.latencies.clip_bytes;
        clip_bytes.store(made_bytes, Ordering::Relaxed);
        if let Some(left) = self.window.push(tubelet) {
            self.retire(left);
        }
        let due = self.tubelets.saturating_sub(self.encoder.tubelets() as u64);
        if self.window.is_full() && due.is_multiple_of(self.hop_tubelets) {
            self.clip();
        }
    }

    fn retire(&mut self, tubelet: Tubelet) {
        for frame in tubelet.frames.iter().flatten() {
            self.ledger.release(frame.number);
        }
        self.pool.give_back(tubelet);
    }

    fn restart(&mut self) {
        if let Some(tubelet) = self.open.take() {
            self.retire(tubelet);
        }
        while let Some(tubelet) = self.window.pop() {
            self.retire(tubelet);
        }
        self.tubelets = 0;
    }

    fn finish(mut self) -> Counters {
        self.frames.settle();
        self.grid.finish(&mut self.verdicts);
        self.obey();
        self.await_returns();
        self.record(|| Record::Ended);
        self.restart();
        let at = self.newest_nanos.unwrap_or(0);
        self.state(
            StateKind::SourceEnded,
            at,
            "the source gave its last frame".to_owned(),
        );
        self.counters()
    }

    /// Ends at once: what the ring still holds is in flight.
    fn break_off(mut self) -> Counters {
        while let Some(queued) = self.frames.take() {
            self.ledger.admit(queued.number);
        }
        self.counters()
    }
}
