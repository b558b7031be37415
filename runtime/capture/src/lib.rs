//! Frame sources: ultrasound cines, recordings, simulated hearts and live devices.
//!
//! [`open`] turns a location into a [`Source`], which hands over one frame after the other with the
//! time it was captured. Pacing of what is not live, looping and queues to other threads belong to
//! the caller, as does mapping a device's stamps with a [`DeviceClock`]. A [`SelfTest`] measures
//! what a device really delivers; `fault:SCRIPT|LOCATION` spoils any source on purpose.
//!
//! The only `unsafe` is in `shm/mapping.rs`.

#[cfg(feature = "video")]
mod camera;
mod container;
mod device_clock;
mod dicom;
mod error;
mod fault;
pub mod igtl;
mod live;
mod location;
mod mha;
mod phantom;
mod self_test;
pub mod shm;
mod source;
#[cfg(feature = "video")]
mod video;

pub use device_clock::{DeviceClock, Stamped};
pub use error::SourceError;
pub use fault::{FaultSource, Script};
pub use location::open;
pub use self_test::{SelfTest, SelfTestReport};
pub use source::{Arrival, Delivery, OpenOptions, Polled, Source, SourceInfo, Stamps};
