//! The assembler thread: frames from the ring become clips for the inference thread.
//!
//! Guarantees: every frame taken ends exactly once as used, unused or rejected, or is counted as
//! in flight; a snapshot's identity holds at every instant because one thread does the counting.

mod report;
mod watch;

use crate::clip::{BlockPool, Clip, FrameRef, Tubelet, Window};
use crate::clock::{self, Pace};
use crate::decide::Level;
use crate::events::{Counters, Exam, Reason, StateKind};
use crate::frame::{FrameMeta, PixelFormat};
use crate::grid::{Candidate, Grid, Verdict};
use crate::inference::Context;
use crate::ledger::Ledger;
use crate::manifest::Encoder;
use crate::outbox::Outbox;
use crate::preprocess::Preprocessor;
use crate::ring::{FrameConsumer, Queued};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use watch::Watch;

/// Longest sleep without a frame: how soon a stop, a gap or a returned clip is noticed.
const IDLE: Duration = Duration::from_millis(20);
/// How long the source may fall silent before the slots it owes are gaps.
const SILENCE_NANOS: i64 = 500_000_000;

/// The channels between assembler and inference thread.
pub(crate) struct Handoff {
    pub clips: Sender<Clip>,
    /// The same queue from the other end, to take back a clip that a newer one replaces.
    pub superseded: Receiver<Clip>,
    pub returns: Receiver<Clip>,
}

/// A frame that no slot was decided for yet.
struct Waiting {
    queued: Queued,
    sector: u32,
    unfit: Option<Reason>,
}

/// Counters that other threads may read, as of the newest decision.
pub(crate) type Snapshot = Arc<Mutex<Counters>>;

pub(crate) struct Assembler {
    context: Arc<Context>,
    encoder: Encoder,
    hop_tubelets: u64,
    frames: FrameConsumer,
    handoff: Handoff,
    outbox: Outbox,
    stop: Arc<AtomicBool>,
    snapshot: Snapshot,

    preprocessor: Preprocessor,
    grid: Grid,
    ledger: Ledger,
    blocks: BlockPool,
    window: Window,
    spare_clips: Vec<Clip>,
    verdicts: Vec<Verdict>,
    /// True while a frame was taken and neither admitted nor refused.
    at_hand: bool,
    waiting: Vec<Waiting>,
    watch: Watch,
    /// Why the newest frame is unfit, if so.
    unfit: Option<Reason>,
    stretch: u64,
    engine_gone: bool,
    open: Option<Tubelet>,
    tubelets: u64,
    clips: u64,
    outstanding: usize,
    clips_superseded: u64,
    geometry: Option<(u32, u32, PixelFormat)>,
    exam: Exam,
    sector: u32,
    newest_nanos: Option<i64>,
    /// How much later than its capture the newest frame arrived.
    lag_nanos: i64,
    counters_due_nanos: Option<i64>,
}

impl Assembler {
    pub fn new(
        context: Arc<Context>,
        preprocessor: Preprocessor,
        frames: FrameConsumer,
        handoff: Handoff,
        outbox: Outbox,
        stop: Arc<AtomicBool>,
        snapshot: Snapshot,
    ) -> Self {
        let encoder = context.manifest.encoder.clone();
        let sampling = context.manifest.sampling.clone();
        Self {
            hop_tubelets: (sampling.hop_slots / encoder.tubelet_frames) as u64,
            frames,
            handoff,
            outbox,
            stop,
            snapshot,
            preprocessor,
            grid: Grid::new(&sampling, encoder.frames),
            ledger: Ledger::default(),
            blocks: BlockPool::new(encoder.tokens_per_tubelet() * encoder.row()),
            window: Window::new(encoder.tubelets()),
            spare_clips: Vec::new(),
            verdicts: Vec::new(),
            at_hand: false,
            waiting: Vec::new(),
            watch: Watch::new(),
            unfit: None,
            stretch: 0,
            engine_gone: false,
            open: None,
            tubelets: 0,
            clips: 0,
            outstanding: 0,
            clips_superseded: 0,
            geometry: None,
            exam: Exam::default(),
            sector: 0,
            newest_nanos: None,
            lag_nanos: 0,
            counters_due_nanos: None,
            context,
            encoder,
        }
    }

