//! The pipeline's end of the recorder: hands entries over and never waits for them.

use super::mask::copy_inside;
use super::record::Record;
use crate::clock::Pace;
use crate::frame::{FrameMeta, PixelLayout};
use crate::screen::sector::SectorMask;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries that may wait for the recorder: some 20 s at 60 frames/s.
pub(super) const QUEUE: usize = 2048;
/// Buffers for frames on their way to the recorder.
pub(super) const BUFFERS: usize = 4;

/// What the pipeline sends.
pub(super) struct Message {
    /// Number of the exam that it belongs to; none of what belongs to the machine.
    pub exam: Option<u64>,
    /// Entries that found the queue full before this one.
    pub lost: u64,
    pub what: What,
}

pub(super) enum What {
    Record(Record),
    Image {
        number: u64,
        meta: FrameMeta,
        pixels: Vec<u8>,
    },
}

struct Inner {
    sender: Sender<Message>,
    free: Receiver<Vec<u8>>,
    give_back: Sender<Vec<u8>>,
    pace: Pace,
    lost: AtomicU64,
    left_out: Arc<AtomicU64>,
}

/// A place where the pipeline tells the recorder what it does; without a recorder it does nothing.
#[derive(Clone, Default)]
pub(crate) struct Tap(Option<Arc<Inner>>);

/// The recorder's end of a [`Tap`].
pub(super) struct Ends {
    pub messages: Receiver<Message>,
    pub give_back: Sender<Vec<u8>>,
    /// Images that were not stored for want of a buffer or of room.
    pub left_out: Arc<AtomicU64>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_on() { "Tap(on)" } else { "Tap(off)" })
    }
}

impl Tap {
    pub(super) fn new(pace: Pace) -> (Self, Ends) {
        let (sender, messages) = bounded(QUEUE);
        let (give_back, free) = bounded(BUFFERS);
        for _ in 0..BUFFERS {
            let _ = give_back.try_send(Vec::new());
        }
        let left_out = Arc::new(AtomicU64::new(0));
        let inner = Inner {
            sender,
            free,
            give_back: give_back.clone(),
            pace,
            lost: AtomicU64::new(0),
            left_out: left_out.clone(),
        };
        let ends = Ends {
            messages,
            give_back,
            left_out,
        };
        (Self(Some(Arc::new(inner))), ends)
    }

    /// True with a recorder.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands an entry of `exam` over; one of the machine belongs to none.
    ///
    /// # Real-time
    /// Does nothing without a recorder. In real pace a full queue loses the entry and counts it;
    /// in virtual time it waits. Allocates only what `record` does.
    pub fn record(&self, exam: Option<u64>, record: impl FnOnce() -> Record) {
        if let Some(inner) = &self.0 {
            inner.send(exam, What::Record(record()));
        }
    }

    /// Hands over what lies inside the sector of a frame that a slot was given to; nothing where
    /// the sector is not of the frame's size.
    ///
    /// # Real-time
    /// As [`Tap::record`], and one copy of the rows. Without a free buffer the image is left out.
    pub fn image(
        &self,
        exam: u64,
        number: u64,
        meta: &FrameMeta,
        frame: (&[u8], PixelLayout),
        sector: &SectorMask,
    ) {
        let Some(inner) = &self.0 else {
            return;
        };
        if sector.size_px() != (meta.width_px, meta.height_px) {
            return;
        }
        let buffer = match inner.pace {
            Pace::Real => inner.free.try_recv().ok(),
            Pace::Max => inner.free.recv().ok(),
        };
        let Some(mut pixels) = buffer else {
            inner.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        };
        copy_inside(sector, frame.0, frame.1, meta, &mut pixels);
        let image = What::Image {
            number,
            meta: *meta,
            pixels,
        };
        inner.send(Some(exam), image);
    }
}

impl Inner {
    fn send(&self, exam: Option<u64>, what: What) {
        let lost = match what {
            What::Record(_) => self.lost.swap(0, Ordering::Relaxed),
            What::Image { .. } => 0,
        };
        let message = Message { exam, lost, what };
        if self.pace == Pace::Max {
            let _ = self.sender.send(message);
            return;
        }
        if let Err(TrySendError::Full(message)) = self.sender.try_send(message) {
            self.lost.fetch_add(message.lost, Ordering::Relaxed);
            match message.what {
                What::Record(_) => {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
                What::Image { pixels, .. } => {
                    self.left_out.fetch_add(1, Ordering::Relaxed);
                    let _ = self.give_back.try_send(pixels);
                }
            }
        }
    }
}
