//! Messages out of a stream of bytes.

use std::io::{ErrorKind, Read};

use echocart_core::frame::PixelFormat;

use super::crc::crc64;
use super::message::{HEADER_BYTES, Header, IgtlError, Image};

/// Longest body: an 8K image in colour and its headers.
const MOST_BODY_BYTES: usize = 128 << 20;
/// How much is asked for at once, so that an announced length alone takes no memory.
const STEP_BYTES: usize = 1 << 18;

/// What [`ImageReader::read`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An image.
    Image {
        /// Name of the device.
        device: String,
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
        /// Format of the pixels.
        format: PixelFormat,
        /// Time stamp in nanoseconds of the sender's clock.
        stamp_nanos: Option<i64>,
    },
    /// A message of another kind.
    Other,
    /// An image whose checksum is wrong; the stream goes on behind it.
    Damaged,
    /// The stream has no more bytes for now; asked again, it goes on where it was.
    Pending,
}

/// Reads images from a stream; one that would block is asked again later.
pub struct ImageReader<R> {
    stream: R,
    header: Option<Header>,
    bytes: Vec<u8>,
    filled: usize,
    bytes_read: u64,
}

impl<R: Read> ImageReader<R> {
    /// A reader at the start of a message.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            header: None,
            bytes: Vec::new(),
            filled: 0,
            bytes_read: 0,
        }
    }

    /// Bytes taken from the stream so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// True between the first and the last byte of a message.
    pub fn is_within_message(&self) -> bool {
        self.header.is_some() || self.filled > 0
    }

    /// Reads up to the end of the next message and copies an image into `pixels`.
    ///
    /// # Errors
    /// Any [`IgtlError`]; the stream then is at no known place and has to be left.
    pub fn read(&mut self, pixels: &mut Vec<u8>) -> Result<Item, IgtlError> {
        let header = match self.header.take() {
            Some(header) => header,
            None => {
                if !self.fill(HEADER_BYTES)? {
                    return Ok(Item::Pending);
                }
                let head = self.bytes.first_chunk().ok_or(IgtlError::Closed)?;
                self.filled = 0;
                Header::parse(head)?
            }
        };
        let length = usize::try_from(header.body_bytes)
            .ok()
            .filter(|&length| length <= MOST_BODY_BYTES)
            .ok_or(IgtlError::Size {
                most: MOST_BODY_BYTES,
                found: header.body_bytes,
            })?;
        if !self.fill(length)? {
            self.header = Some(header);
            return Ok(Item::Pending);
        }
        self.filled = 0;
        let body = self.bytes.get(..length).unwrap_or_default();
        if header.kind != "IMAGE" {
            return Ok(Item::Other);
        }
        if header.crc != 0 && header.crc != crc64(body) {
            return Ok(Item::Damaged);
        }
        let image = Image::parse(&header, body)?;
        pixels.clear();
        pixels.extend_from_slice(image.pixels);
        Ok(Item::Image {
            device: header.device,
            width_px: image.width_px,
            height_px: image.height_px,
            format: image.format,
            stamp_nanos: header.stamp_nanos,
        })
    }

    /// Fills the buffer up to `length`; false when the stream would block before.
    fn fill(&mut self, length: usize) -> Result<bool, IgtlError> {
        while self.filled < length {
            let end = length.min(self.filled + STEP_BYTES);
            if self.bytes.len() < end {
                self.bytes.resize(end, 0);
            }
            let room = self.bytes.get_mut(self.filled..end).unwrap_or_default();
            let asked = room.len();
            match self.stream.read(room) {
                Ok(0) => return Err(IgtlError::Closed),
                Ok(count) => {
                    self.filled += count;
                    self.bytes_read = self.bytes_read.saturating_add(count as u64);
                    if count < asked && self.filled < length {
                        return Ok(false);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(false),
                    _ => return Err(error.into()),
                },
            }
        }
        Ok(true)
    }
}
