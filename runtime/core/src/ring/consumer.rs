//! The assembler's end of the ring.

use super::{FrameConsumer, Queued};
use crate::buffer::FrameBuffer;
use crate::source::Notice;
use crate::sync::{Ordering, fence};

impl Drop for FrameConsumer {
    fn drop(&mut self) {
        self.totals.abandoned.store(true, Ordering::Relaxed);
    }
}

impl FrameConsumer {
    pub fn take(&mut self) -> Option<Box<Queued>> {
        let queued = self.ring.try_pop()?;
        self.captured = queued.captured;
        self.dropped = queued.dropped;
        Some(queued)
    }

    pub fn give_back(&mut self, mut place: Box<Queued>) {
        place.pixels.release();
        let _ = self.free.try_push(place);
    }

    /// The pixels of a frame, to be changed: copied into its buffer if they are lent.
    pub fn owned<'a>(&self, pixels: &'a mut FrameBuffer) -> &'a mut [u8] {
        self.pool.resized(pixels, |pixels| {
            pixels.owned();
        });
        pixels.owned()
    }

    /// Asks to be unparked by the next push. False when a frame waits already: then nobody will.
    ///
    /// Without it a push wakes nobody, and costs no system call. The end of the stream, a notice
    /// and a stop always wake.
    pub fn doze(&self) -> bool {
        self.totals.dozing.store(true, Ordering::Relaxed);
        // ORDERING: pairs with the fence in `FrameProducer::wake_if_dozing`.
        fence(Ordering::SeqCst);
        let nothing = self.ring.waiting() == 0;
        if !nothing {
            self.totals.dozing.store(false, Ordering::Relaxed);
        }
        nothing
    }

    /// True when no frame will ever come again: ask [`FrameConsumer::take`] once more after it.
    pub fn is_closed(&self) -> bool {
        // ORDERING: pairs with the Release in `FrameProducer::drop`.
        self.totals.closed.load(Ordering::Acquire)
    }

    /// Takes over the producer's last counts; call after the last `take` of a closed ring.
    pub fn settle(&mut self) {
        self.captured = self.totals.captured.load(Ordering::Relaxed);
        self.dropped = self.totals.dropped.load(Ordering::Relaxed);
    }

    /// Frames captured and dropped, as of the last frame taken.
    pub fn counts(&self) -> (u64, u64) {
        (self.captured, self.dropped)
    }

    /// Frames that the source itself lost.
    pub fn missed(&self) -> u64 {
        self.totals.missed.load(Ordering::Relaxed)
    }

    /// The next thing that the source said without a frame.
    pub fn notice(&self) -> Option<Notice> {
        self.notices.try_recv().ok()
    }

    /// Frames waiting.
    pub fn waiting(&self) -> usize {
        self.ring.waiting()
    }
}
