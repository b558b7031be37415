//! The page and the WebSocket: live image, estimates and reasons for a browser on this machine.
//!
//! The pipeline hands over through [`Hub`] and [`ImageFeed`], which never wait for a reader.
//! Everything asynchronous lives on one thread behind [`start`]; no other module uses tokio.
//!
//! A reader of `/ws` is sent
//! - text: the events of `echocart_core::events`, one JSON object each, and every 200 ms
//!   `{"type":"clock","now_nanos":N,"previews_skipped":K,"ladder":L}`, the session's clock and the
//!   heartbeat; with `[serve.exam]` also the exam, whenever it changes;
//! - binary: the newest image, a JPEG after 16 bytes little endian (frame number u64, capture time
//!   i64 nanoseconds).
//!
//! It may answer each image with the text `seen`; from the first `seen` on, no more than three
//! images are on their way to it. `docs/events.md` describes all of it for vendors.

mod client;
mod exam;
mod feed;
mod guard;
mod guard_rate;
mod health;
mod http;
mod hub;
mod login;
#[cfg(test)]
mod tests;
mod tls;
mod token;

pub use exam::{Desk, ExamTicket};
pub use feed::ImageFeed;
pub use hub::Hub;

use crate::metrics::Metrics;
use echocart_core::config::RemoteConfig as Remote;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const FAREWELL_LIMIT: Duration = Duration::from_millis(200);
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(100);

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is no address with a port, or not a loopback address without token and TLS.
    #[error(
        "`serve.address`: expected a loopback address and port, or any with [serve.remote] (token \
         and TLS), found {address:?}"
    )]
    Address {
        /// As configured.
        address: String,
    },
    /// Another process listens there.
    #[error(
        "port in use: expected a free port for the page (change `serve.address` in the config or \
         end the other program), found one already listening at {address}"
    )]
    InUse {
        /// As configured.
        address: SocketAddr,
    },
    /// The system refuses the address for another reason.
    #[error("cannot serve the page: {source}: {address}")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Token, certificate or key cannot be used.
    #[error("`serve.remote.{key}`: {message} ({path})")]
    Remote {
        /// Key of the configuration.
        key: &'static str,
        /// What, expected and found.
        message: String,
        /// The file.
        path: PathBuf,
    },
    /// The system gives no thread or no event loop.
    #[error("cannot start the page's thread: {source}")]
    Thread {
        /// The system's reason.
        source: std::io::Error,
    },
}

impl ServeError {
    fn remote(key: &'static str, message: String, path: &Path) -> Self {
        Self::Remote {
            key,
            message,
            path: path.to_owned(),
        }
    }
}

/// Where the page is served, to whom, and what a monitor is told.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// Address and port.
    pub address: String,
    /// Token and TLS; without them only this machine is served.
    pub remote: Option<Remote>,
    /// For `/metrics`, `/healthz` and `/readyz`.
    pub metrics: Metrics,
}

/// A running page. Ends when stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    secure: bool,
    stopped: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Where the page is: the configured address, with the port the system chose for port 0.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Where a browser finds it.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.local_address())
    }

    /// Sends every reader what is queued, closes the connections and ends the thread.
    ///
    /// # Real-time
    /// Blocks for 300 ms at most, whatever the readers do.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves the page from a thread of its own. `clock` gives the session's time.
///
/// # Units
/// `clock` returns nanoseconds on the clock that stamps frames and events.
///
/// # Errors
/// [`ServeError`]; nothing is then left running.
pub fn start(
    serving: &Serving,
    hub: Hub,
    clock: impl Fn() -> i64 + Send + Sync + 'static,
) -> Result<Server, ServeError> {
    let Serving {
        address,
        remote,
        metrics,
    } = serving;
    let wanted: SocketAddr = address
        .parse()
        .ok()
        .filter(|a: &SocketAddr| remote.is_some() || a.ip().is_loopback())
        .ok_or_else(|| ServeError::Address {
            address: address.to_owned(),
        })?;
    let guard = guard::Guard::new(remote.as_ref())?;
    let tls = remote.as_ref().map(tls::acceptor).transpose()?;
    let bind = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::InUse { address: wanted },
        _ => ServeError::Bind {
            address: wanted,
            source,
        },
    };
    let listener = TcpListener::bind(wanted).map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("serve-io")
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| ServeError::Thread { source })?;
    let (stopped, stop) = watch::channel(false);
    let state = http::AppState::new(hub, clock, stop, guard, metrics.clone());
    let thread = std::thread::Builder::new()
        .name("serve".to_owned())
        .spawn(move || serve(runtime, listener, tls, state))
        .map_err(|source| ServeError::Thread { source })?;
    Ok(Server {
        address: bound,
        secure: remote.is_some(),
        stopped,
        thread: Some(thread),
    })
}

fn serve(runtime: Runtime, listener: TcpListener, tls: Option<TlsAcceptor>, state: http::AppState) {
    let mut stop = state.stop.clone();
    let hub = state.hub.clone();
    runtime.block_on(async {
        tokio::select! {
            _ = http::answer(listener, tls, state.clone()) => {}
            () = hub.keep_exam() => {}
            _ = stop.wait_for(|stopped| *stopped) => {}
        }
        let _ = tokio::time::timeout(FAREWELL_LIMIT, state.all_clients_gone()).await;
    });
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    if let Some(desk) = hub.desk() {
        desk.save();
    }
}
