//! Where the pipeline's threads and the page's readers meet.

use super::exam::Desk;
use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use echocart_core::events::{Event, StateKind, Status};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;

const EVENT_QUEUE: usize = 256;
const FRAME_HEADER_BYTES: usize = 16;
const EXAM_PERIOD: Duration = Duration::from_millis(250);

/// Hands events and images from the pipeline's threads to every reader. Clones share one hub.
///
/// # Real-time
/// No call waits for a reader. An event takes a lock that is held for a few copies of a pointer.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    desk: Option<Desk>,
    newest: Mutex<Newest>,
    events: broadcast::Sender<Utf8Bytes>,
    frames: watch::Sender<Bytes>,
    previews_skipped: AtomicU64,
}

/// The events that a reader needs in order to start in the middle of a session.
#[derive(Debug, Clone, Default)]
struct Newest {
    started: Option<Utf8Bytes>,
    counters: Option<Utf8Bytes>,
    estimate: Option<Utf8Bytes>,
    /// The newest one beside it that left the view as it was.
    measured: Option<Utf8Bytes>,
    engine: Option<Utf8Bytes>,
    guide: Option<Utf8Bytes>,
    engine_down: Option<Utf8Bytes>,
    source_lost: Option<Utf8Bytes>,
    source_ended: Option<Utf8Bytes>,
    summary: Option<Utf8Bytes>,
}

/// What one reader gets: the events so far that still count, then everything new.
#[derive(Debug)]
pub(super) struct Subscription {
    /// In the order in which they were sent by kind: exam, session, counters, estimate, end.
    pub(super) so_far: Vec<Utf8Bytes>,
    /// Bounded; a reader further behind is told that it lagged.
    pub(super) events: broadcast::Receiver<Utf8Bytes>,
    /// Only ever the newest image.
    pub(super) frames: watch::Receiver<Bytes>,
}

impl Hub {
    /// Makes a hub without readers, with the exam on `desk` if there is one.
    pub fn new(desk: Option<Desk>) -> Self {
        Self {
            shared: Arc::new(Shared {
                desk,
                newest: Mutex::default(),
                events: broadcast::Sender::new(EVENT_QUEUE),
                frames: watch::Sender::new(Bytes::new()),
                previews_skipped: AtomicU64::new(0),
            }),
        }
    }

    /// Sends `event` to every reader and keeps it for later ones while it is the newest of its
    /// kind.
    ///
    /// An exam on the desk decides what of it readers are told, see `docs/events.md`.
    pub fn event(&self, event: &Event) {
        let Some(desk) = &self.shared.desk else {
            self.tell(event);
            return;
        };
        let told = desk.event(event);
        if told.changed {
            self.exam_changed();
        }
        if let Some(event) = told.event {
            self.tell(&event);
        }
    }

    fn tell(&self, event: &Event) {
        let Ok(text) = serde_json::to_string(event) else {
            return;
        };
        let text = Utf8Bytes::from(text);
        let mut newest = self.newest();
        newest.keep(event, &text);
        let _ = self.shared.events.send(text);
    }

    /// The exam behind the page, if one is configured.
    pub(super) fn desk(&self) -> Option<&Desk> {
        self.shared.desk.as_ref()
    }

    /// Tells every reader what the exam is now.
    pub(super) fn exam_changed(&self) {
        let Some(desk) = &self.shared.desk else {
            return;
        };
        // Under the lock, so that the order of messages is that of the exam's changes.
        let _newest = self.newest();
        let _ = self.shared.events.send(desk.text().into());
    }

    /// A patient has gone, or something was switched off: late readers are not told of it either.
    pub(super) fn forget_estimate(&self) {
        let mut newest = self.newest();
        (newest.estimate, newest.measured) = (None, None);
    }

    /// Looks after the exam's time and file; does not end.
    pub(super) async fn keep_exam(&self) {
        loop {
            sleep(EXAM_PERIOD).await;
            let Some(desk) = self.shared.desk.clone() else {
                std::future::pending::<()>().await;
                return;
            };
            if desk.tick() {
                self.exam_changed();
                self.forget_estimate();
            }
            let _ = tokio::task::spawn_blocking(move || desk.save()).await;
        }
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, Newest> {
        let newest = self.shared.newest.lock();
        newest.unwrap_or_else(PoisonError::into_inner)
    }

    /// True when at least one reader is connected. May change at any time.
    pub fn wants_frames(&self) -> bool {
        self.shared.frames.receiver_count() > 0
    }

    /// Offers an image to every reader; one that has not taken the image before skips that.
    pub fn frame(&self, jpeg: &[u8], frame_number: u64, capture_nanos: i64) {
        let mut message = Vec::with_capacity(FRAME_HEADER_BYTES + jpeg.len());
        message.extend_from_slice(&frame_number.to_le_bytes());
        message.extend_from_slice(&capture_nanos.to_le_bytes());
        message.extend_from_slice(jpeg);
        let message = Bytes::from(message);
        if let Some(desk) = &self.shared.desk {
            desk.image(&message, FRAME_HEADER_BYTES, capture_nanos);
        }
        self.shared.frames.send_replace(message);
    }

    pub(super) fn preview_skipped(&self) {
        self.shared.previews_skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn previews_skipped(&self) -> u64 {
        self.shared.previews_skipped.load(Ordering::Relaxed)
    }

    pub(super) fn subscribe(&self) -> Subscription {
        let newest = self.newest();
        let exam = self.desk().map(|desk| desk.text().into());
        Subscription {
            so_far: exam.into_iter().chain(newest.in_order()).collect(),
            events: self.shared.events.subscribe(),
            frames: self.shared.frames.subscribe(),
        }
    }
}

impl Newest {
    fn keep(&mut self, event: &Event, text: &Utf8Bytes) {
        match event {
            Event::Estimate(estimate) => {
                if estimate.view.status == Status::NotDue {
                    self.measured = Some(text.clone());
                } else {
                    self.estimate = Some(text.clone());
                    if estimate.lvef.status != Status::NotDue {
                        self.measured = None;
                    }
                }
                self.engine_down = None;
            }
            Event::Summary(_) => self.summary = Some(text.clone()),
            Event::State(state) => {
                if state.counters.is_some() {
                    self.counters = Some(text.clone());
                }
                match state.state {
                    StateKind::Started => {
                        *self = Self {
                            started: Some(text.clone()),
                            ..Self::default()
                        }
                    }
                    StateKind::SourceEnded => self.source_ended = Some(text.clone()),
                    StateKind::EngineDown if state.session.is_none() && state.guide.is_none() => {
                        self.engine_down = Some(text.clone());
                    }
                    StateKind::EngineDown
                    | StateKind::EngineReady
                    | StateKind::EngineWarmingUp
                    | StateKind::EngineProgress => {
                        let of = match state.guide {
                            Some(_) => &mut self.guide,
                            None => &mut self.engine,
                        };
                        *of = Some(text.clone());
                        self.engine_down = None;
                    }
                    StateKind::SourceLost => self.source_lost = Some(text.clone()),
                    StateKind::SourceBack => self.source_lost = None,
                    StateKind::Counters
                    | StateKind::SectorChanged
                    | StateKind::ScreenChanged
                    | StateKind::LadderChanged
                    | StateKind::SourceReanchored => {}
                }
            }
        }
    }

    fn in_order(&self) -> Vec<Utf8Bytes> {
        [
            &self.started,
            &self.engine,
            &self.guide,
            &self.counters,
            &self.estimate,
            &self.measured,
            &self.engine_down,
            &self.source_lost,
            &self.source_ended,
            &self.summary,
        ]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
    }
}
