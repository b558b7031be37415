//! Frame dumps: the exact frames a run was given, for `--dump-frames`, tests and the C example.
//!
//! All integers are little-endian, without alignment gaps. The file is one file header, then any
//! number of frames, each a frame header followed by its pixels; it ends after a frame's last pixel.
//!
//! File header, 32 bytes:
//!
//! | offset | bytes | type | content |
//! |---|---|---|---|
//! | 0 | 8 | text | `ECHODUMP` |
//! | 8 | 4 | u32 | version: 1 |
//! | 12 | 20 | | reserved: written as 0, not read |
//!
//! Frame header, 40 bytes:
//!
//! | offset | bytes | type | content |
//! |---|---|---|---|
//! | 0 | 4 | u32 | `width_px`, at least 1 |
//! | 4 | 4 | u32 | `height_px`, at least 1 |
//! | 8 | 4 | u32 | `format`: 1 = GRAY8 (1 byte a pixel), 2 = RGB24 (3 bytes: red, green, blue) |
//! | 12 | 4 | u32 | `row_stride_bytes`, from the start of one row to the start of the next |
//! | 16 | 8 | i64 | `capture_nanos`, the session's clock |
//! | 24 | 8 | u64 | `pixel_bytes` = `row_stride_bytes` x `height_px`, at most 1 GiB (2^30) |
//! | 32 | 4 | u32 | `pass`: 0, or how often a looped source has started over |
//! | 36 | 4 | | reserved: written as 0, not read |
//!
//! Pixels: `height_px` rows from top to bottom. [`DumpWriter`] writes rows without padding;
//! a reader must still honour `row_stride_bytes`.

use crate::frame::{FrameMeta, PixelFormat};
use std::io::{self, Read, Write};

/// First bytes of a dump.
pub const MAGIC: [u8; 8] = *b"ECHODUMP";
/// Version this code writes and reads.
pub const VERSION: u32 = 1;
/// Most bytes the pixels of one frame may take.
pub const MAX_PIXEL_BYTES: u64 = 1 << 30;

const FILE_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 40;

