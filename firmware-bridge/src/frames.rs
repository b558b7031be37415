//! The frame port: checks a frame of the caller's and copies it into the ring.

use crate::abi::{
    ECHOCART_PIXEL_BGRA32, ECHOCART_PIXEL_GRAY8, ECHOCART_PIXEL_NV12, ECHOCART_PIXEL_RGB24,
    ECHOCART_PIXEL_YUY2, echocart_frame_t,
};
use crate::codes::Code;
use crate::fault::Fault;
use echocart_core::clock::{self, Pace};
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::ring::{FrameProducer, Pushed};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Latest capture time: far from where sums of times overflow.
const MAX_CAPTURE_NANOS: i64 = 1 << 62;
/// How far a converted device time may run ahead of the clock.
const MAX_AHEAD_NANOS: i64 = 100_000_000;

/// The producer's end of the ring, shared by the frame port, which pushes, and the session and
/// the result port, which may close it.
pub(crate) struct Intake {
    producer: Mutex<Option<FrameProducer>>,
    closed: AtomicBool,
}

impl Intake {
    pub fn new(producer: FrameProducer) -> Self {
        Self {
            producer: Mutex::new(Some(producer)),
            closed: AtomicBool::new(false),
        }
    }

    /// Ends the stream. Waits for a push in progress.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.producer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

/// State of a frame port handle.
pub(crate) struct FramePort {
    intake: Arc<Intake>,
    pace: Pace,
}

impl Drop for FramePort {
    fn drop(&mut self) {
        self.intake.close();
    }
}

impl FramePort {
    pub fn new(intake: Arc<Intake>, pace: Pace) -> Self {
        Self { intake, pace }
    }

    pub fn close(&mut self) {
        self.intake.close();
    }

    /// Takes a frame and gives its number.
    ///
    /// # Real-time
    /// Does not block. One copy; allocates only until every pooled buffer has held a frame of
    /// this size, and for the text of a fault.
    pub fn push(&mut self, frame: &echocart_frame_t, pixels: &[u8]) -> Result<u64, Fault> {
        let meta = meta(frame)?;
        let row_bytes = row_bytes(frame, &meta, pixels.len())?;
        self.check_time(frame.capture_nanos)?;
        if self.intake.closed.load(Ordering::Relaxed) {
            return Err(Code::Closed.into());
        }
        // Only a thread that closes the intake can hold the lock now.
        let Ok(mut producer) = self.intake.producer.try_lock() else {
            return Err(Code::Closed.into());
        };
        let Some(producer) = producer.as_mut() else {
            return Err(Code::Closed.into());
        };
        let stride = frame.row_stride_bytes as usize;
        let rows = frame.height_px as usize;
        let fill = |buffer: &mut Vec<u8>| copy_rows(pixels, stride, row_bytes, rows, buffer);
        let pushed = match self.pace {
            Pace::Max => producer.offer(meta, fill)?,
            Pace::Real => producer.push(meta, fill)?,
        };
        match (pushed, self.pace) {
            (Pushed::Queued { number }, _) => Ok(number),
            (Pushed::RingFull, Pace::Max) => Err(Code::WouldBlock.into()),
            (Pushed::RingFull, Pace::Real) => Err(Code::Dropped.into()),
        }
    }

    fn check_time(&self, capture_nanos: i64) -> Result<(), Fault> {
        let latest = match self.pace {
            Pace::Max => MAX_CAPTURE_NANOS,
            Pace::Real => clock::now_nanos().saturating_add(MAX_AHEAD_NANOS),
        };
        if (0..=latest).contains(&capture_nanos) {
            return Ok(());
        }
        Err(Fault::new(
            Code::BadTime,
            format!("expected 0 to {latest}, found {capture_nanos}: capture_nanos"),
        ))
    }
}

fn meta(frame: &echocart_frame_t) -> Result<FrameMeta, Fault> {
    let format = match frame.format {
        ECHOCART_PIXEL_GRAY8 => PixelFormat::Gray8,
        ECHOCART_PIXEL_RGB24 => PixelFormat::Rgb24,
        ECHOCART_PIXEL_BGRA32 | ECHOCART_PIXEL_YUY2 | ECHOCART_PIXEL_NV12 => {
            return Err(Fault::new(
                Code::Unsupported,
                format!(
                    "expected GRAY8 (1) or RGB24 (2) in this version, found {}: format",
                    frame.format
                ),
            ));
        }
        unknown => return Err(Fault::bad("format", "one of ECHOCART_PIXEL_*", unknown)),
    };
    Ok(FrameMeta {
        width_px: frame.width_px,
        height_px: frame.height_px,
        format,
        capture_nanos: frame.capture_nanos,
        pass: frame.pass,
    })
}

/// Bytes of a row without padding, after checking that all rows are there.
fn row_bytes(frame: &echocart_frame_t, meta: &FrameMeta, found: usize) -> Result<usize, Fault> {
    let wrong = |expected: String, found: u64, field: &str| {
        Fault::new(
            Code::BadFrameSize,
            format!("expected {expected}, found {found}: {field}"),
        )
    };
    if frame.width_px == 0 || frame.height_px == 0 {
        return Err(wrong("at least 1".to_owned(), 0, "width_px, height_px"));
    }
    let row = u64::from(frame.width_px) * meta.format.bytes() as u64;
    let stride = u64::from(frame.row_stride_bytes);
    if stride < row {
        return Err(wrong(format!("at least {row}"), stride, "row_stride_bytes"));
    }
    let least = stride
        .checked_mul(u64::from(frame.height_px) - 1)
        .and_then(|rows| rows.checked_add(row))
        .unwrap_or(u64::MAX);
    if (found as u64) < least {
        return Err(wrong(
            format!("at least {least}"),
            found as u64,
            "pixel_bytes",
        ));
    }
    Ok(row as usize)
}

fn copy_rows(pixels: &[u8], stride: usize, row: usize, rows: usize, buffer: &mut Vec<u8>) {
    buffer.clear();
    if stride == row {
        buffer.extend_from_slice(pixels.get(..row * rows).unwrap_or_default());
        return;
    }
    for line in pixels.chunks(stride).take(rows) {
        buffer.extend_from_slice(line.get(..row).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(stride: usize, row: usize, rows: usize, bytes: usize) -> Vec<u8> {
        let pixels: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        let mut buffer = vec![9; 99];
        copy_rows(&pixels, stride, row, rows, &mut buffer);
        buffer
    }

    #[test]
    fn padding_and_whatever_follows_the_last_row_are_left_out() {
        assert_eq!(rows(3, 3, 2, 10), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rows(4, 3, 2, 7), [0, 1, 2, 4, 5, 6]);
        assert_eq!(rows(4, 3, 2, 20), [0, 1, 2, 4, 5, 6]);
    }
}
