//! The status line: view, EF, reason, evidence age, frames.

use echocart_core::clock::{self, Pace};
use echocart_core::events::{Counters, Estimate, Event, Output, Status, Summary};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

const ON_TERMINAL: Duration = Duration::from_millis(250);
const IN_A_LOG: Duration = Duration::from_secs(5);

/// One line on standard error: rewritten in place on a terminal, repeated in a log.
pub struct StatusLine {
    pace: Pace,
    terminal: bool,
    shown: Option<Instant>,
    estimate: Option<Box<Estimate>>,
    counters: Counters,
}

impl StatusLine {
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            terminal: std::io::stderr().is_terminal(),
            shown: None,
            estimate: None,
            counters: Counters::default(),
        }
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Estimate(estimate) => {
                let before = self.estimate.replace(estimate.clone());
                if let (Some(now), Some(before)) = (&mut self.estimate, before) {
                    now.leave_as_it_was(*before);
                }
            }
            Event::State(state) => {
                if let Some(counters) = &state.counters {
                    self.counters.clone_from(counters);
                }
            }
            Event::Summary(summary) => self.summary(summary),
        }
    }

    pub fn tick(&mut self) {
        let every = if self.terminal { ON_TERMINAL } else { IN_A_LOG };
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= every);
        if !due || self.estimate.is_none() {
            return;
        }
        self.shown = Some(Instant::now());
        let line = self.line();
        let mut stderr = std::io::stderr().lock();
        let _ = if self.terminal {
            write!(stderr, "\r\x1b[2K{line}")
        } else {
            writeln!(stderr, "{line}")
        };
        let _ = stderr.flush();
    }

    pub fn finish(&self) {
        if self.terminal && self.shown.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }

    fn line(&self) -> String {
        let mut line = String::new();
        let Some(estimate) = &self.estimate else {
            return line;
        };
        let view = estimate.view.value.as_ref().map(|v| v.label.clone());
        let ef = estimate
            .lvef
            .value
            .as_ref()
            .map(|v| format!("{:.0} %", v.percent));
        let _ = write!(line, "view {}", self.output(&estimate.view, view));
        let _ = write!(line, " | EF {}", self.output(&estimate.lvef, ef));
        if self.pace == Pace::Real {
            let newest = estimate
                .view
                .evidence
                .segments
                .iter()
                .map(|s| s.last_capture_nanos)
                .max();
            if let Some(newest) = newest {
                let age = (clock::now_nanos() - newest) as f64 / 1e9;
                let _ = write!(line, " | evidence {age:.1} s old");
            }
        }
        let c = &self.counters;
        let rejected: u64 = c.rejected.values().sum();
        let _ = write!(
            line,
            " | frames in {}, used {}, dropped {}",
            c.captured,
            c.used,
            c.dropped_ring_full + rejected
        );
        line
    }

    fn output<T>(&self, output: &Output<T>, value: Option<String>) -> String {
        let stale = self.pace == Pace::Real
            && output
                .valid_until_nanos
                .is_some_and(|until| clock::now_nanos() > until);
        match (value, output.status) {
            (Some(_), _) if stale => "-- (STALE)".to_owned(),
            (Some(value), Status::Demonstration) => format!("{value} (DEMO)"),
            (Some(value), _) => value,
            (None, _) => match output.reason {
                Some(reason) => format!("-- ({})", word(&reason)),
                None => format!("-- ({})", word(&output.status)),
            },
        }
    }

    fn summary(&mut self, summary: &Summary) {
        self.counters = summary.counters.clone();
        let c = &summary.counters;
        if self.terminal && self.shown.is_some() {
            let _ = writeln!(std::io::stderr());
            self.shown = None;
        }
        let rejected: u64 = c.rejected.values().sum();
        let _ = writeln!(
            std::io::stderr(),
            "frames: {} captured = {} used + {} unused + {} dropped + {rejected} rejected + {} in \
             flight; estimates: {}, with a view {}, with an EF {}; clips superseded: {}",
            c.captured,
            c.used,
            c.unused,
            c.dropped_ring_full,
            c.in_flight,
            summary.estimates,
            summary.values.get("view").copied().unwrap_or(0),
            summary.values.get("lvef").copied().unwrap_or(0),
            c.clips_superseded,
        );
        if summary.events_dropped > 0 {
            let lost = summary.events_dropped;
            let _ = writeln!(std::io::stderr(), "events lost to a full queue: {lost}");
        }
    }
}

/// A status or reason as it is written in events.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
