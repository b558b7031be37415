//! What every source of frames offers.

use std::time::Duration;

use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::{FrameMeta, HostMeta, PixelFormat};

use crate::SourceError;

/// How long [`Source::next`] of a live source waits between two looks.
const PATIENCE: Duration = Duration::from_millis(100);

/// A sequence of frames with their times: finite, or live.
///
/// The caller owns a source alone: one thread at a time opens it, reads it and drops it; it may be
/// moved to another thread between calls.
///
/// A source with [`Delivery::OnDemand`] is finite. Every call may read from disk and decode, so it
/// may block for the time of one frame; it never waits for the time at which a frame is due, never
/// starts over by itself and never drops a frame. After an error from [`Source::next`],
/// [`Source::poll`] or [`Source::rewind`] only a successful [`Source::rewind`] makes it usable
/// again.
///
/// A source with [`Delivery::Live`] gives a frame when its device does, at its own rate. It may
/// fall silent, lose its device and find it again; [`Source::poll`] says so and returns within its
/// patience. What the caller fetches too late is dropped by the source, oldest first, and counted
/// in [`Arrival::missed`]. An error from it is final.
pub trait Source: Send {
    /// Describes the source; the answer is the same from opening to dropping.
    fn describe(&self) -> SourceInfo;

    /// Decodes the next frame into `pixels`, or returns `None` at the end.
    ///
    /// `pixels` is cleared and resized, its allocation is used again. With [`Stamps::Exact`] the
    /// meta's `capture_nanos` counts from the first frame, which has 0, and rises strictly;
    /// otherwise it is the frame's arrival. Its `pass` is always 0. A live source blocks until
    /// there is a frame; one that is lent is copied.
    ///
    /// # Shapes
    /// - `pixels`: `[height_px, width_px, channels]` u8, rows from top to bottom without padding;
    ///   with [`Stamps::Exact`] size and format are those of [`Source::describe`] for every frame,
    ///   otherwise those of the frame's own meta.
    ///
    /// # Errors
    /// Any [`SourceError`] that names the frame; the content of `pixels` is then unspecified.
    fn next(&mut self, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, SourceError> {
        let mut buffer = FrameBuffer::from(std::mem::take(pixels));
        let next = loop {
            match self.poll(&mut buffer, PATIENCE) {
                Ok(Polled::Frame(arrival)) => break Ok(Some(arrival.meta)),
                Ok(Polled::Ended) => break Ok(None),
                Ok(Polled::Silent | Polled::Lost { .. } | Polled::Back { .. }) => {}
                Err(error) => break Err(error),
            }
        };
        *pixels = buffer.into();
        next
    }

    /// Waits at most `patience` for the next frame or a change of the connection.
    ///
    /// A finite source answers at once; its frames arrive when they were captured. A frame may be
    /// lent by `pixels`: its source has it back when that is filled or dropped.
    ///
    /// # Errors
    /// As [`Source::next`].
    fn poll(&mut self, pixels: &mut FrameBuffer, patience: Duration)
    -> Result<Polled, SourceError>;

    /// Goes back to the first frame; what follows is identical to the first pass.
    ///
    /// # Errors
    /// Any [`SourceError`] if the file can no longer be read; [`SourceError::Live`] for a live
    /// source, which has no first frame to go back to.
    fn rewind(&mut self) -> Result<(), SourceError>;
}

/// What [`Source::poll`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// A frame.
    Frame(Arrival),
    /// Nothing within the patience; the connection stands as far as the source knows.
    Silent,
    /// The device went away; the source keeps trying to reach it.
    Lost {
        /// What happened, on one line.
        why: String,
    },
    /// The device is there again. Its clock may have started over.
    Back {
        /// How long it was away.
        away_nanos: i64,
    },
    /// There are no more frames.
    Ended,
}

/// A frame and when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// What the frame is. Its `capture_nanos` is exact, or equal to `arrival_nanos`.
    pub meta: FrameMeta,
    /// The device's own time stamp, on a clock with any origin; nothing where it gives none.
    pub device_nanos: Option<i64>,
    /// When the frame was complete here: on the monotonic clock for a live source, counted like
    /// `capture_nanos` for a finite one.
    pub arrival_nanos: i64,
    /// Frames that the source dropped before this one because nobody fetched them.
    pub missed: u64,
}

impl Arrival {
    /// A frame of a finite source: it arrives when it was captured.
    pub fn exact(meta: FrameMeta) -> Self {
        Self {
            meta,
            device_nanos: Some(meta.capture_nanos),
            arrival_nanos: meta.capture_nanos,
            missed: 0,
        }
    }
}

/// A frame in the first pass.
pub(crate) fn frame_meta(
    size_px: (u32, u32),
    format: PixelFormat,
    capture_nanos: i64,
) -> FrameMeta {
    FrameMeta {
        width_px: size_px.0,
        height_px: size_px.1,
        format,
        capture_nanos,
        pass: 0,
        host: HostMeta::default(),
    }
}

impl Polled {
    /// What a finite source has: a frame or the end.
    pub(crate) fn exact(next: Option<FrameMeta>) -> Self {
        match next {
            Some(meta) => Self::Frame(Arrival::exact(meta)),
            None => Self::Ended,
        }
    }
}

/// Who decides when a frame comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The caller: frames come as fast as they are asked for, and their times say when they are
    /// due.
    OnDemand,
    /// The device.
    Live,
}

/// What a frame's times are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamps {
    /// `capture_nanos` is the capture time.
    Exact,
    /// `device_nanos` has to be mapped to the clock of the arrivals by a
    /// [`DeviceClock`](crate::DeviceClock).
    Device,
}

/// What a source says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo {
    /// File name without its folder.
    pub name: String,
    /// `DICOM`, `MetaImage`, `video`, `phantom`, `OpenIGTLink`, `shared memory`, `V4L2` or
    /// `GStreamer`.
    pub kind: &'static str,
    /// Who decides when a frame comes.
    pub delivery: Delivery,
    /// What the frames' times are worth.
    pub stamps: Stamps,
    /// Width of every frame, of a live source of the first one, in pixels.
    pub width_px: u32,
    /// Height of every frame, of a live source of the first one, in pixels.
    pub height_px: u32,
    /// Format of every frame, of a live source of the first one.
    pub format: PixelFormat,
    /// How many frames there are, where the file says so reliably.
    pub frames: Option<u64>,
    /// Median time between two frames in nanoseconds: the step from the last frame to the first
    /// one of the next pass. 0 where a live source does not know.
    pub nominal_period_nanos: i64,
    /// Where the capture times come from, in words.
    pub timing: String,
}

/// What the person who opens a source may add.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OpenOptions {
    /// Frames per second for a file that says nothing about its timing. A file that does say
    /// something keeps its own timing, even where it is wrong.
    pub assume_fps: Option<f64>,
}
