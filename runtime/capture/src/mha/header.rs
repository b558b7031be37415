//! The text that stands before the pixels of a MetaImage sequence.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::Path;

use echocart_core::frame::PixelFormat;

use crate::SourceError;
use crate::error::one_line;

const MOST_HEADER_BYTES: usize = 16 << 20;
const MOST_SIDE_PX: u32 = 16_384;
const MOST_FRAMES: usize = 1 << 20;
const NANOS_PER_SECOND: f64 = 1e9;

/// What the header says, checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub width_px: u32,
    pub height_px: u32,
    pub format: PixelFormat,
    /// Images stored, those marked as invalid included.
    pub stored: usize,
    /// One deflate stream with a zlib header over all images.
    pub compressed: bool,
    /// The first row is the farthest from the probe.
    pub upside_down: bool,
    /// `UltrasoundImageOrientation` as it stands there.
    pub orientation: String,
    /// Seconds of the sender's clock per stored image; `None` for one without an image.
    pub times: Vec<Option<Stamp>>,
    /// Length of the header in bytes.
    pub bytes: u64,
}

/// Time of a stored image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stamp {
    Seconds(f64),
    Missing,
}

impl Header {
    pub fn read(reader: &mut impl BufRead, path: &Path) -> Result<Self, SourceError> {
        let (keys, bytes) = keys(reader, path)?;
        Fields { keys: &keys, path }.header(bytes)
    }

    pub fn frame_bytes(&self) -> usize {
        self.width_px as usize * self.height_px as usize * self.format.bytes()
    }

    /// Capture times of the images that are there, from the first; `None` where no image has one.
    pub fn capture_nanos(&self, path: &Path) -> Result<Option<Vec<i64>>, SourceError> {
        let valid: Vec<Stamp> = self.times.iter().flatten().copied().collect();
        if valid.iter().all(|stamp| *stamp == Stamp::Missing) {
            return Ok(None);
        }
        let mut nanos: Vec<i64> = Vec::with_capacity(valid.len());
        let mut first = None;
        for (frame, stamp) in valid.iter().enumerate() {
            let Stamp::Seconds(seconds) = stamp else {
                return Err(SourceError::Attribute {
                    attribute: "Timestamp",
                    expected: "a time for every image, or for none".to_owned(),
                    found: format!("none for image {frame}"),
                    path: path.to_owned(),
                });
            };
            let from_first = seconds - *first.get_or_insert(*seconds);
            let found_nanos = (from_first * NANOS_PER_SECOND).round() as i64;
            if let Some(&previous_nanos) = nanos.last()
                && found_nanos <= previous_nanos
            {
                return Err(SourceError::FrameTime {
                    frame: frame as u64,
                    previous_nanos,
                    found_nanos,
                    path: path.to_owned(),
                });
            }
            nanos.push(found_nanos);
        }
        Ok(Some(nanos))
    }
}

fn keys(
    reader: &mut impl BufRead,
    path: &Path,
) -> Result<(BTreeMap<String, String>, u64), SourceError> {
    let broken = |found: String| SourceError::Attribute {
        attribute: "MetaImage header",
        expected: "lines of KEY = VALUE up to ElementDataFile".to_owned(),
        found,
        path: path.to_owned(),
    };
    let mut keys = BTreeMap::new();
    let mut bytes = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let room = (MOST_HEADER_BYTES - bytes) as u64;
        io::Read::take(&mut *reader, room)
            .read_until(b'\n', &mut line)
            .map_err(|error| SourceError::Io {
                error,
                path: path.to_owned(),
            })?;
        bytes += line.len();
        if line.last() != Some(&b'\n') {
            return Err(broken(format!("its end after {bytes} bytes")));
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| broken(format!("bytes that are no text before byte {bytes}")))?;
        let Some((key, value)) = text.split_once('=') else {
            return Err(broken(one_line(text)));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        let last = key == "ElementDataFile";
        keys.insert(key, value);
        if last {
            return Ok((keys, bytes as u64));
        }
    }
}

