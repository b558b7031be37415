//! What threads share state through. `tests/loom` puts loom's types in the place of these.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
pub(crate) use std::thread::Thread;
