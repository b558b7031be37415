//! The exam behind the page: captures, decisions and questions, the same for every viewer.
//!
//! Images are in memory only and end with their exam. Numbers and decisions are also in a file of
//! this user's, so that a restart loses none; it is erased with the exam.

mod clips;
mod commands;
#[cfg(test)]
mod docs;
mod file;
pub(super) mod routes;
#[cfg(test)]
mod tests;
mod token;
mod watch;
pub mod wire;

pub use token::ExamTicket;

use axum::body::Bytes;
use clips::{Image, Kept, RECENT_NANOS, Recent};
use echocart_core::config::ExamConfig;
use echocart_core::events::{Estimate, Event, Evidence, Output, Reason, SCHEMA, StateKind, Status};
use echocart_core::frame::ExamToken;
use echocart_core::recorder::Recorder;
use file::ExamFile;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use watch::{Turn, Watch};
use wire::{Asking, Capture, ChecklistView, Decision, Exam, Hold, How, STANDARD_VIEWS, Setup};

/// The exam of one process. Clones share it.
///
/// # Real-time
/// No call waits for a reader or a disk, but [`Desk::save`] and [`Desk::record_best`], which are
/// called from the page's own threads.
#[derive(Debug, Clone)]
pub struct Desk {
    inner: Arc<Mutex<Inner>>,
    file: Arc<Mutex<ExamFile>>,
    ticket: ExamTicket,
    recorder: Arc<OnceLock<Recorder>>,
}

#[derive(Debug)]
struct Inner {
    exam: Exam,
    watch: Watch,
    recent: Recent,
    kept: Kept,
    next_id: u64,
    /// A source's own token, where it gives one.
    source: Option<ExamToken>,
    /// Clock at the last moment when the patient was not in doubt.
    sure_nanos: i64,
    clock: fn() -> i64,
    /// Counts the changes that are worth a file, and those that are in it.
    durable: u64,
    saved: u64,
}

/// The exam on its way to readers; numbers are written as in the events.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: u32,
    exam: &'a Exam,
}

/// What readers may be told of an event, and whether the exam has changed with it.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub event: Option<Cow<'a, Event>>,
    pub changed: bool,
}

