//! What a frame of the caller's must be, and what to say where it is not.
//!
//! What is wrong becomes a text only once it is told, outside: a commit counts every line of code that
//! it runs through. Decision 0066.

use crate::abi::*;
use crate::codes::Code;
use crate::fault::Fault;
use echocart_core::frame::{ExamToken, FrameMeta, FrameMoment, HostMeta, PixelFormat, PixelLayout};
use echocart_core::rare::rare;
use echocart_core::ring::PushError;
use std::fmt::Arguments;

const FLAGS: u32 = ECHOCART_FRAME_COLOUR_ON
    | ECHOCART_FRAME_FROZEN
    | ECHOCART_FRAME_HAS_ECG
    | ECHOCART_FRAME_HAS_DEPTH
    | ECHOCART_FRAME_HAS_SEQUENCE;

/// The field of a frame that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Format,
    Memory,
    Flags,
    Ecg,
    Depth,
    /// No multiple of so many.
    Width(u32),
    /// No multiple of so many.
    Height(u32),
    /// Less than a row's bytes.
    Stride(u64),
    Chroma,
    /// Fewer bytes than the rows need.
    Bytes(u64),
    Time,
    /// The pixels are not in the buffer lent.
    Buffer,
    /// More bytes than were lent.
    Lent,
}

/// Why a frame port does not do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Code(Code),
    Frame(Wrong),
    Ring(PushError),
}

