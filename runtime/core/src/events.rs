//! The wire schema: what every reader (file, WebSocket, C ABI) is told.
//!
//! One schema, three carriers. A line of `--events FILE`, a text message of the WebSocket and a
//! struct of the C ABI carry the same facts. Times are nanoseconds of the session's monotonic
//! clock; under `--pace max` that clock is capture time and the fields named `age_*` and `sent_*`
//! are absent.

use crate::frame::ExamToken;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the event schema. Minor additions keep it; a changed meaning raises it.
pub const SCHEMA: u32 = 1;

/// One message to every reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// One clip, evaluated or refused.
    Estimate(Box<Estimate>),
    /// Something about the session changed, or its counters are due.
    State(Box<State>),
    /// The last event of a session.
    Summary(Box<Summary>),
}

/// What one clip led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Clip number, counted from 0 over evaluated and refused clips alike.
    pub clip: u64,
    /// Provider that ran the graphs, for example `CPU`.
    pub provider: String,
    /// Why that is not the provider asked for, or not for the whole graph. Absent when it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub degraded: Option<String>,
    /// Package id and the first 12 hex digits of its hash, `id@hash`.
    pub package: String,
    /// First 12 hex digits of the effective config's SHA-256.
    pub config: String,
    /// When the event left the pipeline. Absent under `--pace max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_nanos: Option<i64>,
    /// Head outputs as the graph gave them. Absent when the clip was refused before inference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Raw>,
    /// Which echo view this is.
    pub view: Output<ViewValue>,
    /// Left ventricular ejection fraction.
    pub lvef: Output<LvefValue>,
    /// Image signal meter. OFF until an imaging area has been found and measured.
    pub signal: Output<SignalValue>,
    /// The heart rate around the clip. Absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heart: Option<HeartRate>,
    /// How many of the clip's tokens the encoder was given. Absent where all, or where it did not
    /// run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tokens: Option<TokenCount>,
}

/// Tokens of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCount {
    /// Those the encoder was given.
    pub used: usize,
    /// All of them.
    pub all: usize,
}

/// A measured heart rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeartRate {
    /// Beats per minute over the newest seconds.
    pub bpm: f32,
    /// What it was measured from.
    pub from: HeartSource,
}

/// What a heart rate was measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeartSource {
    /// How the image repeats itself.
    Image,
    /// The ECG that came with the frames.
    Ecg,
}

/// Head outputs as the graph gave them, by head.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Raw {
    /// View logits, in the order of the package's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<Vec<f32>>,
    /// Standardised EF (z-score). Absent when the head was not run for this clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lvef: Option<Vec<f32>>,
}

/// One output of an estimate: a value, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output<T> {
    /// Whether there is a value and what it is worth.
    pub status: Status,
    /// Why there is no value. Present (not null) exactly when `status` is WITHHELD.
    pub reason: Option<Reason>,
    /// The value. Absent unless `status` is VALUE or DEMONSTRATION.
    #[serde(skip_serializing_if = "Option::is_none", default = "Option::default")]
    pub value: Option<T>,
    /// The frames behind it.
    pub evidence: Evidence,
    /// Past this instant any reader blanks the value by itself. Null without a value.
    pub valid_until_nanos: Option<i64>,
}

impl Estimate {
    /// Takes from the estimate before what this one leaves as it was.
    pub fn leave_as_it_was(&mut self, before: Self) {
        if self.view.status == Status::NotDue {
            self.view = before.view;
        }
        if self.lvef.status == Status::NotDue {
            self.lvef = before.lvef;
        }
    }
}

impl<T> Output<T> {
    /// An output without value and without reason: OFF or NOT_DUE.
    pub fn quiet(status: Status) -> Self {
        Self {
            status,
            reason: None,
            value: None,
            evidence: Evidence::default(),
            valid_until_nanos: None,
        }
    }

    /// An output that this estimate leaves as it was, with the frames that were looked at.
    pub fn not_due(evidence: Evidence) -> Self {
        Self {
            evidence,
            ..Self::quiet(Status::NotDue)
        }
    }

    /// An output withheld for `reason`, with the frames that were looked at.
    pub fn withheld(reason: Reason, evidence: Evidence) -> Self {
        Self {
            status: Status::Withheld,
            reason: Some(reason),
            value: None,
            evidence,
            valid_until_nanos: None,
        }
    }

    /// True when a reader may show the value (as what `status` says it is).
    pub fn has_value(&self) -> bool {
        matches!(self.status, Status::Value | Status::Demonstration)
    }
}

