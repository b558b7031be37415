//! A bounded queue with one thread at each end. `tests/loom` puts a model of it in its place.

use crate::region::Region;
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

    /// Where both ends meet, and where the next place lies.
    pub fn memory(&self) -> [Region; 2] {
        let vacant = self.0.vacant_slices().0;
        let places = vacant.first().map_or_else(Region::default, Region::of);
        [Region::of(&**self.0.rb_ref()), places]
    }
}

impl<T> QueueOut<T> {
    #[inline]
    pub fn try_pop(&mut self) -> Option<T> {
        self.0.try_pop()
    }

    /// Looks at the next one that comes out.
    #[inline]
    pub fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.try_peek().map(look)
    }

    /// Where both ends meet, and where the first of what waits lies.
    pub fn memory(&self) -> [Region; 2] {
        let first = self.0.as_slices().0;
        let places = first.first().map_or_else(Region::default, Region::of);
        [Region::of(&**self.0.rb_ref()), places]
    }

    /// How many there are.
    pub fn waiting(&self) -> usize {
        self.0.occupied_len()
    }
}
