//! What the threads of a caller share. `tests/loom` puts loom's types in the place of these.

pub(crate) use echocart_core::ring::{EndSign, FrameProducer, Lease};
pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