/// Whether an output carries a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// A value the package may give.
    Value,
    /// No value; `reason` says why.
    Withheld,
    /// The head was not due for this clip, or another package gives this output: it stays as it was.
    NotDue,
    /// Switched off, or not in the package.
    Off,
    /// A value of an untrained or simulation-trained package: shows the path, means nothing.
    Demonstration,
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Not enough evidence yet.
    WarmingUp,
    /// The image does not change.
    Frozen,
    /// The scanner replays a stored loop.
    ReviewLoop,
    /// Frames are missing for longer than the package allows.
    Gap,
    /// A frame's time stamp cannot be right.
    BadTimestamp,
    /// The imaging sector or the frame's size changed within the evidence.
    SectorChanged,
    /// The image is mirrored or upside down against the site setting.
    Orientation,
    /// Colour Doppler is on.
    ColourOn,
    /// Not an ultrasound image.
    NotUltrasound,
    /// Outside what the package permits.
    NotPermitted,
    /// Too little image signal.
    LowSignal,
    /// The view is not one the head accepts.
    WrongView,
    /// The view is not certain enough, or the interval wider than the package's limit.
    Uncertain,
    /// The rhythm does not allow a number.
    Rhythm,
    /// The number lies outside the range the package may give.
    OutOfRange,
    /// The package has no calibration for this.
    Uncalibrated,
    /// The evidence is older than a number may be.
    Stale,
    /// A new exam began.
    NewExam,
    /// The engine failed or gave no finite number.
    EngineDown,
    /// Withheld by the degradation ladder.
    Degraded,
}

/// The frames behind an output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Clips used, oldest first.
    pub segments: Vec<Segment>,
    /// Age of the newest frame when the event was sent. Absent under `--pace max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_newest_nanos: Option<i64>,
    /// Age of the oldest frame when the event was sent. Absent under `--pace max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_oldest_nanos: Option<i64>,
}

/// One clip as evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Number of the clip's first frame.
    pub first_frame: u64,
    /// Number of the clip's last frame.
    pub last_frame: u64,
    /// Capture time of the first frame.
    pub first_capture_nanos: i64,
    /// Capture time of the last frame.
    pub last_capture_nanos: i64,
    /// Number of the imaging sector (or frame geometry) all frames share.
    pub sector: u32,
    /// One-clip view label, when the view head ran on this clip.
    pub view: Option<String>,
    /// True when the clip runs across the seam of a looped source.
    pub seam: bool,
    /// The host's own number of the first frame. Absent where a host gave none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_host_frame: Option<u64>,
    /// The host's own number of the last frame. Absent where a host gave none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_host_frame: Option<u64>,
    /// The exam of all its frames. It stays in the process.
    #[serde(skip)]
    pub exam: Exam,
}

/// One exam of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exam {
    /// Counted from 0 over the session.
    pub number: u64,
    /// The host's name for it.
    pub token: ExamToken,
}

/// Value of the `view` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewValue {
    /// The label that the clips so far speak for.
    pub label: String,
    /// Probability of each of the package's labels, in their order: the running mean of the clips'
    /// softmax.
    pub probabilities: Vec<f32>,
}

/// Value of the `lvef` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LvefValue {
    /// Ejection fraction in percent, never clamped: the median of `readings`.
    pub percent: f32,
    /// Times the head was read for it, each from other frames.
    #[serde(default)]
    pub readings: u32,
    /// Of them, those at most five points from the median.
    #[serde(default)]
    pub agreeing: u32,
    /// Highest minus lowest reading, percentage points.
    #[serde(default)]
    pub spread: f32,
    /// Where the true value lies as often as the calibration promises. Present exactly when
    /// `calibration` is INSIDE.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interval: Option<Interval>,
    /// Whether the package's calibration speaks for this value.
    #[serde(default)]
    pub calibration: Calibrated,
}

/// A conformal interval around a value, cut to 0 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end in percent.
    pub low: f32,
    /// Its upper end in percent.
    pub high: f32,
    /// Share of new patients' values that such intervals hold, at least.
    pub coverage: f32,
}

/// Whether a package's calibration speaks for a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Calibrated {
    /// The package has none for the variant that runs.
    #[default]
    None,
    /// It does.
    Inside,
    /// The value or its view is not among those it was made from.
    Outside,
}

/// Value of the `signal` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalValue {
    /// 0 (nothing to see) to 1. It does not judge the diagnostic worth.
    pub meter: f32,
    /// What is lacking most, in plain words that name what was measured. Absent when nothing is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

/// Where on the screen the ultrasound image is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImagingArea {
    /// Number of the sector, as in [`Segment::sector`].
    pub number: u32,
    /// `phased`, `curvilinear` or `linear`.
    pub shape: String,
    /// True when the probe is at the bottom.
    pub inverted: bool,
    /// How well straight sides, arc and filling fit, 0 to 1.
    pub confidence: f32,
    /// Corners in order, each x and y as fractions of the frame's width and height, from its upper
    /// left corner.
    pub outline: Vec<[f32; 2]>,
    /// Patches of the encoder's image, numbered row by row, that lie wholly outside.
    #[serde(default)]
    pub patches_outside: Vec<u32>,
}

