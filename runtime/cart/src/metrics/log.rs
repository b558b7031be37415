//! The log on standard error: what a service person needs, nothing of a patient.
//!
//! Off unless asked for. It holds states, ladder, refusals and failures; never an image, a value of
//! an output, an exam token or the page's token.

use super::word;
use clap::{Args, ValueEnum};
use echocart_core::events::{Event, StateKind};
use tracing_subscriber::filter::LevelFilter;

/// Options of the log.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Write a log to standard error: text for people, json for collectors, one object per line.
    #[arg(long = "log", value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Least level that is logged. debug adds every estimate's status and reason.
    #[arg(
        long = "log-level",
        value_enum,
        value_name = "LEVEL",
        default_value = "info"
    )]
    #[arg(requires = "format")]
    level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl LogArgs {
    /// Starts the log, if one is asked for.
    pub fn start(&self) {
        let level = match self.level {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
        };
        let log = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_max_level(level);
        match self.format {
            None => {}
            Some(Format::Text) => log.init(),
            Some(Format::Json) => log.json().flatten_event(true).init(),
        }
    }
}

/// Logs what `event` says about the system.
pub fn log(event: &Event) {
    match event {
        Event::Estimate(e) => tracing::debug!(
            clip = e.clip,
            view = word(&e.view.status),
            view_reason = e.view.reason.map(|r| word(&r)),
            lvef = word(&e.lvef.status),
            lvef_reason = e.lvef.reason.map(|r| word(&r)),
            "estimate"
        ),
        Event::State(state) => {
            let (kind, detail) = (word(&state.state), state.detail.as_str());
            match state.state {
                StateKind::EngineDown | StateKind::SourceLost => {
                    tracing::error!(state = kind, detail, "state");
                }
                StateKind::LadderChanged => tracing::warn!(state = kind, detail, "state"),
                StateKind::Counters => tracing::debug!(state = kind, detail, "state"),
                StateKind::Started | StateKind::EngineReady => {
                    tracing::info!(state = kind, detail, "state");
                    started(state.session.as_ref());
                }
                _ => tracing::info!(state = kind, detail, "state"),
            }
        }
        Event::Summary(summary) => {
            let c = &summary.counters;
            if c.dropped_ring_full > 0 || summary.events_dropped > 0 {
                tracing::error!(
                    frames = c.dropped_ring_full,
                    events = summary.events_dropped,
                    "lost"
                );
            }
            tracing::info!(
                captured = c.captured,
                used = c.used,
                unused = c.unused,
                in_flight = c.in_flight,
                estimates = summary.estimates,
                "summary"
            );
        }
    }
}

fn started(session: Option<&echocart_core::events::SessionInfo>) {
    let Some(s) = session else { return };
    tracing::info!(
        package = s.package,
        provider = s.provider,
        variant = s.variant,
        library = s.library,
        signed = s.signed,
        version = s.version,
        "started"
    );
}
