//! The assembler's decisions, re-run on the recorded times and on what was measured of each frame.

use super::compare::{Difference, differs, same, same_json};
use crate::assembler::clip_reason;
use crate::clip::unfit_by_host;
use crate::decide::Level;
use crate::events::Reason;
use crate::grid::{Candidate, Grid, Verdict};
use crate::manifest::{Encoder, Manifest, Sampling};
use crate::preprocess::Preprocessor;
use crate::recorder::Image;
use crate::recorder::record::{
    AnnouncedRecord, Cause, ClipFacts, ClipRecord, EndFrame, Fate, FrameRecord, MomentRecord,
    SlotRecord, Standing,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// Frames that may wait for their slot; more never do.
const WAITING: usize = 4096;
/// Clips that may wait to be judged.
const HANDED: usize = 8;

/// What is known of a slot in the window.
enum Place {
    /// It was decided before the first known state.
    Unknown,
    Gap,
    Frame(Box<FrameRecord>),
}

/// What must come next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    Slot(SlotRecord),
    Restart,
}

struct Handed {
    facts: ClipFacts,
    moment: MomentRecord,
    tubelets: Vec<Arc<Vec<f32>>>,
}

pub(super) struct Frames {
    sampling: Sampling,
    encoder: Encoder,
    hop_tubelets: u64,
    at: Option<Standing>,
    window: VecDeque<Place>,
    waiting: VecDeque<FrameRecord>,
    expected: VecDeque<Expected>,
    announced: Vec<Reason>,
    clip_due: bool,
    handed: VecDeque<Handed>,
    images: Option<Images>,
}

impl Frames {
    pub fn new(manifest: &Manifest, preprocessor: Option<Preprocessor>) -> Self {
        let encoder = manifest.encoder.clone();
        Self {
            hop_tubelets: (manifest.sampling.hop_slots / encoder.tubelet_frames).max(1) as u64,
            sampling: manifest.sampling.clone(),
            at: None,
            window: VecDeque::new(),
            waiting: VecDeque::new(),
            expected: VecDeque::new(),
            announced: Vec::new(),
            clip_due: false,
            handed: VecDeque::new(),
            images: preprocessor.map(|preprocessor| Images {
                preprocessor,
                newest: None,
                open: None,
                tubelets: VecDeque::new(),
            }),
            encoder,
        }
    }

    pub fn forget(&mut self) {
        self.at = None;
        self.handed.clear();
        if let Some(images) = &mut self.images {
            images.clear();
        }
    }

    pub fn image(&mut self, image: Image) {
        if let Some(images) = &mut self.images {
            images.newest = Some(image);
        }
    }

    /// Compares the state, or takes it up where none is known or a new exam begins.
    pub fn standing(&mut self, standing: &Standing) -> Result<(), Box<Difference>> {
        if self.at.is_some_and(|at| at.exam == standing.exam) {
            self.nothing_expected()?;
        }
        if let Some(at) = &self.at
            && at.exam == standing.exam
        {
            return same_json("the state between two frames", standing, at);
        }
        let mut at = *standing;
        at.grid = Grid::new(&self.sampling, self.encoder.frames);
        at.grid.resume(&standing.grid);
        at.open = at.open.min(self.encoder.tubelet_frames - 1);
        self.at = Some(at);
        self.window.clear();
        self.waiting.clear();
        self.expected.clear();
        self.announced.clear();
        self.clip_due = false;
        if let Some(images) = &mut self.images {
            images.clear();
        }
        let slots = self.encoder.frames;
        let empty = at.tubelets == 0 && at.open == 0;
        if !empty {
            self.window.extend((0..slots).map(|_| Place::Unknown));
        }
        Ok(())
    }

    pub fn frame(&mut self, frame: &FrameRecord) -> Result<bool, Box<Difference>> {
        if self.at.is_some() {
            self.nothing_expected()?;
        }
        let Some(mut at) = self.at else {
            return Ok(false);
        };
        let name = format!("frame {}", frame.number);
        let mut announced = std::mem::take(&mut self.announced);
        // Size and imaging area may both change with one frame.
        announced.dedup();
        if frame.anew {
            self.window.clear();
            (at.tubelets, at.open) = (0, 0);
            at.grid = Grid::new(&self.sampling, self.encoder.frames);
            at.stretch = at.stretch.saturating_add(1);
            self.clear_images();
        }
        let late = at.newest_nanos.is_some_and(|n| frame.capture_nanos <= n);
        match frame.refused {
            Some(Reason::NewExam | Reason::NotPermitted) => {
                self.at = Some(at);
                return Ok(true);
            }
            refused => {
                let expected = late.then_some(Reason::BadTimestamp);
                same(&format!("{name}, refused"), &refused, &expected)?;
                if refused.is_some() {
                    self.at = Some(at);
                    return Ok(true);
                }
            }
        }
        same(&format!("{name}, exam"), &frame.exam, &at.exam)?;
        at.newest_nanos = Some(frame.capture_nanos);
        let mut expected = Vec::new();
        if frame.sector != at.sector {
            at.sector = frame.sector;
            expected.push(Reason::SectorChanged);
        }
        let unfit = unfit_by_host(frame.colour_on, frame.frozen).or(frame.seen);
        same(&format!("{name}, unfit"), &frame.unfit, &unfit)?;
        if unfit != at.unfit {
            at.unfit = unfit;
            at.stretch = at.stretch.saturating_add(1);
            expected.extend(unfit);
        }
        same(&format!("{name}, stretch"), &frame.stretch, &at.stretch)?;
        same(&format!("{name}, announced"), &announced, &expected)?;
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(*frame);
        let candidate = Candidate {
            number: frame.number,
            capture_nanos: frame.capture_nanos,
        };
        let mut verdicts = Vec::new();
        at.grid.frame(candidate, &mut verdicts);
        self.at = Some(at);
        self.expect(&verdicts);
        Ok(true)
    }

