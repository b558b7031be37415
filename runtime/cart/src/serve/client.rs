//! One reader's connection: events in order, the newest image, the clock.

use super::http::AppState;
use super::hub::Subscription;
use axum::extract::ws::{CloseCode, CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval, timeout};

const CLOCK_PERIOD: Duration = Duration::from_millis(200);
const SEND_LIMIT: Duration = Duration::from_secs(5);
const CLOSE_LIMIT: Duration = Duration::from_millis(100);
const MAX_IMAGES_UNSEEN: u32 = 3;

/// Why a connection ended.
enum Ending {
    /// The reader left, or nothing can be sent to it any more.
    Gone,
    /// It reads more slowly than events are made.
    Lagged,
    /// It sent something other than `seen`.
    Protocol,
    /// The runtime stops.
    Stopped,
}

impl Ending {
    fn close(&self) -> Option<(CloseCode, &'static str)> {
        match self {
            Self::Gone => None,
            Self::Lagged => Some((close_code::POLICY, "too slow for the events")),
            Self::Protocol => Some((close_code::UNSUPPORTED, "expected the text seen")),
            Self::Stopped => Some((close_code::AWAY, "the runtime stopped")),
        }
    }
}

/// Serves one reader until it leaves, lags or the runtime stops.
pub(super) async fn relay(mut socket: WebSocket, state: &AppState) {
    let mut subscription = state.hub.subscribe();
    let mut stop = state.stop.clone();
    let ending = tokio::select! {
        ending = converse(&mut socket, &mut subscription, state) => ending,
        _ = stop.wait_for(|stopped| *stopped) => Ending::Stopped,
    };
    let Some((code, reason)) = ending.close() else {
        return;
    };
    let _ = timeout(CLOSE_LIMIT, async {
        while matches!(ending, Ending::Stopped)
            && let Ok(event) = subscription.events.try_recv()
        {
            socket.send(Message::Text(event)).await?;
        }
        let reason = Utf8Bytes::from_static(reason);
        socket
            .send(Message::Close(Some(CloseFrame { code, reason })))
            .await
    })
    .await;
}

async fn converse(
    socket: &mut WebSocket,
    subscription: &mut Subscription,
    state: &AppState,
) -> Ending {
    let mut clock = interval(CLOCK_PERIOD);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    clock.tick().await;
    let mut unseen = Unseen::default();
    let so_far = std::mem::take(&mut subscription.so_far);
    for text in std::iter::once(clock_text(state)).chain(so_far) {
        if !send(socket, Message::Text(text)).await {
            return Ending::Gone;
        }
    }
    loop {
        let message = tokio::select! {
            event = subscription.events.recv() => match event {
                Ok(text) => Message::Text(text),
                Err(RecvError::Lagged(_)) => return Ending::Lagged,
                Err(RecvError::Closed) => return Ending::Stopped,
            },
            _ = clock.tick() => Message::Text(clock_text(state)),
            changed = subscription.frames.changed(), if unseen.has_room() => {
                if changed.is_err() {
                    return Ending::Stopped;
                }
                unseen.sent();
                Message::Binary(subscription.frames.borrow_and_update().clone())
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) if text.as_str() == "seen" => {
                    unseen.seen();
                    continue;
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Text(_) | Message::Binary(_))) => return Ending::Protocol,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ending::Gone,
            },
        };
        if !send(socket, message).await {
            return Ending::Gone;
        }
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(SEND_LIMIT, socket.send(message)).await, Ok(Ok(())))
}

fn clock_text(state: &AppState) -> Utf8Bytes {
    format!(
        r#"{{"type":"clock","now_nanos":{},"previews_skipped":{},"ladder":{}}}"#,
        (state.clock)(),
        state.hub.previews_skipped(),
        state
            .metrics
            .ladder()
            .map_or("null".to_owned(), |l| l.to_string())
    )
    .into()
}

/// Counts the images on their way, once the reader has shown that it says `seen`.
#[derive(Debug, Default)]
struct Unseen {
    reader_answers: bool,
    images: u32,
}

impl Unseen {
    fn has_room(&self) -> bool {
        !self.reader_answers || self.images < MAX_IMAGES_UNSEEN
    }

    fn sent(&mut self) {
        self.images = self.images.saturating_add(1);
    }

    fn seen(&mut self) {
        self.reader_answers = true;
        self.images = self.images.saturating_sub(1);
    }
}
