//! loom's in the place of the standard library's.

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
pub(crate) use loom::sync::{Arc, Mutex};
pub(crate) use loom::thread::Thread;
pub(crate) use std::sync::PoisonError;

pub(crate) use crate::ring::FrameProducer;
