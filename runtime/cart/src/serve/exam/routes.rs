//! `/exam`: what the page asks of the desk.

use super::super::http::AppState;
use super::Desk;
use super::wire::{Command, Refused};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const MOST_BYTES: usize = 1024;
const JSON: &str = "application/json";
const NO_EXAM: (StatusCode, &str) = (StatusCode::NOT_FOUND, "no exam is configured\n");

pub(in super::super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/exam", get(exam).post(command))
        .route("/exam/export", get(export))
        .route("/exam/clips/{id}", get(clip))
        .route("/exam/clips/{id}/poster", get(poster))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
}

fn desk(state: &AppState) -> Result<&Desk, Box<Response>> {
    let none = || Box::new(NO_EXAM.into_response());
    state.hub.desk().ok_or_else(none)
}

fn json(code: StatusCode, text: String) -> Response {
    (code, [(header::CONTENT_TYPE, JSON)], text).into_response()
}

async fn exam(State(state): State<AppState>) -> Result<Response, Response> {
    Ok(json(StatusCode::OK, desk(&state).map_err(|r| *r)?.text()))
}

/// Follows a command. Only JSON is read, which no form of another site can send.
async fn command(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let desk = desk(&state).map_err(|r| *r)?;
    if headers.get(header::CONTENT_TYPE).is_none_or(|t| t != JSON) {
        let text = "expected application/json\n";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response());
    }
    let command: Command = serde_json::from_slice(&body)
        .map_err(|e| (StatusCode::BAD_REQUEST, format!("command: {e}\n")).into_response())?;
    desk.command(&command).map_err(refused)?;
    state.hub.exam_changed();
    // What is switched off goes for readers to come too.
    if matches!(command, Command::NewPatient | Command::Switch { .. }) {
        state.hub.forget_estimate();
    }
    let saving = desk.clone();
    let recorded = tokio::task::spawn_blocking(move || {
        let recorded = command == Command::Best && saving.record_best();
        saving.save();
        recorded
    });
    if recorded.await.unwrap_or(false) {
        state.hub.exam_changed();
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn refused(refused: Refused) -> Response {
    let text = serde_json::json!({ "refused": refused }).to_string();
    json(StatusCode::CONFLICT, text)
}

async fn export(State(state): State<AppState>) -> Result<Response, Response> {
    let made = desk(&state).map_err(|r| *r)?.export();
    let text = serde_json::to_string_pretty(&made).unwrap_or_default() + "\n";
    let name = format!(
        "attachment; filename=\"echocart-exam-{}.json\"",
        made.made_unix_millis
    );
    let headers = [
        (header::CONTENT_TYPE, JSON.to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, text).into_response())
}

fn no_clip() -> Response {
    (StatusCode::NOT_FOUND, "no such clip\n").into_response()
}

async fn poster(State(state): State<AppState>, Path(id): Path<u64>) -> Result<Response, Response> {
    let images = desk(&state)
        .map_err(|r| *r)?
        .images(id)
        .ok_or_else(no_clip)?;
    let newest = images.last().ok_or_else(no_clip)?.jpeg.clone();
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], newest).into_response())
}

/// All images of a clip: of each its length u32, capture time i64 nanoseconds, both little endian,
/// and its JPEG.
async fn clip(State(state): State<AppState>, Path(id): Path<u64>) -> Result<Response, Response> {
    let images = desk(&state)
        .map_err(|r| *r)?
        .images(id)
        .ok_or_else(no_clip)?;
    let mut all = Vec::with_capacity(images.iter().map(|i| 12 + i.jpeg.len()).sum());
    for image in &images {
        let length = u32::try_from(image.jpeg.len()).unwrap_or(u32::MAX);
        all.extend_from_slice(&length.to_le_bytes());
        all.extend_from_slice(&image.capture_nanos.to_le_bytes());
        all.extend_from_slice(&image.jpeg);
    }
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], all).into_response())
}
