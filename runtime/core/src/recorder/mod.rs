//! The flight recorder: the newest frames and decisions of an exam in memory, saved by hand.
//!
//! Off unless the cart configuration has `[recorder]`. A thread of its own takes what the pipeline
//! hands over through a bounded queue and keeps it as the chunks of a file; the pipeline never
//! waits for it, and a save never stops either. A new exam erases everything. Frames are those
//! that slots of the time grid were given to, lossless, black outside the sector, and none without
//! a sector. [`replay`] re-runs the decisions. The file's format is in `recorder/file.rs` and
//! `recorder/image.rs`; `runtime/core/README.md` has a summary.

mod file;
mod image;
mod mask;
mod record;
pub mod replay;
mod store;
mod tap;
mod thread;

pub use file::VERSION;
pub use file::{Entry, MAGIC, MAX_JSON_BYTES, MAX_PAYLOAD_BYTES, RecordingError, RecordingReader};
pub use image::{Image, MAX_PIXEL_BYTES};
pub(crate) use record::MAX_SLOTS;
pub use record::{
    AnnouncedRecord, Answer, Cause, ClipFacts, ClipRecord, EndFrame, EngineRecord, Fate,
    FrameRecord, Header, JudgedRecord, LoadRecord, MomentRecord, Record, SlotRecord, Standing,
};
pub use store::{Candidate, Saved, Snapshot, StoredImage};
pub(crate) use tap::Tap;
pub use thread::{BestClip, Recorder, SaveError};

#[cfg(test)]
mod tests;
