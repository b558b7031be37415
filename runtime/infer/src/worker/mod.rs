//! The engine as a WORKER: a child process that may die without taking its host along.
//!
//! A worker is started, watched and started again by a thread of the engine. It beats every 50 ms;
//! one that dies, is silent for 400 ms, or computes for many times longer than it ever did, is
//! killed and reaped, and the call in flight fails. It
//! dies with that thread, with the host's process and with the socket, whichever goes first, and
//! the memory has no name that could stay behind.

mod backoff;
mod child;
mod deadline;
mod desk;
mod engine;
mod keeper;
mod link;
mod message;
mod relay;
mod serve;
mod setup;
#[cfg(test)]
mod tests;

pub use backoff::{Backoff, BackoffRules, Next, Waits};
pub use engine::WorkerEngine;
pub use relay::{Measure, Measured, engine_of};
pub use serve::serve;
pub use setup::{WORKER, WorkerError, WorkerSetup, beside_this_process, find};

use std::time::Duration;

/// Time from one beat to the next.
const BEAT: Duration = Duration::from_millis(50);
/// Silence after which a worker is taken for dead; with the reading of it below 500 ms.
const SILENCE: Duration = Duration::from_millis(400);