struct Fields<'a> {
    keys: &'a BTreeMap<String, String>,
    path: &'a Path,
}

impl Fields<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    fn wrong<T>(
        &self,
        attribute: &'static str,
        expected: &str,
        found: impl Into<String>,
    ) -> Result<T, SourceError> {
        Err(SourceError::Attribute {
            attribute,
            expected: expected.to_owned(),
            found: one_line(&found.into()),
            path: self.path.to_owned(),
        })
    }

    /// The value of a key that must be one of `allowed`; the first stands for a missing key.
    fn one_of(&self, key: &'static str, allowed: &[&str]) -> Result<usize, SourceError> {
        let Some(found) = self.text(key) else {
            return Ok(0);
        };
        match allowed.iter().position(|a| a.eq_ignore_ascii_case(found)) {
            Some(at) => Ok(at),
            None => self.wrong(key, &allowed.join(" or "), found),
        }
    }

    fn header(&self, bytes: u64) -> Result<Header, SourceError> {
        if self.text("ElementDataFile") != Some("LOCAL") {
            let found = self.text("ElementDataFile").unwrap_or_default();
            return self.wrong("ElementDataFile", "LOCAL, pixels in the same file", found);
        }
        self.one_of("ObjectType", &["Image"])?;
        self.one_of("ElementType", &["MET_UCHAR"])?;
        let format = match self.one_of("ElementNumberOfChannels", &["1", "3"])? {
            0 => PixelFormat::Gray8,
            _ => PixelFormat::Rgb24,
        };
        let compressed = self.one_of("CompressedData", &["False", "True"])? == 1;
        let (width_px, height_px, stored) = self.sizes()?;
        let (orientation, upside_down) = self.orientation()?;
        let times = (0..stored)
            .map(|frame| self.time(frame))
            .collect::<Result<_, _>>()?;
        Ok(Header {
            width_px,
            height_px,
            format,
            stored,
            compressed,
            upside_down,
            orientation,
            times,
            bytes,
        })
    }

    fn sizes(&self) -> Result<(u32, u32, usize), SourceError> {
        let text = self.text("DimSize").unwrap_or_default();
        let numbers: Option<Vec<usize>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
        let side = |n: usize| {
            u32::try_from(n)
                .ok()
                .filter(|n| (1..=MOST_SIDE_PX).contains(n))
        };
        let sizes = match numbers.as_deref() {
            Some(&[width, height]) => side(width).zip(side(height)).map(|(w, h)| (w, h, 1)),
            Some(&[width, height, frames]) if (1..=MOST_FRAMES).contains(&frames) => {
                side(width).zip(side(height)).map(|(w, h)| (w, h, frames))
            }
            _ => None,
        };
        match sizes {
            Some(sizes) => Ok(sizes),
            None => self.wrong("DimSize", "width, height (1 to 16384) and images", text),
        }
    }

    /// Two letters: where the rows run to, then where the columns run to.
    fn orientation(&self) -> Result<(String, bool), SourceError> {
        let Some(text) = self.text("UltrasoundImageOrientation") else {
            return Ok(("not stated".to_owned(), false));
        };
        match text.as_bytes() {
            [b'M' | b'U', b'F', ..] => Ok((text.to_owned(), false)),
            [b'M' | b'U', b'N', ..] => Ok((text.to_owned(), true)),
            _ => self.wrong(
                "UltrasoundImageOrientation",
                "rows along the probe (MF, UF, MN or UN)",
                text,
            ),
        }
    }

    fn time(&self, frame: usize) -> Result<Option<Stamp>, SourceError> {
        let field = |name: &str| self.text(&format!("Seq_Frame{frame:04}_{name}"));
        if field("ImageStatus").is_some_and(|status| status != "OK") {
            return Ok(None);
        }
        let Some(text) = field("Timestamp") else {
            return Ok(Some(Stamp::Missing));
        };
        match text.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() && seconds.abs() < 1e10 => {
                Ok(Some(Stamp::Seconds(seconds)))
            }
            _ => self.wrong("Timestamp", "seconds", format!("{text} for image {frame}")),
        }
    }
}
