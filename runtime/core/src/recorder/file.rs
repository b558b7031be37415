//! The file: a magic, then chunks, each with its length and checksum.
//!
//! All integers are little-endian. The file begins with `ECHOREC` and a zero byte, then the u32
//! version (1). Chunks follow:
//!
//! | offset | bytes | type | content |
//! |---|---|---|---|
//! | 0 | 4 | u32 | kind |
//! | 4 | 4 | u32 | `n`, bytes of the payload, at most 2^28 + 2^20 |
//! | 8 | 4 | u32 | CRC-32 (IEEE) of kind, length and payload |
//! | 12 | n | | payload |
//!
//! | kind | payload |
//! |---|---|
//! | 1 | [`Header`] as JSON; the first chunk, once |
//! | 2 | one [`Record`] as JSON, at most 4 MiB |
//! | 3 | one frame (`recorder/image.rs`); it stands before the slot that it was chosen for |
//! | 4 | end: nothing follows. A file without it was cut off |
//!
//! A writer only appends. A reader takes every whole chunk and stops at the first one that is cut
//! off or does not have its checksum, so a crash in mid-write loses the tail and nothing else.

use super::image::{self, Image};
use super::record::{Header, Record};
use std::io::{self, Read, Write};

/// First bytes of a recording.
pub const MAGIC: [u8; 8] = *b"ECHOREC\0";
/// Version this code writes and reads.
pub const VERSION: u32 = 1;
/// Most bytes of a JSON payload.
pub const MAX_JSON_BYTES: u32 = 4 << 20;
/// Most bytes of any payload.
pub const MAX_PAYLOAD_BYTES: u32 = (1 << 28) + (1 << 20);

const CHUNK_HEADER_BYTES: usize = 12;

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 1,
    Record = 2,
    Image = 3,
    End = 4,
}

/// Why a recording is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file could not be read.
    #[error("recording: {0}")]
    Io(#[from] io::Error),
    /// It does not begin with [`MAGIC`].
    #[error("not a recording: expected it to begin with ECHOREC, found {found:02x?}")]
    Magic {
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// It has another version.
    #[error("recording version: expected {VERSION}, found {found}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// Nothing of it is whole.
    #[error("recording: expected a header, found {found}")]
    Header {
        /// What is there.
        found: String,
    },
    /// A whole chunk does not hold what it says.
    #[error("recording: {what}, chunk {chunk}")]
    Chunk {
        /// What is wrong.
        what: String,
        /// Its index, the header's is 0.
        chunk: u64,
    },
}

/// One entry of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A record.
    Record(Record),
    /// A frame, before the slot that it was chosen for.
    Image(Image),
}

