//! From the source's thread to the assembler: pooled frame buffers in a bounded ring.
//!
//! Guarantees: `push` and `offer` never block and never allocate once every buffer has held a
//! frame of the source's size; a full ring is a value and a counter, not an error. One thread
//! pushes, one thread takes. A push makes a system call only where the taking thread has said that
//! it dozes. Not offered: a way to wait for room.

mod consumer;
mod producer;

pub use crate::pool::PoolSize;

use crate::buffer::FrameBuffer;
use crate::events::Exam;
use crate::exam::NewestExam;
use crate::frame::{FrameMeta, HostMeta, PixelFormat, PixelLayout};
use crate::lines::{LINE_BYTES, lines};
use crate::source::{Notice, SourceTraits};
use crate::spsc::{QueueIn, QueueOut, queue};
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering, Thread};
use crossbeam_channel::{Receiver, Sender, bounded};

/// Buffers beyond the ring's capacity: one being filled, two held by the assembler, one spare.
const SPARE_BUFFERS: usize = 4;

/// Notices that wait for the assembler; those beyond come with the next frame.
const NOTICES: usize = 16;

/// Latest capture time, some 146 years: far enough from overflow for every sum of times.
pub const MAX_CAPTURE_NANOS: i64 = 1 << 62;

/// A frame in the ring, and between two frames the buffer of the next one. It goes round in its box,
/// which lies on one page.
#[repr(align(256))]
pub(crate) struct Queued {
    pub meta: FrameMeta,
    pub pixels: FrameBuffer,
    pub layout: PixelLayout,
    pub number: u64,
    pub exam: Exam,
    pub source: SourceTraits,
    /// What the source said before it.
    pub notices: Vec<Notice>,
    /// True when its time does not continue that of the frame before.
    pub anew: bool,
    pub captured: u64,
    pub dropped: u64,
}

impl Queued {
    /// A buffer that no frame was in.
    pub(crate) fn empty() -> Box<Self> {
        let meta = FrameMeta {
            width_px: 0,
            height_px: 0,
            format: PixelFormat::Gray8,
            capture_nanos: 0,
            pass: 0,
            host: HostMeta::default(),
        };
        Box::new(Self {
            layout: PixelLayout::packed(&meta),
            meta,
            pixels: FrameBuffer::default(),
            number: 0,
            exam: Exam::default(),
            source: SourceTraits::default(),
            notices: Vec::new(),
            anew: false,
            captured: 0,
            dropped: 0,
        })
    }
}

/// Size, format and rows of frames that a [`FrameProducer`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// At no moment in particular.
    meta: FrameMeta,
    layout: PixelLayout,
    needed_bytes: usize,
}

/// A buffer of the pool while someone outside fills it.
pub struct Lease(Box<Queued>);

impl Lease {
    /// The bytes that were asked for, and maybe more: its content is that of some earlier frame.
    #[inline]
    pub fn pixels(&mut self) -> &mut [u8] {
        self.0.pixels.own()
    }

    /// Where the frame will be described: addresses of cache lines.
    #[inline(always)]
    pub fn memory(&self) -> [usize; size_of::<Queued>() / LINE_BYTES] {
        let start = std::ptr::from_ref(&*self.0).addr();
        std::array::from_fn(|line| start.wrapping_add(line * LINE_BYTES))
    }
}

#[derive(Default)]
struct Totals {
    closed: AtomicBool,
    abandoned: AtomicBool,
    /// The assembler wants to be woken for the next frame.
    dozing: AtomicBool,
    captured: AtomicU64,
    dropped: AtomicU64,
    missed: AtomicU64,
}

impl Totals {
    #[inline(always)]
    fn abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }
}

/// Says whether the pipeline has ended, to other threads as well.
pub struct EndSign(Arc<Totals>);

impl EndSign {
    /// True when the pipeline has ended and takes no frame any more.
    #[inline(always)]
    pub fn is_up(&self) -> bool {
        self.0.abandoned()
    }

    /// Where the sign stands: addresses of cache lines.
    pub fn memory(&self) -> impl Iterator<Item = usize> {
        lines(&*self.0)
    }
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
    ring: QueueIn<Box<Queued>>,
    free: QueueOut<Box<Queued>>,
    /// Buffers that came back unused, for the next frames.
    #[expect(clippy::vec_box, reason = "they go round in their boxes")]
    spare: Vec<Box<Queued>>,
    totals: Arc<Totals>,
    captured: u64,
    dropped: u64,
    max_frame_bytes: usize,
    assembler: Option<Thread>,
    exam: Option<Exam>,
    newest_exam: NewestExam,
    pool: Arc<PoolSize>,
    source: SourceTraits,
    notices: Vec<Notice>,
    notices_now: Sender<Notice>,
    anew: bool,
}

/// The assembler's end of the ring.
pub(crate) struct FrameConsumer {
    ring: QueueOut<Box<Queued>>,
    free: QueueIn<Box<Queued>>,
    pool: Arc<PoolSize>,
    totals: Arc<Totals>,
    captured: u64,
    dropped: u64,
    notices: Receiver<Notice>,
}

/// A ring of `frames` places with its pool.
pub(crate) fn frame_ring(
    frames: usize,
    max_frame_bytes: usize,
    newest_exam: &NewestExam,
) -> (FrameProducer, FrameConsumer) {
    let (ring_in, ring_out) = queue(frames);
    let (mut free_in, free_out) = queue(frames + SPARE_BUFFERS);
    let totals = Arc::new(Totals::default());
    for _ in 0..frames + SPARE_BUFFERS {
        let _ = free_in.try_push(Queued::empty());
    }
    let pool = Arc::new(PoolSize {
        buffers: frames + SPARE_BUFFERS,
        bytes: AtomicU64::new(0),
    });
    let (notices_now, notices) = bounded(NOTICES);
    let producer = FrameProducer {
        ring: ring_in,
        free: free_out,
        spare: Vec::with_capacity(frames + SPARE_BUFFERS),
        totals: totals.clone(),
        captured: 0,
        dropped: 0,
        max_frame_bytes,
        assembler: None,
        exam: None,
        newest_exam: newest_exam.clone(),
        pool: pool.clone(),
        source: SourceTraits::default(),
        notices: Vec::new(),
        notices_now,
        anew: false,
    };
    let consumer = FrameConsumer {
        ring: ring_out,
        free: free_in,
        pool,
        totals,
        captured: 0,
        dropped: 0,
        notices,
    };
    (producer, consumer)
}
