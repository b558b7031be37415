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
use echocart_core::lines::{first, lines};
use echocart_core::rare::rare;
use echocart_core::ring::{Lease, Pushed, Shape};
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;

/// Latest capture time: far from where sums of times overflow.
const MAX_CAPTURE_NANOS: i64 = 1 << 62;
/// How far a converted device time may run ahead of the clock.
const MAX_AHEAD_NANOS: i64 = 100_000_000;

/// Cache lines that a commit touches outside of the port and of the buffer, in a ring of 32 places; those
/// beyond are not asked for.
const TOUCHED: usize = 32;

/// State of a frame port handle.
///
/// It holds the next buffer before anybody asks for it, and knows the newest leased frame: a lease
/// and a commit of another one like it are short.
#[repr(C)]
pub(crate) struct FramePort {
    intake: Arc<Intake>,
    /// What is lent of `held`, and how many bytes; 0 where nothing is.
    pixels: AtomicPtr<u8>,
    lent_bytes: usize,
    pace: Pace,
    epoch_nanos: i64,
    held: Option<Lease>,
    touched: [usize; TOUCHED],
    newest: Newest,
}

/// What is known of the newest leased frame, and of the newest sequence.
#[derive(Default)]
#[repr(C)]
struct Newest {
    fields: ShapeFields,
    shape: Option<Shape>,
    sequence: Option<u64>,
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
            touched: first(intake.memory()),
            intake,
            pace,
            epoch_nanos: clock::epoch_nanos(),
            held: None,
            pixels: AtomicPtr::default(),
            lent_bytes: 0,
            newest: Newest::default(),
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
        if let Some(held) = &self.held {
            for line in held.memory() {
                ahead::line(line);
            }
        }
        for line in &self.touched {
            ahead::line(*line);
        }
        for line in lines(&self.newest) {
            ahead::line(line);
        }
        let free = (self.lent_bytes == 0) & self.intake.is_open();
        let mut pixels = match &mut self.held {
            Some(held) if free => held.pixels(),
            _ => &mut [],
        };
        if bytes.wrapping_sub(1) >= pixels.len() as u64 {
            rare();
            pixels = self.lease_anew(bytes)?;
        }
        let pixels = pixels.as_mut_ptr();
        *self.pixels.get_mut() = pixels;
        self.lent_bytes = bytes as usize;
        Ok(pixels)
    }

    #[cold]
    fn lease_anew(&mut self, bytes: u64) -> Result<&mut [u8], Fault> {
        if self.lent_bytes != 0 {
            let text = "expected no lent buffer, found one: commit or release it first: frames";
            return Err(Fault::new(Code::BadState, text));
        }
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let held = &mut self.held;
        let leased = self.intake.with(|producer| producer.lease(bytes, held));
        here::lease_from(self.first_memory());
        leased??;
        let held = self.held.as_mut().ok_or(Code::WouldBlock)?;
        Ok(held.pixels())
    }

    /// What a lease reads before anything else.
    fn first_memory(&self) -> here::Lines {
        let own = lines(&self.intake)
            .chain(lines(&self.held))
            .chain(lines(&self.touched));
        first(own.chain(self.intake.gate_memory()))
    }

    fn give_back(&mut self) {
        self.release();
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
        let begin = clock::since_nanos(self.epoch_nanos);
        let number = match self.commit_alike(frame, begin) {
            Some(number) => number,
            None => self.commit_any(frame, begin)?,
        };
        let took = clock::since_nanos(self.epoch_nanos).wrapping_sub(begin);
        self.intake.commit.record_alone(took.unsigned_abs());
        Ok(number)
    }

    /// Commits a frame that goes in as the one before it did, or does nothing.
    #[inline(always)]
    fn commit_alike(&mut self, frame: &echocart_frame_t, begin: i64) -> Option<u64> {
        let Some(shape) = &self.newest.shape else {
            rare();
            return None;
        };
        let follows = match self.newest.sequence {
            Some(last) => last.wrapping_add(1) == frame.sequence,
            None => false,
        };
        let counted = frame.flags & ECHOCART_FRAME_HAS_SEQUENCE != 0;
        let alike = (self.lent_bytes != 0)
            & (frame.pixel_bytes <= self.lent_bytes as u64)
            & std::ptr::eq(*self.pixels.get_mut(), frame.pixels)
            & (self.newest.fields == ShapeFields::of(frame))
            & (!counted | follows);
        if !alike {
            rare();
            return None;
        }
        let Ok(moment) = wrong::moment(frame, self.latest(begin)) else {
            rare();
            return None;
        };
        let held = &mut self.held;
        let pushed = self
            .intake
            .with(|producer| producer.push_alike(shape, &moment, held));
        let Ok(Some(number)) = pushed else {
            rare();
            return None;
        };
        self.release();
        if counted {
            self.newest.sequence = Some(frame.sequence);
        }
        Some(number)
    }

    #[cold]
    #[inline(never)]
    fn commit_any(&mut self, frame: &echocart_frame_t, begin: i64) -> Result<u64, Fault> {
        let found = usize::try_from(frame.pixel_bytes).unwrap_or(usize::MAX);
        self.try_commit(frame, found, begin)
            .map_err(|refusal| self.explain(refusal, frame, found, begin))
    }

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
        let shape = match self.newest.shape {
            Some(shape) if self.newest.fields == ShapeFields::of(frame) => shape,
            _ => self.shape_anew(frame, found)?,
        };
        let live = self.pace == Pace::Real;
        let held = &mut self.held;
        let pushed = self.intake.with(|producer| {
            let lease = held.take()?;
            let (pushed, next) = producer.push_leased(&shape, moment, lease, live);
            *held = next;
            Some(pushed)
        })?;
        let pushed = pushed.ok_or(Code::BadState)??;
        if live || pushed != Pushed::RingFull {
            self.release();
        }
        Ok(self.settle(pushed, frame)?)
    }

    #[cold]
    fn shape_anew(&mut self, frame: &echocart_frame_t, found: usize) -> Result<Shape, Refusal> {
        self.newest.shape = None;
        let (meta, layout) = wrong::shape(frame, found)?;
        let shape = self
            .intake
            .with(|producer| producer.shape(&meta, layout))??;
        self.newest.fields = ShapeFields::of(frame);
        self.newest.shape = Some(shape);
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
            Refusal::Code(code @ Code::BadState) => {
                return Fault::new(code, "expected a leased buffer, found none lent: frames");
            }
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
            if let Some(last) = self.newest.sequence {
                let missing = frame.sequence.saturating_sub(last).saturating_sub(1);
                self.intake.missing(missing);
            }
            self.newest.sequence = Some(frame.sequence);
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
mod tests;
