//! The exam as readers are told it, and what they may ask for. Described in `docs/events.md`.

use echocart_core::events::{LvefValue, Output};
use serde::{Deserialize, Serialize};

/// The ten views of a standard exam, in the order in which they are shown.
pub use echocart_core::manifest::STANDARD_VIEWS;

/// Said of every summary and export.
pub const STATEMENT: &str = "For research use only. Not a medical device, not a diagnostic report. Numbers marked AI were \
     read from images by a model, without a tracing to check, and must not guide care.";

/// What is the matter with one exam. Sent whole whenever something in it changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exam {
    /// Counts the changes of this process; the highest is the newest.
    pub revision: u64,
    /// Exams begun before this one.
    pub number: u64,
    /// When it began, milliseconds since 1970, by the machine's calendar.
    pub began_unix_millis: u64,
    /// Why it must be said whether the patient is still the same; no EF until then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asking: Option<Asking>,
    /// The capture that was made when the live estimate was paused; none while it runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub frozen: Option<u64>,
    /// View label, its bar and the checklist are shown.
    pub guidance: bool,
    /// EF is shown.
    pub measurement: bool,
    /// The model's EF is hidden until the user has given their own.
    pub own_first: bool,
    /// The standard view that the next capture is for; none: the one recognised.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// How far an automatic capture is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<Hold>,
    /// The checklist.
    pub views: Vec<ChecklistView>,
    /// Oldest first.
    pub captures: Vec<Capture>,
    /// True when no further clip fits in memory.
    pub full: bool,
    /// The site's settings.
    pub setup: Setup,
}

/// Why the patient's identity is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Asking {
    /// No live ultrasound for the configured time.
    NoUltrasound,
    /// The runtime was started again within an exam.
    Restarted,
}

/// A view that is being held for an automatic capture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// The standard view.
    pub view: String,
    /// 0 to 1: time held over time needed.
    pub share: f32,
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChecklistView {
    /// One of [`STANDARD_VIEWS`].
    pub view: String,
    /// True when the package can tell it from all others.
    pub automatic: bool,
}

/// Settings of the site that the page follows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Language until a viewer chooses another: `en` or `de`.
    pub language: String,
    /// Keys that capture, as `KeyboardEvent.key` names them; a foot switch sends one.
    pub capture_keys: Vec<String>,
    /// Keys that freeze and go on.
    pub freeze_keys: Vec<String>,
    /// How long view and signal must hold for an automatic capture; 0: never.
    pub auto_capture_millis: u64,
    /// Lowest signal meter for it, percent.
    pub auto_capture_signal_percent: u64,
    /// Seconds without ultrasound until it is asked whether the patient is the same.
    pub ask_after_seconds: u64,
}

/// Images and what the model said about them, kept until the exam ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    /// Its number, counted over the process.
    pub id: u64,
    /// When the newest image was made, milliseconds since 1970.
    pub at_unix_millis: u64,
    /// What led to it.
    pub how: How,
    /// The standard view it stands for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub view: Option<String>,
    /// Who says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub view_by: Option<By>,
    /// The model's own label and its probability at that time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<Label>,
    /// The estimate whose EF it holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clip: Option<u64>,
    /// The EF of that estimate as it was sent, or why there was none.
    pub lvef: Output<LvefValue>,
    /// Beats per minute around the newest image. Absent: not measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heart_rate_bpm: Option<f32>,
    /// Whole beats from the first image to the last, at that rate. Absent: not measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub beats: Option<u32>,
    /// The user's own EF.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub own_ef: Option<OwnEf>,
    /// True once the model's EF could be seen.
    pub ai_shown: bool,
    /// The package that spoke, `id@hash`.
    pub package: String,
    /// Images kept of it; 0: none any more (after a restart) or none at all.
    pub images: u32,
    /// Capture time from the first to the last of them, milliseconds.
    pub millis: u64,
    /// What the flight recorder saved with it, where there is one and the best clip was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recording: Option<Recording>,
    /// What became of the clip.
    pub clip_decision: Decision,
    /// What became of its EF.
    pub ef_decision: Decision,
    /// Why the EF was rejected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ef_reason: Option<RejectReason>,
}

