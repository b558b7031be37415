//! The thread that starts a worker, watches it, and starts it again.

use super::backoff::{Backoff, Next, Waits};
use super::child::Child;
use super::deadline::{MOST, OPENING, Pace};
use super::desk::{Desk, Ready, Standing};
use super::link::Heard;
use super::message::Message;
use super::setup::{Opening, Running, WorkerSetup};
use super::{BEAT, SILENCE};
use crate::refusal::Refused;
use crate::select::NONE_SERVES;
use echocart_core::clock;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Characters of a refusal that the next worker is told, so that it fits into a packet.
const MOST_NOTED: usize = 4096;
/// How long a worker may take to end by itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a worker came to its end.
struct End {
    why: String,
    /// What it said itself: another one would say the same.
    refused: Option<Refused>,
}

impl From<String> for End {
    fn from(why: String) -> Self {
        Self { why, refused: None }
    }
}

/// Keeps a worker until the desk says stop: the first in line that opens.
pub(super) fn keep(desk: &Desk, setup: &WorkerSetup, line: Vec<Opening>, values: usize) {
    let mut line = Line {
        openings: line,
        refusals: Vec::new(),
    };
    let begin = Instant::now();
    let mut backoff = Backoff::new(setup.backoff);
    let mut skipped = Duration::ZERO;
    let mut served = false;
    for number in 1.. {
        let mut end = match Child::start(&setup.executable, values) {
            Ok(child) => watch(
                desk,
                child,
                (&line.opening(), setup.pace),
                number,
                &mut served,
            ),
            Err(error) => End {
                why: format!(
                    "it does not start: {error} ({})",
                    setup.executable.display()
                ),
                refused: Some(Refused::EngineFailed),
            },
        };
        if desk.lock().stop {
            return;
        }
        if !served {
            end.why = match line.refused(end.why) {
                Refusal::Next(why) => {
                    desk.post(Standing::WarmingUp(why));
                    continue;
                }
                Refusal::Last(why) => why,
            };
            let kind = end.refused.unwrap_or(Refused::EngineFailed);
            let refused = (kind, end.why.clone());
            desk.change(|state| {
                state.refused.get_or_insert(refused);
            });
        }
        if std::mem::take(&mut desk.lock().new_exam) {
            backoff.new_exam();
        }
        let next = match (end.refused, backoff.failed(begin.elapsed() + skipped)) {
            (Some(_), _) => Next::Off,
            (None, next) => next,
        };
        match next {
            Next::After(_) => desk.amend(end.why),
            Next::Off => {
                let why = format!("{}; off until the next exam", end.why);
                desk.post(Standing::Down(why));
            }
        }
        let wait = match (next, setup.backoff.waits) {
            (Next::Off, _) => None,
            (Next::After(wait), Waits::Slept) => Some(wait),
            (Next::After(wait), Waits::Skipped) => {
                skipped += wait;
                Some(Duration::ZERO)
            }
        };
        if pause(desk, wait, &mut backoff) {
            return;
        }
    }
}

/// Workers to try in turn, and why those before do not serve.
struct Line {
    openings: Vec<Opening>,
    refusals: Vec<String>,
}

/// What a worker that never served leaves behind.
enum Refusal {
    /// There is another one to try.
    Next(String),
    /// There is none: why, of all. The first one is tried again.
    Last(String),
}

impl Line {
    /// The one whose turn it is.
    fn turn(&self) -> Option<&Opening> {
        self.openings.get(self.refusals.len())
    }

    /// The message that opens it.
    fn opening(&self) -> String {
        let opening = self.turn().map(|opening| Opening {
            notes: [opening.notes.as_slice(), &self.refusals].concat(),
            ..opening.clone()
        });
        serde_json::to_string(&opening).unwrap_or_default()
    }

    /// It does not serve; it is the next one's turn.
    fn refused(&mut self, why: String) -> Refusal {
        let Some(opening) = self.turn().filter(|_| self.openings.len() > 1) else {
            return Refusal::Last(why);
        };
        let note = opening.refusal(&why).chars().take(MOST_NOTED).collect();
        self.refusals.push(note);
        if self.turn().is_some() {
            return Refusal::Next(self.refusals.last().cloned().unwrap_or_default());
        }
        let all = self.refusals.join("; ");
        self.refusals.clear();
        Refusal::Last(format!("{NONE_SERVES}{all}"))
    }
}

/// Waits for so long, without end where there is none, or for an exam; true when it is time to
/// stop.
fn pause(desk: &Desk, wait: Option<Duration>, backoff: &mut Backoff) -> bool {
    let until = wait.map(|wait| Instant::now() + wait);
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
            Some(until) => desk.wait_for(state, until - now),
        };
    }
}

