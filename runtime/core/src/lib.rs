//! The echocart pipeline over `trait Engine`: frames in, clips, estimates and reasons out.
//!
//! No native dependency, no async, no `unsafe`. The map is `ARCHITECTURE.md`.
#![forbid(unsafe_code)]

pub mod agreement;
mod assembler;
pub mod buffer;
pub mod calibration;
pub mod clip;
pub mod clock;
pub mod config;
mod context;
pub mod decide;
pub mod dump;
mod effort;
pub mod engine;
pub mod events;
pub mod exam;
pub mod frame;
pub mod golden;
pub mod graph;
pub mod grid;
pub mod hash;
mod inference;
pub mod judge;
pub mod kept;
pub mod latency;
pub mod ledger;
pub mod lines;
pub mod manifest;
mod moment;
pub mod npz;
pub mod observer;
mod outbox;
pub mod package;
pub mod pair;
mod pool;
pub mod power;
pub mod preprocess;
pub mod pulse;
pub mod rare;
mod readings;
pub mod recorder;
pub mod ring;
#[cfg(test)]
mod schema;
pub mod screen;
mod seat;
pub mod session;
pub mod signature;
pub mod source;
mod spsc;
mod sync;
mod warmth;

// Not inside `ring`, which `tests/loom` compiles too.
#[cfg(test)]
#[path = "ring/tests.rs"]
mod ring_tests;
