//! Frames of scanner software on the same machine, through shared memory.
//!
//! The scanner software listens on a Unix socket (SOCK_SEQPACKET) and echocart connects. Every
//! number is little-endian. The first packet of the listener is 24 bytes and brings one descriptor
//! (SCM_RIGHTS), a memory file that is sealed against shrinking:
//!
//! | offset | bytes | type | content |
//! |---|---|---|---|
//! | 0 | 8 | text | `ECHOSHM` and a zero byte |
//! | 8 | 4 | u32 | version: 1 |
//! | 12 | 4 | u32 | slots, 1 to 64 |
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
//! echocart answers each with 8 bytes, 2 and the slot: it may be written again. A writer without a
//! free slot drops its frame; it never waits. Memory is read by `pread` into the buffer that goes
//! through the pipeline, one copy, and never mapped: a writer cannot end this process.

mod client;
mod message;

pub(crate) use client::{SCHEME, ShmClient};
pub use message::{Hello, Packet, ShmError};
