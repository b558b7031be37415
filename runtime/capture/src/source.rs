//! What every source of frames offers.

use echocart_core::frame::{FrameMeta, PixelFormat};

use crate::SourceError;

/// A finite sequence of frames with capture times.
///
/// The caller owns a source alone: one thread at a time opens it, reads it and drops it; it may be
/// moved to another thread between calls. Every call may read from disk and decode, so it may
/// block for the time of one frame; it never waits for the time at which a frame is due, never
/// starts over by itself and never drops a frame.
///
/// After an error from [`Source::next`] or [`Source::rewind`] only a successful
/// [`Source::rewind`] makes the source usable again.
pub trait Source: Send {
    /// Describes the source; the answer is the same from opening to dropping.
    fn describe(&self) -> SourceInfo;

    /// Decodes the next frame into `pixels`, or returns `None` at the end.
    ///
    /// `pixels` is cleared and resized, its allocation is used again. The meta's `capture_nanos`
    /// counts from the first frame, which has 0, and rises strictly; its `pass` is always 0.
    ///
    /// # Shapes
    /// - `pixels`: `[height_px, width_px, channels]` u8, rows from top to bottom without padding;
    ///   size and format are those of [`Source::describe`] for every frame.
    ///
    /// # Errors
    /// Any [`SourceError`] that names the frame; the content of `pixels` is then unspecified.
    fn next(&mut self, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, SourceError>;

    /// Goes back to the first frame; what follows is identical to the first pass.
    ///
    /// # Errors
    /// Any [`SourceError`] if the file can no longer be read.
    fn rewind(&mut self) -> Result<(), SourceError>;
}

/// What a source says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo {
    /// File name without its folder.
    pub name: String,
    /// `DICOM`, `MetaImage`, `video` or `phantom`.
    pub kind: &'static str,
    /// Width of every frame in pixels.
    pub width_px: u32,
    /// Height of every frame in pixels.
    pub height_px: u32,
    /// Format of every frame.
    pub format: PixelFormat,
    /// How many frames there are, where the file says so reliably.
    pub frames: Option<u64>,
    /// Median time between two frames in nanoseconds: the step from the last frame to the first
    /// one of the next pass.
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