    pub fn expired(&mut self, nanos: i64) -> Result<(), Box<Difference>> {
        self.nothing_expected()?;
        let mut verdicts = Vec::new();
        if let Some(at) = &mut self.at {
            at.grid.expire(nanos, &mut verdicts);
        }
        self.expect(&verdicts);
        Ok(())
    }

    /// The source has ended; clips that were handed over may still be judged.
    pub fn ended(&mut self) {
        self.at = None;
    }

    fn expect(&mut self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            match verdict {
                Verdict::Chosen(c) => self
                    .expected
                    .push_back(Expected::Slot(SlotRecord::Chosen(c.number))),
                Verdict::Gap => self.expected.push_back(Expected::Slot(SlotRecord::Gap)),
                Verdict::Restarted => self.expected.push_back(Expected::Restart),
                Verdict::Passed(_) => {}
            }
        }
    }

    /// Says what was to come and did not.
    fn nothing_expected(&mut self) -> Result<(), Box<Difference>> {
        self.restarts();
        match self.expected.front() {
            Some(Expected::Slot(slot)) => Err(differs("the next slot", "nothing", slot.words())),
            _ if self.clip_due => Err(differs("the next clip", "not due", "due")),
            _ => Ok(()),
        }
    }

    fn restarts(&mut self) {
        while self.expected.front() == Some(&Expected::Restart) {
            self.expected.pop_front();
            self.window.clear();
            self.clear_images();
            if let Some(at) = &mut self.at {
                (at.tubelets, at.open) = (0, 0);
            }
        }
    }

    fn clear_images(&mut self) {
        if let Some(images) = &mut self.images {
            images.clear();
        }
    }

    pub fn slot(&mut self, slot: SlotRecord) -> Result<bool, Box<Difference>> {
        if self.at.is_none() {
            return Ok(false);
        }
        self.restarts();
        let expected = match self.expected.pop_front() {
            Some(Expected::Slot(slot)) => Some(slot),
            _ => None,
        };
        let chosen = match slot {
            SlotRecord::Refused(number) => SlotRecord::Chosen(number),
            slot => slot,
        };
        if expected != Some(chosen) {
            let replayed = expected.map_or_else(|| "nothing".to_owned(), SlotRecord::words);
            return Err(differs("the next slot", slot.words(), replayed));
        }
        let place = match slot {
            SlotRecord::Chosen(number) => self
                .take_waiting(number)
                .map_or(Place::Unknown, |f| Place::Frame(Box::new(f))),
            SlotRecord::Refused(_) | SlotRecord::Gap => Place::Gap,
        };
        self.window.push_back(place);
        while self.window.len() > self.encoder.frames + self.encoder.tubelet_frames {
            self.window.pop_front();
        }
        let Some(at) = &mut self.at else {
            return Ok(false);
        };
        if let Some(images) = &mut self.images {
            images.slot(slot, at.open, &self.encoder);
        }
        at.open += 1;
        if at.open < self.encoder.tubelet_frames {
            return Ok(true);
        }
        at.open = 0;
        at.tubelets = at.tubelets.saturating_add(1);
        let whole = self.encoder.tubelets() as u64;
        let due = at.tubelets.saturating_sub(whole);
        self.clip_due = at.tubelets >= whole && due.is_multiple_of(self.hop_tubelets);
        Ok(true)
    }

    fn take_waiting(&mut self, number: u64) -> Option<FrameRecord> {
        while self.waiting.front().is_some_and(|f| f.number < number) {
            self.waiting.pop_front();
        }
        let found = self.waiting.front().is_some_and(|f| f.number == number);
        found.then(|| self.waiting.pop_front()).flatten()
    }

    pub fn announced(&mut self, announced: &AnnouncedRecord) -> Result<(), Box<Difference>> {
        self.next_clip(announced.clip)?;
        if announced.cause == Cause::Frame {
            self.announced.push(announced.reason);
        }
        Ok(())
    }

    fn next_clip(&mut self, clip: u64) -> Result<(), Box<Difference>> {
        let Some(at) = &mut self.at else {
            return Ok(());
        };
        same("the next clip's number", &clip, &at.clips)?;
        at.clips = at.clips.saturating_add(1);
        Ok(())
    }

    pub fn clip(&mut self, clip: &ClipRecord) -> Result<bool, Box<Difference>> {
        let Some(at) = self.at else {
            return Ok(false);
        };
        let name = format!("clip {}", clip.facts.number);
        same(&format!("{name}, due"), &true, &self.clip_due)?;
        self.clip_due = false;
        self.next_clip(clip.facts.number)?;
        let from = self.window.len().saturating_sub(self.encoder.frames);
        let places = || self.window.range(from..);
        let known = self.window.len() >= self.encoder.frames
            && !places().any(|p| matches!(p, Place::Unknown));
        if known {
            let frames = || {
                places().filter_map(|p| match p {
                    Place::Frame(frame) => Some(frame.as_ref()),
                    _ => None,
                })
            };
            let sector = frames().next_back().map_or(at.sector, |f| f.sector);
            let end = |f: &FrameRecord| EndFrame {
                number: f.number,
                capture_nanos: f.capture_nanos,
                pass: f.pass,
                host_frame: f.host_frame,
            };
            let facts = ClipFacts {
                number: clip.facts.number,
                ends: frames()
                    .next()
                    .zip(frames().next_back())
                    .map(|(a, b)| [end(a), end(b)]),
                sector,
                exam: at.exam,
                stretch: at.stretch,
                source_fps: clip.facts.source_fps,
                simulated: frames().all(|f| f.simulated),
                heart: clip.facts.heart,
            };
            same_json(&name, &clip.facts, &facts)?;
            let reason = clip_reason(
                clip.gone,
                places().any(|p| matches!(p, Place::Gap)),
                frames().any(|f| f.sector != sector),
                frames().rev().find_map(|f| f.unfit),
                clip.rests,
            );
            let left_out =
                clip.moment.level == Level::LowerRate && !clip.facts.number.is_multiple_of(2);
            let fate = match reason {
                Some(reason) => Fate::Refused(reason),
                None if left_out => Fate::LeftOut,
                None => Fate::Handed,
            };
            same(&format!("{name}, handed over"), &clip.fate, &fate)?;
        }
        if clip.fate == Fate::Handed {
            if self.handed.len() == HANDED {
                self.handed.pop_front();
            }
            let tubelets = self.images.as_ref().map(Images::whole).unwrap_or_default();
            let fits = tubelets.len() == self.encoder.tubelets();
            self.handed.push_back(Handed {
                facts: clip.facts.clone(),
                moment: clip.moment.clone(),
                tubelets: if fits { tubelets } else { Vec::new() },
            });
        }
        Ok(known)
    }

    /// Forgets a clip that was handed over.
    pub fn take_handed(&mut self, clip: u64) -> Option<(ClipFacts, MomentRecord)> {
        let at = self.handed.iter().position(|h| h.facts.number == clip)?;
        let handed = self.handed.remove(at)?;
        Some((handed.facts, handed.moment))
    }

    /// The patch rows of a clip that was handed over; none where a frame was not stored.
    pub fn tubelets(&self, clip: u64) -> Vec<Arc<Vec<f32>>> {
        let handed = self.handed.iter().find(|h| h.facts.number == clip);
        handed.map(|h| h.tubelets.clone()).unwrap_or_default()
    }
}

