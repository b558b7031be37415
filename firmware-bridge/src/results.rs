//! The result port: events of the pipeline as fixed-layout structs.

use crate::abi::*;
use crate::boundary::cut;
use crate::callback::ResultSink;
use crate::clock;
use crate::codes::Code;
use crate::fault::Fault;
use crate::intake::Intake;
use crate::request::Standing;
use crate::system;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use echocart_core::clock::Pace;
use echocart_core::events::{
    Calibrated, Counters, Estimate, Event, Evidence, Output, Reason, Segment, State, StateKind,
    Status, Summary,
};
use echocart_core::exam::NewestExam;
use echocart_core::judge;
use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How soon the thread that hands results out notices that its port is gone.
const LISTEN: Duration = Duration::from_millis(20);

/// State of a result port handle.
pub(crate) struct ResultPort {
    /// None once a thread of the library's hands the results out.
    reader: Option<Reader>,
    labels: Arc<[String]>,
    intake: Arc<Intake>,
    standing: Standing,
    ended: Arc<AtomicBool>,
    hand_out: Option<JoinHandle<()>>,
}

impl Drop for ResultPort {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.intake.close();
        if let Some(thread) = self.hand_out.take() {
            let _ = thread.join();
        }
    }
}

impl ResultPort {
    pub fn new(reader: Reader, intake: Arc<Intake>, standing: Standing) -> Self {
        Self {
            labels: reader.labels.clone(),
            reader: Some(reader),
            intake,
            standing,
            ended: Arc::default(),
            hand_out: None,
        }
    }

    /// The text of a view label.
    pub fn label(&self, index: u32) -> Result<&str, Fault> {
        let found = self.labels.get(index as usize).map(String::as_str);
        found.ok_or_else(|| Fault::bad("index", &format!("0 to {}", self.labels.len() - 1), index))
    }

    /// Takes the next result.
    ///
    /// # Real-time
    /// Does not block.
    pub fn poll(&mut self) -> Result<echocart_result_t, Fault> {
        self.wait(Duration::ZERO)
    }

    /// Takes the next result, for which it waits.
    pub fn wait(&mut self, patience: Duration) -> Result<echocart_result_t, Fault> {
        self.reader.as_mut().ok_or_else(subscribed)?.take(patience)
    }

    /// Hands every result from now on to `sink` on a thread of its own.
    pub fn subscribe(&mut self, sink: ResultSink) -> Result<(), Fault> {
        let mut reader = self.reader.take().ok_or_else(subscribed)?;
        let (ended, standing) = (self.ended.clone(), self.standing);
        let thread = thread::Builder::new().name("echocart-result".to_owned());
        let spawned = thread.spawn(move || {
            system::block_signals();
            let _ = system::stand_back(&standing);
            while !ended.load(Ordering::Relaxed) {
                match reader.take(LISTEN) {
                    Ok(result) => sink.take(&result),
                    Err(fault) if fault.code == Code::Empty => {}
                    Err(_) => return,
                }
            }
        });
        let spawned = spawned.map_err(|e| Fault::new(Code::ThreadFailed, e.to_string()))?;
        self.hand_out = Some(spawned);
        Ok(())
    }
}

#[cold]
fn subscribed() -> Fault {
    let text = "expected a port without a callback, found one that has one: results";
    Fault::new(Code::BadState, text)
}

/// Takes results out of their queue.
pub(crate) struct Reader {
    events: Receiver<Event>,
    /// Results that stopping the session took out of a full queue.
    dropped: Arc<AtomicU64>,
    labels: Arc<[String]>,
    pace: Pace,
    /// False: demonstrations and the raw numbers behind them stay inside.
    show: bool,
    ended: bool,
    newest_exam: NewestExam,
    /// How long the image signal of a frame is valid.
    valid_for_nanos: i64,
}

impl Reader {
    pub fn new(
        events: Receiver<Event>,
        dropped: Arc<AtomicU64>,
        labels: Arc<[String]>,
        pace: Pace,
        show: bool,
        newest_exam: NewestExam,
        valid_for_nanos: i64,
    ) -> Self {
        Self {
            events,
            dropped,
            labels,
            pace,
            show,
            ended: false,
            newest_exam,
            valid_for_nanos,
        }
    }

