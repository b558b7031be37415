//! The frame port: checks a frame of the caller's and puts it into the ring.

use crate::abi::*;
use crate::codes::Code;
use crate::copy::append_rows;
use crate::fault::Fault;
use crate::intake::Intake;
use echocart_core::clock::{self, Pace};
use echocart_core::frame::{ExamToken, FrameMeta, HostMeta, PixelFormat, PixelLayout};
use echocart_core::ring::Pushed;
use std::fmt::Arguments;
use std::sync::Arc;
use std::time::Duration;

/// Latest capture time: far from where sums of times overflow.
const MAX_CAPTURE_NANOS: i64 = 1 << 62;
/// How far a converted device time may run ahead of the clock.
const MAX_AHEAD_NANOS: i64 = 100_000_000;
const FLAGS: u32 = ECHOCART_FRAME_COLOUR_ON
    | ECHOCART_FRAME_FROZEN
    | ECHOCART_FRAME_HAS_ECG
    | ECHOCART_FRAME_HAS_DEPTH
    | ECHOCART_FRAME_HAS_SEQUENCE;

/// State of a frame port handle.
pub(crate) struct FramePort {
    intake: Arc<Intake>,
    pace: Pace,
    lease: Option<Vec<u8>>,
    leased_bytes: usize,
    sequence: Option<u64>,
}

impl Drop for FramePort {
    fn drop(&mut self) {
        self.release();
        self.intake.close();
    }
}

impl FramePort {
    pub fn new(intake: Arc<Intake>, pace: Pace) -> Self {
        Self {
            intake,
            pace,
            lease: None,
            leased_bytes: 0,
            sequence: None,
        }
    }

    pub fn close(&mut self) {
        self.intake.close();
    }

    /// Takes a frame and gives its number.
    ///
    /// # Real-time
    /// Does not block. One copy; allocates only until every pooled buffer has held a frame of
    /// this size, and for the text of a fault.
    #[inline]
    pub fn push(&mut self, frame: &echocart_frame_t, pixels: &[u8]) -> Result<u64, Fault> {
        let begin = clock::now_nanos();
        let (meta, layout) = self.checked(frame, pixels.len(), begin)?;
        let pace = self.pace;
        let fill = |buffer: &mut Vec<u8>| copy_rows(pixels, &meta, layout, buffer);
        let pushed = self.intake.with(|producer| match pace {
            Pace::Max => producer.offer(meta, fill),
            Pace::Real => producer.push(meta, fill),
        })??;
        let number = self.settle(pushed, frame)?;
        self.intake.push.record(since(begin));
        Ok(number)
    }

    /// Lends a pooled buffer of at least `bytes` bytes.
    #[inline]
    pub fn lease(&mut self, bytes: u64) -> Result<*mut u8, Fault> {
        if self.lease.is_some() {
            return Err(Code::BadState.into());
        }
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let lent = self.intake.with(|producer| producer.lease(bytes))??;
        let lent = lent.ok_or(Code::WouldBlock)?;
        self.leased_bytes = bytes;
        Ok(self.lease.insert(lent).as_mut_ptr())
    }

    /// Puts the lent buffer into the ring and gives the frame's number.
    ///
    /// # Real-time
    /// Does not block, copy or allocate, but for the text of a fault.
    #[inline]
    pub fn commit(&mut self, frame: &echocart_frame_t) -> Result<u64, Fault> {
        let begin = clock::now_nanos();
        let Some(lent) = &self.lease else {
            return Err(Code::BadState.into());
        };
        if !std::ptr::eq(lent.as_ptr(), frame.pixels) {
            return Err(Fault::bad("pixels", "the buffer lent", "another"));
        }
        let found = usize::try_from(frame.pixel_bytes).unwrap_or(usize::MAX);
        if found > self.leased_bytes {
            return Err(more_than_lent(self.leased_bytes, found));
        }
        let (meta, layout) = self.checked(frame, found, begin)?;
        let (live, lease) = (self.pace == Pace::Real, &mut self.lease);
        let pushed = self
            .intake
            .with(|producer| producer.push_leased(meta, layout, lease, live))??;
        if live {
            self.release();
        }
        let number = self.settle(pushed, frame)?;
        self.intake.commit.record(since(begin));
        Ok(number)
    }

