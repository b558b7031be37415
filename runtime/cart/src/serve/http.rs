//! Routes: four embedded files and the WebSocket, each with headers that allow nothing else.

use super::{Hub, client, guard};
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

const MAX_CLIENTS: u32 = 16;
const MAX_MESSAGE_FROM_CLIENT_BYTES: usize = 256;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, content type and text of every embedded file.
pub(super) const FILES: [(&str, &str, &str); 8] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/app.js", SCRIPT, include_str!("page/app.js")),
    ("/image.js", SCRIPT, include_str!("page/image.js")),
    ("/link.js", SCRIPT, include_str!("page/link.js")),
    ("/panel.js", SCRIPT, include_str!("page/panel.js")),
    ("/words.js", SCRIPT, include_str!("page/words.js")),
    ("/style.css", STYLE, include_str!("page/style.css")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
];

/// What every connection shares.
#[derive(Clone)]
pub(super) struct AppState {
    pub(super) hub: Hub,
    pub(super) clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub(super) stop: watch::Receiver<bool>,
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
    ) -> Self {
        Self {
            hub,
            clock: Arc::new(clock),
            stop,
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
    state: AppState,
) -> Result<(), std::io::Error> {
    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, routes(state)).await
}

fn routes(state: AppState) -> Router {
    let mut router = Router::new().route("/ws", get(upgrade));
    for (path, content_type, text) in FILES {
        let file = move || async move { ([(header::CONTENT_TYPE, content_type)], text) };
        router = router.route(path, get(file));
    }
    router
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page\n") })
        .with_state(state)
        .layer(from_fn(guarded))
}

async fn upgrade(
    State(state): State<AppState>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let allowed = guard::loopback_host(&headers).and_then(|host| guard::own_origin(&headers, host));
    if let Err(refusal) = allowed {
        return refusal.into_response();
    }
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

async fn guarded(request: Request, next: Next) -> Response {
    let host = match guard::loopback_host(request.headers()) {
        Ok(host) => host.to_owned(),
        Err(refusal) => return refusal.into_response(),
    };
    let mut response = next.run(request).await;
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
         connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; \
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
