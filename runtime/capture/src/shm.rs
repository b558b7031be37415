//! Frames of scanner software on the same machine, through shared memory.
//!
//! The scanner software listens on a Unix socket (SOCK_SEQPACKET) and echocart connects. Every
//! number is little-endian. The first packet of the listener is 24 bytes and brings one descriptor
//! (SCM_RIGHTS), a memory file that is sealed against shrinking:
//!
//! | offset | bytes | type | content |
//! |---|---|---|---|
//! | 0 | 8 | text | `ECHOSHM` and a zero byte |
//! | 8 | 4 | u32 | version: 2, frames are read in place; 1, they are copied |
//! | 12 | 4 | u32 | slots, 3 to 64; of version 1, 1 to 64 |
//! | 16 | 8 | u64 | bytes of a slot, at most 1 GiB; the file holds all slots, one after the other |
//!
//! Then a packet of 32 bytes for each frame, once its pixels are in a slot that is free:
//!
//! | offset | bytes | type | content |
//! |---|---|---|---|
//! | 0 | 4 | u32 | 1: a frame; 3: the stream is over, nothing follows |
//! | 4 | 4 | u32 | slot |
//! | 8 | 4 | u32 | width, pixels |
//! | 12 | 4 | u32 | height, pixels |
//! | 16 | 4 | u32 | bytes from one row to the next; NV12's second plane follows the first |
//! | 20 | 4 | u32 | 1 GRAY8, 2 RGB24, 3 BGRA32, 4 YUY2, 5 NV12 |
//! | 24 | 8 | i64 | capture time in nanoseconds of any clock; negative: none |
//!
//! echocart answers each with 8 bytes, 2 and the slot: it may be written again. Answers may come in
//! another order than the frames. A writer without a free slot drops its frame and counts it; it
//! never waits, and never writes a slot that it does not have back.
//!
//! A writer of version 2 has memory of ordinary pages, and its frames go through the pipeline where
//! they lie: a slot comes back when the last thread has done with its frame. echocart keeps at
//! most all slots but two, and only a few while it keeps up; a frame beyond them, or one whose rows
//! are padded, is copied, and its slot comes back at once. So it is with every frame of version 1.
//! Slots that have not come back when a connection ends are free once the socket is closed at
//! echocart's end, and not before: its last frames may still be read.
//!
//! The seal keeps a writer from ending this process by taking memory away. Nothing keeps it from
//! changing a frame that is read, which shows as wrong pixels. A writer whose process maps the
//! memory can add `F_SEAL_FUTURE_WRITE`: then nobody else can write it.

mod client;
mod mapping;
mod message;
mod slots;

pub(crate) use client::{SCHEME, ShmClient};
pub use message::{Hello, Packet, ShmError};
