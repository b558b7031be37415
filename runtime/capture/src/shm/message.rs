//! The packets of a writer, checked.

use echocart_core::frame::{FrameMeta, PixelFormat, PixelLayout};
use echocart_core::preprocess::MAX_SIDE_PX;

/// Bytes of the first packet.
pub(super) const HELLO_BYTES: usize = 24;
/// Bytes of every later one.
pub(super) const FRAME_BYTES: usize = 32;

const MAGIC: &[u8] = b"ECHOSHM\0";
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;
const MOST_SLOTS: u32 = 64;
/// Slots that are never lent: one that is written and one on its way.
pub(super) const FREE_SLOTS: u32 = 2;
const MOST_SLOT_BYTES: u64 = 1 << 30;

/// Why a packet is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shared memory: {what}: expected {expected}, found {found}")]
pub struct ShmError {
    what: &'static str,
    expected: String,
    found: String,
}

pub(super) fn wrong<T>(
    what: &'static str,
    expected: impl ToString,
    found: impl ToString,
) -> Result<T, ShmError> {
    Err(ShmError {
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

/// The first packet: what the memory is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Version of the protocol: 1, frames are copied; 2, they are read in place.
    pub version: u32,
    /// Number of slots.
    pub slots: u32,
    /// Bytes of each.
    pub slot_bytes: u64,
}

impl Hello {
    /// Reads the first packet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(packet: &[u8]) -> Result<Self, ShmError> {
        let Some(packet) = packet.first_chunk::<HELLO_BYTES>() else {
            return wrong("first packet", "24 bytes", packet.len());
        };
        if !packet.starts_with(MAGIC) {
            return wrong("first packet", "ECHOSHM", format!("{:02x?}", &packet[..8]));
        }
        let (version, slots) = (word(packet, 8), word(packet, 12));
        if !VERSIONS.contains(&version) {
            return wrong("version", "1 or 2", version);
        }
        let least = if version == 1 { 1 } else { FREE_SLOTS + 1 };
        if !(least..=MOST_SLOTS).contains(&slots) {
            return wrong("slots", format!("{least} to {MOST_SLOTS}"), slots);
        }
        let slot_bytes = u64::from(word(packet, 16)) | u64::from(word(packet, 20)) << 32;
        if !(1..=MOST_SLOT_BYTES).contains(&slot_bytes) {
            let most = format!("1 to {MOST_SLOT_BYTES}");
            return wrong("bytes of a slot", most, slot_bytes);
        }
        Ok(Self {
            version,
            slots,
            slot_bytes,
        })
    }

    /// Bytes of all slots.
    pub fn bytes(&self) -> u64 {
        u64::from(self.slots) * self.slot_bytes
    }
}

/// A later packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// A frame lies in a slot.
    Frame {
        /// Which slot.
        slot: u32,
        /// What it is; its time is set by the reader.
        meta: FrameMeta,
        /// Bytes from one row to the next.
        stride_bytes: usize,
        /// The writer's own time.
        device_nanos: Option<i64>,
    },
    /// The stream is over.
    End,
}

impl Packet {
    /// Reads a packet of a writer that said `hello`.
    ///
    /// # Errors
    /// What is wrong with it. Every frame that is given lies within its slot.
    pub fn read(packet: &[u8], hello: &Hello) -> Result<Self, ShmError> {
        let Some(packet) = packet.first_chunk::<FRAME_BYTES>() else {
            return wrong("packet", "32 bytes", packet.len());
        };
        match word(packet, 0) {
            1 => {}
            3 => return Ok(Self::End),
            found => return wrong("packet", "1 or 3", found),
        }
        let slot = word(packet, 4);
        if slot >= hello.slots {
            return wrong("slot", format!("below {}", hello.slots), slot);
        }
        let (width_px, height_px) = (word(packet, 8), word(packet, 12));
        let sides = 1..=MAX_SIDE_PX;
        if !sides.contains(&width_px) || !sides.contains(&height_px) {
            let found = format!("{width_px}x{height_px}");
            return wrong("size", format!("sides of 1 to {MAX_SIDE_PX} px"), found);
        }
        let format = match word(packet, 20) {
            1 => PixelFormat::Gray8,
            2 => PixelFormat::Rgb24,
            3 => PixelFormat::Bgra32,
            4 => PixelFormat::Yuy2,
            5 => PixelFormat::Nv12,
            found => return wrong("format", "1 to 5", found),
        };
        let meta = FrameMeta {
            width_px,
            height_px,
            format,
            capture_nanos: 0,
            pass: 0,
            host: Default::default(),
        };
        let (across, down) = format.granule_px();
        if !width_px.is_multiple_of(across) || !height_px.is_multiple_of(down) {
            let found = format!("{width_px}x{height_px}");
            return wrong("size", format!("even sides for {format}"), found);
        }
        let stride_bytes = word(packet, 16) as usize;
        let layout = PixelLayout {
            stride_bytes,
            chroma_offset_bytes: stride_bytes.saturating_mul(height_px as usize),
        };
        if stride_bytes < meta.row_bytes() {
            let least = format!("at least {}", meta.row_bytes());
            return wrong("bytes of a row", least, stride_bytes);
        }
        let needed = layout.needed_bytes(&meta);
        if needed > hello.slot_bytes {
            let most = format!("at most {}", hello.slot_bytes);
            return wrong("bytes of a frame", most, needed);
        }
        let stamp = u64::from(word(packet, 24)) | u64::from(word(packet, 28)) << 32;
        let stamp = stamp.cast_signed();
        Ok(Self::Frame {
            slot,
            meta,
            stride_bytes,
            device_nanos: (stamp >= 0).then_some(stamp),
        })
    }
}

/// The u32 at `at` of a packet that holds it.
fn word(packet: &[u8], at: usize) -> u32 {
    let bytes = packet.get(at..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