/// A whole chunk.
pub(super) fn chunk(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let kind = (kind as u32).to_le_bytes();
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let mut bytes = Vec::with_capacity(CHUNK_HEADER_BYTES + payload.len());
    bytes.extend(kind);
    bytes.extend(length);
    bytes.extend(checksum(kind, length, payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

fn checksum(kind: [u8; 4], length: [u8; 4], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&kind);
    crc.update(&length);
    crc.update(payload);
    crc.finalize()
}

/// Writes the beginning of a file.
pub(super) fn begin(sink: &mut impl Write, header: &Header) -> io::Result<()> {
    sink.write_all(&MAGIC)?;
    sink.write_all(&VERSION.to_le_bytes())?;
    sink.write_all(&chunk(Kind::Header, &serde_json::to_vec(header)?))
}

/// Reads a recording entry by entry.
#[derive(Debug)]
pub struct RecordingReader<R: Read> {
    source: R,
    header: Header,
    payload: Vec<u8>,
    chunks: u64,
    ended: Option<bool>,
}

impl<R: Read> RecordingReader<R> {
    /// Reads the beginning. Buffering is the source's.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn new(mut source: R) -> Result<Self, RecordingError> {
        let mut start = Vec::new();
        (&mut source).take(12).read_to_end(&mut start)?;
        let magic = start.get(..8).unwrap_or(&start);
        if magic != &MAGIC[..magic.len()] || start.is_empty() {
            return Err(RecordingError::Magic {
                found: magic.to_vec(),
            });
        }
        let Some(version) = start.get(8..).and_then(|v| v.first_chunk::<4>()) else {
            let found = format!("a file of {} bytes", start.len());
            return Err(RecordingError::Header { found });
        };
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(RecordingError::Version { found: version });
        }
        let mut payload = Vec::new();
        let kind = read_chunk(&mut source, &mut payload)?;
        let header = match kind {
            Some(kind) if kind == Kind::Header as u32 => {
                serde_json::from_slice(&payload).map_err(|e| RecordingError::Header {
                    found: one_line(&e),
                })?
            }
            Some(kind) => {
                let found = format!("a chunk of kind {kind}");
                return Err(RecordingError::Header { found });
            }
            None => {
                let found = "one that is cut off or altered".to_owned();
                return Err(RecordingError::Header { found });
            }
        };
        Ok(Self {
            source,
            header,
            payload,
            chunks: 1,
            ended: None,
        })
    }

    /// What the session was.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Once the entries are read: whether the file was whole, or cut off.
    pub fn is_whole(&self) -> bool {
        self.ended == Some(true)
    }

    /// The next entry; none at the end, and from the first chunk on that is cut off or altered.
    /// Memory grows with what the file holds, not with what it says.
    ///
    /// # Errors
    /// [`RecordingError::Chunk`] for a whole chunk with senseless content, [`RecordingError::Io`].
    #[expect(
        clippy::should_implement_trait,
        reason = "an error ends it, so it is no iterator"
    )]
    pub fn next(&mut self) -> Result<Option<Entry>, RecordingError> {
        if self.ended.is_some() {
            return Ok(None);
        }
        self.ended = Some(false);
        let Some(kind) = read_chunk(&mut self.source, &mut self.payload)? else {
            return Ok(None);
        };
        let wrong = |what: String| RecordingError::Chunk {
            what,
            chunk: self.chunks,
        };
        let entry = match kind {
            2 => {
                let record: Record = serde_json::from_slice(&self.payload)
                    .map_err(|e| wrong(format!("record: {}", one_line(&e))))?;
                record.check().map_err(&wrong)?;
                Entry::Record(record)
            }
            3 => Entry::Image(image::decode(&self.payload).map_err(&wrong)?),
            4 => {
                self.ended = Some(true);
                return Ok(None);
            }
            found => return Err(wrong(format!("kind: expected 2, 3 or 4, found {found}"))),
        };
        self.chunks += 1;
        self.ended = None;
        Ok(Some(entry))
    }
}

fn one_line(error: &serde_json::Error) -> String {
    error.to_string().replace('\n', " ")
}

/// Reads a chunk's payload; none where it is cut off, too long or altered.
fn read_chunk(source: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<Option<u32>> {
    payload.clear();
    let mut header = Vec::with_capacity(CHUNK_HEADER_BYTES);
    source
        .take(CHUNK_HEADER_BYTES as u64)
        .read_to_end(&mut header)?;
    let ([kind, length, crc], []) = header.as_chunks::<4>() else {
        return Ok(None);
    };
    let (kind_number, bytes) = (u32::from_le_bytes(*kind), u32::from_le_bytes(*length));
    let most = match kind_number {
        3 => MAX_PAYLOAD_BYTES,
        1 | 2 => MAX_JSON_BYTES,
        _ => 0,
    };
    if bytes > most {
        return Ok(None);
    }
    let found = source.take(bytes.into()).read_to_end(payload)?;
    let whole = found as u64 == u64::from(bytes)
        && checksum(*kind, *length, payload) == u32::from_le_bytes(*crc);
    Ok(whole.then_some(kind_number))
}

/// The image of a whole image chunk.
pub(super) fn decode_image(chunk: &[u8]) -> Result<Image, String> {
    image::decode(chunk.get(CHUNK_HEADER_BYTES..).unwrap_or(&[]))
}
