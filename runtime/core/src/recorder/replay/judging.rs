//! The inference thread's decisions, re-run on the engine's recorded answers.

use super::compare::{Difference, differs, same_json};
use super::engine::{Inferred, Recorded, Shared};
use crate::clip::{Clip, FrameRef};
use crate::context::Context;
use crate::engine::Engine;
use crate::events::{Estimate, Exam};
use crate::inference::{Inference, Memory};
use crate::outbox::Outbox;
use crate::recorder::record::{ClipFacts, EndFrame, JudgedRecord};
use std::sync::Arc;
use std::time::Instant;

pub(super) struct Judging {
    context: Arc<Context>,
    inference: Inference,
    script: Shared,
    /// False before the first state, and after lost entries.
    known: bool,
}

impl Judging {
    pub fn new(context: &Arc<Context>, engine: Option<Box<dyn Engine>>) -> Self {
        let script = Shared::default();
        let engine = Recorded::new(script.clone(), engine);
        Self {
            inference: Inference::new(context.clone(), Box::new(engine), Outbox::nowhere()),
            script,
            context: context.clone(),
            known: false,
        }
    }

    pub fn forget(&mut self) {
        self.known = false;
    }

    /// The engine panicked between two clips.
    pub fn panicked(&mut self) {
        if self.known {
            self.inference.panicked();
        }
    }

    pub fn inferred(&self) -> Inferred {
        self.script.lock().inferred
    }

    pub fn memory(&mut self, memory: Memory) -> Result<(), Box<Difference>> {
        if self.known {
            return same_json("the view and EF so far", &memory, &self.inference.memory());
        }
        self.inference.restore(memory);
        self.known = true;
        Ok(())
    }

    /// The estimate of a clip before it is sent; none before the first known state.
    pub fn judge(
        &mut self,
        judged: &JudgedRecord,
        tubelets: Vec<Arc<Vec<f32>>>,
    ) -> Result<Option<Estimate>, Box<Difference>> {
        if !self.known {
            return Ok(None);
        }
        {
            let mut script = self.script.lock();
            script.encoder = judged.encoder.clone();
            script.view = judged.view.clone();
            script.lvef = judged.lvef.clone();
            script.generation = judged.generation;
            script.slots = judged.slots;
            script.strayed = None;
        }
        let level = self.context.relive(&judged.moment).level;
        let mut clip = judged.facts.clip(tubelets);
        clip.kept = judged.kept.as_deref().map(Arc::from);
        let estimate = match judged.panicked {
            true => self.inference.gave_up(&clip, level),
            false => self.inference.judge(&mut clip, level).0,
        };
        match self.script.lock().strayed {
            Some(who) if !judged.panicked => Err(differs(
                format!("clip {}, {who}", judged.facts.number),
                "not asked",
                "asked",
            )),
            _ => Ok(Some(estimate)),
        }
    }
}

impl ClipFacts {
    /// The clip as it was, but for the frames between its ends.
    fn clip(&self, tubelets: Vec<Arc<Vec<f32>>>) -> Clip {
        let frame = |end: &EndFrame| FrameRef {
            number: end.number,
            capture_nanos: end.capture_nanos,
            pass: end.pass,
            host_frame: end.host_frame,
            unfit: None,
            simulated: self.simulated,
        };
        Clip {
            number: self.number,
            tubelets,
            frames: self.ends.iter().flatten().map(frame).collect(),
            sector: self.sector,
            exam: Exam {
                number: self.exam,
                ..Exam::default()
            },
            stretch: self.stretch,
            source_fps: self.source_fps,
            heart: self.heart,
            kept: None,
            formed: Instant::now(),
            inferred: false,
        }
    }

    /// The clip as evidence.
    pub(super) fn segment(&self) -> Option<crate::events::Segment> {
        self.clip(Vec::new()).segment()
    }
}

impl From<&Clip> for ClipFacts {
    fn from(clip: &Clip) -> Self {
        let end = |frame: &FrameRef| EndFrame {
            number: frame.number,
            capture_nanos: frame.capture_nanos,
            pass: frame.pass,
            host_frame: frame.host_frame,
        };
        let ends = clip.frames.first().zip(clip.frames.last());
        Self {
            number: clip.number,
            ends: ends.map(|(a, b)| [end(a), end(b)]),
            sector: clip.sector,
            exam: clip.exam.number,
            stretch: clip.stretch,
            source_fps: clip.source_fps,
            simulated: clip.frames.iter().all(|f| f.simulated),
            heart: clip.heart,
        }
    }
}
