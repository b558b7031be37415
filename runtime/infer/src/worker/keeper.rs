//! The thread that starts a worker, watches it, and starts it again.

use super::backoff::{Backoff, Next};
use super::child::Child;
use super::link::{Heard, Shared, Socket};
use super::message::Message;
use super::setup::{Running, WorkerSetup};
use super::{BEAT, SILENCE};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a worker may take to end by itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a worker is to its engine.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// Not there, and why; it may come back.
    Down(String),
    /// Open.
    Ready(Ready),
    /// It never opened.
    Refused(String),
}

/// A worker that answers.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub socket: Arc<Socket>,
    pub shared: Arc<Shared>,
    pub running: Running,
    /// How many workers there were before it.
    pub number: u64,
    pub pid: u32,
}

#[derive(Debug)]
pub(super) struct State {
    pub standing: Standing,
    pub reply: Option<Message>,
    pub stop: bool,
    /// An exam began since the keeper last looked.
    pub new_exam: bool,
    pub settled: bool,
}

/// What the engine and its keeper both see.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

impl Desk {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                standing: Standing::Down("the worker is starting".to_owned()),
                reply: None,
                stop: false,
                new_exam: false,
                settled: false,
            }),
            changed: Condvar::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.changed.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    pub fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.lock());
        self.changed.notify_all();
    }
}

/// Keeps a worker until the desk says stop.
pub(super) fn keep(desk: &Desk, setup: &WorkerSetup, opening: &str, values: usize) {
    let begin = Instant::now();
    let mut backoff = Backoff::new(setup.backoff);
    let mut first: Option<Running> = None;
    for number in 0.. {
        let why = match Child::start(&setup.executable, values) {
            Err(error) => format!("it does not start: {error}"),
            Ok(child) => watch(desk, child, opening, number, &mut first),
        };
        if desk.lock().stop {
            return;
        }
        if first.is_none() {
            desk.change(|state| {
                state.standing = Standing::Refused(why);
                state.settled = true;
            });
            return;
        }
        if std::mem::take(&mut desk.lock().new_exam) {
            backoff.new_exam();
        }
        let next = backoff.failed(begin.elapsed());
        let until = match next {
            Next::After(wait) => Some(Instant::now() + wait),
            Next::Off => None,
        };
        let words = match next {
            Next::After(_) => why,
            Next::Off => format!("{why}; off until the next exam"),
        };
        desk.change(|state| state.standing = Standing::Down(words));
        let stop = pause(desk, until, &mut backoff);
        if stop {
            return;
        }
    }
}

/// Waits until `until` or for an exam; true when it is time to stop.
fn pause(desk: &Desk, until: Option<Instant>, backoff: &mut Backoff) -> bool {
    let mut state = desk.lock();
    loop {
        if state.stop {
            return true;
        }
        if std::mem::take(&mut state.new_exam) {
            backoff.new_exam();
            return false;
        }
        let now = Instant::now();
        state = match until {
            None => desk.wait(state),
            Some(until) if until <= now => return false,
            Some(until) => {
                let woken = desk.changed.wait_timeout(state, until - now);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// Follows a worker to its end, and says how it came.
fn watch(
    desk: &Desk,
    mut child: Child,
    opening: &str,
    number: u64,
    first: &mut Option<Running>,
) -> String {
    if let Err(error) = child.socket.send(&Message::Open(opening.to_owned())) {
        return format!("it takes no message: {error}; {}", child.end());
    }
    let mut packet = Vec::new();
    let mut silent = Duration::ZERO;
    let mut leaving: Option<Instant> = None;
    loop {
        if desk.lock().stop {
            let since = *leaving.get_or_insert_with(Instant::now);
            if since.elapsed() > FAREWELL {
                return child.end();
            }
        }
        let asked = Instant::now();
        let heard = match child.socket.hear(Some(BEAT), &mut packet) {
            Ok(heard) => heard,
            Err(error) => return format!("{error}; {}", child.end()),
        };
        match heard {
            Heard::Silence => {
                // What a host that was itself held up slept longer than it asked to is not silence.
                silent += asked.elapsed().min(BEAT * 2);
                if silent >= SILENCE {
                    let millis = silent.as_millis();
                    return format!("it gave no sign of life for {millis} ms; {}", child.end());
                }
                continue;
            }
            Heard::End => return child.end_of_itself(),
            Heard::Message(Message::Beat) => {}
            Heard::Message(Message::Refused(why)) => {
                child.end();
                return why;
            }
            Heard::Message(Message::Ready(json)) => {
                let running: Running = match serde_json::from_str(&json) {
                    Ok(running) => running,
                    Err(error) => return format!("{error}; {}", child.end()),
                };
                if *first.get_or_insert_with(|| running.clone()) != running {
                    child.end();
                    return format!("it came back as another engine: {json}");
                }
                desk.change(|state| {
                    state.settled = true;
                    state.reply = None;
                    state.standing = Standing::Ready(Ready {
                        socket: child.socket.clone(),
                        shared: child.shared.clone(),
                        running,
                        number,
                        pid: child.pid,
                    });
                });
            }
            Heard::Message(reply) => desk.change(|state| state.reply = Some(reply)),
        }
        silent = Duration::ZERO;
    }
}
