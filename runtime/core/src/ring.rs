//! From the source's thread to the assembler: pooled frame buffers in a bounded ring.
//!
//! Guarantees: `push` and `offer` never block and never allocate once every buffer has held a
//! frame of the source's size; a full ring is a value and a counter, not an error. One thread
//! pushes, one thread takes. Not offered: a way to wait for room.

use crate::frame::FrameMeta;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;

/// Buffers beyond the ring's capacity: one being filled, two held by the assembler, one spare.
const SPARE_BUFFERS: usize = 4;

/// Latest capture time, some 146 years: far enough from overflow for every sum of times.
pub const MAX_CAPTURE_NANOS: i64 = 1 << 62;

/// A frame in the ring.
pub(crate) struct Queued {
    pub meta: FrameMeta,
    pub pixels: Vec<u8>,
    pub number: u64,
    captured: u64,
    dropped: u64,
}

#[derive(Default)]
struct Totals {
    closed: AtomicBool,
    abandoned: AtomicBool,
    captured: AtomicU64,
    dropped: AtomicU64,
}

/// What became of a pushed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the ring.
    Queued {
        /// Its number, counted from 0 over all captured frames.
        number: u64,
    },
    /// The ring is full. [`FrameProducer::push`] has counted the frame as dropped;
    /// [`FrameProducer::offer`] has counted nothing and expects it again.
    RingFull,
}

/// Why a frame was not taken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// More bytes than the configuration allows, or none.
    #[error("frame size: expected 1 to {most} bytes, found {found}")]
    Size {
        /// `pipeline.max_frame_bytes`.
        most: usize,
        /// Bytes of this frame.
        found: usize,
    },
    /// A capture time no clock gives.
    #[error("capture time: expected 0 to {MAX_CAPTURE_NANOS} ns, found {found}")]
    Time {
        /// The time given.
        found: i64,
    },
    /// The pipeline has ended and takes no frame any more.
    #[error("pipeline: expected a running one, found it ended")]
    Ended,
    /// The pixels are not as many as the meta data says.
    #[error("frame pixels: expected {expected} bytes, found {found}")]
    Pixels {
        /// Bytes by the meta data.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}

/// The source's end of the ring.
pub struct FrameProducer {
    ring: HeapProd<Queued>,
    free: HeapCons<Vec<u8>>,
    /// A buffer whose frame was refused, for the next one.
    spare: Option<Vec<u8>>,
    totals: Arc<Totals>,
    captured: u64,
    dropped: u64,
    max_frame_bytes: usize,
    assembler: Option<Thread>,
}

/// The assembler's end of the ring.
pub(crate) struct FrameConsumer {
    ring: HeapCons<Queued>,
    free: HeapProd<Vec<u8>>,
    totals: Arc<Totals>,
    captured: u64,
    dropped: u64,
}

/// A ring of `frames` places with its pool.
pub(crate) fn frame_ring(frames: usize, max_frame_bytes: usize) -> (FrameProducer, FrameConsumer) {
    let (ring_in, ring_out) = HeapRb::new(frames).split();
    let (mut free_in, free_out) = HeapRb::new(frames + SPARE_BUFFERS).split();
    for _ in 0..frames + SPARE_BUFFERS {
        let _ = free_in.try_push(Vec::new());
    }
    let totals = Arc::new(Totals::default());
    let producer = FrameProducer {
        ring: ring_in,
        free: free_out,
        spare: None,
        totals: totals.clone(),
        captured: 0,
        dropped: 0,
        max_frame_bytes,
        assembler: None,
    };
    let consumer = FrameConsumer {
        ring: ring_out,
        free: free_in,
        totals,
        captured: 0,
        dropped: 0,
    };
    (producer, consumer)
}

impl FrameProducer {
    pub(crate) fn wake(&mut self, assembler: Thread) {
        self.assembler = Some(assembler);
    }

    /// Hands a frame over, or counts it as dropped when the ring is full.
    ///
    /// `fill` gets a pooled buffer and leaves `meta.frame_bytes()` bytes in it, rows without
    /// padding; swapping in a buffer of the caller's costs no copy.
    ///
    /// # Errors
    /// [`PushError`]; the frame is then not counted.
    ///
    /// # Real-time
    /// Does not block. Allocates only inside `fill`, while a pooled buffer is too small.
    pub fn push(
        &mut self,
        meta: FrameMeta,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Pushed, PushError> {
        let pushed = self.offer(meta, fill)?;
        if pushed == Pushed::RingFull {
            self.captured += 1;
            self.dropped += 1;
        }
        Ok(pushed)
    }

    /// Hands a frame over, or leaves everything as it was when the ring is full.
    ///
    /// # Errors
    /// [`PushError`].
    ///
    /// # Real-time
    /// As [`FrameProducer::push`].
    pub fn offer(
        &mut self,
        meta: FrameMeta,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Pushed, PushError> {
        let expected = meta.frame_bytes();
        if expected == 0 || expected > self.max_frame_bytes {
            return Err(PushError::Size {
                most: self.max_frame_bytes,
                found: expected,
            });
        }
        if !(0..=MAX_CAPTURE_NANOS).contains(&meta.capture_nanos) {
            return Err(PushError::Time {
                found: meta.capture_nanos,
            });
        }
        if self.totals.abandoned.load(Ordering::Relaxed) {
            return Err(PushError::Ended);
        }
        if self.ring.is_full() {
            return Ok(Pushed::RingFull);
        }
        let Some(mut pixels) = self.spare.take().or_else(|| self.free.try_pop()) else {
            return Ok(Pushed::RingFull);
        };
        fill(&mut pixels);
        let found = pixels.len();
        if found != expected {
            self.spare = Some(pixels);
            return Err(PushError::Pixels { expected, found });
        }
        let number = self.captured;
        let queued = Queued {
            meta,
            pixels,
            number,
            captured: self.captured + 1,
            dropped: self.dropped,
        };
        if let Err(queued) = self.ring.try_push(queued) {
            self.spare = Some(queued.pixels);
            return Ok(Pushed::RingFull);
        }
        self.captured += 1;
        if let Some(assembler) = &self.assembler {
            assembler.unpark();
        }
        Ok(Pushed::Queued { number })
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

impl Drop for FrameConsumer {
    fn drop(&mut self) {
        self.totals.abandoned.store(true, Ordering::Relaxed);
    }
}

impl FrameConsumer {
    pub fn take(&mut self) -> Option<Queued> {
        let queued = self.ring.try_pop()?;
        self.captured = queued.captured;
        self.dropped = queued.dropped;
        Some(queued)
    }

    pub fn give_back(&mut self, pixels: Vec<u8>) {
        let _ = self.free.try_push(pixels);
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

    /// Frames waiting.
    pub fn waiting(&self) -> usize {
        self.ring.occupied_len()
    }
}
