//! Frame sources: DICOM ultrasound cines, MetaImage sequences and video files.
//!
//! [`open`] looks at the content of a file and returns a [`Source`], which hands over one frame
//! after the other with the time it was captured. Pacing, looping and queues belong to the caller.
#![forbid(unsafe_code)]

mod container;
mod dicom;
mod error;
mod location;
mod mha;
mod phantom;
mod source;
#[cfg(feature = "video")]
mod video;

pub use error::SourceError;
pub use location::open;
pub use source::{OpenOptions, Source, SourceInfo};
