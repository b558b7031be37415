//! What a recording holds, entry by entry.

use crate::decide::{Ladder, Level, Load};
use crate::events::{Estimate, Reason, State};
use crate::frame::PixelFormat;
use crate::grid::Grid;
use crate::inference::Memory;
use crate::manifest::Manifest;
use crate::pulse::Heart;
use crate::ring::MAX_CAPTURE_NANOS;
use crate::screen::signal::Reading;
use serde::{Deserialize, Serialize};

/// Most token slots an engine may have.
pub(crate) const MAX_SLOTS: usize = 4096;

/// What the session was, once per recording. It holds no token, no name and no path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the echocart that recorded it.
    pub version: String,
    /// Package as `id@hash`.
    pub package: String,
    /// Config hash as in events.
    pub config: String,
    /// The package's manifest, as TOML.
    pub manifest: String,
    /// The variant that ran when the session began; empty where none did.
    pub variant: String,
    /// Provider that ran the graphs then.
    pub provider: String,
    /// False for virtual time.
    pub real_pace: bool,
    /// How long an estimate may be shown after its newest frame.
    pub valid_for_nanos: i64,
    /// Longest time between two segments.
    pub max_segment_gap_nanos: i64,
    /// Number of the exam, counted from 0 over the session.
    pub exam: u64,
}

impl Header {
    /// The manifest, checked.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn manifest(&self) -> Result<Manifest, String> {
        let manifest: Manifest =
            toml::from_str(&self.manifest).map_err(|e| e.message().to_owned())?;
        manifest.validate().map_err(|e| e.to_string())?;
        Ok(manifest)
    }
}

/// One frame that the assembler took, with what was measured on it and what was decided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRecord {
    /// Frame number.
    pub number: u64,
    /// Capture time.
    pub capture_nanos: i64,
    /// Number of the exam.
    pub exam: u64,
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
    /// Pixel format.
    pub format: PixelFormat,
    /// Pass of a looped source.
    pub pass: u32,
    /// The host's own number.
    pub host_frame: Option<u64>,
    /// The host said that colour Doppler is on.
    pub colour_on: bool,
    /// The host said that the image is frozen.
    pub frozen: bool,
    /// ECG at the frame's time.
    pub ecg_millivolts: Option<f32>,
    /// Depth of the image.
    pub depth_mm: Option<f32>,
    /// The source is a simulated heart.
    pub simulated: bool,
    /// Its time does not continue that of the frame before.
    pub anew: bool,
    /// Why it was not taken in, if so; what follows is then that of the frame before.
    pub refused: Option<Reason>,
    /// Number of the sector.
    pub sector: u32,
    /// What the pixels said against it.
    pub seen: Option<Reason>,
    /// Why no value may come of it.
    pub unfit: Option<Reason>,
    /// Interruptions so far of what the frames show.
    pub stretch: u64,
}

/// What the time grid decided for the next slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotRecord {
    /// This frame stands for it.
    Chosen(u64),
    /// This frame would, but it cannot be preprocessed.
    Refused(u64),
    /// No frame stands for it.
    Gap,
}

/// The first or last frame of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndFrame {
    /// Frame number.
    pub number: u64,
    /// Capture time.
    pub capture_nanos: i64,
    /// Pass of a looped source.
    pub pass: u32,
    /// The host's own number.
    pub host_frame: Option<u64>,
}

/// A clip without its pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipFacts {
    /// Clip number.
    pub number: u64,
    /// First and last frame; none of a clip of gaps.
    pub ends: Option<[EndFrame; 2]>,
    /// The sector of its newest frame.
    pub sector: u32,
    /// Number of the exam.
    pub exam: u64,
    /// Interruptions before it.
    pub stretch: u64,
    /// Frames per second that were measured.
    pub source_fps: Option<f64>,
    /// All frames are of a simulated heart.
    pub simulated: bool,
    /// What was known of the heartbeat; not in a recording of before it was measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heart: Option<Heart>,
}

/// What an estimate repeats of the instant it was made at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MomentRecord {
    /// Level of the ladder.
    pub level: Level,
    /// The engine.
    pub engine: EngineRecord,
    /// The image signal, once it was measured.
    pub signal: Option<Reading>,
}

/// What an estimate repeats of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineRecord {
    /// Provider that ran the graphs, or the last one that did.
    pub provider: String,
    /// Why that was not the provider asked for, or why none served.
    pub degraded: Option<String>,
    /// The variant that ran, whose calibration applied; none while none did.
    pub variant: Option<String>,
    /// Why no clip could be inferred, if so.
    pub rests: Option<Reason>,
}

/// What made the assembler blank readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// What the next recorded frame shows.
    Frame,
    /// The source.
    Source,
    /// The engine went.
    Engine,
    /// A new exam.
    Exam,
}

/// Readers were blanked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnouncedRecord {
    /// Clip number that the announcement has.
    pub clip: u64,
    /// What made it.
    pub cause: Cause,
    /// Why.
    pub reason: Reason,
    /// What it repeats.
    pub moment: MomentRecord,
}

/// A clip that was due, and what the assembler did with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipRecord {
    /// The clip.
    pub facts: ClipFacts,
    /// The engine's thread was gone.
    pub gone: bool,
    /// Why no engine served or the ladder let it rest, if so.
    pub rests: Option<Reason>,
    /// What an estimate of it repeats.
    pub moment: MomentRecord,
    /// What was done.
    pub fate: Fate,
}

