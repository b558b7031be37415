//! Clips on their way to the inference threads and back.

use super::{Assembler, IDLE};
use crate::clip::Clip;
use crate::clock::Pace;
use crate::decide::Level;
use crate::events::Reason;
use crate::moment::Moment;
use crate::recorder::Fate;
use crossbeam_channel::{RecvTimeoutError, TryRecvError, TrySendError};
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Assembler {
    /// Forms a clip from the window: to every inference thread, or refused with the reason. The guide
    /// comes first: in virtual time it has spoken when the other one asks.
    pub(super) fn clip(&mut self) {
        let number = self.clips;
        self.clips += 1;
        for at in (0..self.lanes.len()).rev() {
            self.clip_of(at, number);
        }
    }

    fn clip_of(&mut self, at: usize, number: u64) {
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
        clip.kept = match at {
            0 => self.patches_inside(),
            _ => None,
        };
        clip.formed = Instant::now();
        clip.number = number;
        clip.inferred = false;
        clip.frames.clear();
        let frames = self.window.iter().flat_map(|t| t.frames.iter().flatten());
        clip.frames.extend(frames);
        let sectors = || self.window.iter().flat_map(|t| t.sectors.iter().copied());
        clip.sector = sectors().next_back().unwrap_or(self.sector);
        let of_the_frames = self.reason_against(&clip, false, None);
        if at > 0 && of_the_frames.is_some() {
            // The first lane tells it for all.
            self.spare_clips.push(clip);
            return;
        }
        let rests = self.rests(at, of_the_frames);
        let gone = self.lanes[at].gone;
        let context = self.lanes[at].context.clone();
        let moment = context.moment();
        if let Some(reason) = self.reason_against(&clip, gone, rests) {
            self.record_clip(&clip, (gone, rests), &moment, Fate::Refused(reason));
            let segment = clip.segment();
            let mut refused = context.refused(number, reason, segment, &moment);
            if of_the_frames.is_none() {
                refused = context.alone(refused);
            }
            context.send(&self.outbox, refused);
            self.spare_clips.push(clip);
            return;
        }
        if moment.level == Level::LowerRate && !number.is_multiple_of(2) {
            self.record_clip(&clip, (gone, rests), &moment, Fate::LeftOut);
            self.clips_superseded += 1;
            self.spare_clips.push(clip);
            return;
        }
        let blocks = self.window.iter().filter_map(|t| t.blocks.get(at));
        clip.tubelets.extend(blocks.cloned());
        for frame in &clip.frames {
            self.ledger.hold(frame.number);
        }
        self.record_clip(&clip, (gone, rests), &moment, Fate::Handed);
        self.hand_over(at, clip, &moment);
    }

    fn hand_over(&mut self, at: usize, clip: Clip, moment: &Moment) {
        self.lanes[at].outstanding += 1;
        let mut clip = clip;
        loop {
            clip = match self.lanes[at].handoff.clips.try_send(clip) {
                Ok(()) => {
                    let lane = &self.lanes[at];
                    let took = self.decided.elapsed();
                    lane.context.latencies.slot_to_clip.record(took);
                    break;
                }
                Err(TrySendError::Disconnected(clip)) => {
                    self.record_fate(&clip, Fate::Gone);
                    let context = self.lanes[at].context.clone();
                    let reason = Reason::EngineDown;
                    let refused = context.refused(clip.number, reason, clip.segment(), moment);
                    context.send(&self.outbox, context.alone(refused));
                    self.settle(at, clip);
                    return;
                }
                Err(TrySendError::Full(clip)) => clip,
            };
            if let Ok(old) = self.lanes[at].handoff.superseded.try_recv() {
                self.clips_superseded += 1;
                self.record_fate(&old, Fate::Superseded);
                self.settle(at, old);
            }
        }
        if self.context.pace == Pace::Max {
            self.await_returns();
        }
    }

    /// Waits until every clip is back, its inference thread is gone or the session is stopped.
    pub(super) fn await_returns(&mut self) {
        for at in 0..self.lanes.len() {
            while self.lanes[at].outstanding > 0 && !self.stop.load(Ordering::Relaxed) {
                match self.lanes[at].handoff.returns.recv_timeout(IDLE) {
                    Ok(clip) => self.settle(at, clip),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => self.abandon(at),
                }
            }
        }
    }

    pub(super) fn take_returns(&mut self) {
        for at in 0..self.lanes.len() {
            loop {
                match self.lanes[at].handoff.returns.try_recv() {
                    Ok(clip) => self.settle(at, clip),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        self.abandon(at);
                        break;
                    }
                }
            }
        }
    }

    /// The inference thread is gone: take back what is still queued.
    fn abandon(&mut self, at: usize) {
        self.lanes[at].gone = true;
        while let Ok(clip) = self.lanes[at].handoff.superseded.try_recv() {
            self.settle(at, clip);
        }
        self.lanes[at].outstanding = 0;
    }

    pub(super) fn settle(&mut self, at: usize, mut clip: Clip) {
        self.lanes[at].outstanding = self.lanes[at].outstanding.saturating_sub(1);
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
