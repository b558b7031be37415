//! echocart's protocol: a sealed memory file and packets on a socket.

use crate::figures::{Seen, paced};
use crate::shm_writer::{Listener, Picture, memory};
use crate::{FRAME_BYTES, HEIGHT_PX, Outcome, WIDTH_PX};
use echocart_capture::shm::{Hello, Packet};
use echocart_capture::{OpenOptions, Polled};
use echocart_core::buffer::FrameBuffer;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

const SLOTS: u32 = 4;

/// How a process gets at the pixels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By `pwrite` or `pread`.
    Calls,
    Mapped,
}

pub fn write(place: &str, frames: u64, way: Way) -> Outcome<()> {
    let listener = Listener::bind(Path::new(place));
    let slot_bytes = FRAME_BYTES as u64;
    let memory = memory(slot_bytes * u64::from(SLOTS), SealFlags::SHRINK);
    let bytes = slot_bytes as usize * SLOTS as usize;
    let mapped: &mut [u8] = match way {
        Way::Calls => &mut [],
        Way::Mapped => {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            let start = map(&memory, bytes, access)?;
            // SAFETY: a new mapping that is never unmapped; a slot is only touched while it is
            // the writer's.
            unsafe { std::slice::from_raw_parts_mut(start, bytes) }
        }
    };
    let version = match way {
        Way::Calls => 1,
        Way::Mapped => 2,
    };
    let mut writer = listener.accept(memory, version, SLOTS, slot_bytes);
    paced(frames, |pixels| {
        let picture = Picture {
            width_px: WIDTH_PX,
            height_px: HEIGHT_PX,
            stride_bytes: WIDTH_PX,
            format: 1,
            stamp_nanos: 0,
            pixels,
        };
        if way == Way::Calls {
            writer.frame(picture);
        } else if let Some(slot) = writer.slot() {
            let at = slot as usize * FRAME_BYTES;
            mapped[at..at + FRAME_BYTES].copy_from_slice(pixels);
            writer.packet(1, slot, picture);
        }
        Ok(())
    })
}

/// Maps all slots.
fn map(memory: &File, bytes: usize, access: ProtFlags) -> Outcome<*mut u8> {
    // SAFETY: a new mapping of a file that is sealed against shrinking.
    let start = unsafe {
        mmap(
            std::ptr::null_mut(),
            bytes,
            access,
            MapFlags::SHARED,
            memory,
            0,
        )
    };
    Ok(start?.cast())
}

pub fn read(place: &str, way: Way) -> Outcome<()> {
    let socket = connected(place)?;
    let (hello, memory) = first_packet(&socket)?;
    let bytes = hello.bytes() as usize;
    let mapped: &[u8] = match way {
        Way::Calls => &[],
        Way::Mapped => {
            let start = map(&memory, bytes, ProtFlags::READ)?;
            // SAFETY: a new mapping that is never unmapped; a slot is only looked at while it is
            // the reader's.
            unsafe { std::slice::from_raw_parts(start, bytes) }
        }
    };
    let mut seen = Seen::default();
    let mut pixels = vec![0; FRAME_BYTES];
    loop {
        poll(&mut [PollFd::new(&socket, PollFlags::IN)], None)?;
        let mut packet = [0; 33];
        let length = match rustix::net::recv(&socket, &mut packet[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(rustix::io::Errno::CONNRESET) => break,
            Ok((_, length)) => length,
            Err(error) => return Err(error.into()),
        };
        let packet = packet.get(..length).unwrap_or_default();
        let Packet::Frame { slot, .. } = Packet::read(packet, &hello)? else {
            break;
        };
        let from = slot as usize * hello.slot_bytes as usize;
        match way {
            Way::Calls => {
                memory.read_exact_at(&mut pixels, from as u64)?;
                release(&socket, slot)?;
                seen.frame(&pixels);
            }
            Way::Mapped => {
                seen.frame(mapped.get(from..from + FRAME_BYTES).unwrap_or_default());
                release(&socket, slot)?;
            }
        }
    }
    seen.tell();
    Ok(())
}

/// The same frames through echocart's source.
pub fn source(place: &str) -> Outcome<()> {
    wait_for(place);
    let location = format!("shm:{place}");
    let mut source = echocart_capture::open(&location, &OpenOptions::default())?;
    let mut seen = Seen::default();
    let mut pixels = FrameBuffer::default();
    loop {
        match source.poll(&mut pixels, Duration::from_secs(1))? {
            Polled::Frame(_) => seen.frame(&pixels),
            Polled::Silent | Polled::Back { .. } => {}
            Polled::Lost { .. } | Polled::Ended => break,
        }
    }
    seen.tell();
    Ok(())
}

fn release(socket: &OwnedFd, slot: u32) -> Outcome<()> {
    let mut free = [2, 0, 0, 0, 0, 0, 0, 0];
    free[4..].copy_from_slice(&slot.to_le_bytes());
    match rustix::net::send(socket, &free, SendFlags::NOSIGNAL) {
        Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn wait_for(place: &str) {
    while !Path::new(place).exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn connected(place: &str) -> Outcome<OwnedFd> {
    wait_for(place);
    let flags = SocketFlags::CLOEXEC;
    loop {
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        match rustix::net::connect(&socket, &SocketAddrUnix::new(place)?) {
            Ok(()) => return Ok(socket),
            Err(rustix::io::Errno::CONNREFUSED) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error.into()),
        }
    }
}

fn first_packet(socket: &OwnedFd) -> Outcome<(Hello, File)> {
    let mut packet = [0; 25];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut packet)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut into, &mut control, flags)?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let hello = Hello::read(packet.get(..received.bytes).unwrap_or_default())?;
    let file = file.ok_or("the first packet: expected a descriptor, found none")?;
    Ok((hello, File::from(file)))
}
