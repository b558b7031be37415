//! The two things a host and its worker share: a socket for messages and memory for numbers.
//!
//! The memory is read and written by calls and never mapped: what the other side does to it can
//! then neither end this process nor change a slice under its reader.

use super::message::{MOST_BYTES, Message};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// What came over the socket.
#[derive(Debug)]
pub(super) enum Heard {
    Message(Message),
    /// Nothing within the time given.
    Silence,
    /// The other side is gone.
    End,
}

/// The same under a number above those of the standard streams: a host that has closed one of them
/// would otherwise print into it.
pub(super) fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    const FIRST: RawFd = 3;
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, FIRST)?)
}

/// A side's end of the socket.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    pub fn of(end: OwnedFd) -> Self {
        Self(end)
    }

    /// This side's end and the other's.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(above_standard(ours)?), above_standard(theirs)?))
    }

    /// Sends without waiting for room and without a signal when nobody listens.
    pub fn send(&self, message: &Message) -> io::Result<()> {
        let packet = message.packet();
        if packet.len() > MOST_BYTES {
            let error = format!(
                "message: expected at most {MOST_BYTES} bytes, found {}",
                packet.len()
            );
            return Err(io::Error::other(error));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::send(&self.0, &packet, flags)?;
        Ok(())
    }

    /// Waits for a message, without end where `patience` is none.
    pub fn hear(&self, patience: Option<Duration>, packet: &mut Vec<u8>) -> io::Result<Heard> {
        let timeout = patience.map(|p| Timespec {
            tv_sec: i64::try_from(p.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: p.subsec_nanos().into(),
        });
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(Heard::Silence),
            outcome => outcome?,
        };
        packet.resize(MOST_BYTES, 0);
        let length = match rustix::net::recv(&self.0, packet.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(Heard::End),
            Ok((_, length)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Heard::Silence),
            Err(error) => return Err(error.into()),
        };
        let message = Message::read(packet.get(..length).unwrap_or_default());
        message.map(Heard::Message).map_err(io::Error::other)
    }
}

/// Memory for 32-bit floats that both sides hold.
#[derive(Debug)]
pub(super) struct Shared {
    file: File,
    values: usize,
}

impl Shared {
    /// Memory of a fixed size.
    pub fn create(values: usize) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = rustix::fs::memfd_create("echocart", flags)?;
        let file = File::from(above_standard(memory)?);
        file.set_len(values as u64 * 4)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok(Self { file, values })
    }

    /// The other side's memory.
    pub fn of(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let values = usize::try_from(file.metadata()?.len() / 4).map_err(io::Error::other)?;
        Ok(Self { file, values })
    }

    /// The same memory for a process that is about to be started.
    pub fn handle(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Copies `values` in, from place `at` on.
    pub fn write(&self, values: &[f32], at: usize) -> io::Result<()> {
        self.within(values.len(), at)?;
        self.file
            .write_all_at(bytemuck::cast_slice(values), at as u64 * 4)
    }

    /// Fills `values` from place `at` on.
    pub fn read(&self, values: &mut [f32], at: usize) -> io::Result<()> {
        self.within(values.len(), at)?;
        self.file
            .read_exact_at(bytemuck::cast_slice_mut(values), at as u64 * 4)
    }

    fn within(&self, count: usize, at: usize) -> io::Result<()> {
        if at.checked_add(count).is_some_and(|end| end <= self.values) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "shared memory: expected at most {} values, found {count} from {at}",
            self.values
        )))
    }
}