/// What the flight recorder held, saved or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// The file's name in the recorder's folder.
    File(String),
    /// Why there is no file.
    Failed(String),
}

/// What led to a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum How {
    /// The user asked for it.
    Capture,
    /// The user froze the page, or the scanner froze its image.
    Freeze,
    /// View and signal held for long enough.
    Auto,
    /// The best of the last seconds.
    Best,
}

/// Who named a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum By {
    /// The user.
    Operator,
    /// The model.
    Model,
    /// A model that only demonstrates.
    Demonstration,
}

/// A label of the package and how sure the model was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// As in the package.
    pub label: String,
    /// 0 to 1.
    pub probability: f32,
}

/// What a user measured or judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnEf {
    /// Whole percent, 1 to 99.
    pub percent: u32,
    /// True when the model's EF was still hidden.
    pub before_ai: bool,
}

/// What became of a clip or an EF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decision {
    /// Nothing yet.
    Pending,
    /// Taken into the summary.
    Accepted,
    /// Kept out of it.
    Rejected,
    /// There is nothing to decide: no EF, or one of a demonstration.
    None,
}

/// Why a user rejects an EF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RejectReason {
    /// The image is too poor.
    ImageQuality,
    /// The ventricle is foreshortened.
    Foreshortened,
    /// It is another view.
    WrongView,
    /// The beats differ.
    Rhythm,
    /// It does not fit what the user sees.
    Disagree,
    /// Something else.
    Other,
}

/// What a reader may ask for, `POST /exam`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Keep the newest clip.
    Capture,
    /// Keep it and pause the live estimate on every page.
    Freeze,
    /// Go on.
    Resume,
    /// Keep the best clip of the last seconds.
    Best,
    /// End this exam and erase everything of it.
    NewPatient,
    /// The patient is still the same.
    SamePatient,
    /// Take a clip, and its EF if it has one, into the summary.
    Accept {
        /// The capture.
        id: u64,
    },
    /// Take a clip without its EF.
    RejectEf {
        /// The capture.
        id: u64,
        /// Why.
        reason: RejectReason,
    },
    /// Erase a capture.
    Delete {
        /// The capture.
        id: u64,
    },
    /// Erase a capture and wait for its view again.
    Retake {
        /// The capture.
        id: u64,
    },
    /// Say which view a capture is.
    Assign {
        /// The capture.
        id: u64,
        /// One of [`STANDARD_VIEWS`].
        view: String,
    },
    /// Say which view comes next; none: whichever is recognised.
    Target {
        /// One of [`STANDARD_VIEWS`].
        view: Option<String>,
    },
    /// Give one's own EF.
    OwnEf {
        /// The capture.
        id: u64,
        /// Whole percent, 1 to 99.
        percent: u32,
    },
    /// Show the model's EF without giving one's own.
    Reveal {
        /// The capture.
        id: u64,
    },
    /// Turn a module on or off.
    Switch {
        /// Which.
        name: Switch,
        /// On.
        on: bool,
    },
}

/// What can be turned on and off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// View, signal and checklist.
    Guidance,
    /// EF.
    Measurement,
    /// Own EF before the model's.
    OwnFirst,
}

/// Why a command was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Refused {
    /// It must first be said whether the patient is the same.
    AnswerFirst,
    /// There is no such capture.
    NoSuchCapture,
    /// There is no such view.
    NoSuchView,
    /// There is no image to keep.
    NoImage,
    /// No clip of the last seconds was recognised.
    NoBest,
    /// No further clip fits in memory.
    Full,
    /// A number outside its range.
    OutOfRange,
    /// The live estimate is paused.
    Frozen,
}

/// What `GET /exam/export` gives: accepted captures only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// `echocart-exam-1`.
    pub format: String,
    /// [`STATEMENT`].
    pub statement: String,
    /// When it was made, milliseconds since 1970.
    pub made_unix_millis: u64,
    /// When the exam began.
    pub began_unix_millis: u64,
    /// Echocart's version.
    pub version: String,
    /// Views without an accepted clip.
    pub missing_views: Vec<String>,
    /// Accepted captures, oldest first. EF of a demonstration is left out.
    pub captures: Vec<Capture>,
}