    /// Gives the lent buffer back.
    #[inline]
    pub fn release(&mut self) {
        if let Some(lent) = self.lease.take() {
            self.intake.give_back(lent);
        }
    }

    #[inline]
    fn checked(
        &self,
        frame: &echocart_frame_t,
        found: usize,
        now_nanos: i64,
    ) -> Result<(FrameMeta, PixelLayout), Fault> {
        let meta = meta(frame)?;
        let layout = layout(frame, &meta, found)?;
        let latest = match self.pace {
            Pace::Max => MAX_CAPTURE_NANOS,
            Pace::Real => now_nanos.saturating_add(MAX_AHEAD_NANOS),
        };
        if !(0..=latest).contains(&frame.capture_nanos) {
            return Err(bad_time(latest, frame.capture_nanos));
        }
        Ok((meta, layout))
    }

    #[inline]
    fn settle(&mut self, pushed: Pushed, frame: &echocart_frame_t) -> Result<u64, Fault> {
        if pushed == Pushed::RingFull && self.pace == Pace::Max {
            return Err(Code::WouldBlock.into());
        }
        if frame.flags & ECHOCART_FRAME_HAS_SEQUENCE != 0 {
            if let Some(last) = self.sequence {
                let missing = frame.sequence.saturating_sub(last).saturating_sub(1);
                self.intake.missing(missing);
            }
            self.sequence = Some(frame.sequence);
        }
        match pushed {
            Pushed::Queued { number } => Ok(number),
            Pushed::RingFull => Err(Code::Dropped.into()),
        }
    }
}

fn since(begin_nanos: i64) -> Duration {
    Duration::from_nanos((clock::now_nanos() - begin_nanos).unsigned_abs())
}

#[cold]
fn more_than_lent(lent: usize, found: usize) -> Fault {
    let expected = format!("at most the {lent} bytes lent");
    Fault::bad("pixel_bytes", &expected, found)
}

#[cold]
fn bad_time(latest: i64, found: i64) -> Fault {
    let text = format!("expected 0 to {latest}, found {found}: capture_nanos");
    Fault::new(Code::BadTime, text)
}

#[cold]
fn unsupported(memory: u32) -> Fault {
    let text = format!("expected HOST (0) in this version, found {memory}: memory");
    Fault::new(Code::Unsupported, text)
}

#[cold]
fn bad_size(expected: Arguments<'_>, found: u64, field: &str) -> Fault {
    let text = format!("expected {expected}, found {found}: {field}");
    Fault::new(Code::BadFrameSize, text)
}

#[inline]
fn meta(frame: &echocart_frame_t) -> Result<FrameMeta, Fault> {
    let format = match frame.format {
        ECHOCART_PIXEL_GRAY8 => PixelFormat::Gray8,
        ECHOCART_PIXEL_RGB24 => PixelFormat::Rgb24,
        ECHOCART_PIXEL_BGRA32 => PixelFormat::Bgra32,
        ECHOCART_PIXEL_YUY2 => PixelFormat::Yuy2,
        ECHOCART_PIXEL_NV12 => PixelFormat::Nv12,
        unknown => return Err(Fault::bad("format", "one of ECHOCART_PIXEL_*", unknown)),
    };
    match frame.memory {
        ECHOCART_MEMORY_HOST => {}
        ECHOCART_MEMORY_CUDA | ECHOCART_MEMORY_DMABUF => {
            return Err(unsupported(frame.memory));
        }
        unknown => return Err(Fault::bad("memory", "one of ECHOCART_MEMORY_*", unknown)),
    }
    if frame.flags & !FLAGS != 0 {
        return Err(Fault::bad("flags", "ECHOCART_FRAME_* only", frame.flags));
    }
    let has = |flag| frame.flags & flag != 0;
    let ecg_millivolts = has(ECHOCART_FRAME_HAS_ECG).then_some(frame.ecg_millivolts);
    if let Some(found) = ecg_millivolts.filter(|v| !v.is_finite()) {
        return Err(Fault::bad("ecg_millivolts", "a finite number", found));
    }
    let depth_mm = has(ECHOCART_FRAME_HAS_DEPTH).then_some(frame.depth_mm);
    if let Some(found) = depth_mm.filter(|v| !(v.is_finite() && *v > 0.0)) {
        return Err(Fault::bad("depth_mm", "a number above 0", found));
    }
    Ok(FrameMeta {
        width_px: frame.width_px,
        height_px: frame.height_px,
        format,
        capture_nanos: frame.capture_nanos,
        pass: frame.pass,
        host: HostMeta {
            frame_id: Some(frame.host_frame_id),
            exam: ExamToken(frame.exam_token),
            colour_on: has(ECHOCART_FRAME_COLOUR_ON),
            frozen: has(ECHOCART_FRAME_FROZEN),
            ecg_millivolts,
            depth_mm,
        },
    })
}

