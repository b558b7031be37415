//! The parts of OpenIGTLink messages.

use echocart_core::frame::PixelFormat;

/// Bytes of the header that every message begins with.
pub const HEADER_BYTES: usize = 58;
const IMAGE_HEADER_BYTES: usize = 72;
const EXTENDED_HEADER_BYTES: usize = 12;
const SCALAR_UINT8: u8 = 3;

/// Why a stream of messages cannot be read on.
///
/// Each message is one line: what, what was expected, what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IgtlError {
    /// The connection gives an error.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    /// The other side closed the connection.
    #[error("connection: expected a message, found it closed")]
    Closed,
    /// The bytes are no header of a known version.
    #[error("message header: expected version 1 or 2, found {found}")]
    Version {
        /// The number where the version belongs.
        found: u16,
    },
    /// The body is longer than anything sensible.
    #[error("message body: expected at most {most} bytes, found {found}")]
    Size {
        /// The longest body read.
        most: usize,
        /// The length announced.
        found: u64,
    },
    /// An image that this program does not take.
    #[error("IMAGE message: {what}: expected {expected}, found {found}")]
    Image {
        /// Which part of it.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What it says.
        found: String,
    },
}

/// The header of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 1, or 2 with the extended header of protocol version 3.
    pub version: u16,
    /// `IMAGE`, `TRANSFORM`, `STATUS` and others.
    pub kind: String,
    /// Name of the device the message is from.
    pub device: String,
    /// Time stamp in nanoseconds of the sender's clock; nothing where it is 0.
    pub stamp_nanos: Option<i64>,
    /// Bytes that follow.
    pub body_bytes: u64,
    /// Checksum of what follows; 0 where the sender computes none.
    pub crc: u64,
}

/// An image inside a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
    /// Format of the pixels.
    pub format: PixelFormat,
    /// Rows without padding, in the order sent.
    pub pixels: &'a [u8],
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`IgtlError::Version`] for anything but a header of version 1 or 2.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, IgtlError> {
        let mut fields = Fields(bytes);
        let version = fields.u16();
        if !(1..=2).contains(&version) {
            return Err(IgtlError::Version { found: version });
        }
        let kind = fields.text(12);
        let device = fields.text(20);
        let seconds = fields.u32();
        let fraction = fields.u32();
        let nanos = i64::from(seconds) * 1_000_000_000
            + ((u64::from(fraction) * 1_000_000_000) >> 32) as i64;
        Ok(Self {
            version,
            kind,
            device,
            stamp_nanos: (nanos != 0).then_some(nanos),
            body_bytes: fields.u64(),
            crc: fields.u64(),
        })
    }
}

impl<'a> Image<'a> {
    /// Finds the image in the body of an IMAGE message.
    ///
    /// # Errors
    /// [`IgtlError::Image`] for a body that is cut off, and for an image of several slices, of a
    /// part only, with other components than one or three, or with other samples than 8 bits.
    pub fn parse(header: &Header, body: &'a [u8]) -> Result<Self, IgtlError> {
        let body = content(header, body)?;
        let short = || wrong("body", "an image header of 72 bytes", body.len());
        let head = body.get(..IMAGE_HEADER_BYTES).ok_or_else(short)?;
        let mut fields = Fields(head);
        let version = fields.u16();
        let [components, scalar, _endian, _coordinates] = fields.take();
        let size = [fields.u16(), fields.u16(), fields.u16()];
        let _: [u8; 48] = fields.take();
        let offset = [fields.u16(), fields.u16(), fields.u16()];
        let part = [fields.u16(), fields.u16(), fields.u16()];
        if !(1..=2).contains(&version) {
            return Err(wrong("version", "1 or 2", version));
        }
        if scalar != SCALAR_UINT8 {
            return Err(wrong(
                "samples",
                "unsigned 8 bits (3)",
                scalar_words(scalar),
            ));
        }
        let format = match components {
            1 => PixelFormat::Gray8,
            3 => PixelFormat::Rgb24,
            other => return Err(wrong("components", "1 or 3", other)),
        };
        let [width, height, slices] = size;
        let shown = format!("{width}x{height}x{slices}");
        if width == 0 || height == 0 || slices != 1 {
            return Err(wrong("size", "one slice with at least one pixel", shown));
        }
        if offset != [0; 3] || part != size {
            let [w, h, s] = part;
            let found = format!("{w}x{h}x{s} at {offset:?}");
            return Err(wrong("part", &format!("the whole image, {shown}"), found));
        }
        let pixels = body.get(IMAGE_HEADER_BYTES..).unwrap_or_default();
        let needed = usize::from(width) * usize::from(height) * format.bytes();
        if pixels.len() != needed {
            let expected = format!("{needed} bytes for {width}x{height} {format}");
            return Err(wrong("pixels", &expected, pixels.len()));
        }
        Ok(Self {
            width_px: u32::from(width),
            height_px: u32::from(height),
            format,
            pixels,
        })
    }
}

/// The body without what protocol version 3 puts around the content.
fn content<'a>(header: &Header, body: &'a [u8]) -> Result<&'a [u8], IgtlError> {
    if header.version == 1 {
        return Ok(body);
    }
    let short = || wrong("body", "an extended header of 12 bytes", body.len());
    let mut fields = Fields(body.get(..EXTENDED_HEADER_BYTES).ok_or_else(short)?);
    let extended = usize::from(fields.u16());
    let metadata = u64::from(fields.u16()) + u64::from(fields.u32());
    let end = (body.len() as u64).checked_sub(metadata);
    end.and_then(|end| body.get(extended..usize::try_from(end).ok()?))
        .filter(|_| extended >= EXTENDED_HEADER_BYTES)
        .ok_or_else(|| {
            let found = format!("{extended} bytes before and {metadata} after the content");
            wrong("body", &format!("parts of {} bytes", body.len()), found)
        })
}

fn wrong(what: &'static str, expected: &str, found: impl ToString) -> IgtlError {
    IgtlError::Image {
        what,
        expected: expected.to_owned(),
        found: found.to_string(),
    }
}

fn scalar_words(scalar: u8) -> String {
    let name = match scalar {
        2 => "signed 8 bits",
        4 => "signed 16 bits",
        5 => "unsigned 16 bits",
        6 => "signed 32 bits",
        7 => "unsigned 32 bits",
        10 => "32-bit floats",
        11 => "64-bit floats",
        _ => "an unknown type",
    };
    format!("{name} ({scalar})")
}

/// Big-endian fields, one after the other; what lies beyond the end is zero.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *head
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }

    /// Text up to the first zero byte, printable characters only.
    fn text(&mut self, length: usize) -> String {
        let (head, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        let bytes = head.iter().take_while(|&&byte| byte != 0);
        let printable = bytes.filter(|byte| (0x20..0x7F).contains(*byte));
        printable.map(|&byte| char::from(byte)).collect()
    }
}
