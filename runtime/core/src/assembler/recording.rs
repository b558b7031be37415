//! What the assembler tells the recorder.

use super::Assembler;
use crate::clip::Clip;
use crate::events::Reason;
use crate::moment::Moment;
use crate::recorder::{ClipRecord, Fate, FrameRecord, Record, Standing};
use crate::ring::Queued;

impl Assembler {
    pub(super) fn record(&self, record: impl FnOnce() -> Record) {
        let exam = Some(self.exam.number);
        self.context.recorder.record(exam, record);
    }

    /// Hands over what lies inside the imaging area of a frame that a slot was given to; `known`
    /// says that the area is still that of the frame, and was sure when it came.
    pub(super) fn record_image(&mut self, queued: &Queued, known: bool) {
        let meta = &queued.meta;
        if !known
            || !self.context.recorder.is_on()
            || !self.mask_area(meta.width_px, meta.height_px)
        {
            return;
        }
        let pixels = (&*queued.pixels, queued.layout);
        let (exam, number) = (queued.exam.number, queued.number);
        let recorder = &self.context.recorder;
        recorder.image(exam, number, meta, pixels, &self.mask);
    }

    /// Tells where this thread stands: a place from which its decisions can be re-run.
    pub(super) fn stands(&mut self) {
        self.untold_slots = 0;
        self.record(|| {
            Record::Standing(Standing {
                exam: self.exam.number,
                newest_nanos: self.newest_nanos,
                sector: self.sector,
                unfit: self.unfit,
                stretch: self.stretch,
                clips: self.clips,
                tubelets: self.tubelets,
                open: self.open.as_ref().map_or(0, |t| t.frames.len()),
                grid: self.grid,
            })
        });
    }

    pub(super) fn frame_record(
        &self,
        queued: &Queued,
        refused: Option<Reason>,
        seen: Option<Reason>,
    ) -> FrameRecord {
        let (meta, host) = (&queued.meta, &queued.meta.host);
        FrameRecord {
            number: queued.number,
            capture_nanos: meta.capture_nanos,
            exam: queued.exam.number,
            width_px: meta.width_px,
            height_px: meta.height_px,
            format: meta.format,
            pass: meta.pass,
            host_frame: host.frame_id,
            colour_on: host.colour_on,
            frozen: host.frozen,
            ecg_millivolts: host.ecg_millivolts,
            depth_mm: host.depth_mm,
            simulated: queued.source.simulated,
            anew: queued.anew,
            refused,
            sector: self.sector,
            seen,
            unfit: self.unfit,
            stretch: self.stretch,
        }
    }

    pub(super) fn record_clip(
        &self,
        clip: &Clip,
        (gone, rests): (bool, Option<Reason>),
        moment: &Moment,
        fate: Fate,
    ) {
        self.record(|| {
            Record::Clip(Box::new(ClipRecord {
                facts: clip.into(),
                gone,
                rests,
                moment: moment.into(),
                fate,
            }))
        });
    }

    pub(super) fn record_fate(&self, clip: &Clip, fate: Fate) {
        let exam = Some(clip.exam.number);
        let record = || Record::HandOff {
            clip: clip.number,
            fate,
        };
        self.context.recorder.record(exam, record);
    }
}