/// A change of the session, or its counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What this event reports.
    pub state: StateKind,
    /// Capture time it refers to.
    pub at_nanos: i64,
    /// One plain sentence for a person.
    pub detail: String,
    /// As [`Estimate::degraded`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub degraded: Option<String>,
    /// Where every frame went, as of this event. Absent in STARTED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// What is running. Present in STARTED, and when the engine has changed or gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionInfo>,
    /// The same of the package that says the view, where that is another one: its labels are those
    /// of the view's probabilities.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub guide: Option<SessionInfo>,
    /// The imaging area, when this event tells of one that was found, changed or is known better.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub area: Option<ImagingArea>,
    /// The image signal, when this event tells that it changed noticeably.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signal: Option<SignalValue>,
}

/// What a [`State`] event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StateKind {
    /// The session serves; `session` says what.
    Started,
    /// Counters, once per second of capture time.
    Counters,
    /// The geometry of the frames or the imaging area changed; windows were cleared. `area` holds
    /// the new area as far as it is known.
    SectorChanged,
    /// What the screen shows has changed: live, frozen, repeating, colour, no contact; or the
    /// imaging area was found (`area`), or the image signal changed (`signal`).
    ScreenChanged,
    /// The degradation ladder moved.
    LadderChanged,
    /// The engine failed; estimates are withheld.
    EngineDown,
    /// The engine is being loaded and proven; estimates are withheld. Comes again with each step.
    EngineWarmingUp,
    /// The engine serves, for the first time, again, or another one in its place; `session` says
    /// what. Views and numbers begin anew.
    EngineReady,
    /// Another engine is being made ready to take the place of the one that serves, which goes on.
    /// Comes again with each step.
    EngineProgress,
    /// The source's device went away.
    SourceLost,
    /// It is there again; the time grid starts anew.
    SourceBack,
    /// The device's clock was taken up anew; the time grid starts anew.
    SourceReanchored,
    /// The source gave its last frame.
    SourceEnded,
}

/// What is running, for the page's banner and a log's first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// `id@hash` as in [`Estimate::package`].
    pub package: String,
    /// First line of the package's card.
    pub card: String,
    /// `untrained`, `simulated` or `clinical`.
    pub trained: String,
    /// Whether a trusted key signed the package, in words with the key.
    pub signed: String,
    /// Encoder in words, for example `ViT dim 192, depth 6, heads 3, 112x112, 16 frames`.
    pub model: String,
    /// Provider that runs the graphs.
    pub provider: String,
    /// Variant of the package that runs, for example `fp32`.
    #[serde(default)]
    pub variant: String,
    /// Graph nodes each provider got, as the library reports them, over all loaded graphs.
    #[serde(default)]
    pub nodes: BTreeMap<String, usize>,
    /// As [`Estimate::degraded`], at the start of the session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub degraded: Option<String>,
    /// ONNX Runtime library version.
    pub library: String,
    /// What the variant is calibrated on, in words.
    pub calibration: String,
    /// Which tokens of a clip the encoder is given, in words, and why all if it is all.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub tokens: String,
    /// View labels in order.
    pub labels: Vec<String>,
    /// What the page must say all the time (unsigned, untrained), one sentence each.
    pub banners: Vec<String>,
    /// Config hash as in [`Estimate::config`].
    pub config: String,
    /// Echocart's version.
    pub version: String,
}

/// Where every frame went. `captured == used + unused + dropped_ring_full + sum(rejected) +
/// in_flight` holds in every snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Frames handed in.
    pub captured: u64,
    /// Frames in a clip that was inferred.
    pub used: u64,
    /// Frames that left the window otherwise.
    pub unused: u64,
    /// Frames that found the ring full.
    pub dropped_ring_full: u64,
    /// Frames refused, by reason.
    pub rejected: BTreeMap<Reason, u64>,
    /// Frames still held, counted from their leases.
    pub in_flight: u64,
    /// Clips that a newer one replaced before they were inferred, or that the ladder left out.
    pub clips_superseded: u64,
    /// Frames that the source itself lost: they were never handed in and are in no sum.
    #[serde(default)]
    pub missed: u64,
}

/// The last event of a session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where every frame went.
    #[serde(flatten)]
    pub counters: Counters,
    /// `estimate` events sent.
    pub estimates: u64,
    /// Estimates with VALUE or DEMONSTRATION, by output name.
    pub values: BTreeMap<String, u64>,
    /// Events that a full queue lost before a reader took them.
    pub events_dropped: u64,
}