    /// Runs until the source is closed and everything is settled, or until it is stopped.
    pub fn run(mut self) -> Counters {
        loop {
            self.take_returns();
            if self.stop.load(Ordering::Relaxed) {
                return self.break_off();
            }
            let closed = self.frames.is_closed();
            while let Some(notice) = self.frames.notice() {
                self.noticed(notice);
            }
            if let Some(queued) = self.frames.take() {
                self.frame(queued);
                continue;
            }
            if closed {
                return self.finish();
            }
            if self.context.pace == Pace::Real {
                let silent_nanos = clock::now_nanos() - self.lag_nanos - SILENCE_NANOS;
                self.grid.expire(silent_nanos, &mut self.verdicts);
                self.obey();
            }
            std::thread::park_timeout(IDLE);
        }
    }

    fn frame(&mut self, mut queued: Queued) {
        self.at_hand = true;
        for notice in std::mem::take(&mut queued.notices) {
            self.noticed(notice);
        }
        if queued.anew {
            self.anew();
        }
        if queued.exam.number > self.exam.number {
            self.enter_exam(queued.exam);
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
            if let Err(error) = self.preprocessor.prepare(width_px, height_px, format) {
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
        let unfit = FrameRef::new(queued.number, &queued.meta).unfit.or(seen);
        self.screen(unfit, capture_nanos);
        let candidate = Candidate {
            number: queued.number,
            capture_nanos,
        };
        self.waiting.push(Waiting {
            queued,
            sector: self.sector,
            unfit,
        });
        self.grid.frame(candidate, &mut self.verdicts);
        self.obey();
        self.count(capture_nanos);
    }

    /// Drops everything of the exam before: frames that wait, the window, clips on their way.
    fn enter_exam(&mut self, exam: Exam) {
        self.context.newest_exam.begin(exam.number);
        self.ledger.reject_all(Reason::NewExam);
        for waiting in self.waiting.drain(..) {
            self.frames.give_back(waiting.queued.pixels);
        }
        while let Ok(clip) = self.handoff.superseded.try_recv() {
            self.settle(clip);
        }
        self.restart();
        self.grid = Grid::new(&self.context.manifest.sampling, self.encoder.frames);
        self.watch.reset();
        self.unfit = None;
        self.exam = exam;
        self.publish();
    }

    fn refuse(&mut self, queued: Queued, reason: Reason) {
        self.at_hand = false;
        self.ledger.reject(reason);
        self.frames.give_back(queued.pixels);
        self.publish();
    }

    /// Does what the grid said.
    fn obey(&mut self) {
        let mut verdicts = std::mem::take(&mut self.verdicts);
        for verdict in verdicts.drain(..) {
            match verdict {
                Verdict::Passed(candidate) => {
                    if let Some(waiting) = self.waiting_frame(candidate.number) {
                        self.frames.give_back(waiting.queued.pixels);
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
        let mut tubelet = self.open.take().unwrap_or_else(|| Tubelet {
            block: self.blocks.take(),
            frames: Vec::with_capacity(self.encoder.tubelet_frames),
            sectors: Vec::with_capacity(self.encoder.tubelet_frames),
        });
        let mut chosen = None;
        if let Some(Waiting {
            queued,
            sector,
            unfit,
        }) = waiting
        {
            let at = tubelet.frames.len();
            let done = Arc::get_mut(&mut tubelet.block).is_some_and(|block| {
                let pixels = &queued.pixels;
                let into =
                    self.preprocessor
                        .layout_into(pixels, queued.layout, &queued.meta, at, block);
                into.is_ok()
            });
            if done {
                chosen = Some(FrameRef {
                    unfit,
                    simulated: queued.source.simulated,
                    ..FrameRef::new(queued.number, &queued.meta)
                });
                tubelet.sectors.push(sector);
            } else {
                self.ledger
                    .release_rejected(queued.number, Reason::NotPermitted);
            }
            self.frames.give_back(queued.pixels);
        }
        tubelet.frames.push(chosen);
        if tubelet.frames.len() < self.encoder.tubelet_frames {
            self.open = Some(tubelet);
            return;
        }
        self.tubelets += 1;
        let made_bytes = self.blocks.made_bytes();
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
        self.blocks.give_back(tubelet.block);
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

    /// Forms a clip from the window: to the inference thread, or refused with the reason.
    fn clip(&mut self) {
        let number = self.clips;
        self.clips += 1;
        let mut clip = self.spare_clips.pop().unwrap_or_else(|| Clip {
            number,
            tubelets: Vec::with_capacity(self.encoder.tubelets()),
            frames: Vec::with_capacity(self.encoder.frames),
            sector: 0,
            exam: self.exam,
            stretch: self.stretch,
            source_fps: None,
            formed: Instant::now(),
            inferred: false,
        });
        clip.exam = self.exam;
        clip.stretch = self.stretch;
        clip.source_fps = self.watch.fps();
        clip.formed = Instant::now();
        clip.number = number;
        clip.inferred = false;
        clip.frames.clear();
        let frames = self.window.iter().flat_map(|t| t.frames.iter().flatten());
        clip.frames.extend(frames);
        let sectors = || self.window.iter().flat_map(|t| t.sectors.iter().copied());
        clip.sector = sectors().next_back().unwrap_or(self.sector);
        if let Some(reason) = self.reason_against(&clip) {
            self.refuse_clip(number, reason, clip.segment());
            self.spare_clips.push(clip);
            return;
        }
        if self.context.effort.level() == Level::LowerRate && !number.is_multiple_of(2) {
            self.clips_superseded += 1;
            self.spare_clips.push(clip);
            return;
        }
        clip.tubelets
            .extend(self.window.iter().map(|t| t.block.clone()));
        for frame in &clip.frames {
            self.ledger.hold(frame.number);
        }
        self.hand_over(clip);
    }

    fn hand_over(&mut self, clip: Clip) {
        self.outstanding += 1;
        let mut clip = clip;
        loop {
            clip = match self.handoff.clips.try_send(clip) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(clip)) => {
                    self.refuse_clip(clip.number, Reason::EngineDown, clip.segment());
                    self.settle(clip);
                    return;
                }
                Err(TrySendError::Full(clip)) => clip,
            };
            if let Ok(old) = self.handoff.superseded.try_recv() {
                self.clips_superseded += 1;
                self.settle(old);
            }
        }
        if self.context.pace == Pace::Max {
            self.await_returns();
        }
    }

    /// Waits until every clip is back, the inference thread is gone or the session is stopped.
    fn await_returns(&mut self) {
        while self.outstanding > 0 && !self.stop.load(Ordering::Relaxed) {
            match self.handoff.returns.recv_timeout(IDLE) {
                Ok(clip) => self.settle(clip),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.abandon(),
            }
        }
    }

    fn take_returns(&mut self) {
        loop {
            match self.handoff.returns.try_recv() {
                Ok(clip) => self.settle(clip),
                Err(crossbeam_channel::TryRecvError::Empty) => return,
                Err(crossbeam_channel::TryRecvError::Disconnected) => return self.abandon(),
            }
        }
    }

    /// The inference thread is gone: take back what is still queued.
    fn abandon(&mut self) {
        self.engine_gone = true;
        while let Ok(clip) = self.handoff.superseded.try_recv() {
            self.settle(clip);
        }
        self.outstanding = 0;
    }

    fn settle(&mut self, mut clip: Clip) {
        self.outstanding = self.outstanding.saturating_sub(1);
        for frame in &clip.frames {
            if clip.inferred {
                self.ledger.mark_used(frame.number);
            }
            self.ledger.release(frame.number);
        }
        clip.tubelets.clear();
        self.spare_clips.push(clip);
        self.publish();
    }

    fn finish(mut self) -> Counters {
        self.frames.settle();
        self.grid.finish(&mut self.verdicts);
        self.obey();
        self.await_returns();
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