/// Where the rows are, after checking that all are there.
#[inline]
fn layout(frame: &echocart_frame_t, meta: &FrameMeta, found: usize) -> Result<PixelLayout, Fault> {
    let (across, down) = meta.format.granule_px();
    for (name, found, granule) in [
        ("width_px", frame.width_px, across),
        ("height_px", frame.height_px, down),
    ] {
        if found == 0 || !found.is_multiple_of(granule) {
            let expected = format_args!("a multiple of {granule} above 0");
            return Err(bad_size(expected, found.into(), name));
        }
    }
    let row = u64::from(frame.width_px) * meta.format.bytes() as u64;
    let stride = u64::from(frame.row_stride_bytes);
    if stride < row {
        let expected = format_args!("at least {row}");
        return Err(bad_size(expected, stride, "row_stride_bytes"));
    }
    let luma = stride * u64::from(frame.height_px);
    let chroma = match frame.chroma_offset_bytes {
        0 => luma,
        given if meta.format == PixelFormat::Nv12 && given >= luma - (stride - row) => given,
        given => {
            let field = "chroma_offset_bytes";
            let expected = format_args!("0, or of NV12 behind the luminance");
            return Err(bad_size(expected, given, field));
        }
    };
    let layout = PixelLayout {
        stride_bytes: frame.row_stride_bytes as usize,
        chroma_offset_bytes: usize::try_from(chroma).unwrap_or(usize::MAX),
    };
    let least = layout.needed_bytes(meta);
    if (found as u64) < least {
        let expected = format_args!("at least {least}");
        return Err(bad_size(expected, found as u64, "pixel_bytes"));
    }
    Ok(layout)
}

/// Copies all rows without padding, the plane of U and V behind the one of Y.
fn copy_rows(pixels: &[u8], meta: &FrameMeta, layout: PixelLayout, buffer: &mut Vec<u8>) {
    let (row, rows) = (meta.row_bytes(), meta.height_px as usize);
    buffer.clear();
    let mut plane = |from: usize, rows: usize| {
        let pixels = pixels.get(from..).unwrap_or_default();
        append_rows(buffer, pixels, row, layout.stride_bytes, rows);
    };
    plane(0, rows);
    if meta.format == PixelFormat::Nv12 {
        plane(layout.chroma_offset_bytes, rows / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(stride_bytes: usize, row: u32, rows: u32, bytes: usize) -> Vec<u8> {
        let pixels: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        let mut buffer = vec![9; 99];
        let meta = FrameMeta {
            width_px: row,
            height_px: rows,
            format: PixelFormat::Gray8,
            capture_nanos: 0,
            pass: 0,
            host: HostMeta::default(),
        };
        let layout = PixelLayout {
            stride_bytes,
            chroma_offset_bytes: 0,
        };
        copy_rows(&pixels, &meta, layout, &mut buffer);
        buffer
    }

    #[test]
    fn padding_and_whatever_follows_the_last_row_are_left_out() {
        assert_eq!(rows(3, 3, 2, 10), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rows(4, 3, 2, 7), [0, 1, 2, 4, 5, 6]);
        assert_eq!(rows(4, 3, 2, 20), [0, 1, 2, 4, 5, 6]);
    }
}