impl From<Code> for Refusal {
    #[inline(always)]
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

impl From<Wrong> for Refusal {
    #[inline(always)]
    fn from(wrong: Wrong) -> Self {
        Self::Frame(wrong)
    }
}

impl From<PushError> for Refusal {
    #[inline(always)]
    fn from(error: PushError) -> Self {
        Self::Ring(error)
    }
}

/// Checks what may differ from one frame to the next of the same shape.
#[inline(always)]
pub(crate) fn moment(frame: &echocart_frame_t, latest_nanos: i64) -> Result<FrameMoment, Wrong> {
    if frame.flags & !FLAGS != 0 {
        rare();
        return Err(Wrong::Flags);
    }
    let has = |flag| frame.flags & flag != 0;
    let ecg_millivolts = has(ECHOCART_FRAME_HAS_ECG).then_some(frame.ecg_millivolts);
    if has(ECHOCART_FRAME_HAS_ECG) & !frame.ecg_millivolts.is_finite() {
        rare();
        return Err(Wrong::Ecg);
    }
    let depth_mm = has(ECHOCART_FRAME_HAS_DEPTH).then_some(frame.depth_mm);
    let no_depth = !((frame.depth_mm > 0.0) & (frame.depth_mm < f32::INFINITY));
    if has(ECHOCART_FRAME_HAS_DEPTH) & no_depth {
        rare();
        return Err(Wrong::Depth);
    }
    if !(0..=latest_nanos).contains(&frame.capture_nanos) {
        rare();
        return Err(Wrong::Time);
    }
    Ok(FrameMoment {
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

/// Checks size, format and where the rows are. The frame's moment is nobody's yet.
pub(crate) fn shape(
    frame: &echocart_frame_t,
    found_bytes: usize,
) -> Result<(FrameMeta, PixelLayout), Wrong> {
    let format = match frame.format {
        ECHOCART_PIXEL_GRAY8 => PixelFormat::Gray8,
        ECHOCART_PIXEL_RGB24 => PixelFormat::Rgb24,
        ECHOCART_PIXEL_BGRA32 => PixelFormat::Bgra32,
        ECHOCART_PIXEL_YUY2 => PixelFormat::Yuy2,
        ECHOCART_PIXEL_NV12 => PixelFormat::Nv12,
        _ => return Err(Wrong::Format),
    };
    if frame.memory != ECHOCART_MEMORY_HOST {
        return Err(Wrong::Memory);
    }
    let (across, down) = format.granule_px();
    let fits = |found: u32, granule| found != 0 && found.is_multiple_of(granule);
    if !fits(frame.width_px, across) {
        return Err(Wrong::Width(across));
    }
    if !fits(frame.height_px, down) {
        return Err(Wrong::Height(down));
    }
    let (row, stride) = (row_bytes(frame, format), u64::from(frame.row_stride_bytes));
    if stride < row {
        return Err(Wrong::Stride(row));
    }
    let luma = stride * u64::from(frame.height_px);
    let nv12 = format == PixelFormat::Nv12;
    let given = frame.chroma_offset_bytes;
    if given != 0 && !(nv12 && given >= luma - (stride - row)) {
        return Err(Wrong::Chroma);
    }
    let (meta, layout) = rows(frame, format);
    let least = layout.needed_bytes(&meta);
    if (found_bytes as u64) < least {
        return Err(Wrong::Bytes(least));
    }
    Ok((meta, layout))
}

fn rows(frame: &echocart_frame_t, format: PixelFormat) -> (FrameMeta, PixelLayout) {
    let chroma = match frame.chroma_offset_bytes {
        0 => u64::from(frame.row_stride_bytes) * u64::from(frame.height_px),
        given => given,
    };
    let layout = PixelLayout {
        stride_bytes: frame.row_stride_bytes as usize,
        chroma_offset_bytes: usize::try_from(chroma).unwrap_or(usize::MAX),
    };
    let meta = FrameMeta {
        width_px: frame.width_px,
        height_px: frame.height_px,
        format,
        capture_nanos: 0,
        pass: 0,
        host: HostMeta::default(),
    };
    (meta, layout)
}

fn row_bytes(frame: &echocart_frame_t, format: PixelFormat) -> u64 {
    u64::from(frame.width_px) * format.bytes() as u64
}

/// What a frame was held to, for the text.
pub(crate) struct Bounds {
    pub latest_nanos: i64,
    pub lent_bytes: usize,
    pub found_bytes: usize,
}

impl Wrong {
    /// Says what was expected of `frame` and what was found.
    #[cold]
    pub fn fault(self, frame: &echocart_frame_t, bounds: &Bounds) -> Fault {
        match self {
            Self::Format => Fault::bad("format", "one of ECHOCART_PIXEL_*", frame.format),
            Self::Memory => memory(frame.memory),
            Self::Flags => Fault::bad("flags", "ECHOCART_FRAME_* only", frame.flags),
            Self::Ecg => Fault::bad("ecg_millivolts", "a finite number", frame.ecg_millivolts),
            Self::Depth => Fault::bad("depth_mm", "a number above 0", frame.depth_mm),
            Self::Time => {
                let (latest, found) = (bounds.latest_nanos, frame.capture_nanos);
                let text = format!("expected 0 to {latest}, found {found}: capture_nanos");
                Fault::new(Code::BadTime, text)
            }
            Self::Buffer => Fault::bad("pixels", "the buffer lent", "another"),
            Self::Lent => {
                let expected = format!("at most the {} bytes lent", bounds.lent_bytes);
                Fault::bad("pixel_bytes", &expected, bounds.found_bytes)
            }
            Self::Width(granule) => {
                let expected = format_args!("a multiple of {granule} above 0");
                bad_size(expected, frame.width_px.into(), "width_px")
            }
            Self::Height(granule) => {
                let expected = format_args!("a multiple of {granule} above 0");
                bad_size(expected, frame.height_px.into(), "height_px")
            }
            Self::Stride(row) => {
                let found = frame.row_stride_bytes.into();
                bad_size(format_args!("at least {row}"), found, "row_stride_bytes")
            }
            Self::Chroma => {
                let expected = format_args!("0, or of NV12 behind the luminance");
                bad_size(expected, frame.chroma_offset_bytes, "chroma_offset_bytes")
            }
            Self::Bytes(least) => {
                let found = bounds.found_bytes as u64;
                bad_size(format_args!("at least {least}"), found, "pixel_bytes")
            }
        }
    }
}

fn memory(found: u32) -> Fault {
    match found {
        ECHOCART_MEMORY_CUDA | ECHOCART_MEMORY_DMABUF => {
            let text = format!("expected HOST (0) in this version, found {found}: memory");
            Fault::new(Code::Unsupported, text)
        }
        unknown => Fault::bad("memory", "one of ECHOCART_MEMORY_*", unknown),
    }
}

fn bad_size(expected: Arguments<'_>, found: u64, field: &str) -> Fault {
    let text = format!("expected {expected}, found {found}: {field}");
    Fault::new(Code::BadFrameSize, text)
}
