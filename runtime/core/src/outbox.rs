//! Events on their way to a reader: bounded, and honest about what it lost.

use crate::clock::Pace;
use crate::events::{Event, Status};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a blocked sender looks whether the session was stopped.
const STOP_CHECK: Duration = Duration::from_millis(20);

#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub estimates: u64,
    pub values: BTreeMap<String, u64>,
    pub events_dropped: u64,
}

struct Shared {
    tally: Mutex<Tally>,
    closed: AtomicBool,
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
}

impl Outbox {
    pub fn new(capacity: usize, pace: Pace, stop: Arc<AtomicBool>) -> (Self, Receiver<Event>) {
        let (sender, receiver) = bounded(capacity);
        let outbox = Self {
            sender,
            oldest: receiver.clone(),
            pace,
            shared: Arc::new(Shared {
                tally: Mutex::new(Tally {
                    values: ["view", "lvef", "signal"].map(|n| (n.to_owned(), 0)).into(),
                    ..Tally::default()
                }),
                closed: AtomicBool::new(false),
                stop,
            }),
        };
        (outbox, receiver)
    }

    /// Sends an event; after [`Outbox::close`] it is silently left out.
    pub fn send(&self, event: Event) {
        let mut tally = self
            .shared
            .tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.shared.closed.load(Ordering::Relaxed) {
            return;
        }
        if let Event::Estimate(e) = &event {
            tally.estimates += 1;
            for (name, status) in [
                ("view", e.view.status),
                ("lvef", e.lvef.status),
                ("signal", e.signal.status),
            ] {
                if matches!(status, Status::Value | Status::Demonstration) {
                    *tally.values.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
        drop(tally);
        self.deliver(event);
    }

    /// Sends the session's last event; whatever another thread still sends is left out.
    pub fn close(&self, last: impl FnOnce(Tally) -> Event) {
        let tally = {
            let tally = self
                .shared
                .tally
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.shared.closed.store(true, Ordering::Relaxed);
            tally.clone()
        };
        self.deliver(last(tally));
    }

    fn deliver(&self, event: Event) {
        let mut event = event;
        loop {
            let stopping = self.shared.stop.load(Ordering::Relaxed);
            event = match self.pace {
                Pace::Max if !stopping => match self.sender.send_timeout(event, STOP_CHECK) {
                    Ok(()) | Err(SendTimeoutError::Disconnected(_)) => return,
                    Err(SendTimeoutError::Timeout(event)) => event,
                },
                _ => match self.sender.try_send(event) {
                    Ok(()) | Err(TrySendError::Disconnected(_)) => return,
                    Err(TrySendError::Full(event)) => {
                        if self.oldest.try_recv().is_ok() {
                            let mut tally = self
                                .shared
                                .tally
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner);
                            tally.events_dropped += 1;
                        }
                        event
                    }
                },
            };
        }
    }
}