/// Stored frames on their way to patch rows.
struct Images {
    preprocessor: Preprocessor,
    newest: Option<Image>,
    open: Option<Vec<f32>>,
    /// The newest tubelets; none where a frame is missing.
    tubelets: VecDeque<Option<Arc<Vec<f32>>>>,
}

impl Images {
    fn clear(&mut self) {
        self.open = None;
        self.tubelets.clear();
    }

    fn slot(&mut self, slot: SlotRecord, at: usize, encoder: &Encoder) {
        if at == 0 {
            self.open = Some(vec![0.0; encoder.tokens_per_tubelet() * encoder.row()]);
        }
        let image = self.newest.take();
        let image = image.filter(|i| slot == SlotRecord::Chosen(i.number));
        let open = self.open.take().zip(image);
        self.open = open.and_then(|(mut block, image)| {
            let stride = image.meta.row_bytes();
            let into =
                self.preprocessor
                    .frame_into(&image.pixels, stride, &image.meta, at, &mut block);
            into.is_ok().then_some(block)
        });
        if at + 1 == encoder.tubelet_frames {
            self.tubelets.push_back(self.open.take().map(Arc::new));
            while self.tubelets.len() > encoder.tubelets() {
                self.tubelets.pop_front();
            }
        }
    }

    fn whole(&self) -> Vec<Arc<Vec<f32>>> {
        self.tubelets.iter().flatten().cloned().collect()
    }
}
