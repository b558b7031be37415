//! The frame port: checks a frame of the caller's and puts it into the ring.

use crate::abi::*;
use crate::ahead;
use crate::clock;
use crate::codes::Code;
use crate::copy::append_rows;
use crate::fault::Fault;
use crate::here;
use crate::intake::Intake;
use crate::wrong::{self, Bounds, Refusal, Wrong};
use echocart_core::clock::Pace;
use echocart_core::frame::{FrameMeta, PixelFormat, PixelLayout};
use echocart_core::region::Region;
use echocart_core::ring::{Lease, Pushed, Shape};
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;

/// Latest capture time: far from where sums of times overflow.
const MAX_CAPTURE_NANOS: i64 = 1 << 62;
/// How far a converted device time may run ahead of the clock.
const MAX_AHEAD_NANOS: i64 = 100_000_000;

/// State of a frame port handle.
///
/// It holds the next buffer before anybody asks for it, and knows the shape of the newest frame: a
/// lease and a commit of another frame like it are short.
#[repr(C)]
pub(crate) struct FramePort {
    intake: Arc<Intake>,
    /// Where the pixels of `held` are, and how many.
    pixels: AtomicPtr<u8>,
    held_bytes: usize,
    /// How many of them are lent; 0 where none are.
    lent_bytes: usize,
    pace: Pace,
    held: Option<Lease>,
    fields: ShapeFields,
    shape: Option<Shape>,
    sequence: Option<u64>,
    /// What a lease and a commit touch beside this.
    touched: [Region; 8],
    next: Region,
}

/// What of a frame decides on its shape.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct ShapeFields {
    format: u32,
    width_px: u32,
    height_px: u32,
    row_stride_bytes: u32,
    memory: u32,
    chroma_offset_bytes: u64,
    pixel_bytes: u64,
}

impl ShapeFields {
    #[inline(always)]
    fn of(frame: &echocart_frame_t) -> Self {
        Self {
            format: frame.format,
            width_px: frame.width_px,
            height_px: frame.height_px,
            row_stride_bytes: frame.row_stride_bytes,
            memory: frame.memory,
            chroma_offset_bytes: frame.chroma_offset_bytes,
            pixel_bytes: frame.pixel_bytes,
        }
    }
}

impl Drop for FramePort {
    fn drop(&mut self) {
        self.give_back();
        self.intake.close();
    }
}