/// What became of a clip at the hand-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// Refused for this reason.
    Refused(Reason),
    /// Left out by the ladder.
    LeftOut,
    /// Offered to the inference thread.
    Handed,
    /// A newer clip took its place before it was taken.
    Superseded,
    /// The inference thread took no clip any more.
    Gone,
}

/// One measurement of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadRecord {
    /// The ladder before it.
    pub before: Ladder,
    /// What was measured.
    pub load: Load,
    /// The level after it.
    pub after: Level,
}

/// What the engine answered to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It failed.
    Failed,
    /// It was not there.
    Absent,
    /// It gave these f32, as bits.
    Gave(Vec<u32>),
}

/// One clip that the inference thread took, with the engine's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedRecord {
    /// The clip.
    pub facts: ClipFacts,
    /// What its estimate repeats, as of after the encoder's answer.
    pub moment: MomentRecord,
    /// Generation of the engine's tokens that is known after it.
    pub generation: u64,
    /// Token slots of the engine, where the encoder answered.
    pub slots: usize,
    /// The encoder's answer, without its tokens.
    pub encoder: Answer,
    /// View logits.
    pub view: Answer,
    /// Standardised EF.
    pub lvef: Answer,
    /// The engine panicked on this clip.
    pub panicked: bool,
    /// Patches of each tubelet that it was encoded of alone; absent where of all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kept: Option<Vec<u32>>,
}

/// Where the assembler stands between two frames: a place from which decisions can be re-run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Number of the exam.
    pub exam: u64,
    /// Capture time of the newest frame.
    pub newest_nanos: Option<i64>,
    /// Number of the sector.
    pub sector: u32,
    /// Why the newest frame is unfit.
    pub unfit: Option<Reason>,
    /// Interruptions so far.
    pub stretch: u64,
    /// Clips numbered so far.
    pub clips: u64,
    /// Tubelets since the window was empty.
    pub tubelets: u64,
    /// Slots decided of the tubelet that is open.
    pub open: usize,
    /// The time grid.
    pub grid: Grid,
}

/// One entry, in the order the pipeline made them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The assembler's state.
    Standing(Standing),
    /// The inference thread's state, before the next [`Record::Judged`].
    Memory(Box<Memory>),
    /// A frame; announcements that it caused come before it.
    Frame(FrameRecord),
    /// A slot was decided.
    Slot(SlotRecord),
    /// Slots up to this time were given up.
    Expired {
        /// Nanoseconds of the session's clock.
        nanos: i64,
    },
    /// The source gave its last frame.
    Ended,
    /// Readers were blanked.
    Announced(Box<AnnouncedRecord>),
    /// A clip was due.
    Clip(Box<ClipRecord>),
    /// What became of a clip after it was handed over.
    HandOff {
        /// Clip number.
        clip: u64,
        /// What became of it.
        fate: Fate,
    },
    /// The ladder took a measurement.
    Load(Box<LoadRecord>),
    /// The engine panicked between two clips.
    Panicked,
    /// A clip was judged.
    Judged(Box<JudgedRecord>),
    /// An estimate as readers got it.
    Sent(Box<Estimate>),
    /// A state as readers got it.
    Told(Box<State>),
    /// Entries are missing here: the recorder could not keep up.
    Lost {
        /// How many.
        records: u64,
    },
}

impl Record {
    /// Checks that times are ones a clock gives, so that sums of them do not overflow.
    ///
    /// # Errors
    /// What is out of range.
    pub fn check(&self) -> Result<(), String> {
        let time = |nanos: i64| match (0..=MAX_CAPTURE_NANOS).contains(&nanos) {
            true => Ok(()),
            false => Err(format!(
                "time: expected 0 to {MAX_CAPTURE_NANOS} ns, found {nanos}"
            )),
        };
        let optional = |nanos: Option<i64>| nanos.map_or(Ok(()), time);
        let clip = |facts: &ClipFacts| {
            let mut ends = facts.ends.iter().flatten();
            ends.try_for_each(|e| time(e.capture_nanos))?;
            let Some(heart) = &facts.heart else {
                return Ok(());
            };
            heart.check()?;
            heart.onsets.times().iter().copied().try_for_each(time)
        };
        let moment = |moment: &MomentRecord| optional(moment.signal.map(|s| s.at_nanos));
        match self {
            Self::Standing(standing) => {
                optional(standing.newest_nanos)?;
                standing.grid.check()
            }
            Self::Memory(memory) => memory.times().try_for_each(time),
            // A quarantined stamp is refused by its time, so only those taken in count.
            Self::Frame(frame) => time(frame.capture_nanos),
            // Silence may be older than the clock.
            Self::Expired { nanos } => time(nanos.saturating_abs()),
            Self::Announced(record) => moment(&record.moment),
            Self::Clip(record) => {
                moment(&record.moment)?;
                clip(&record.facts)
            }
            Self::Judged(record) => {
                if record.slots > MAX_SLOTS {
                    let found = record.slots;
                    return Err(format!("slots: expected 0 to {MAX_SLOTS}, found {found}"));
                }
                moment(&record.moment)?;
                clip(&record.facts)
            }
            Self::Load(record) => {
                time(record.load.at_nanos)?;
                record.before.times().try_for_each(time)
            }
            Self::Sent(estimate) => optional(estimate.sent_nanos),
            Self::Slot(_)
            | Self::Ended
            | Self::Panicked
            | Self::HandOff { .. }
            | Self::Told(_)
            | Self::Lost { .. } => Ok(()),
        }
    }
}
