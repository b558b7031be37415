//! What scanner software does to hand its frames over: the protocol's other side, as small as it
//! gets.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![expect(clippy::unwrap_used, reason = "test helpers")]

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A socket that waits for a reader.
pub struct Listener(OwnedFd);

impl Listener {
    pub fn bind(path: &Path) -> Self {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&socket, 1).unwrap();
        Self(socket)
    }

    /// Takes a reader and hands it `memory`, said to be `slots` times `slot_bytes`, in a version
    /// of the protocol.
    pub fn accept(&self, memory: File, version: u32, slots: u32, slot_bytes: u64) -> Writer {
        let socket = rustix::net::accept(&self.0).unwrap();
        let mut hello = b"ECHOSHM\0".to_vec();
        hello.extend(version.to_le_bytes());
        hello.extend(slots.to_le_bytes());
        hello.extend(slot_bytes.to_le_bytes());
        let fds = [memory.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let parts = [IoSlice::new(&hello)];
        rustix::net::sendmsg(&socket, &parts, &mut control, SendFlags::NOSIGNAL).unwrap();
        Writer {
            socket,
            memory,
            slot_bytes,
            free: (0..slots).collect(),
            dropped: 0,
        }
    }
}

/// Memory of `bytes` bytes, sealed with `seals`.
pub fn memory(bytes: u64, seals: SealFlags) -> File {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create("frames", flags).unwrap());
    file.set_len(bytes).unwrap();
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file
}

/// Waits for something that another thread does.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "never {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A frame that is about to be written.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    pub width_px: u32,
    pub height_px: u32,
    pub stride_bytes: u32,
    pub format: u32,
    pub stamp_nanos: i64,
    pub pixels: &'a [u8],
}

/// The writer's end.
pub struct Writer {
    socket: OwnedFd,
    memory: File,
    slot_bytes: u64,
    free: Vec<u32>,
    dropped: u64,
}

impl Writer {
    /// Hands a frame over; false when no slot is free and the frame is dropped.
    pub fn frame(&mut self, picture: Picture<'_>) -> bool {
        let Some(slot) = self.slot() else {
            self.dropped += 1;
            return false;
        };
        self.scribble(slot, picture.pixels);
        self.packet(1, slot, picture);
        true
    }

    /// A slot that may be written.
    pub fn slot(&mut self) -> Option<u32> {
        self.take_back();
        self.free.pop()
    }

    /// Slots that may be written.
    pub fn free_slots(&mut self) -> usize {
        self.take_back();
        self.free.len()
    }

    /// Frames for which no slot was free.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// True once the reader has closed its end: every slot is then free.
    pub fn is_closed(&mut self) -> bool {
        self.take_back();
        let mut packet = [0; 8];
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        let read = rustix::net::recv(&self.socket, &mut packet[..], flags);
        !matches!(read, Ok((_, 8)) | Err(rustix::io::Errno::AGAIN))
    }

    /// Writes a slot, whoever has it.
    pub fn scribble(&self, slot: u32, pixels: &[u8]) {
        let at = u64::from(slot) * self.slot_bytes;
        self.memory.write_all_at(pixels, at).unwrap();
    }

    pub fn packet(&self, kind: u32, slot: u32, picture: Picture<'_>) {
        let mut packet = Vec::new();
        for word in [
            kind,
            slot,
            picture.width_px,
            picture.height_px,
            picture.stride_bytes,
            picture.format,
        ] {
            packet.extend(word.to_le_bytes());
        }
        packet.extend(picture.stamp_nanos.to_le_bytes());
        let _ = rustix::net::send(&self.socket, &packet, SendFlags::NOSIGNAL);
    }

    fn take_back(&mut self) {
        let mut packet = [0; 8];
        while let Ok((_, 8)) = rustix::net::recv(&self.socket, &mut packet[..], RecvFlags::DONTWAIT)
        {
            let slot = [packet[4], packet[5], packet[6], packet[7]];
            self.free.push(u32::from_le_bytes(slot));
        }
    }
}
