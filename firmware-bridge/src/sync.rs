//! What the threads of a caller share. `tests/loom` puts loom's types in the place of these.

pub(crate) use echocart_core::ring::FrameProducer;
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, PoisonError};
