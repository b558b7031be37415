//! Routes: embedded files, the WebSocket and what a monitor asks, each with headers that allow nothing else.

use super::guard::Guard;
use super::tls::{Client, Gate};
use super::{Hub, client, exam, health, login};
use crate::metrics::Metrics;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

const MAX_CLIENTS: u32 = 16;
/// Connections at once; others wait in the system's queue.
const MAX_CONNECTIONS: usize = 128;
/// How long a client may take to send a request's head, or to send none on an open connection.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// How long a request may take from its head to its answer's.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const MAX_MESSAGE_FROM_CLIENT_BYTES: usize = 256;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, content type and text of every embedded file.
pub(super) const FILES: [(&str, &str, &str); 21] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/summary", HTML, include_str!("page/summary.html")),
    ("/announce.js", SCRIPT, include_str!("page/announce.js")),
    ("/app.js", SCRIPT, include_str!("page/app.js")),
    ("/captured.js", SCRIPT, include_str!("page/captured.js")),
    ("/desk.js", SCRIPT, include_str!("page/desk.js")),
    ("/ef.js", SCRIPT, include_str!("page/ef.js")),
    ("/exam.js", SCRIPT, include_str!("page/exam.js")),
    ("/image.js", SCRIPT, include_str!("page/image.js")),
    ("/link.js", SCRIPT, include_str!("page/link.js")),
    ("/panel.js", SCRIPT, include_str!("page/panel.js")),
    ("/player.js", SCRIPT, include_str!("page/player.js")),
    ("/summary.js", SCRIPT, include_str!("page/summary.js")),
    ("/words.js", SCRIPT, include_str!("page/words.js")),
    ("/words_de.js", SCRIPT, include_str!("page/words_de.js")),
    ("/words_en.js", SCRIPT, include_str!("page/words_en.js")),
    ("/base.css", STYLE, include_str!("page/base.css")),
    ("/exam.css", STYLE, include_str!("page/exam.css")),
    ("/style.css", STYLE, include_str!("page/style.css")),
    ("/summary.css", STYLE, include_str!("page/summary.css")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
];

/// What every connection shares.
#[derive(Clone)]
pub(super) struct AppState {
    pub(super) hub: Hub,
    pub(super) clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) guard: Arc<Guard>,
    pub(super) metrics: Metrics,
    places: Arc<Semaphore>,
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").finish_non_exhaustive()
    }
}

impl AppState {
    pub(super) fn new(
        hub: Hub,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
        stop: watch::Receiver<bool>,
        guard: Guard,
        metrics: Metrics,
    ) -> Self {
        Self {
            hub,
            clock: Arc::new(clock),
            stop,
            guard: Arc::new(guard),
            metrics,
            places: Arc::new(Semaphore::new(MAX_CLIENTS as usize)),
        }
    }

    /// Resolves when every reader's connection has ended.
    pub(super) async fn all_clients_gone(&self) {
        let _ = self.places.acquire_many(MAX_CLIENTS).await;
    }
}

/// Accepts connections until dropped.
pub(super) async fn answer(
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    state: AppState,
) -> Result<(), std::io::Error> {
    let mut gate = Gate::open(listener, tls)?;
    let routes = routes(state);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = places.clone().acquire_owned().await {
        let (stream, client) = gate.accept().await;
        let routes = routes.clone().layer(Extension(ConnectInfo(client)));
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            server
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_LIMIT);
            let service = TowerToHyperService::new(routes);
            let connection = server.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(client = %client.0.ip(), %error, "connection ended");
            }
            drop(place);
        });
    }
    Ok(())
}

fn routes(state: AppState) -> Router {
    let mut router = Router::new()
        .route("/ws", get(upgrade))
        .merge(health::routes())
        .merge(exam::routes::routes())
        .merge(login::routes());
    for (path, content_type, text) in FILES {
        let file = move || async move { ([(header::CONTENT_TYPE, content_type)], text) };
        router = router.route(path, get(file));
    }
    router
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page\n") })
        .layer(from_fn_with_state(state.clone(), guarded))
        .with_state(state)
}

async fn upgrade(State(state): State<AppState>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(place) = state.places.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many readers\n").into_response();
    };
    upgrade
        .max_message_size(MAX_MESSAGE_FROM_CLIENT_BYTES)
        .max_frame_size(MAX_MESSAGE_FROM_CLIENT_BYTES)
        .on_upgrade(move |socket| async move {
            client::relay(socket, &state).await;
            drop(place);
        })
}

async fn guarded(
    State(state): State<AppState>,
    ConnectInfo(Client(client)): ConnectInfo<Client>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let host = match state.guard.admit(headers, client.ip()) {
        Ok(host) => host.to_owned(),
        Err(refusal) => return refusal.into_response(),
    };
    let path = request.uri().path();
    let mut response = match state.guard.authorise(headers, client.ip()) {
        Err(refusal) if !login::is_open(path) => login::ask(refusal, path),
        _ => match timeout(ANSWER_LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => (StatusCode::REQUEST_TIMEOUT, "request not whole in time\n").into_response(),
        },
    };
    let (scheme, forms) = match state.guard.is_remote() {
        true => ("wss", "'self'"),
        false => ("ws", "'none'"),
    };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
         connect-src 'self' {scheme}://{host}; base-uri 'none'; form-action {forms}; \
         frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
