//! What the pixels alone say about a scanner's screen.
//!
//! Nothing here knows a vendor. [`Stillness`] tells a live image from a frozen one and from a
//! stored loop that repeats.

pub mod sector;
mod stillness;

pub use stillness::{Area, Motion, Picture, Stillness, StillnessRules};

#[cfg(test)]
mod tests;
