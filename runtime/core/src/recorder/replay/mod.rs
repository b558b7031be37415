//! Re-runs every decision of a recording and compares it with the recorded one.
//!
//! What was measured is taken from the recording: frame times, what the host and the pixels said of
//! each frame, the image signal, which engine served and its answers, the load. What follows from it is computed anew by the same
//! functions as in a live session: unfit frames, announcements, the time grid, which clips are due
//! and why they are refused, the ladder, view smoothing, EF, expiry and overtaking. Only
//! operations that give the same bits on every machine are used.
//!
//! A recording may begin anywhere, because the oldest entries make room. Each part is compared from
//! the first state of its own on ([`Record::Standing`], [`Record::Memory`]) and again from the next
//! one on after entries were lost; what comes before is counted as skipped.

mod compare;
mod engine;
mod frames;
mod judging;

use super::record::{ClipRecord, Fate, Header, MomentRecord, Record, SlotRecord};
use super::{Entry, Image};
use crate::context::Context;
use crate::decide::Ladder;
use crate::engine::Engine;
use crate::events::{Estimate, Reason, Segment};
use crate::judge;
use crate::manifest::ManifestError;
use crate::outbox::Overtaking;
use crate::preprocess::Preprocessor;
pub use compare::Difference;
use compare::{same, same_json};
pub use engine::Inferred;
use frames::Frames;
use judging::Judging;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Estimates that wait for the entry that says they were sent.
const PENDING: usize = 64;

/// Why a recording cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The manifest in its header is none.
    #[error("recording's manifest: {0}")]
    Manifest(String),
    /// A number in its header is out of range.
    #[error("recording's header: {what}: expected {expected}, found {found}")]
    Header {
        /// Which number.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: i64,
    },
    /// The manifest's preprocessing cannot be built.
    #[error("recording's manifest: {0}")]
    Preprocess(#[from] ManifestError),
}

/// How much was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// Frames.
    pub frames: u64,
    /// Slots of the time grid.
    pub slots: u64,
    /// Clips, by whether they are handed over and why not.
    pub clips: u64,
    /// Steps of the ladder.
    pub loads: u64,
    /// Estimates, as readers got them.
    pub estimates: u64,
    /// Entries before the first known state, or after lost ones.
    pub skipped: u64,
    /// Entries that the recorder lost.
    pub lost: u64,
}

/// A replay in progress.
pub struct Replay {
    context: Arc<Context>,
    frames: Frames,
    judging: Judging,
    ladder: Option<Ladder>,
    pending: BTreeMap<u64, Estimate>,
    overtaking: Overtaking,
    /// The first clip number seen: older clips may have been overtaken by what is not known.
    floor: Option<u64>,
    compared: Compared,
}

impl Replay {
    /// Starts a replay of the decisions; with an engine, the model is run again as well on the
    /// frames stored, and its answers are compared, not used.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn new(header: &Header, engine: Option<Box<dyn Engine>>) -> Result<Self, ReplayError> {
        let manifest = header.manifest().map_err(ReplayError::Manifest)?;
        let wrong = |what, expected, found| ReplayError::Header {
            what,
            expected,
            found,
        };
        for (what, found) in [
            ("valid_for_nanos", header.valid_for_nanos),
            ("max_segment_gap_nanos", header.max_segment_gap_nanos),
        ] {
            if !(0..=1 << 50).contains(&found) {
                return Err(wrong(what, "0 to 2^50", found));
            }
        }
        let preprocessor = match engine {
            Some(_) => Some(Preprocessor::new(&manifest.preprocess, &manifest.encoder)?),
            None => None,
        };
        let frames = Frames::new(&manifest, preprocessor);
        let context = Arc::new(Context::recorded(header, manifest));
        Ok(Self {
            frames,
            judging: Judging::new(&context, engine),
            context,
            ladder: None,
            pending: BTreeMap::new(),
            overtaking: Overtaking::default(),
            floor: None,
            compared: Compared::default(),
        })
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// The first decision that comes out otherwise; nothing after it means anything.
    pub fn entry(&mut self, entry: Entry) -> Result<(), Box<Difference>> {
        match entry {
            Entry::Image(image) => self.image(image),
            Entry::Record(record) => self.record(record)?,
        }
        Ok(())
    }

    /// How much has been compared so far.
    pub fn compared(&self) -> Compared {
        self.compared
    }

    /// What the engine answered now beside what it answered then.
    pub fn inferred(&self) -> Inferred {
        self.judging.inferred()
    }

