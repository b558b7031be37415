//! What a monitor may ask of a running session: `/metrics`, `/healthz`, `/readyz`.
//!
//! Fed by the event thread, read by the page's server. Nothing in it is of a patient: no exam
//! token, no image, no value of an output.

mod health;
mod log;
mod text;

pub use health::Health;
pub use log::{LogArgs, log};

use echocart_core::clock;
use echocart_core::events::{
    Estimate, Event, Reason, SessionInfo, State, StateKind, Status, TokenCount,
};
use echocart_core::observer::Observer;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Tallies of one process. Clones share them.
///
/// # Real-time
/// No call waits for a reader; a scrape holds the lock for a copy of a few counters.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    shared: Arc<Mutex<Tally>>,
}

/// How often an output had a status, and why.
type Outcome = (&'static str, String, String);

#[derive(Debug, Clone)]
struct Tally {
    began: Instant,
    session: Option<SessionInfo>,
    observer: Option<Observer>,
    estimates: u64,
    outcomes: BTreeMap<Outcome, u64>,
    states: BTreeMap<String, u64>,
    /// Packages without an engine, and those whose engine is being made ready.
    down: BTreeSet<String>,
    warming: BTreeSet<String>,
    source_lost: bool,
    ended: bool,
    events_dropped: u64,
    newest_evidence_nanos: Option<i64>,
    /// Share of the newest inferred clip's tokens that the encoder was given.
    tokens_share: Option<f64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            session: None,
            observer: None,
            estimates: 0,
            outcomes: BTreeMap::new(),
            states: BTreeMap::new(),
            down: BTreeSet::new(),
            warming: BTreeSet::new(),
            source_lost: false,
            ended: false,
            events_dropped: 0,
            newest_evidence_nanos: None,
            tokens_share: None,
        }
    }
}

impl Metrics {
    /// Takes up the session whose events will come.
    pub fn observe(&self, observer: Observer) {
        self.lock().observer = Some(observer);
    }

    /// Counts one event.
    pub fn event(&self, event: &Event) {
        let mut tally = self.lock();
        match event {
            Event::Estimate(estimate) => tally.estimate(estimate),
            Event::State(state) => tally.state(state),
            Event::Summary(summary) => {
                tally.ended = true;
                tally.events_dropped = summary.events_dropped;
            }
        }
    }

    /// The tallies in Prometheus' text format; `previews_skipped` is the page's.
    pub fn text(&self, previews_skipped: u64) -> String {
        let tally = self.lock().clone();
        text::write(&tally, previews_skipped, clock::now_nanos())
    }

    /// Where the degradation ladder is, 0 for the full rate; none before a session.
    pub fn ladder(&self) -> Option<u8> {
        self.lock().observer.as_ref().map(|o| o.level() as u8)
    }

    /// Whether numbers may be expected of this process.
    pub fn health(&self) -> Health {
        health::judge(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn estimate(&mut self, estimate: &Estimate) {
        self.estimates += 1;
        if estimate.raw.is_some() {
            self.down.remove(&estimate.package);
            let share = |t: TokenCount| t.used as f64 / t.all.max(1) as f64;
            self.tokens_share = Some(estimate.tokens.map_or(1.0, share));
        }
        let reasons = [estimate.view.reason, estimate.lvef.reason];
        if estimate.raw.is_none() && reasons.contains(&Some(Reason::EngineDown)) {
            self.down.insert(estimate.package.clone());
        }
        let viewed = estimate.view.status != Status::NotDue;
        let newest = estimate.view.evidence.segments.last().filter(|_| viewed);
        if let Some(newest) = newest.map(|s| s.last_capture_nanos) {
            self.newest_evidence_nanos = Some(newest);
        }
        for (output, status, reason) in [
            ("view", estimate.view.status, estimate.view.reason),
            ("lvef", estimate.lvef.status, estimate.lvef.reason),
            ("signal", estimate.signal.status, estimate.signal.reason),
        ] {
            let key = (
                output,
                word(&status),
                reason.map_or_else(String::new, |r| word(&r)),
            );
            *self.outcomes.entry(key).or_default() += 1;
        }
    }

    fn state(&mut self, state: &State) {
        *self.states.entry(word(&state.state)).or_default() += 1;
        for session in [&state.session, &state.guide].into_iter().flatten() {
            let nobody = session.provider.is_empty();
            for (packages, there) in [
                (&mut self.warming, nobody && session.degraded.is_none()),
                (&mut self.down, nobody && session.degraded.is_some()),
            ] {
                packages.remove(&session.package);
                packages.extend(there.then(|| session.package.clone()));
            }
        }
        if let Some(session) = &state.session {
            self.session = Some(session.clone());
        }
        match state.state {
            StateKind::SourceLost => self.source_lost = true,
            StateKind::SourceBack => self.source_lost = false,
            StateKind::SourceEnded => self.ended = true,
            _ => {}
        }
    }
}

/// A status, reason or state as it is written in events.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn session(package: &str, provider: &str, degraded: Option<&str>) -> Value {
        json!({
            "package": package, "card": "", "trained": "untrained", "signed": "", "model": "", "provider": provider,
            "degraded": degraded, "library": "", "calibration": "none", "labels": [], "banners": [], "config": "0",
            "version": "0",
        })
    }

    fn state(kind: &str, key: &str, session: Value) -> Event {
        let mut event = json!({
            "type": "state", "schema": 1, "state": kind, "at_nanos": 0, "detail": "",
        });
        event[key] = session;
        serde_json::from_value(event).unwrap()
    }

    /// An estimate of `package`: inferred, or without an engine.
    fn estimate(package: &str, inferred: bool) -> Event {
        let reason = match inferred {
            true => "UNCERTAIN",
            false => "ENGINE_DOWN",
        };
        let output = json!({
            "status": "WITHHELD", "reason": reason, "evidence": {"segments": []}, "valid_until_nanos": null,
        });
        let mut event = json!({
            "type": "estimate", "schema": 1, "clip": 0, "provider": "CPU", "package": package, "config": "0",
            "view": output, "lvef": output, "signal": output,
        });
        if inferred {
            event["raw"] = json!({});
        }
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn a_session_is_ready_while_the_engines_of_both_its_packages_serve() {
        let metrics = Metrics::default();
        let told = |events: &[Event]| {
            events.iter().for_each(|event| metrics.event(event));
            metrics.health().reasons
        };
        let guide =
            |kind, provider, degraded| state(kind, "guide", session("guide", provider, degraded));
        let started = state("STARTED", "session", session("measure", "CPU", None));
        assert_eq!(told(&[started]), [""; 0]);
        assert_eq!(
            told(&[guide("ENGINE_WARMING_UP", "", None)]),
            ["warming_up"]
        );
        let failed = guide("ENGINE_DOWN", "", Some("no library"));
        assert_eq!(told(&[failed, estimate("measure", true)]), ["engine_down"]);
        assert_eq!(told(&[guide("ENGINE_READY", "CPU", None)]), [""; 0]);
        let other = [estimate("measure", false), estimate("guide", true)];
        assert_eq!(told(&other), ["engine_down"]);
        assert_eq!(told(&[estimate("measure", true)]), [""; 0]);
    }
}
