//! The reader: a socket to the scanner software and its memory.

use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::FrameMeta;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::SealFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};

use super::mapping::Mapping;
use super::message::{FRAME_BYTES, HELLO_BYTES, Hello, Packet};
use super::slots::{Slots, give_back};
use crate::error::one_line;
use crate::live::{Device, Read};
use crate::{OpenOptions, SourceError};

/// Scheme of shared memory locations.
pub(crate) const SCHEME: &str = "shm:";

const FORM: &str = "shm:SOCKET without --assume-fps";
const LOOK_NANOS: i64 = 100_000_000;
/// How long a listener may take to say what its memory is like.
const HELLO_NANOS: i64 = 2_000_000_000;

struct Connection {
    socket: Arc<OwnedFd>,
    memory: File,
    hello: Hello,
    /// Of a writer whose frames are read in place.
    slots: Option<Arc<Slots>>,
}

/// The scanner software's socket, and the memory behind it.
pub(crate) struct ShmClient {
    path: PathBuf,
    connection: Option<Connection>,
}

impl ShmClient {
    /// A client for the socket of a location; connects to nothing yet.
    pub(crate) fn new(location: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let path = location.strip_prefix(SCHEME).unwrap_or(location);
        if path.is_empty() || options.assume_fps.is_some() {
            let found = match path.is_empty() {
                true => "no socket",
                false => "the option",
            };
            return Err(SourceError::Location {
                expected: FORM,
                found: found.to_owned(),
                location: one_line(location),
            });
        }
        Ok(Self {
            path: PathBuf::from(path),
            connection: None,
        })
    }
}

impl Device for ShmClient {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn kind(&self) -> &'static str {
        "shared memory"
    }

    fn timing(&self) -> String {
        let connection = self.connection.as_ref();
        let read = match connection.and_then(|c| c.slots.as_ref()) {
            Some(_) => "read in place",
            None => "copied, as the writer's protocol is version 1",
        };
        format!("time stamps of the writer, frames {read}")
    }

    fn nominal_period_nanos(&self) -> i64 {
        0
    }

    fn connect(&mut self) -> Result<(), String> {
        self.connection = None;
        let text = |error: Errno| format!("cannot connect: {error}");
        let address = SocketAddrUnix::new(self.path.as_path()).map_err(text)?;
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(text)?;
        rustix::net::connect(&socket, &address).map_err(text)?;
        if !wait(&socket, HELLO_NANOS)? {
            return Err("expected a first packet, found none within 2 s".to_owned());
        }
        let (hello, memory) = hello(&socket)?;
        let socket = Arc::new(socket);
        let slots = match hello.version {
            1 => None,
            _ => {
                let mapping = Mapping::new(&memory, &hello).map_err(|e| e.to_string())?;
                Some(Slots::new(mapping, socket.clone(), &hello))
            }
        };
        self.connection = Some(Connection {
            socket,
            memory,
            hello,
            slots,
        });
        Ok(())
    }

    fn read(&mut self, pixels: &mut FrameBuffer) -> Result<Read, String> {
        let Some(Connection {
            socket,
            memory,
            hello,
            slots,
        }) = &self.connection
        else {
            return Err("expected a connection, found none".to_owned());
        };
        if !wait(socket, LOOK_NANOS)? {
            return Ok(Read::Nothing);
        }
        let mut packet = [0; FRAME_BYTES + 1];
        let length = match rustix::net::recv(socket, &mut packet[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Err("the writer is gone".to_owned()),
            Ok((_, length)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Read::Nothing),
            Err(error) => return Err(format!("cannot read: {error}")),
        };
        let packet = packet.get(..length).unwrap_or_default();
        let (slot, meta, stride_bytes, device_nanos) =
            match Packet::read(packet, hello).map_err(|e| e.to_string())? {
                Packet::End => return Ok(Read::Ended),
                Packet::Frame {
                    slot,
                    meta,
                    stride_bytes,
                    device_nanos,
                } => (slot, meta, stride_bytes, device_nanos),
            };
        let mut loan = None;
        if let Some(slots) = slots {
            slots.announced(slot).map_err(|e| e.to_string())?;
            if stride_bytes == meta.row_bytes() {
                loan = slots.lend(slot, meta.frame_bytes());
            }
        }
        if let Some(loan) = loan {
            pixels.lend(loan);
        } else {
            let from = u64::from(slot) * hello.slot_bytes;
            let copied = copy(memory, from, &meta, stride_bytes, pixels.refill());
            give_back(socket, slot);
            copied.map_err(|error| format!("cannot read the memory: {error}"))?;
        }
        Ok(Read::Frame {
            size_px: (meta.width_px, meta.height_px),
            format: meta.format,
            device_nanos,
        })
    }
}

/// Copies a frame that lies at `from`, without what pads its rows.
fn copy(
    memory: &File,
    from: u64,
    meta: &FrameMeta,
    stride_bytes: usize,
    pixels: &mut Vec<u8>,
) -> std::io::Result<()> {
    let rows = meta.format.rows(meta.height_px as usize);
    let row_bytes = meta.row_bytes();
    // Every byte is read over.
    pixels.resize(stride_bytes * (rows - 1) + row_bytes, 0);
    memory.read_exact_at(pixels, from)?;
    if stride_bytes > row_bytes {
        for y in 1..rows {
            let from = y * stride_bytes;
            pixels.copy_within(from..from + row_bytes, y * row_bytes);
        }
        pixels.truncate(rows * row_bytes);
    }
    Ok(())
}

/// The first packet and the memory that comes with it.
fn hello(socket: &OwnedFd) -> Result<(Hello, File), String> {
    let mut packet = [0; HELLO_BYTES + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut packet)];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut into, &mut control, flags)
        .map_err(|error| format!("cannot read the first packet: {error}"))?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            files.extend(fds);
        }
    }
    let packet = packet.get(..received.bytes).unwrap_or_default();
    let hello = Hello::read(packet).map_err(|e| e.to_string())?;
    let Some(memory) = files.pop().map(File::from) else {
        return Err("shared memory: expected a descriptor, found none".to_owned());
    };
    let seals = rustix::fs::fcntl_get_seals(&memory).unwrap_or(SealFlags::empty());
    if !seals.contains(SealFlags::SHRINK) {
        let found = "one that may shrink";
        return Err(format!(
            "shared memory: expected a file sealed against shrinking, found {found}"
        ));
    }
    let bytes = memory.metadata().map_or(0, |m| m.len());
    if bytes < hello.bytes() {
        let expected = hello.bytes();
        return Err(format!(
            "shared memory: expected at least {expected} bytes, found {bytes}"
        ));
    }
    Ok((hello, memory))
}

/// Whether something can be read within `nanos`.
fn wait(socket: &OwnedFd, nanos: i64) -> Result<bool, String> {
    let timeout = Timespec {
        tv_sec: nanos / 1_000_000_000,
        tv_nsec: nanos % 1_000_000_000,
    };
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(format!("cannot wait: {error}")),
    }
}
