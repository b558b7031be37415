//! Whether numbers may be expected: `/readyz`.

use super::Tally;
use echocart_core::decide::Level;
use serde::Serialize;

/// Answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// True when a session serves, its engine and its source are up, and clips are inferred.
    pub ready: bool,
    /// Why it is not, one word each.
    pub reasons: Vec<&'static str>,
}

pub(super) fn judge(tally: &Tally) -> Health {
    let rests = tally
        .observer
        .as_ref()
        .is_some_and(|o| o.level() >= Level::SignalOnly);
    let checks = [
        (tally.session.is_none(), "starting"),
        (!tally.warming.is_empty(), "warming_up"),
        (!tally.down.is_empty(), "engine_down"),
        (tally.source_lost, "source_lost"),
        (rests, "degraded"),
        (tally.ended, "ended"),
    ];
    let wrong = checks.iter().filter(|(wrong, _)| *wrong);
    let reasons: Vec<&str> = wrong.map(|(_, reason)| *reason).collect();
    Health {
        ready: reasons.is_empty(),
        reasons,
    }
}