    /// Takes the next result, with values past their time or exam withheld.
    fn take(&mut self, patience: Duration) -> Result<echocart_result_t, Fault> {
        if self.ended {
            return Err(Code::End.into());
        }
        let event = if patience.is_zero() {
            self.events.try_recv().map_err(|_| Code::Empty)?
        } else {
            self.events.recv_timeout(patience).map_err(|e| match e {
                RecvTimeoutError::Timeout => Code::Empty,
                RecvTimeoutError::Disconnected => Code::End,
            })?
        };
        Ok(match event {
            Event::Estimate(estimate) => self.estimate(*estimate),
            Event::State(event) => state(&event),
            Event::Summary(last) => {
                self.ended = true;
                let mut result = summary(&last);
                result.results_dropped += self.dropped.load(Ordering::Relaxed);
                result
            }
        })
    }

    fn estimate(&self, mut estimate: Estimate) -> echocart_result_t {
        if self.pace == Pace::Real {
            self.leave_exam(&mut estimate);
            let now = clock::now_nanos();
            refresh(&mut estimate.view, now);
            refresh(&mut estimate.lvef, now);
            refresh(&mut estimate.signal, now);
        }
        if !self.show {
            estimate.raw = None;
            hide(&mut estimate.view);
            hide(&mut estimate.lvef);
            hide(&mut estimate.signal);
        }
        let mut result = blank(ECHOCART_RESULT_ESTIMATE);
        result.clip = estimate.clip;
        result.sent_nanos = estimate.sent_nanos.unwrap_or(ECHOCART_NO_TIME);
        result.view = self.output(&estimate.view);
        result.lvef = self.output(&estimate.lvef);
        result.signal = self.output(&estimate.signal);
        if let Some(view) = &estimate.view.value {
            result.view_label = self.index(&view.label);
            result.view_probability_count =
                fill(&mut result.view_probabilities, &view.probabilities);
        }
        if let Some(lvef) = &estimate.lvef.value {
            result.lvef_percent = lvef.percent;
            result.lvef_calibration = match lvef.calibration {
                Calibrated::None => ECHOCART_CALIBRATION_NONE,
                Calibrated::Inside => ECHOCART_CALIBRATION_INSIDE,
                Calibrated::Outside => ECHOCART_CALIBRATION_OUTSIDE,
            };
            if let Some(interval) = lvef.interval {
                result.lvef_low_percent = interval.low;
                result.lvef_high_percent = interval.high;
                result.lvef_coverage = interval.coverage;
            }
        }
        if let Some(signal) = &estimate.signal.value {
            result.signal_meter = signal.meter;
        }
        let raw = estimate.raw.unwrap_or_default();
        result.raw_view_count = fill(&mut result.raw_view, &raw.view.unwrap_or_default());
        if let Some([z]) = raw.lvef.as_deref() {
            result.raw_lvef = *z;
            result.raw_lvef_count = 1;
        }
        result
    }

    /// Withholds what belongs to an exam that is over.
    fn leave_exam(&self, estimate: &mut Estimate) {
        let mut segments = estimate.view.evidence.segments.iter();
        if segments.any(|s| self.newest_exam.is_over(&s.exam)) {
            estimate.raw = None;
            judge::withhold(&mut estimate.view, Reason::NewExam);
            judge::withhold(&mut estimate.lvef, Reason::NewExam);
            judge::withhold(&mut estimate.signal, Reason::NewExam);
        }
        // What was refused has no segments, but may tell the signal of the newest frame then.
        let measured = estimate.signal.valid_until_nanos;
        let measured = measured.map(|until| until - self.valid_for_nanos);
        if measured.is_some_and(|nanos| self.newest_exam.is_before(nanos)) {
            judge::withhold(&mut estimate.signal, Reason::NewExam);
        }
    }

    fn output<T>(&self, output: &Output<T>) -> echocart_output_t {
        let Evidence {
            segments,
            age_newest_nanos,
            age_oldest_nanos,
        } = &output.evidence;
        let mut to = quiet(status(output.status));
        to.reason = output.reason.map_or(ECHOCART_REASON_NONE, reason);
        to.valid_until_nanos = output.valid_until_nanos.unwrap_or(ECHOCART_NO_TIME);
        to.age_newest_nanos = age_newest_nanos.unwrap_or(ECHOCART_NO_TIME);
        to.age_oldest_nanos = age_oldest_nanos.unwrap_or(ECHOCART_NO_TIME);
        for (to, from) in to.segments.iter_mut().zip(segments) {
            *to = self.segment(from);
        }
        to.segment_count = segments.len().min(ECHOCART_MAX_SEGMENTS) as u32;
        to
    }