/// Follows a worker to its end, and says how it came.
fn watch(
    desk: &Desk,
    mut child: Child,
    (opening, time): (&str, clock::Pace),
    number: u64,
    served: &mut bool,
) -> End {
    let most_silent = match time {
        clock::Pace::Real => SILENCE,
        clock::Pace::Max => MOST,
    };
    if let Err(error) = child.socket.send(&Message::Open(opening.to_owned())) {
        return format!("it takes no message: {error}; {}", child.end()).into();
    }
    let begin = Instant::now();
    let mut packet = Vec::new();
    let mut silent = Duration::ZERO;
    let mut leaving: Option<Instant> = None;
    let mut pace: Option<Pace> = None;
    loop {
        let (stop, asked) = {
            let state = desk.lock();
            (state.stop, state.asked)
        };
        if stop && leaving.get_or_insert_with(Instant::now).elapsed() > FAREWELL {
            return child.end().into();
        }
        let (since, allowed, doing) = match &pace {
            Some(pace) => (asked, pace.allowed(), "computed"),
            None => (Some(begin), OPENING, "been opening"),
        };
        let overdue = since.is_some_and(|since| since.elapsed() > allowed);
        if overdue && !stop {
            let seconds = allowed.as_secs_f64();
            let why = format!("it has {doing} for more than {seconds:.1} s without an answer");
            return gone(desk, child, why);
        }
        let before = Instant::now();
        let heard = match child.socket.hear(Some(BEAT), &mut packet) {
            Ok(heard) => heard,
            Err(error) => return gone(desk, child, error.to_string()),
        };
        match heard {
            Heard::Silence => {
                // What a host that was itself held up slept longer than it asked to is not silence.
                silent += before.elapsed().min(BEAT * 2);
                if silent >= most_silent {
                    let millis = silent.as_millis();
                    let why = format!("it gave no sign of life for {millis} ms");
                    return gone(desk, child, why);
                }
                continue;
            }
            Heard::End => return child.end_of_itself().into(),
            Heard::Message(Message::Beat) => {}
            Heard::Message(Message::Progress(what)) => {
                if !*served {
                    desk.post(Standing::WarmingUp(what));
                }
            }
            Heard::Message(Message::Refused(kind, why)) => {
                child.end();
                return End {
                    why,
                    refused: Some(kind),
                };
            }
            Heard::Message(Message::Ready(json)) => {
                let running: Running = match serde_json::from_str(&json) {
                    Ok(running) => running,
                    Err(error) => return gone(desk, child, error.to_string()),
                };
                pace = Some(Pace::of(running.info().timings.as_ref(), time));
                *served = true;
                desk.post(Standing::Ready(Ready {
                    socket: child.socket.clone(),
                    shared: child.shared.clone(),
                    running: Arc::new(running),
                    number,
                    pid: child.pid,
                }));
            }
            Heard::Message(reply) => desk.change(|state| {
                let took = state.asked.take().map(|asked| asked.elapsed());
                if let (Some(pace), Some(took)) = (&mut pace, took) {
                    pace.answered(took);
                }
                state.reply = Some(reply);
            }),
        }
        silent = Duration::ZERO;
    }
}

/// Tells that the worker is lost before it is ended, which may take the system a while.
fn gone(desk: &Desk, mut child: Child, why: String) -> End {
    desk.post(Standing::Down(why.clone()));
    format!("{why}; {}", child.end()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use echocart_core::config::{CartConfig, EngineConfig, Policy};
    use std::path::PathBuf;

    fn line(providers: &[&str]) -> Line {
        let engine = EngineConfig {
            providers: providers.iter().map(|&p| p.to_owned()).collect(),
            policy: Policy::Degrade,
            ..CartConfig::demo().unwrap().engine
        };
        let setup = WorkerSetup {
            notes: vec!["asked so".to_owned()],
            ..WorkerSetup::new("", engine, PathBuf::new())
        };
        Line {
            openings: Opening::line(&setup, "/nowhere".as_ref(), "p@0").unwrap(),
            refusals: Vec::new(),
        }
    }

    fn notes(line: &Line) -> Vec<String> {
        let opening: Opening = serde_json::from_str(&line.opening()).unwrap();
        opening.notes
    }

    #[test]
    fn the_next_in_line_is_told_why_those_before_do_not_serve_and_the_last_says_all() {
        let mut line = line(&["TensorRT", "CUDA", "OpenVINO", "CPU"]);
        let none = format!("{NONE_SERVES}TensorRT does not serve: a; CUDA does not serve: b");
        assert!(matches!(line.refused(none), Refusal::Next(_)));
        assert!(matches!(line.refused("c".to_owned()), Refusal::Next(_)));
        let before = "TensorRT does not serve: a; CUDA does not serve: b";
        assert_eq!(
            notes(&line),
            ["asked so", before, "OpenVINO does not serve: c"]
        );
        let Refusal::Last(all) = line.refused("d".to_owned()) else {
            panic!("there is another one");
        };
        let rest = "OpenVINO does not serve: c; CPU does not serve: d";
        assert_eq!(all, format!("{NONE_SERVES}{before}; {rest}"));
        assert_eq!(notes(&line), ["asked so"], "the first one's turn again");
    }

    #[test]
    fn an_only_one_says_why_in_its_own_words() {
        let mut line = line(&["CPU"]);
        let Refusal::Last(why) = line.refused("d".to_owned()) else {
            panic!("there is another one");
        };
        assert_eq!(why, "d");
    }
}
