//! Clips on their way to the inference thread and back.

use super::{Assembler, IDLE};
use crate::clip::Clip;
use crate::clock::Pace;
use crate::decide::Level;
use crate::events::Reason;
use crate::moment::Moment;
use crate::recorder::Fate;
use crossbeam_channel::{RecvTimeoutError, TrySendError};
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Assembler {
    /// Forms a clip from the window: to the inference thread, or refused with the reason.
    pub(super) fn clip(&mut self) {
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
            heart: None,
            kept: None,
            formed: Instant::now(),
            inferred: false,
        });
        clip.exam = self.exam;
        clip.stretch = self.stretch;
        clip.source_fps = self.watch.fps();
        clip.heart = self.pulse.heart();
        clip.kept = self.patches_inside();
        clip.formed = Instant::now();
        clip.number = number;
        clip.inferred = false;
        clip.frames.clear();
        let frames = self.window.iter().flat_map(|t| t.frames.iter().flatten());
        clip.frames.extend(frames);
        let sectors = || self.window.iter().flat_map(|t| t.sectors.iter().copied());
        clip.sector = sectors().next_back().unwrap_or(self.sector);
        let rests = self.rests(&clip);
        let moment = self.context.moment();
        if let Some(reason) = self.reason_against(&clip, rests) {
            self.record_clip(&clip, rests, &moment, Fate::Refused(reason));
            self.refuse_clip(number, reason, clip.segment(), &moment);
            self.spare_clips.push(clip);
            return;
        }
        if moment.level == Level::LowerRate && !number.is_multiple_of(2) {
            self.record_clip(&clip, rests, &moment, Fate::LeftOut);
            self.clips_superseded += 1;
            self.spare_clips.push(clip);
            return;
        }
        clip.tubelets
            .extend(self.window.iter().map(|t| t.block.clone()));
        for frame in &clip.frames {
            self.ledger.hold(frame.number);
        }
        self.record_clip(&clip, rests, &moment, Fate::Handed);
        self.hand_over(clip, &moment);
    }

    pub(super) fn hand_over(&mut self, clip: Clip, moment: &Moment) {
        self.outstanding += 1;
        let mut clip = clip;
        loop {
            clip = match self.handoff.clips.try_send(clip) {
                Ok(()) => {
                    let took = self.decided.elapsed();
                    self.context.latencies.slot_to_clip.record(took);
                    break;
                }
                Err(TrySendError::Disconnected(clip)) => {
                    self.record_fate(&clip, Fate::Gone);
                    self.refuse_clip(clip.number, Reason::EngineDown, clip.segment(), moment);
                    self.settle(clip);
                    return;
                }
                Err(TrySendError::Full(clip)) => clip,
            };
            if let Ok(old) = self.handoff.superseded.try_recv() {
                self.clips_superseded += 1;
                self.record_fate(&old, Fate::Superseded);
                self.settle(old);
            }
        }
        if self.context.pace == Pace::Max {
            self.await_returns();
        }
    }

    /// Waits until every clip is back, the inference thread is gone or the session is stopped.
    pub(super) fn await_returns(&mut self) {
        while self.outstanding > 0 && !self.stop.load(Ordering::Relaxed) {
            match self.handoff.returns.recv_timeout(IDLE) {
                Ok(clip) => self.settle(clip),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.abandon(),
            }
        }
    }

    pub(super) fn take_returns(&mut self) {
        loop {
            match self.handoff.returns.try_recv() {
                Ok(clip) => self.settle(clip),
                Err(crossbeam_channel::TryRecvError::Empty) => return,
                Err(crossbeam_channel::TryRecvError::Disconnected) => return self.abandon(),
            }
        }
    }

    /// The inference thread is gone: take back what is still queued.
    pub(super) fn abandon(&mut self) {
        self.engine_gone = true;
        while let Ok(clip) = self.handoff.superseded.try_recv() {
            self.settle(clip);
        }
        self.outstanding = 0;
    }

    pub(super) fn settle(&mut self, mut clip: Clip) {
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
}
