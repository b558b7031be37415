//! What the pixels alone say about a scanner's screen.
//!
//! Nothing here knows a vendor. [`Stillness`] tells a live image from a frozen one and from a
//! stored loop that repeats.

mod border;
mod callipers;
mod coarse;
mod colour;
mod fan;
mod finder;
pub(crate) mod grey;
mod marker;
mod pixels;
mod polar;
mod region;
mod scene;
pub mod sector;
mod setup;
mod shape;
pub mod signal;
mod stillness;
mod surroundings;

pub use pixels::Pixels;
pub use scene::{AreaNews, Fault, Scene};
pub use setup::{Apex, Pinned, ScreenSetup, Side};
pub use stillness::{Area, Motion, Picture, Stillness, StillnessRules};

#[cfg(test)]
mod callipers_tests;
#[cfg(test)]
mod marker_tests;
#[cfg(test)]
mod scene_tests;
#[cfg(test)]
mod show;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unusual_tests;