impl FramePort {
    pub fn new(intake: Arc<Intake>, pace: Pace) -> Self {
        Self {
            touched: intake.memory(),
            next: Region::default(),
            intake,
            pace,
            held: None,
            pixels: AtomicPtr::default(),
            held_bytes: 0,
            lent_bytes: 0,
            fields: ShapeFields::default(),
            shape: None,
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
    pub fn push(&mut self, frame: &echocart_frame_t, pixels: &[u8]) -> Result<u64, Fault> {
        let begin = clock::now_nanos();
        let number = self
            .try_push(frame, pixels, begin)
            .map_err(|refusal| self.explain(refusal, frame, pixels.len(), begin))?;
        self.intake.push.record_alone(since(begin));
        Ok(number)
    }

    fn try_push(
        &mut self,
        frame: &echocart_frame_t,
        pixels: &[u8],
        begin: i64,
    ) -> Result<u64, Refusal> {
        if self.lent_bytes == 0 {
            self.give_back();
        }
        let moment = wrong::moment(frame, self.latest(begin))?;
        let (meta, layout) = wrong::shape(frame, pixels.len())?;
        let meta = meta.at(moment);
        let pace = self.pace;
        let fill = |buffer: &mut Vec<u8>| copy_rows(pixels, &meta, layout, buffer);
        let pushed = self.intake.with(|producer| match pace {
            Pace::Max => producer.offer(meta, fill),
            Pace::Real => producer.push(meta, fill),
        })??;
        Ok(self.settle(pushed, frame)?)
    }

    /// Lends a pooled buffer of at least `bytes` bytes.
    ///
    /// # Real-time
    /// Does not block. Allocates only while the buffer that is held is too small, and for the text of
    /// a fault.
    #[inline(always)]
    pub fn lease(&mut self, bytes: u64) -> Result<*mut u8, Fault> {
        let held = self.lent_bytes == 0 && bytes.wrapping_sub(1) < self.held_bytes as u64;
        if !held || self.intake.with(|producer| producer.has_ended()) != Ok(false) {
            self.lease_anew(bytes)?;
        }
        self.lent_bytes = bytes as usize;
        for region in self.touched {
            ahead::data(region);
        }
        ahead::data(self.next);
        Ok(*self.pixels.get_mut())
    }

    #[cold]
    fn lease_anew(&mut self, bytes: u64) -> Result<(), Fault> {
        if self.lent_bytes != 0 {
            return Err(Code::BadState.into());
        }
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut held = self.held.take();
        let leased = self
            .intake
            .with(|producer| producer.lease(bytes, &mut held));
        self.hold(held);
        let [intake, end, ..] = self.touched;
        here::lease_from([Region::of(self), intake, end]);
        leased??;
        match self.held_bytes {
            0 => Err(Code::WouldBlock.into()),
            _ => Ok(()),
        }
    }

    #[inline(always)]
    fn hold(&mut self, mut lease: Option<Lease>) {
        let pixels = lease.as_mut().map_or(&mut [][..], Lease::pixels);
        *self.pixels.get_mut() = pixels.as_mut_ptr();
        self.held_bytes = pixels.len();
        // None was there: code to drop it would lie in the way.
        std::mem::forget(std::mem::replace(&mut self.held, lease));
    }

    fn give_back(&mut self) {
        self.release();
        self.held_bytes = 0;
        if let Some(held) = self.held.take() {
            self.intake.give_back(held);
        }
    }

    /// Puts the lent buffer into the ring and gives the frame's number.
    ///
    /// # Real-time
    /// Does not block, copy or allocate, but for the text of a fault.
    #[inline(always)]
    pub fn commit(&mut self, frame: &echocart_frame_t) -> Result<u64, Fault> {
        let begin = clock::now_nanos();
        let found = usize::try_from(frame.pixel_bytes).unwrap_or(usize::MAX);
        match self.try_commit(frame, found, begin) {
            Ok(number) => {
                self.intake.commit.record_alone(since(begin));
                Ok(number)
            }
            Err(refusal) => Err(self.explain(refusal, frame, found, begin)),
        }
    }

    #[inline(always)]
    fn try_commit(
        &mut self,
        frame: &echocart_frame_t,
        found: usize,
        begin: i64,
    ) -> Result<u64, Refusal> {
        if self.lent_bytes == 0 {
            return Err(Code::BadState.into());
        }
        if !std::ptr::eq(*self.pixels.get_mut(), frame.pixels) {
            return Err(Wrong::Buffer.into());
        }
        if found > self.lent_bytes {
            return Err(Wrong::Lent.into());
        }
        let moment = wrong::moment(frame, self.latest(begin))?;
        let shape = match self.shape {
            Some(shape) if self.fields == ShapeFields::of(frame) => shape,
            _ => self.shape_anew(frame, found)?,
        };
        let live = self.pace == Pace::Real;
        let held = &mut self.held;
        let pushed = self.intake.with(|producer| {
            let lease = held.take()?;
            let (pushed, lease) = producer.push_leased(&shape, moment, lease, live);
            Some((pushed, lease, producer.next_lease()))
        })?;
        let (pushed, lease, next) = pushed.ok_or(Code::BadState)?;
        self.hold(lease);
        let pushed = pushed?;
        self.next = next;
        if live || pushed != Pushed::RingFull {
            self.release();
        }
        Ok(self.settle(pushed, frame)?)
    }

    #[cold]
    fn shape_anew(&mut self, frame: &echocart_frame_t, found: usize) -> Result<Shape, Refusal> {
        self.shape = None;
        let (meta, layout) = wrong::shape(frame, found)?;
        let shape = self
            .intake
            .with(|producer| producer.shape(&meta, layout))??;
        self.fields = ShapeFields::of(frame);
        self.shape = Some(shape);
        Ok(shape)
    }

    /// Takes the lent buffer back.
    #[inline(always)]
    pub fn release(&mut self) {
        self.lent_bytes = 0;
    }

    /// Latest capture time that a frame may have.
    #[inline(always)]
    fn latest(&self, now_nanos: i64) -> i64 {
        match self.pace {
            Pace::Max => MAX_CAPTURE_NANOS,
            Pace::Real => now_nanos.saturating_add(MAX_AHEAD_NANOS),
        }
    }

    #[cold]
    fn explain(
        &self,
        refusal: Refusal,
        frame: &echocart_frame_t,
        found_bytes: usize,
        now_nanos: i64,
    ) -> Fault {
        let wrong = match refusal {
            Refusal::Code(code) => return code.into(),
            Refusal::Ring(error) => return error.into(),
            Refusal::Frame(wrong) => wrong,
        };
        let bounds = Bounds {
            latest_nanos: self.latest(now_nanos),
            lent_bytes: self.lent_bytes,
            found_bytes,
        };
        wrong.fault(frame, &bounds)
    }

    #[inline(always)]
    fn settle(&mut self, pushed: Pushed, frame: &echocart_frame_t) -> Result<u64, Code> {
        if pushed == Pushed::RingFull && self.pace == Pace::Max {
            return Err(Code::WouldBlock);
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
            Pushed::RingFull => Err(Code::Dropped),
        }
    }
}

#[inline(always)]
fn since(begin_nanos: i64) -> u64 {
    (clock::now_nanos() - begin_nanos).unsigned_abs()
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
    use crate::trial;
    use echocart_core::frame::HostMeta;

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
    fn a_known_shape_is_checked_again_once_any_field_of_it_is_another() {
        let (mut session, mut port, _results) = trial::parts("untrained", Pace::Max, true);
        session.start().unwrap();
        type Change = fn(&mut echocart_frame_t);
        let changes: [(Change, Code, &str); 11] = [
            (|f| f.format = 9, Code::BadArgument, "9: format"),
            (|f| f.memory = 1, Code::Unsupported, "1: memory"),
            (|f| f.memory = 7, Code::BadArgument, "7: memory"),
            (
                |f| f.width_px = 33,
                Code::BadFrameSize,
                "least 33, found 32: row_stride_bytes",
            ),
            (|f| f.width_px = 0, Code::BadFrameSize, "0: width_px"),
            (
                |f| f.height_px = 33,
                Code::BadFrameSize,
                "least 1056, found 1024: pixel_bytes",
            ),
            (
                |f| f.row_stride_bytes = 31,
                Code::BadFrameSize,
                "least 32, found 31: row_stride_bytes",
            ),
            (
                |f| f.row_stride_bytes = 33,
                Code::BadFrameSize,
                "least 1055, found 1024: pixel_bytes",
            ),
            (
                |f| f.chroma_offset_bytes = 5,
                Code::BadFrameSize,
                "5: chroma_offset_bytes",
            ),
            (
                |f| f.pixel_bytes = 1023,
                Code::BadFrameSize,
                "least 1024, found 1023: pixel_bytes",
            ),
            (
                |f| f.format = ECHOCART_PIXEL_BGRA32,
                Code::BadFrameSize,
                "least 128, found 32: row_stride_bytes",
            ),
        ];
        let mut at_nanos = 0;
        for (change, code, text) in changes {
            for known in [true, false] {
                at_nanos += 40_000_000;
                let pixels = port.lease(1024).unwrap();
                let good = trial::frame(pixels, at_nanos);
                let mut bad = good;
                change(&mut bad);
                if known {
                    assert!(port.shape.is_some() || at_nanos == 40_000_000);
                } else {
                    port.shape = None;
                }
                let fault = port.commit(&bad).unwrap_err();
                assert_eq!(fault.code, code, "{}", fault.detail);
                assert!(fault.detail.ends_with(text), "{text}: {}", fault.detail);
                assert_eq!(port.lease(1).unwrap_err().code, Code::BadState);
                port.commit(&good).unwrap();
                assert_eq!(port.commit(&good).unwrap_err().code, Code::BadState);
            }
        }
    }

    #[test]
    fn the_buffer_that_is_held_grows_with_a_lease_and_goes_back_for_a_copy() {
        let (mut session, mut port, _results) = trial::parts("untrained", Pace::Max, true);
        session.start().unwrap();
        let pixels = port.lease(1024).unwrap();
        port.commit(&trial::frame(pixels, 0)).unwrap();
        assert!(port.held.is_some());
        port.lease(100).unwrap();
        port.release();
        port.lease(5000).unwrap();
        let first = here::inside(|here| here.leases());
        assert!(first.iter().all(|region| region.bytes > 0), "{first:?}");
        assert_eq!(first[0], Region::of(&port));
        let elsewhere = std::thread::spawn(|| here::inside(|here| here.leases()));
        assert_eq!(elsewhere.join().unwrap(), [Region::NONE; 3]);
        assert!(port.held_bytes >= 5000);
        let mut small = trial::frame(*port.pixels.get_mut(), 40_000_000);
        small.pixel_bytes = 5001;
        let fault = port.commit(&small).unwrap_err();
        assert!(
            fault
                .detail
                .contains("at most the 5000 bytes lent, found 5001"),
            "{}",
            fault.detail
        );
        port.release();
        let pixels = [7; 1024];
        port.push(&trial::frame(pixels.as_ptr(), 40_000_000), &pixels)
            .unwrap();
        assert!(port.held.is_none());
        port.lease(1024).unwrap();
        port.push(&trial::frame(pixels.as_ptr(), 80_000_000), &pixels)
            .unwrap();
        assert!(port.held.is_some() && port.lent_bytes == 1024);
    }

    #[test]
    fn padding_and_whatever_follows_the_last_row_are_left_out() {
        assert_eq!(rows(3, 3, 2, 10), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rows(4, 3, 2, 7), [0, 1, 2, 4, 5, 6]);
        assert_eq!(rows(4, 3, 2, 20), [0, 1, 2, 4, 5, 6]);
    }
}
