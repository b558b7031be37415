//! loom's in the place of the standard library's.

pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
pub(crate) use loom::thread::Thread;

pub(crate) use crate::ring::{EndSign, FrameProducer, Lease};

use loom::sync::MutexGuard;

/// loom's mutex with the calls of `parking_lot`'s: what panics under a lock ends the model.
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(state: T) -> Self {
        Self(loom::sync::Mutex::new(state))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}