    fn segment(&self, segment: &Segment) -> echocart_segment_t {
        let label = segment.view.as_ref().filter(|_| self.show);
        echocart_segment_t {
            first_frame: segment.first_frame,
            last_frame: segment.last_frame,
            first_capture_nanos: segment.first_capture_nanos,
            last_capture_nanos: segment.last_capture_nanos,
            sector: segment.sector,
            view: label.map_or(ECHOCART_NO_LABEL, |l| self.index(l)),
            seam: segment.seam.into(),
            reserved: 0,
            first_host_frame_id: segment.first_host_frame.unwrap_or(0),
            last_host_frame_id: segment.last_host_frame.unwrap_or(0),
            exam_token: segment.exam.token.0,
        }
    }

    fn index(&self, label: &str) -> u32 {
        let at = self.labels.iter().position(|l| l == label);
        at.map_or(ECHOCART_NO_LABEL, |at| at as u32)
    }
}

/// Withholds what is past its time and counts ages up to now.
fn refresh<T>(output: &mut Output<T>, now_nanos: i64) {
    judge::expire(output, now_nanos);
    judge::stamp_age(output, now_nanos);
}

fn hide<T>(output: &mut Output<T>) {
    if output.status == Status::Demonstration {
        output.value = None;
        output.valid_until_nanos = None;
    }
}

fn state(event: &State) -> echocart_result_t {
    let mut result = blank(ECHOCART_RESULT_STATE);
    result.state = match event.state {
        StateKind::Started => ECHOCART_STATE_STARTED,
        StateKind::Counters => ECHOCART_STATE_COUNTERS,
        StateKind::SectorChanged => ECHOCART_STATE_SECTOR_CHANGED,
        StateKind::EngineDown => ECHOCART_STATE_ENGINE_DOWN,
        StateKind::EngineWarmingUp => ECHOCART_STATE_ENGINE_WARMING_UP,
        StateKind::EngineReady => ECHOCART_STATE_ENGINE_READY,
        StateKind::EngineProgress => ECHOCART_STATE_ENGINE_PROGRESS,
        StateKind::SourceEnded => ECHOCART_STATE_SOURCE_ENDED,
        StateKind::ScreenChanged => ECHOCART_STATE_SCREEN_CHANGED,
        StateKind::LadderChanged => ECHOCART_STATE_LADDER_CHANGED,
        StateKind::SourceLost => ECHOCART_STATE_SOURCE_LOST,
        StateKind::SourceBack => ECHOCART_STATE_SOURCE_BACK,
        StateKind::SourceReanchored => ECHOCART_STATE_SOURCE_REANCHORED,
    };
    result.at_nanos = event.at_nanos;
    result.detail = chars(&event.detail);
    if let Some(from) = &event.counters {
        result.counters = counters(from);
    }
    result
}

fn summary(last: &Summary) -> echocart_result_t {
    let values = |name: &str| last.values.get(name).copied().unwrap_or(0);
    let mut result = blank(ECHOCART_RESULT_SUMMARY);
    result.counters = counters(&last.counters);
    result.estimates = last.estimates;
    result.values_view = values("view");
    result.values_lvef = values("lvef");
    result.values_signal = values("signal");
    result.results_dropped = last.events_dropped;
    result
}

pub(crate) fn counters(from: &Counters) -> echocart_counters_t {
    let mut rejected = [0; ECHOCART_REASONS];
    for (why, frames) in &from.rejected {
        if let Some(to) = rejected.get_mut(reason(*why) as usize) {
            *to = *frames;
        }
    }
    echocart_counters_t {
        captured: from.captured,
        used: from.used,
        unused: from.unused,
        dropped_ring_full: from.dropped_ring_full,
        in_flight: from.in_flight,
        clips_superseded: from.clips_superseded,
        rejected,
    }
}

fn quiet(status: u32) -> echocart_output_t {
    echocart_output_t {
        status,
        reason: ECHOCART_REASON_NONE,
        valid_until_nanos: ECHOCART_NO_TIME,
        age_newest_nanos: ECHOCART_NO_TIME,
        age_oldest_nanos: ECHOCART_NO_TIME,
        segment_count: 0,
        reserved: 0,
        segments: [echocart_segment_t {
            first_frame: 0,
            last_frame: 0,
            first_capture_nanos: 0,
            last_capture_nanos: 0,
            sector: 0,
            view: ECHOCART_NO_LABEL,
            seam: 0,
            reserved: 0,
            first_host_frame_id: 0,
            last_host_frame_id: 0,
            exam_token: [0; ECHOCART_EXAM_TOKEN_BYTES],
        }; ECHOCART_MAX_SEGMENTS],
    }
}

