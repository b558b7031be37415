//! The source's end of the ring: pushes, offers, leases, exams and notices.

use super::{
    EndSign, FrameProducer, Lease, MAX_CAPTURE_NANOS, PoolSize, PushError, Pushed, Queued, Shape,
};
use crate::buffer::FrameBuffer;
use crate::events::Exam;
use crate::frame::{ExamToken, FrameMeta, FrameMoment, PixelLayout};
use crate::lines::lines;
use crate::rare::rare;
use crate::source::{Notice, SourceTraits};
use crate::sync::{Arc, Ordering, Thread, fence};

impl FrameProducer {
    pub(crate) fn wake(&mut self, assembler: Thread) {
        self.assembler = Some(assembler);
    }

    /// Hands a frame over, or counts it as dropped when the ring is full.
    ///
    /// `fill` gets a pooled buffer and leaves `meta.frame_bytes()` bytes in it, rows without
    /// padding.
    ///
    /// # Errors
    /// [`PushError`]; the frame is then not counted.
    ///
    /// # Real-time
    /// Does not block. Allocates only inside `fill`, while a pooled buffer is too small.
    #[inline]
    pub fn push(
        &mut self,
        meta: FrameMeta,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Pushed, PushError> {
        self.push_filled(meta, |pixels| fill(pixels.refill()))
    }

    /// Hands over the frame in `pixels`, of `meta.frame_bytes()` bytes, and leaves a pooled buffer
    /// there. `live` says whether a full ring drops the frame, which ends its loan, or leaves it.
    ///
    /// # Errors
    /// [`PushError`]; the frame is then not counted.
    ///
    /// # Real-time
    /// Does not block, copy or allocate.
    #[inline]
    pub fn push_buffer(
        &mut self,
        meta: FrameMeta,
        pixels: &mut FrameBuffer,
        live: bool,
    ) -> Result<Pushed, PushError> {
        let swap = |pooled: &mut FrameBuffer| std::mem::swap(pooled, pixels);
        if !live {
            return self.offer_filled(meta, swap);
        }
        let pushed = self.push_filled(meta, swap)?;
        if pushed == Pushed::RingFull {
            pixels.release();
        }
        Ok(pushed)
    }

    #[inline]
    fn push_filled(
        &mut self,
        meta: FrameMeta,
        fill: impl FnOnce(&mut FrameBuffer),
    ) -> Result<Pushed, PushError> {
        self.check(&meta, meta.frame_bytes())?;
        self.enter_exam(meta.host.exam, meta.capture_nanos, true);
        let pushed = self.offer_filled(meta, fill)?;
        self.count_dropped(pushed);
        Ok(pushed)
    }

    /// Leaves a pooled buffer of at least `bytes` bytes in `lease`, the one in it if there is one, to be
    /// filled and given to [`FrameProducer::push_leased`] or [`FrameProducer::give_back`]. Nothing is in
    /// it when none is free.
    ///
    /// # Errors
    /// [`PushError::Size`], [`PushError::Ended`].
    ///
    /// # Real-time
    /// Does not block. Allocates only while the buffer is too small.
    pub fn lease(&mut self, bytes: usize, lease: &mut Option<Lease>) -> Result<(), PushError> {
        if bytes == 0 || bytes > self.max_frame_bytes {
            return Err(PushError::Size {
                most: self.max_frame_bytes,
                found: bytes,
            });
        }
        if self.has_ended() {
            return Err(PushError::Ended);
        }
        if lease.is_none() {
            *lease = self.any_unused().map(Lease);
        }
        if let Some(Lease(place)) = lease
            && place.pixels.own().len() < bytes
        {
            self.resize(&mut place.pixels, bytes);
        }
        Ok(())
    }

    /// True when the pipeline has ended and takes no frame any more.
    #[inline(always)]
    pub fn has_ended(&self) -> bool {
        self.totals.abandoned()
    }

    /// Gives a leased buffer back unused.
    #[inline]
    pub fn give_back(&mut self, lease: Lease) {
        self.spare.push(lease.0);
    }

    /// Checks frames of one shape for [`FrameProducer::push_leased`], once for all of them.
    ///
    /// # Errors
    /// [`PushError::Size`].
    pub fn shape(&self, meta: &FrameMeta, layout: PixelLayout) -> Result<Shape, PushError> {
        let needed = usize::try_from(layout.needed_bytes(meta)).unwrap_or(usize::MAX);
        self.check_size(meta, needed)?;
        Ok(Shape {
            meta: *meta,
            layout,
            needed_bytes: needed,
        })
    }

    /// Hands over a leased buffer with a frame in it, and gives the next one where one is free; the
    /// same buffer unless the frame was taken. `live` says whether a full ring drops the frame, as
    /// [`FrameProducer::push`] does, or leaves it in the buffer, as [`FrameProducer::offer`] does.
    ///
    /// With [`PushError`] the frame is not counted.
    ///
    /// # Real-time
    /// Does not block, copy or allocate.
    pub fn push_leased(
        &mut self,
        shape: &Shape,
        moment: FrameMoment,
        mut lease: Lease,
        live: bool,
    ) -> (Result<Pushed, PushError>, Option<Lease>) {
        let (needed, most) = (shape.needed_bytes, self.max_frame_bytes);
        let found = lease.pixels().len();
        if needed > found.min(most) {
            return (Err(too_few(needed, found, most)), Some(lease));
        }
        if let Err(error) = self.check_moment(moment.capture_nanos) {
            return (Err(error), Some(lease));
        }
        let Lease(place) = lease;
        self.enter_exam(moment.host.exam, moment.capture_nanos, live);
        match self.enqueue(&shape.meta.at(moment), shape.layout, place) {
            Ok(number) => (Ok(Pushed::Queued { number }), self.unused().map(Lease)),
            Err(place) => {
                if live {
                    self.count_dropped(Pushed::RingFull);
                }
                (Ok(Pushed::RingFull), Some(Lease(place)))
            }
        }
    }

    /// As [`FrameProducer::push_leased`] of the frame in `lease`, where this frame goes in as the one
    /// before it did: the exam is the same, there is nothing to tell and there is room. Gives its number,
    /// and leaves the next buffer in `lease` where one is free. Otherwise gives nothing and does nothing.
    ///
    /// # Real-time
    /// As [`FrameProducer::push_leased`], with less code to run through.
    #[inline(always)]
    pub fn push_alike(
        &mut self,
        shape: &Shape,
        moment: &FrameMoment,
        lease: &mut Option<Lease>,
    ) -> Option<u64> {
        let Some(exam) = self.exam else {
            rare();
            return None;
        };
        let Some(Lease(mut place)) = lease.take() else {
            rare();
            return None;
        };
        // All of it at once: each branch that is not taken is code in the way.
        let alike = (exam.token == moment.host.exam)
            & self.notices.is_empty()
            & place.notices.is_empty()
            & self.spare.is_empty()
            & !self.anew
            & !self.has_ended()
            & (shape.needed_bytes <= self.max_frame_bytes)
            & (shape.needed_bytes <= place.pixels.own().len())
            & (0..=MAX_CAPTURE_NANOS).contains(&moment.capture_nanos);
        if !alike {
            put_back(lease, place);
            return None;
        }
        let number = self.captured;
        place.meta = shape.meta.at(*moment);
        place.layout = shape.layout;
        self.describe(&mut place, number, exam);
        if let Err(place) = self.ring.try_push(place) {
            put_back(lease, place);
            return None;
        }
        self.captured = number.wrapping_add(1);
        self.wake_if_dozing();
        // None is there: code to drop it would lie in the way.
        std::mem::forget(std::mem::replace(lease, self.free.try_pop().map(Lease)));
        Some(number)
    }

    /// Gives every pooled buffer `bytes` bytes now instead of when its first frame comes.
    pub fn reserve(&mut self, bytes: usize) {
        while let Some(mut place) = self.free.try_pop() {
            self.resize(&mut place.pixels, bytes);
            self.spare.push(place);
        }
    }

    /// Buffers of the pool and the bytes they have now.
    pub fn pool(&self) -> Arc<PoolSize> {
        self.pool.clone()
    }

    /// A buffer that no frame is in.
    #[inline(always)]
    fn unused(&mut self) -> Option<Box<Queued>> {
        match self.spare.pop() {
            None => self.free.try_pop(),
            spare => spare,
        }
    }

    /// As [`FrameProducer::unused`], outside of `push_leased`.
    #[inline(never)]
    fn any_unused(&mut self) -> Option<Box<Queued>> {
        self.unused()
    }

    /// What else a [`FrameProducer::push_alike`] reads and writes that stays where it is, beside the
    /// producer itself: addresses of cache lines.
    pub fn memory(&self) -> impl Iterator<Item = usize> {
        let ends = self.ring.memory().chain(self.free.memory());
        lines(&*self.totals).chain(ends)
    }

    /// The sign of the pipeline's end, for who does not have the producer at hand.
    pub fn end_sign(&self) -> EndSign {
        EndSign(self.totals.clone())
    }

    #[cold]
    fn resize(&self, pixels: &mut FrameBuffer, bytes: usize) {
        self.pool.resized(pixels, |p| p.refill().resize(bytes, 0));
    }

    #[inline]
    fn put_by(&mut self, mut place: Box<Queued>) {
        place.pixels.release();
        self.spare.push(place);
    }

    fn check(&self, meta: &FrameMeta, bytes: usize) -> Result<(), PushError> {
        self.check_size(meta, bytes)?;
        self.check_moment(meta.capture_nanos)
    }

    fn check_size(&self, meta: &FrameMeta, bytes: usize) -> Result<(), PushError> {
        if meta.frame_bytes() == 0 || bytes > self.max_frame_bytes {
            return Err(PushError::Size {
                most: self.max_frame_bytes,
                found: bytes,
            });
        }
        Ok(())
    }

    #[inline(always)]
    fn check_moment(&self, capture_nanos: i64) -> Result<(), PushError> {
        if !(0..=MAX_CAPTURE_NANOS).contains(&capture_nanos) {
            return Err(PushError::Time {
                found: capture_nanos,
            });
        }
        if self.has_ended() {
            return Err(PushError::Ended);
        }
        Ok(())
    }

    /// Begins a new exam where the frame's token is not the last one's. A `live` one ends the exam
    /// before it at once; at maximum pace that waits until the frame's turn has come.
    #[inline(always)]
    fn enter_exam(&mut self, token: ExamToken, capture_nanos: i64, live: bool) {
        let number = match self.exam {
            Some(exam) if exam.token == token => return,
            Some(exam) => exam.number.wrapping_add(1),
            None => 0,
        };
        self.exam = Some(Exam { number, token });
        if live {
            self.newest_exam.begin(number, capture_nanos);
        }
    }

    fn count_dropped(&mut self, pushed: Pushed) {
        if pushed == Pushed::RingFull {
            self.captured += 1;
            self.dropped += 1;
        }
    }

    /// Puts a filled buffer into the ring and gives the frame's number, or the buffer back where
    /// there is no room.
    #[inline(always)]
    fn enqueue(
        &mut self,
        meta: &FrameMeta,
        layout: PixelLayout,
        mut place: Box<Queued>,
    ) -> Result<u64, Box<Queued>> {
        let number = self.captured;
        place.meta = *meta;
        place.layout = layout;
        self.describe(&mut place, number, self.exam.unwrap_or_default());
        std::mem::swap(&mut place.notices, &mut self.notices);
        if let Err(mut place) = self.ring.try_push(place) {
            std::mem::swap(&mut place.notices, &mut self.notices);
            return Err(place);
        }
        self.anew = false;
        self.captured = number.wrapping_add(1);
        self.wake_if_dozing();
        Ok(number)
    }

    #[inline(always)]
    fn describe(&self, place: &mut Queued, number: u64, exam: Exam) {
        place.number = number;
        place.exam = exam;
        place.source = self.source;
        place.anew = self.anew;
        place.captured = number.wrapping_add(1);
        place.dropped = self.dropped;
    }

    #[inline(always)]
    fn wake_if_dozing(&self) {
        // ORDERING: pairs with the fence in `FrameConsumer::doze`: this thread sees that the other
        // dozes, or the other one sees the frame.
        fence(Ordering::SeqCst);
        let dozing = &self.totals.dozing;
        if dozing.load(Ordering::Relaxed)
            && dozing.swap(false, Ordering::Relaxed)
            && let Some(assembler) = &self.assembler
        {
            assembler.unpark();
        }
    }

    /// Hands a frame over, or leaves everything as it was when the ring is full.
    ///
    /// # Errors
    /// [`PushError`].
    ///
    /// # Real-time
    /// As [`FrameProducer::push`].
    #[inline]
    pub fn offer(
        &mut self,
        meta: FrameMeta,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Pushed, PushError> {
        self.offer_filled(meta, |pixels| fill(pixels.refill()))
    }

    #[inline]
    fn offer_filled(
        &mut self,
        meta: FrameMeta,
        fill: impl FnOnce(&mut FrameBuffer),
    ) -> Result<Pushed, PushError> {
        let expected = meta.frame_bytes();
        self.check(&meta, expected)?;
        if self.ring.is_full() {
            return Ok(Pushed::RingFull);
        }
        let Some(mut place) = self.any_unused() else {
            return Ok(Pushed::RingFull);
        };
        self.pool.resized(&mut place.pixels, fill);
        let found = place.pixels.len();
        if found != expected {
            self.put_by(place);
            return Err(PushError::Pixels { expected, found });
        }
        Ok(self.enqueue_packed(&meta, place))
    }

    /// Not inlined, so that [`FrameProducer::push_leased`] holds the only other copy of it.
    #[inline(never)]
    fn enqueue_packed(&mut self, meta: &FrameMeta, place: Box<Queued>) -> Pushed {
        self.enter_exam(meta.host.exam, meta.capture_nanos, false);
        match self.enqueue(meta, PixelLayout::packed(meta), place) {
            Ok(number) => Pushed::Queued { number },
            Err(place) => {
                self.put_by(place);
                Pushed::RingFull
            }
        }
    }

    /// Says what the source of the frames from now on is. Without it they count as those of a
    /// real, live one.
    pub fn declare(&mut self, source: SourceTraits) {
        self.source = source;
    }

    /// Passes on what the source said. `live` says whether the pipeline learns it at once or, so
    /// that virtual time stays the same in every run, together with the next frame.
    pub fn note(&mut self, notice: Notice, live: bool) {
        if let Notice::Missed { frames } = notice {
            self.totals.missed.fetch_add(frames, Ordering::Relaxed);
            return;
        }
        self.anew |= matches!(notice, Notice::Back { .. } | Notice::Reanchored);
        let now = match live {
            true => self
                .notices_now
                .try_send(notice)
                .map_err(|e| e.into_inner()),
            false => Err(notice),
        };
        self.notices.extend(now.err());
        if let Some(assembler) = &self.assembler {
            assembler.unpark();
        }
    }

    /// Frames handed in so far, dropped ones included.
    pub fn captured(&self) -> u64 {
        self.captured
    }

    /// Frames dropped so far because the ring was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cold]
#[inline(never)]
fn put_back(lease: &mut Option<Lease>, place: Box<Queued>) {
    *lease = Some(Lease(place));
}

/// Why a buffer of `found` bytes cannot hold a frame of `needed` where `most` are allowed.
#[cold]
fn too_few(needed: usize, found: usize, most: usize) -> PushError {
    if needed > most {
        return PushError::Size {
            most,
            found: needed,
        };
    }
    PushError::Pixels {
        expected: needed,
        found,
    }
}

impl Drop for FrameProducer {
    fn drop(&mut self) {
        self.totals.captured.store(self.captured, Ordering::Relaxed);
        self.totals.dropped.store(self.dropped, Ordering::Relaxed);
        // ORDERING: Release pairs with the Acquire in `FrameConsumer::is_closed`, so the totals
        // above and every pushed frame are seen before the end is.
        self.totals.closed.store(true, Ordering::Release);
        if let Some(assembler) = &self.assembler {
            assembler.unpark();
        }
    }
}