impl Desk {
    /// Opens the desk. `standard` is the package's map from labels to standard views; `clock` the
    /// session's clock, nanoseconds.
    ///
    /// # Errors
    /// One line when the state folder or the file in it cannot be used.
    pub fn open(
        config: &ExamConfig,
        standard: &BTreeMap<String, String>,
        clock: fn() -> i64,
    ) -> Result<Self, String> {
        let file = ExamFile::open(&config.state_folder)?;
        let before = file.read()?;
        let least = config.auto_capture_signal_percent as f32 / 100.0;
        let mut inner = Inner::new(config, Watch::new(standard.clone(), least), clock);
        if let Some(before) = before {
            inner.take_up(before);
        }
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
            file: Arc::new(Mutex::new(file)),
            ticket: ExamTicket::default(),
            recorder: Arc::default(),
        })
    }

    /// From now on the best clip is saved from this recorder too.
    pub fn record_with(&self, recorder: Recorder) {
        let _ = self.recorder.set(recorder);
    }

    /// Names the exam of frames.
    pub fn ticket(&self) -> ExamTicket {
        self.ticket.clone()
    }

    /// Follows an event and says what of it readers may be told.
    pub(super) fn event<'a>(&self, event: &'a Event) -> Told<'a> {
        self.lock().event(event, &self.ticket)
    }

    /// Takes an image of the page: 16 bytes of header, then a JPEG.
    pub(super) fn image(&self, message: &Bytes, header: usize, capture_nanos: i64) {
        let mut inner = self.lock();
        if inner.exam.asking.is_none() {
            let jpeg = message.slice(header.min(message.len())..);
            let now = (inner.clock)();
            let image = Image {
                capture_nanos,
                jpeg,
            };
            inner.recent.push(image, now);
        }
    }

    /// Looks at the time; true when the exam has changed with it.
    pub(super) fn tick(&self) -> bool {
        self.lock().tick()
    }

    /// The exam as a message for readers. An EF that the user has not asked for yet is not in it.
    pub(super) fn text(&self) -> String {
        let inner = self.lock();
        let mut told = Cow::Borrowed(&inner.exam);
        if told.captures.iter().any(|c| !c.ai_shown) {
            let captures = told.to_mut().captures.iter_mut();
            for capture in captures.filter(|c| !c.ai_shown) {
                capture.lvef = Output::quiet(Status::Off);
            }
        }
        let message = Message {
            kind: "exam",
            schema: SCHEMA,
            exam: &told,
        };
        serde_json::to_string(&message).unwrap_or_default()
    }

    /// Writes what has changed since the last time, or erases it.
    pub(super) fn save(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let exam = {
            let mut inner = self.lock();
            if inner.saved == inner.durable {
                return;
            }
            inner.saved = inner.durable;
            inner.exam.clone()
        };
        let done = match exam.captures.is_empty() {
            true => file.erase(),
            false => file.write(&exam),
        };
        if let Err(error) = done {
            tracing::warn!(error, "the exam's file is not up to date");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn new(config: &ExamConfig, watch: Watch, clock: fn() -> i64) -> Self {
        let views = STANDARD_VIEWS.iter().map(|view| ChecklistView {
            view: (*view).to_owned(),
            automatic: watch.is_automatic(view),
        });
        Self {
            exam: Exam {
                revision: 0,
                number: 0,
                began_unix_millis: unix_millis(),
                asking: None,
                frozen: None,
                guidance: config.guidance,
                measurement: config.measurement,
                own_first: config.own_first,
                target: None,
                hold: None,
                views: views.collect(),
                captures: Vec::new(),
                full: false,
                setup: Setup {
                    language: config.language.clone(),
                    capture_keys: config.capture_keys.clone(),
                    freeze_keys: config.freeze_keys.clone(),
                    auto_capture_millis: config.auto_capture_millis,
                    auto_capture_signal_percent: config.auto_capture_signal_percent,
                    ask_after_seconds: config.ask_after_seconds,
                },
            },
            watch,
            recent: Recent::default(),
            kept: Kept::default(),
            next_id: 0,
            source: None,
            sure_nanos: clock(),
            clock,
            durable: 0,
            saved: 0,
        }
    }

    /// Goes on with an exam of an earlier process: numbers and decisions, no images.
    fn take_up(&mut self, before: Exam) {
        let known =
            |view: &Option<String>| view.as_deref().is_none_or(|v| STANDARD_VIEWS.contains(&v));
        let mut captures = before.captures;
        captures.retain(|c| known(&c.view));
        for capture in &mut captures {
            capture.images = 0;
        }
        self.next_id = captures.iter().map(|c| c.id + 1).max().unwrap_or(0);
        self.exam.asking = (!captures.is_empty()).then_some(Asking::Restarted);
        self.exam.captures = captures;
        self.exam.began_unix_millis = before.began_unix_millis;
        self.exam.number = before.number;
        self.exam.own_first = before.own_first;
    }

    fn changed(&mut self) {
        self.exam.revision += 1;
        self.durable += 1;
        self.exam.full = self.kept.is_full() || self.exam.captures.len() >= clips::CAPTURES;
    }

    fn event<'a>(&mut self, event: &'a Event, ticket: &ExamTicket) -> Told<'a> {
        let before = self.exam.revision;
        let told = match event {
            Event::Estimate(estimate) => match self.belongs(estimate, ticket) {
                true => {
                    self.estimate(estimate);
                    Some(self.withheld(event, estimate))
                }
                false => None,
            },
            Event::State(state) => {
                if state.state == StateKind::SectorChanged {
                    self.watch.rearm();
                }
                Some(Cow::Borrowed(event))
            }
            Event::Summary(_) => Some(Cow::Borrowed(event)),
        };
        Told {
            event: told,
            changed: self.exam.revision != before,
        }
    }

    /// False for what is left of an exam that is over. A source's own new token ends an exam.
    fn belongs(&mut self, estimate: &Estimate, ticket: &ExamTicket) -> bool {
        let Some(segment) = estimate.view.evidence.segments.last() else {
            return true;
        };
        let token = segment.exam.token;
        if ExamTicket::is_ours(&token) {
            return token == ticket.token();
        }
        if self
            .source
            .replace(token)
            .is_some_and(|before| before != token)
        {
            self.new_patient();
        }
        true
    }

    fn estimate(&mut self, estimate: &Estimate) {
        let turn = self.watch.take(estimate, RECENT_NANOS);
        if self.exam.asking.is_some() {
            return;
        }
        if turn == Turn::Froze && self.exam.frozen.is_none() {
            self.capture_frozen();
        }
        self.auto_capture();
    }

    /// The scanner has frozen: what was valid until then is kept.
    fn capture_frozen(&mut self) {
        let now = (self.clock)();
        let has_value = self.watch.lvef(now).is_some_and(|(_, o, _)| o.has_value());
        if has_value || self.watch.newest(now).is_some() {
            let _ = self.capture(How::Freeze, None);
        }
    }

    fn auto_capture(&mut self) {
        let needed = self.exam.setup.auto_capture_millis.cast_signed() * 1_000_000;
        let held = self
            .watch
            .held()
            .map(|(view, nanos)| (view.to_owned(), nanos));
        let wanted = held.filter(|(view, _)| {
            let target = self.exam.target.as_ref();
            needed > 0
                && self.exam.guidance
                && self.exam.frozen.is_none()
                && target.is_none_or(|t| t == view)
                && !self
                    .exam
                    .captures
                    .iter()
                    .any(|c| c.view.as_ref() == Some(view))
        });
        let hold = wanted.as_ref().map(|(view, nanos)| Hold {
            view: view.clone(),
            share: (*nanos as f32 / needed as f32).min(1.0),
        });
        if self.exam.hold != hold {
            self.exam.hold = hold;
            self.exam.revision += 1;
        }
        // Images are kept only while somebody looks: a clip that begins before them would be cut.
        let now = (self.clock)();
        let newest = self.watch.newest(now);
        let whole = newest.is_some_and(|seen| self.recent.reaches(seen.span().0));
        if whole
            && wanted.is_some_and(|(_, nanos)| nanos >= needed)
            && self.capture(How::Auto, None).is_ok()
        {
            self.exam.hold = None;
            self.watch.rearm();
        }
    }

    /// What readers are told of an estimate while something is switched off or in doubt.
    fn withheld<'a>(&self, event: &'a Event, estimate: &Estimate) -> Cow<'a, Event> {
        let exam = &self.exam;
        let told_all = exam.guidance && exam.measurement && !exam.own_first;
        if told_all && exam.asking.is_none() {
            return Cow::Borrowed(event);
        }
        let mut told = estimate.clone();
        if !exam.guidance {
            told.view = Output::quiet(Status::Off);
            told.signal = Output::quiet(Status::Off);
        }
        if !exam.measurement || exam.own_first {
            told.lvef = Output::quiet(Status::Off);
        } else if exam.asking.is_some() && told.lvef.has_value() {
            told.lvef = Output::withheld(Reason::NewExam, told.lvef.evidence);
        }
        if exam.asking.is_some() {
            told.heart = None;
        }
        told.raw = None;
        Cow::Owned(Event::Estimate(Box::new(told)))
    }

    fn tick(&mut self) -> bool {
        let now = (self.clock)();
        self.recent.look(now);
        if let Some(present) = self.watch.present_nanos() {
            self.sure_nanos = self.sure_nanos.max(present);
        }
        let seconds = self.exam.setup.ask_after_seconds.cast_signed();
        let limit = seconds.saturating_mul(1_000_000_000);
        let doubtful = self.exam.asking.is_none()
            && self.source.is_none()
            && self.watch.present_nanos().is_some()
            && now.saturating_sub(self.sure_nanos) >= limit;
        if doubtful {
            self.exam.asking = Some(Asking::NoUltrasound);
            self.exam.frozen = None;
            self.exam.hold = None;
            self.recent.clear();
            self.watch.forget();
            self.changed();
        }
        doubtful
    }

    fn new_patient(&mut self) {
        self.kept.clear();
        self.recent.clear();
        self.watch.forget();
        self.sure_nanos = (self.clock)();
        let exam = &mut self.exam;
        exam.captures.clear();
        exam.asking = None;
        exam.frozen = None;
        exam.target = None;
        exam.hold = None;
        exam.number += 1;
        exam.began_unix_millis = unix_millis();
        self.changed();
    }
}

/// Milliseconds since 1970 by the machine's calendar.
fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An output for what nothing was estimated of.
fn nothing() -> Output<echocart_core::events::LvefValue> {
    Output::withheld(Reason::WarmingUp, Evidence::default())
}

fn undecided(capture: &Capture) -> Decision {
    match capture.lvef.status {
        Status::Value => Decision::Pending,
        _ => Decision::None,
    }
}