/// A result of `kind` that says nothing yet.
fn blank(kind: u32) -> echocart_result_t {
    let off = quiet(ECHOCART_STATUS_OFF);
    echocart_result_t {
        struct_size: size_of::<echocart_result_t>() as u32,
        kind,
        clip: 0,
        sent_nanos: ECHOCART_NO_TIME,
        at_nanos: ECHOCART_NO_TIME,
        state: 0,
        view_label: ECHOCART_NO_LABEL,
        lvef_percent: f32::NAN,
        signal_meter: f32::NAN,
        lvef_low_percent: f32::NAN,
        lvef_high_percent: f32::NAN,
        lvef_coverage: f32::NAN,
        lvef_calibration: ECHOCART_CALIBRATION_NONE,
        view: off,
        lvef: off,
        signal: off,
        view_probabilities: [f32::NAN; ECHOCART_MAX_LABELS],
        raw_view: [f32::NAN; ECHOCART_MAX_LABELS],
        raw_view_count: 0,
        raw_lvef_count: 0,
        raw_lvef: f32::NAN,
        view_probability_count: 0,
        counters: counters(&Counters::default()),
        estimates: 0,
        values_view: 0,
        values_lvef: 0,
        values_signal: 0,
        results_dropped: 0,
        detail: [0; ECHOCART_DETAIL_BYTES],
    }
}

fn fill(to: &mut [f32; ECHOCART_MAX_LABELS], from: &[f32]) -> u32 {
    let count = from.len().min(to.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    count as u32
}

/// `text` with a terminating NUL, cut where it does not fit.
pub(crate) fn chars<const N: usize>(text: &str) -> [c_char; N] {
    let mut to = [0; N];
    for (to, from) in to.iter_mut().zip(cut(text, N - 1).bytes()) {
        *to = from as c_char;
    }
    to
}

fn status(status: Status) -> u32 {
    match status {
        Status::Value => ECHOCART_STATUS_VALUE,
        Status::Withheld => ECHOCART_STATUS_WITHHELD,
        Status::NotDue => ECHOCART_STATUS_NOT_DUE,
        Status::Off => ECHOCART_STATUS_OFF,
        Status::Demonstration => ECHOCART_STATUS_DEMONSTRATION,
    }
}

fn reason(reason: Reason) -> u32 {
    match reason {
        Reason::WarmingUp => ECHOCART_REASON_WARMING_UP,
        Reason::Frozen => ECHOCART_REASON_FROZEN,
        Reason::ReviewLoop => ECHOCART_REASON_REVIEW_LOOP,
        Reason::Gap => ECHOCART_REASON_GAP,
        Reason::BadTimestamp => ECHOCART_REASON_BAD_TIMESTAMP,
        Reason::SectorChanged => ECHOCART_REASON_SECTOR_CHANGED,
        Reason::Orientation => ECHOCART_REASON_ORIENTATION,
        Reason::ColourOn => ECHOCART_REASON_COLOUR_ON,
        Reason::NotUltrasound => ECHOCART_REASON_NOT_ULTRASOUND,
        Reason::NotPermitted => ECHOCART_REASON_NOT_PERMITTED,
        Reason::LowSignal => ECHOCART_REASON_LOW_SIGNAL,
        Reason::WrongView => ECHOCART_REASON_WRONG_VIEW,
        Reason::Uncertain => ECHOCART_REASON_UNCERTAIN,
        Reason::Rhythm => ECHOCART_REASON_RHYTHM,
        Reason::OutOfRange => ECHOCART_REASON_OUT_OF_RANGE,
        Reason::Uncalibrated => ECHOCART_REASON_UNCALIBRATED,
        Reason::Stale => ECHOCART_REASON_STALE,
        Reason::NewExam => ECHOCART_REASON_NEW_EXAM,
        Reason::EngineDown => ECHOCART_REASON_ENGINE_DOWN,
        Reason::Degraded => ECHOCART_REASON_DEGRADED,
    }
}
