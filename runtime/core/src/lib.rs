//! The echocart pipeline over `trait Engine`: frames in, clips, estimates and reasons out.
//!
//! No native dependency, no async, no `unsafe`. The map is `ARCHITECTURE.md`.
#![forbid(unsafe_code)]

pub mod config;
pub mod engine;
pub mod events;
pub mod frame;
pub mod hash;
pub mod manifest;
pub mod package;
