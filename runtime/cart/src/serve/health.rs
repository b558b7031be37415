//! What a monitor asks: `/metrics`, `/healthz`, `/readyz`.

use super::http::AppState;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

async fn metrics(State(state): State<AppState>) -> Response {
    let text = state.metrics.text(state.hub.previews_skipped());
    ([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response()
}

async fn ready(State(state): State<AppState>) -> Response {
    let health = state.metrics.health();
    let code = match health.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let text = serde_json::to_string(&health).unwrap_or_default();
    (code, [(header::CONTENT_TYPE, JSON)], text).into_response()
}
