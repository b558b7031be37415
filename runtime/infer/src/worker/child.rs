//! A worker's process, seen from the host.

use super::link::{Shared, Socket, above_standard};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A worker that was started. Dropping it kills and reaps it.
#[derive(Debug)]
pub(super) struct Child {
    pub socket: Arc<Socket>,
    pub shared: Arc<Shared>,
    pub pid: u32,
    handle: OwnedFd,
    reaped: bool,
}

impl Child {
    /// Starts the worker in a process group of its own, so that a terminal's Ctrl-C is the host's
    /// alone. The calling thread must live as long as the worker: its end is the worker's.
    pub fn start(executable: &Path, values: usize) -> io::Result<Self> {
        let (socket, theirs) = Socket::pair()?;
        let shared = Shared::create(values)?;
        let mut command = Command::new(executable);
        command
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(shared.handle()?))
            .stderr(Stdio::null())
            .process_group(0);
        let process = command.spawn()?;
        let pid = process.id();
        let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let known = known.ok_or_else(|| io::Error::other("a process without a number"))?;
        Ok(Self {
            socket: Arc::new(socket),
            shared: Arc::new(shared),
            pid,
            handle: above_standard(pidfd_open(known, PidfdFlags::empty())?)?,
            reaped: false,
        })
    }

    /// Kills and reaps it; gives how it ended.
    pub fn end(&mut self) -> String {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        self.reap()
    }

    /// After its socket has closed: gives how it ended, without a signal where it can be had.
    pub fn end_of_itself(&mut self) -> String {
        for _ in 0..20 {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            match waitid(WaitId::PidFd(self.handle.as_fd()), options) {
                Ok(None) => std::thread::sleep(std::time::Duration::from_millis(1)),
                _ => break,
            }
        }
        self.end()
    }

    fn reap(&mut self) -> String {
        let id = || WaitId::PidFd(self.handle.as_fd());
        let status = loop {
            match waitid(id(), WaitIdOptions::EXITED) {
                Err(rustix::io::Errno::INTR) => {}
                status => break status.ok().flatten(),
            }
        };
        self.reaped = true;
        let signal = status.as_ref().and_then(|s| s.terminating_signal());
        let code = status.as_ref().and_then(|s| s.exit_status());
        match (signal, code) {
            (Some(signal), _) => format!("it was ended by signal {signal}"),
            (_, Some(code)) => format!("it ended with status {code}"),
            _ => "it is gone".to_owned(),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.end();
        }
    }
}
