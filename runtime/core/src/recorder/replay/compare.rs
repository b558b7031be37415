//! The first difference between what was recorded and what comes out now.

use serde::Serialize;
use serde_json::Value;
use std::fmt::{self, Debug};

/// A decision that comes out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which decision.
    pub what: String,
    /// What was recorded.
    pub recorded: String,
    /// What comes out now.
    pub replayed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            recorded,
            replayed,
        } = self;
        write!(f, "{what}: recorded {recorded}, replayed {replayed}")
    }
}

/// A difference in words.
pub(super) fn differs(
    what: impl Into<String>,
    recorded: impl Into<String>,
    replayed: impl Into<String>,
) -> Box<Difference> {
    Box::new(Difference {
        what: what.into(),
        recorded: recorded.into(),
        replayed: replayed.into(),
    })
}

/// Compares two values.
pub(super) fn same<T: PartialEq + Debug>(
    what: &str,
    recorded: &T,
    replayed: &T,
) -> Result<(), Box<Difference>> {
    if recorded == replayed {
        return Ok(());
    }
    let (recorded, replayed) = (format!("{recorded:?}"), format!("{replayed:?}"));
    Err(differs(what, recorded, replayed))
}

/// Compares two values as they are written, and names the first place where they differ.
pub(super) fn same_json<T: Serialize>(
    what: &str,
    recorded: &T,
    replayed: &T,
) -> Result<(), Box<Difference>> {
    let text = |value: &T| serde_json::to_string(value).unwrap_or_default();
    let (before, now) = (text(recorded), text(replayed));
    if before == now {
        return Ok(());
    }
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (path, recorded, replayed) =
        first(String::new(), &value(&before), &value(&now)).unwrap_or((String::new(), before, now));
    Err(differs(format!("{what}{path}"), recorded, replayed))
}

fn first(path: String, a: &Value, b: &Value) -> Option<(String, String, String)> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let missing = Value::Null;
            let keys = x.keys().chain(y.keys().filter(|k| !x.contains_key(*k)));
            let of = |map: &serde_json::Map<String, Value>, key: &String| {
                map.get(key).unwrap_or(&missing).clone()
            };
            keys.into_iter()
                .find_map(|k| first(format!("{path}, {k}"), &of(x, k), &of(y, k)))
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => x
            .iter()
            .zip(y)
            .enumerate()
            .find_map(|(at, (x, y))| first(format!("{path}[{at}]"), x, y)),
        _ => {
            let (a, b) = (a.to_string(), b.to_string());
            (a != b).then_some((path, a, b))
        }
    }
}
