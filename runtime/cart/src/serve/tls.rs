//! Connections, with TLS where the page is served to other machines.

use super::{Remote, ServeError};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// How long a client may take to agree on keys.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// Clients that may be agreeing on keys at once; others wait in the system's queue.
const HANDSHAKES: usize = 32;
/// Pause after the system refuses a connection, for example for want of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Reads certificate and key.
///
/// # Errors
/// [`ServeError::Remote`] naming the key of the configuration and the file.
pub(super) fn acceptor(remote: &Remote) -> Result<TlsAcceptor, ServeError> {
    let path = &remote.certificate_file;
    let wrong = |message: String| ServeError::remote("certificate_file", message, path);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|e| wrong(format!("cannot read: {e}")))?
        .collect();
    let chain = chain.map_err(|e| wrong(format!("not PEM: {e}")))?;
    let Some(own) = chain.first() else {
        let message = "expected one or more PEM certificates, found none".to_owned();
        return Err(wrong(message));
    };
    ParsedCertificate::try_from(own)
        .map_err(|e| wrong(format!("expected an X.509 certificate: {e}")))?;
    private(&remote.key_file, "key_file")?;
    let wrong = |message: String| ServeError::remote("key_file", message, &remote.key_file);
    let key = PrivateKeyDer::from_pem_file(&remote.key_file)
        .map_err(|e| wrong(format!("expected a PEM private key: {e}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| wrong(format!("certificate and key do not fit: {e}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Refuses a secret that everybody on this machine can read.
pub(super) fn private(path: &Path, key: &'static str) -> Result<(), ServeError> {
    let wrong = |message: String| ServeError::remote(key, message, path);
    let meta = std::fs::metadata(path).map_err(|e| wrong(format!("cannot read: {e}")))?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o007 == 0 {
        return Ok(());
    }
    Err(wrong(format!(
        "expected a file that others cannot read (chmod 600), found mode {mode:o}"
    )))
}

/// One connection's bytes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client(pub SocketAddr);

/// Gives connections that are ready to be served.
pub(super) struct Gate {
    ready: Receiver<(Box<dyn Stream>, SocketAddr)>,
}

impl Gate {
    pub fn open(
        listener: std::net::TcpListener,
        tls: Option<TlsAcceptor>,
    ) -> Result<Self, std::io::Error> {
        let listener = TcpListener::from_std(listener)?;
        let (sender, ready) = mpsc::channel(HANDSHAKES);
        tokio::spawn(accept(listener, tls, sender));
        Ok(Self { ready })
    }

    /// Waits for the next connection.
    pub async fn accept(&mut self) -> (Box<dyn Stream>, Client) {
        match self.ready.recv().await {
            Some((stream, address)) => (stream, Client(address)),
            None => std::future::pending().await,
        }
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    sender: Sender<(Box<dyn Stream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    while !sender.is_closed() {
        let (connection, client) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => {
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            },
            () = sender.closed() => return,
        };
        let _ = connection.set_nodelay(true);
        let Some(tls) = &tls else {
            let connection: Box<dyn Stream> = Box::new(connection);
            let _ = sender.send((connection, client)).await;
            continue;
        };
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        tokio::spawn(shake(
            tls.clone(),
            connection,
            client,
            sender.clone(),
            place,
        ));
    }
}

async fn shake(
    tls: TlsAcceptor,
    connection: TcpStream,
    client: SocketAddr,
    sender: Sender<(Box<dyn Stream>, SocketAddr)>,
    place: OwnedSemaphorePermit,
) {
    match timeout(HANDSHAKE_LIMIT, tls.accept(connection)).await {
        Ok(Ok(stream)) => {
            let stream: Box<dyn Stream> = Box::new(stream);
            let _ = sender.send((stream, client)).await;
        }
        Ok(Err(error)) => tracing::debug!(client = %client.ip(), %error, "no TLS agreed"),
        Err(_) => tracing::debug!(client = %client.ip(), "TLS not agreed in time"),
    }
    drop(place);
}
