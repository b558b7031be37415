//! MetaImage sequences (`.mha`), the recording format of PLUS.

mod header;

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::FrameMeta;
use flate2::read::ZlibDecoder;

use crate::location::file_name;
use crate::source::frame_meta;
use crate::{Delivery, OpenOptions, Polled, Source, SourceError, SourceInfo, Stamps};
use header::Header;

const NANOS_PER_SECOND: f64 = 1e9;

/// True for the first bytes of a MetaImage.
pub(crate) fn is_mha(head: &[u8]) -> bool {
    head.starts_with(b"ObjectType") || head.starts_with(b"NDims")
}

enum Pixels {
    Plain(BufReader<File>),
    Zlib(ZlibDecoder<BufReader<File>>),
}

impl Pixels {
    fn open(header: &Header, path: &Path) -> Result<Self, SourceError> {
        let io = |error| SourceError::Io {
            error,
            path: path.to_owned(),
        };
        let mut file = File::open(path).map_err(io)?;
        file.seek(SeekFrom::Start(header.bytes)).map_err(io)?;
        let reader = BufReader::with_capacity(1 << 16, file);
        Ok(if header.compressed {
            Self::Zlib(ZlibDecoder::new(reader))
        } else {
            Self::Plain(reader)
        })
    }

    fn read(&mut self, pixels: &mut [u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(reader) => reader.read_exact(pixels),
            Self::Zlib(reader) => reader.read_exact(pixels),
        }
    }
}

/// A MetaImage sequence, read image by image.
///
/// Images that the recorder marked as invalid are no frames and are passed over; the times of the
/// others show the gap.
pub(crate) struct MhaSource {
    path: PathBuf,
    header: Header,
    capture_nanos: Vec<i64>,
    period_nanos: i64,
    timing: String,
    pixels: Pixels,
    stored: usize,
    frame: usize,
}

impl MhaSource {
    pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|error| SourceError::Io {
            error,
            path: path.to_owned(),
        })?;
        let header = Header::read(&mut BufReader::new(file), path)?;
        let frames = header.times.iter().flatten().count();
        if frames < 2 {
            return Err(SourceError::Still {
                found: format!("{frames} of {} images valid", header.stored),
                path: path.to_owned(),
            });
        }
        let stated = header.capture_nanos(path)?;
        let (capture_nanos, source) = match (stated, options.assume_fps) {
            (Some(nanos), _) => (nanos, "Timestamp of each image"),
            (None, Some(fps)) => {
                let at = |frame| (frame as f64 / fps * NANOS_PER_SECOND).round() as i64;
                ((0..frames).map(at).collect(), "assumed rate")
            }
            (None, None) => {
                return Err(SourceError::NoTiming {
                    expected: "a Timestamp for each image",
                    path: path.to_owned(),
                });
            }
        };
        let mut steps: Vec<i64> = capture_nanos.windows(2).map(|w| w[1] - w[0]).collect();
        steps.sort_unstable();
        let period_nanos = steps[steps.len() / 2];
        let timing = format!(
            "{source}, orientation {}, {} of {} images valid",
            header.orientation, frames, header.stored
        );
        Ok(Self {
            pixels: Pixels::open(&header, path)?,
            path: path.to_owned(),
            header,
            capture_nanos,
            period_nanos,
            timing,
            stored: 0,
            frame: 0,
        })
    }

    fn read(&mut self, pixels: &mut [u8]) -> Result<(), SourceError> {
        self.pixels.read(pixels).map_err(|error| {
            let image = self.stored;
            match error.kind() {
                ErrorKind::UnexpectedEof => SourceError::PixelData {
                    expected: format!("{} images", self.header.stored),
                    found: format!("the end inside image {image}"),
                    path: self.path.clone(),
                },
                ErrorKind::InvalidInput | ErrorKind::InvalidData => SourceError::Decode {
                    frame: self.frame as u64,
                    codec: "a zlib stream".to_owned(),
                    found: error.to_string(),
                    path: self.path.clone(),
                },
                _ => SourceError::Io {
                    error,
                    path: self.path.clone(),
                },
            }
        })
    }
}

impl Source for MhaSource {
    fn describe(&self) -> SourceInfo {
        SourceInfo {
            name: file_name(&self.path),
            kind: "MetaImage",
            delivery: Delivery::OnDemand,
            stamps: Stamps::Exact,
            width_px: self.header.width_px,
            height_px: self.header.height_px,
            format: self.header.format,
            frames: Some(self.capture_nanos.len() as u64),
            nominal_period_nanos: self.period_nanos,
            timing: self.timing.clone(),
        }
    }

    fn next(&mut self, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, SourceError> {
        let Some(&capture_nanos) = self.capture_nanos.get(self.frame) else {
            return Ok(None);
        };
        let meta = frame_meta(
            (self.header.width_px, self.header.height_px),
            self.header.format,
            capture_nanos,
        );
        pixels.clear();
        pixels.resize(self.header.frame_bytes(), 0);
        loop {
            let valid = matches!(self.header.times.get(self.stored), Some(Some(_)));
            self.read(pixels)?;
            self.stored += 1;
            if valid {
                break;
            }
        }
        if self.header.upside_down {
            flip_rows(pixels, meta.row_bytes());
        }
        self.frame += 1;
        Ok(Some(meta))
    }

    fn poll(&mut self, pixels: &mut FrameBuffer, _: Duration) -> Result<Polled, SourceError> {
        self.next(pixels.refill()).map(Polled::exact)
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.pixels = Pixels::open(&self.header, &self.path)?;
        (self.stored, self.frame) = (0, 0);
        Ok(())
    }
}

fn flip_rows(pixels: &mut [u8], row_bytes: usize) {
    let rows = pixels.len() / row_bytes.max(1);
    let (top, bottom) = pixels.split_at_mut(rows / 2 * row_bytes);
    let bottom = bottom.rchunks_exact_mut(row_bytes);
    for (a, b) in top.chunks_exact_mut(row_bytes).zip(bottom) {
        a.swap_with_slice(b);
    }
}
