//! A bounded queue with one thread at each end. `tests/loom` puts a model of it in its place.

use crate::lines::{LINE_BYTES, lines};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::wrap::Wrap;
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// The end where things go in.
pub(crate) struct QueueIn<T>(HeapProd<T>);

/// The end where things come out.
pub(crate) struct QueueOut<T>(HeapCons<T>);

/// A queue of `places` places.
pub(crate) fn queue<T>(places: usize) -> (QueueIn<T>, QueueOut<T>) {
    let (into, out) = HeapRb::new(places).split();
    (QueueIn(into), QueueOut(out))
}

/// Where both ends meet: each index has the first of two lines for itself.
fn ends<T>(queue: &T) -> impl Iterator<Item = usize> {
    lines(queue).filter(|line| line.is_multiple_of(2 * LINE_BYTES))
}

impl<T> QueueIn<T> {
    /// Puts one in, or gives it back where there is no room.
    #[inline]
    pub fn try_push(&mut self, item: T) -> Result<(), T> {
        self.0.try_push(item)
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Where both ends meet, and where the places lie.
    pub fn memory(&self) -> impl Iterator<Item = usize> {
        let (next, _) = self.0.vacant_slices();
        ends(&**self.0.rb_ref()).chain(lines(next))
    }
}

impl<T> QueueOut<T> {
    #[inline]
    pub fn try_pop(&mut self) -> Option<T> {
        self.0.try_pop()
    }

    /// Where both ends meet, and where the places lie.
    pub fn memory(&self) -> impl Iterator<Item = usize> {
        let (next, _) = self.0.as_slices();
        ends(&**self.0.rb_ref()).chain(lines(next))
    }

    /// How many there are.
    pub fn waiting(&self) -> usize {
        self.0.occupied_len()
    }
}
