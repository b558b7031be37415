//! Events on their way to a reader: bounded, and honest about what it lost.

use crate::clock::Pace;
use crate::events::{Estimate, Event, Reason, Status};
use crate::judge;
use crate::recorder::{Record, Tap};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a blocked sender looks whether the session was stopped.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// How long the last event waits for a reader that has stopped reading.
const LAST_PATIENCE: Duration = Duration::from_millis(250);

#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub estimates: u64,
    pub values: BTreeMap<String, u64>,
    pub events_dropped: u64,
}

#[derive(Default)]
struct Ledger {
    tally: Tally,
    closed: bool,
    overtaking: Overtaking,
}

/// Withholds the values of a clip that a newer refusal has overtaken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Overtaking {
    /// The newest clip that was refused without waiting for older ones in inference.
    refused: Option<(u64, Reason)>,
}

impl Overtaking {
    /// Takes the next estimate in the order they are sent.
    pub fn apply(&mut self, estimate: &mut Estimate) {
        match self.refused {
            Some((newest, reason)) if estimate.clip < newest => overtake(estimate, reason),
            _ => self.note(estimate),
        }
    }

    /// Takes note of an estimate that is to be left as it is.
    pub fn note(&mut self, estimate: &Estimate) {
        if estimate.raw.is_none()
            && let Some(reason) = estimate.view.reason
            && self.refused.is_none_or(|(n, _)| estimate.clip >= n)
        {
            self.refused = Some((estimate.clip, reason));
        }
    }
}

struct Shared {
    ledger: Mutex<Ledger>,
    stop: Arc<AtomicBool>,
}

/// The sending end; the assembler and the inference thread each hold one.
///
/// In real pace a full queue loses its oldest event and counts it; in max pace the sender waits.
#[derive(Clone)]
pub(crate) struct Outbox {
    sender: Sender<Event>,
    oldest: Receiver<Event>,
    pace: Pace,
    shared: Arc<Shared>,
    recorder: Tap,
}

impl Outbox {
    pub fn new(
        capacity: usize,
        pace: Pace,
        stop: Arc<AtomicBool>,
        recorder: Tap,
    ) -> (Self, Receiver<Event>) {
        let (sender, receiver) = bounded(capacity);
        let outbox = Self {
            sender,
            oldest: receiver.clone(),
            pace,
            shared: Arc::new(Shared {
                ledger: Mutex::new(Ledger {
                    tally: Tally {
                        values: ["view", "lvef", "signal"].map(|n| (n.to_owned(), 0)).into(),
                        ..Tally::default()
                    },
                    closed: false,
                    overtaking: Overtaking::default(),
                }),
                stop,
            }),
            recorder,
        };
        (outbox, receiver)
    }

    /// One that nobody reads.
    pub fn nowhere() -> Self {
        Self::new(1, Pace::Real, Arc::default(), Tap::default()).0
    }

    /// Sends an event; after [`Outbox::close`] it is silently left out.
    ///
    /// A refusal does not wait for an older clip in inference. When that clip's estimate comes, its
    /// values are withheld for the refusal's reason, so that no reader shows them as newer.
    pub fn send(&self, event: Event) {
        let mut ledger = self.lock();
        if ledger.closed {
            return;
        }
        let mut event = event;
        if let Event::Estimate(e) = &mut event {
            ledger.overtaking.apply(e);
            if self.recorder.is_on() {
                let exam = e.view.evidence.segments.last().map(|s| s.exam.number);
                self.recorder.record(exam, || Record::Sent(e.clone()));
            }
            ledger.tally.estimates += 1;
            for (name, status) in [
                ("view", e.view.status),
                ("lvef", e.lvef.status),
                ("signal", e.signal.status),
            ] {
                if matches!(status, Status::Value | Status::Demonstration)
                    && let Some(count) = ledger.tally.values.get_mut(name)
                {
                    *count += 1;
                }
            }
        }
        if let Event::State(state) = &event
            && self.recorder.is_on()
        {
            self.recorder.record(None, || Record::Told(state.clone()));
        }
        let stopping = || self.shared.stop.load(Ordering::Relaxed);
        self.deliver(event, &mut ledger.tally, stopping);
    }

    /// Sends the session's last event; whatever another thread still sends is left out.
    pub fn close(&self, last: impl FnOnce(&Tally) -> Event) {
        let mut ledger = self.lock();
        ledger.closed = true;
        let event = last(&ledger.tally);
        let until = Instant::now() + LAST_PATIENCE;
        self.deliver(event, &mut ledger.tally, || Instant::now() > until);
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.shared
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room at max pace until `impatient`; otherwise the oldest event makes room.
    fn deliver(&self, event: Event, tally: &mut Tally, impatient: impl Fn() -> bool) {
        let mut event = event;
        loop {
            event = if self.pace == Pace::Max && !impatient() {
                match self.sender.send_timeout(event, STOP_CHECK) {
                    Ok(()) | Err(SendTimeoutError::Disconnected(_)) => return,
                    Err(SendTimeoutError::Timeout(event)) => event,
                }
            } else {
                match self.sender.try_send(event) {
                    Ok(()) | Err(TrySendError::Disconnected(_)) => return,
                    Err(TrySendError::Full(event)) => {
                        tally.events_dropped += u64::from(self.oldest.try_recv().is_ok());
                        event
                    }
                }
            };
        }
    }
}

fn overtake(estimate: &mut Estimate, reason: Reason) {
    judge::withhold(&mut estimate.view, reason);
    judge::withhold(&mut estimate.lvef, reason);
}
