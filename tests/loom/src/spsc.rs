//! A model of the queue that `ringbuf` gives, with the same promises and no more: what goes in
//! comes out once and in order, with what was written before it; room that was made is seen.
//!
//! Places are cells that loom watches: two threads in one place, or a place read before it was
//! written, fail the test.
#![expect(unsafe_code, reason = "loom's cells give pointers")]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};

struct Shared<T> {
    places: Vec<UnsafeCell<Option<T>>>,
    written: AtomicUsize,
    read: AtomicUsize,
}

// SAFETY: a place is used by the end whose turn the counters say it is; loom checks it.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    fn place(&self, count: usize) -> &UnsafeCell<Option<T>> {
        &self.places[count % self.places.len()]
    }
}

pub(crate) struct QueueIn<T>(Arc<Shared<T>>);

pub(crate) struct QueueOut<T>(Arc<Shared<T>>);

pub(crate) fn queue<T>(places: usize) -> (QueueIn<T>, QueueOut<T>) {
    let shared = Arc::new(Shared {
        places: (0..places).map(|_| UnsafeCell::new(None)).collect(),
        written: AtomicUsize::new(0),
        read: AtomicUsize::new(0),
    });
    (QueueIn(shared.clone()), QueueOut(shared))
}

impl<T> QueueIn<T> {
    pub fn try_push(&mut self, item: T) -> Result<(), T> {
        let written = self.0.written.load(Ordering::Relaxed);
        if written - self.0.read.load(Ordering::Acquire) == self.0.places.len() {
            return Err(item);
        }
        let old = self.0.place(written).with_mut(|p| {
            // SAFETY: the place is free, and only this end fills it.
            unsafe { (*p).replace(item) }
        });
        assert!(old.is_none());
        self.0.written.store(written + 1, Ordering::Release);
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        let written = self.0.written.load(Ordering::Relaxed);
        written - self.0.read.load(Ordering::Acquire) == self.0.places.len()
    }

    pub fn memory(&self) -> impl Iterator<Item = usize> {
        std::iter::empty()
    }
}

impl<T> QueueOut<T> {
    pub fn memory(&self) -> impl Iterator<Item = usize> {
        std::iter::empty()
    }

    pub fn try_pop(&mut self) -> Option<T> {
        let read = self.0.read.load(Ordering::Relaxed);
        if self.0.written.load(Ordering::Acquire) == read {
            return None;
        }
        let item = self.0.place(read).with_mut(|p| {
            // SAFETY: the place is filled, and only this end empties it.
            unsafe { (*p).take() }
        });
        self.0.read.store(read + 1, Ordering::Release);
        item
    }

    pub fn waiting(&self) -> usize {
        self.0.written.load(Ordering::Acquire) - self.0.read.load(Ordering::Relaxed)
    }
}
