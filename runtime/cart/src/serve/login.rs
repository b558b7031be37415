//! The page that asks a browser for the token.

use super::guard::Refusal;
use super::http::AppState;
use super::tls::Client;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

const MOST_BYTES: usize = 1024;
const FORM: &str = include_str!("login.html");
const STYLE: &str = include_str!("login.css");

pub(super) fn routes() -> Router<AppState> {
    let style = || async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) };
    Router::new()
        .route("/login", post(log_in))
        .route("/login.css", get(style))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
}

/// True for what is answered without the token.
pub(super) fn is_open(path: &str) -> bool {
    matches!(path, "/login" | "/login.css")
}

/// The answer to who has not shown the token: for the page's own address the form.
pub(super) fn ask(refusal: Refusal, path: &str) -> Response {
    let (code, _) = refusal;
    if path == "/" && code == StatusCode::UNAUTHORIZED {
        let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        return (code, html, FORM).into_response();
    }
    (refusal.0, [(header::WWW_AUTHENTICATE, "Bearer")], refusal.1).into_response()
}

async fn log_in(
    State(state): State<AppState>,
    ConnectInfo(Client(client)): ConnectInfo<Client>,
    body: String,
) -> Response {
    let offered = body.strip_prefix("token=").unwrap_or_default();
    match state.guard.log_in(offered.trim(), client.ip()) {
        Ok(cookie) => {
            let to_page = [
                (header::SET_COOKIE, cookie),
                (header::LOCATION, "/".to_owned()),
            ];
            (StatusCode::SEE_OTHER, to_page).into_response()
        }
        Err(refusal) if refusal.0 == StatusCode::UNAUTHORIZED => ask(refusal, "/"),
        Err(refusal) => refusal.into_response(),
    }
}