    fn image(&mut self, image: Image) {
        self.frames.image(image);
    }

    fn record(&mut self, record: Record) -> Result<(), Box<Difference>> {
        match record {
            Record::Lost { records } => {
                self.compared.lost = self.compared.lost.saturating_add(records);
                self.frames.forget();
                self.judging.forget();
                self.pending.clear();
                self.ladder = None;
                self.floor = None;
            }
            Record::Standing(standing) => self.frames.standing(&standing)?,
            Record::Memory(memory) => self.judging.memory(*memory)?,
            Record::Frame(frame) => {
                let compared = self.frames.frame(&frame)?;
                self.count(compared, |c| &mut c.frames);
            }
            Record::Slot(slot) => {
                let compared = self.frames.slot(slot)?;
                self.count(compared, |c| &mut c.slots);
            }
            Record::Expired { nanos } => self.frames.expired(nanos)?,
            Record::Ended => self.frames.ended(),
            Record::Announced(announced) => {
                let clip = announced.clip;
                self.floor.get_or_insert(clip);
                self.frames.announced(&announced)?;
                self.refused(clip, announced.reason, None, &announced.moment);
            }
            Record::Clip(clip) => self.clip(&clip)?,
            Record::HandOff { clip, fate } => {
                let handed = self.frames.take_handed(clip);
                if fate == Fate::Gone
                    && let Some((facts, moment)) = handed
                {
                    self.refused(clip, Reason::EngineDown, facts.segment(), &moment);
                }
            }
            Record::Load(load) => {
                let mut ladder = load.before.clone();
                if let Some(known) = self.ladder.take() {
                    same_json("the ladder before a step", &load.before, &known)?;
                }
                let level = ladder.step(load.load);
                same("the ladder's level", &load.after, &level)?;
                self.ladder = Some(ladder);
                self.count(true, |c| &mut c.loads);
            }
            Record::Panicked => self.judging.panicked(),
            Record::Judged(judged) => {
                let tubelets = self.frames.tubelets(judged.facts.number);
                let _ = self.frames.take_handed(judged.facts.number);
                match self.judging.judge(&judged, tubelets)? {
                    Some(estimate) => self.expect(judged.facts.number, estimate),
                    None => self.compared.skipped += 1,
                }
            }
            Record::Sent(estimate) => self.sent(&estimate)?,
            Record::Told(_) => {}
        }
        Ok(())
    }

    fn count(&mut self, compared: bool, of: impl FnOnce(&mut Compared) -> &mut u64) {
        match compared {
            true => *of(&mut self.compared) += 1,
            false => self.compared.skipped += 1,
        }
    }

    fn refused(
        &mut self,
        clip: u64,
        reason: Reason,
        segment: Option<Segment>,
        moment: &MomentRecord,
    ) {
        let moment = self.context.relive(moment);
        let refused = self.context.refused(clip, reason, segment, &moment);
        self.expect(clip, refused);
    }

    fn expect(&mut self, clip: u64, estimate: Estimate) {
        if self.pending.len() == PENDING {
            self.pending.pop_first();
        }
        self.pending.insert(clip, estimate);
    }

    fn clip(&mut self, clip: &ClipRecord) -> Result<(), Box<Difference>> {
        let number = clip.facts.number;
        self.floor.get_or_insert(number);
        let compared = self.frames.clip(clip)?;
        self.count(compared, |c| &mut c.clips);
        if let Fate::Refused(reason) = clip.fate {
            self.refused(number, reason, clip.facts.segment(), &clip.moment);
        }
        Ok(())
    }

    fn sent(&mut self, sent: &Estimate) -> Result<(), Box<Difference>> {
        let made = self.pending.remove(&sent.clip);
        let known = self.floor.is_some_and(|floor| sent.clip >= floor);
        let Some(mut made) = made.filter(|_| known) else {
            self.overtaking.note(sent);
            self.compared.skipped += 1;
            return Ok(());
        };
        if let Some(now) = sent.sent_nanos {
            judge::stamp(&mut made, now);
        }
        self.overtaking.apply(&mut made);
        same_json(&format!("clip {}", sent.clip), sent, &made)?;
        self.count(true, |c| &mut c.estimates);
        Ok(())
    }
}

impl SlotRecord {
    fn words(self) -> String {
        match self {
            Self::Chosen(number) => format!("frame {number}"),
            Self::Refused(number) => format!("frame {number}, which cannot be preprocessed"),
            Self::Gap => "a gap".to_owned(),
        }
    }
}