/// Why a dump cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The file could not be read or written.
    #[error("frame dump: {0}")]
    Io(#[from] io::Error),
    /// The file does not begin with [`MAGIC`].
    #[error("not a frame dump: expected it to begin with ECHODUMP, found {found:02x?}")]
    Magic {
        /// First bytes of the file.
        found: [u8; 8],
    },
    /// The file has another version.
    #[error("frame dump version: expected {VERSION}, found {found}")]
    Version {
        /// Version of the file.
        found: u32,
    },
    /// The file ends inside its header or inside a frame.
    #[error("truncated frame dump: expected {expected} bytes of {part}, found {found}")]
    Truncated {
        /// What is cut off, for example `the pixels of frame 3`.
        part: String,
        /// Bytes it takes.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// A pixel format that the file has no number for.
    #[error("frame dump: expected GRAY8 or RGB24, found {format}")]
    Unsupported {
        /// The format.
        format: PixelFormat,
    },
    /// A frame's size, format, stride or pixels do not fit.
    #[error("frame dump: {field}: expected {expected}, found {found}, frame {frame}")]
    Frame {
        /// Field of the frame header.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: u64,
        /// Index of the frame in the file.
        frame: u64,
    },
}

/// Writes a dump.
#[derive(Debug)]
pub struct DumpWriter<W: Write> {
    sink: W,
    frames: u64,
}

impl<W: Write> DumpWriter<W> {
    /// Writes the file header. Buffering is the sink's.
    ///
    /// # Errors
    /// [`DumpError::Io`].
    pub fn new(mut sink: W) -> Result<Self, DumpError> {
        let mut header = [0; FILE_HEADER_BYTES];
        put(&mut header, 0, &MAGIC);
        put(&mut header, 8, &VERSION.to_le_bytes());
        sink.write_all(&header)?;
        Ok(Self { sink, frames: 0 })
    }

    /// Appends one frame.
    ///
    /// # Shapes
    /// - `pixels`: rows from top to bottom without padding.
    ///
    /// # Errors
    /// [`DumpError::Frame`] if `pixels` is not the frame `meta` describes, and nothing is written;
    /// [`DumpError::Io`].
    pub fn frame(&mut self, meta: &FrameMeta, pixels: &[u8]) -> Result<(), DumpError> {
        let stride_bytes = u64::from(meta.width_px) * meta.format.bytes() as u64;
        let layout = Layout::new(meta, stride_bytes, self.frames)?;
        if pixels.len() as u64 != layout.pixel_bytes {
            return Err(DumpError::Frame {
                field: "pixel_bytes",
                expected: layout.pixel_bytes.to_string(),
                found: pixels.len() as u64,
                frame: self.frames,
            });
        }
        let format: u32 = match meta.format {
            PixelFormat::Gray8 => 1,
            PixelFormat::Rgb24 => 2,
            _ => {
                return Err(DumpError::Unsupported {
                    format: meta.format,
                });
            }
        };
        let mut header = [0; FRAME_HEADER_BYTES];
        put(&mut header, 0, &meta.width_px.to_le_bytes());
        put(&mut header, 4, &meta.height_px.to_le_bytes());
        put(&mut header, 8, &format.to_le_bytes());
        put(&mut header, 12, &(layout.stride_bytes as u32).to_le_bytes());
        put(&mut header, 16, &meta.capture_nanos.to_le_bytes());
        put(&mut header, 24, &layout.pixel_bytes.to_le_bytes());
        put(&mut header, 32, &meta.pass.to_le_bytes());
        self.sink.write_all(&header)?;
        self.sink.write_all(pixels)?;
        self.frames += 1;
        Ok(())
    }

    /// Flushes the sink and hands it back.
    ///
    /// # Errors
    /// [`DumpError::Io`].
    pub fn finish(mut self) -> Result<W, DumpError> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

/// Reads a dump frame by frame.
#[derive(Debug)]
pub struct DumpReader<R: Read> {
    source: R,
    frames: u64,
    ended: bool,
}

impl<R: Read> DumpReader<R> {
    /// Reads the file header. Buffering is the source's.
    ///
    /// # Errors
    /// [`DumpError::Magic`], [`DumpError::Version`], [`DumpError::Truncated`], [`DumpError::Io`].
    pub fn new(mut source: R) -> Result<Self, DumpError> {
        let mut header = [0; FILE_HEADER_BYTES];
        let found = read_up_to(&mut source, &mut header)?;
        let magic = take(&header, 0);
        if magic != MAGIC && (found >= MAGIC.len() || !MAGIC.starts_with(&header[..found])) {
            return Err(DumpError::Magic { found: magic });
        }
        if found < FILE_HEADER_BYTES {
            return Err(truncated(
                "the file header".to_owned(),
                FILE_HEADER_BYTES as u64,
                found,
            ));
        }
        match u32::from_le_bytes(take(&header, 8)) {
            VERSION => Ok(Self {
                source,
                frames: 0,
                ended: false,
            }),
            found => Err(DumpError::Version { found }),
        }
    }

    /// Reads the next frame into `pixels` after clearing it; `None` at the end of the file and
    /// after an error.
    ///
    /// # Shapes
    /// - `pixels`: rows from top to bottom, their padding taken out. Memory grows with what the
    ///   file holds, not with what its headers say.
    ///
    /// # Errors
    /// [`DumpError::Truncated`], [`DumpError::Frame`], [`DumpError::Io`].
    pub fn next(&mut self, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, DumpError> {
        pixels.clear();
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        let Some(meta) = self.read_frame(pixels)? else {
            return Ok(None);
        };
        self.ended = false;
        self.frames += 1;
        Ok(Some(meta))
    }

    fn read_frame(&mut self, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, DumpError> {
        let frame = self.frames;
        let mut header = [0; FRAME_HEADER_BYTES];
        let found = read_up_to(&mut self.source, &mut header)?;
        if found == 0 {
            return Ok(None);
        }
        if found < FRAME_HEADER_BYTES {
            let part = format!("the header of frame {frame}");
            return Err(truncated(part, FRAME_HEADER_BYTES as u64, found));
        }
        let format = match u32::from_le_bytes(take(&header, 8)) {
            1 => PixelFormat::Gray8,
            2 => PixelFormat::Rgb24,
            found => {
                return Err(DumpError::Frame {
                    field: "format",
                    expected: "1 (GRAY8) or 2 (RGB24)".to_owned(),
                    found: found.into(),
                    frame,
                });
            }
        };
        let meta = FrameMeta {
            width_px: u32::from_le_bytes(take(&header, 0)),
            height_px: u32::from_le_bytes(take(&header, 4)),
            format,
            capture_nanos: i64::from_le_bytes(take(&header, 16)),
            pass: u32::from_le_bytes(take(&header, 32)),
            host: Default::default(),
        };
        let stride_bytes = u32::from_le_bytes(take(&header, 12));
        let layout = Layout::new(&meta, stride_bytes.into(), frame)?;
        let pixel_bytes = u64::from_le_bytes(take(&header, 24));
        if pixel_bytes != layout.pixel_bytes {
            return Err(DumpError::Frame {
                field: "pixel_bytes",
                expected: layout.pixel_bytes.to_string(),
                found: pixel_bytes,
                frame,
            });
        }
        let found = (&mut self.source).take(pixel_bytes).read_to_end(pixels)?;
        if (found as u64) < pixel_bytes {
            pixels.clear();
            return Err(truncated(
                format!("the pixels of frame {frame}"),
                pixel_bytes,
                found,
            ));
        }
        layout.take_padding_out(pixels);
        Ok(Some(meta))
    }
}

/// Checked sizes of one frame.
struct Layout {
    row_bytes: u64,
    stride_bytes: u64,
    pixel_bytes: u64,
}

impl Layout {
    fn new(meta: &FrameMeta, stride_bytes: u64, frame: u64) -> Result<Self, DumpError> {
        let wrong = |field, expected: String, found| {
            Err(DumpError::Frame {
                field,
                expected,
                found,
                frame,
            })
        };
        for (field, found) in [("width_px", meta.width_px), ("height_px", meta.height_px)] {
            if found == 0 {
                return wrong(field, "at least 1".to_owned(), 0);
            }
        }
        let row_bytes = u64::from(meta.width_px) * meta.format.bytes() as u64;
        if stride_bytes < row_bytes {
            return wrong(
                "row_stride_bytes",
                format!("at least {row_bytes}"),
                stride_bytes,
            );
        }
        let pixel_bytes = stride_bytes.saturating_mul(meta.height_px.into());
        if pixel_bytes > MAX_PIXEL_BYTES {
            return wrong(
                "pixel_bytes",
                format!("at most {MAX_PIXEL_BYTES}"),
                pixel_bytes,
            );
        }
        Ok(Self {
            row_bytes,
            stride_bytes,
            pixel_bytes,
        })
    }

    fn take_padding_out(&self, pixels: &mut Vec<u8>) {
        if self.stride_bytes == self.row_bytes {
            return;
        }
        let (row, stride) = (self.row_bytes as usize, self.stride_bytes as usize);
        let rows = pixels.len() / stride;
        for y in 1..rows {
            pixels.copy_within(y * stride..y * stride + row, y * row);
        }
        pixels.truncate(rows * row);
    }
}

fn truncated(part: String, expected: u64, found: usize) -> DumpError {
    DumpError::Truncated {
        part,
        expected,
        found: found as u64,
    }
}

fn put<const N: usize>(header: &mut [u8], offset: usize, bytes: &[u8; N]) {
    header[offset..offset + N].copy_from_slice(bytes);
}

fn take<const N: usize>(header: &[u8], offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[offset..offset + N]);
    bytes
}

/// Fills `buffer` as far as the source reaches.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
