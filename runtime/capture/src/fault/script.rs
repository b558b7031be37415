//! The language of fault scripts.

use std::path::Path;

use crate::SourceError;
use crate::error::one_line;

const MOST_STATEMENTS: usize = 1000;
const MOST_SIDE_PX: u32 = 8192;
const MOST_SECONDS: f64 = 1e9;

/// What goes wrong and when.
///
/// Statements are separated by `;` or line ends; `#` begins a comment. `seed N` sets the seed of
/// everything by chance; every other statement is `WHEN FAULT [VALUE] [CHANCE%]`.
///
/// `WHEN` counts from the first frame: `2s` is the first frame at or after 2 s, `2s..3s` every
/// frame from 2 s to before 3 s, `2s..` every frame from then on. Times are numbers with `us`,
/// `ms`, `s`, `m` or `h`. With a chance, each frame is hit with that probability.
///
/// | fault | does |
/// |---|---|
/// | `lose` | the frame never comes |
/// | `late TIME` | it comes that much later; frames behind it overtake |
/// | `duplicate` | it comes twice |
/// | `reorder N` | it comes after the next N frames |
/// | `corrupt` | a third of its rows is noise |
/// | `resize WxH` | it has another size |
/// | `freeze` | the picture stands still, the stamps go on; a range |
/// | `stamp TIME` | its stamp is off by that much |
/// | `jump TIME` | the device's clock jumps: from then on, or within the range |
/// | `drift PPM` | the device's clock runs fast by that many millionths; a range |
/// | `jitter TIME` | it comes up to that much later, by chance; frames stay in order |
/// | `disconnect TIME` | the device is away for that long; an instant |
/// | `rate HZ` | at most so many frames a second; a range |
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    pub(super) seed: u64,
    pub(super) faults: Vec<Fault>,
}

/// One statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fault {
    pub(super) from_nanos: i64,
    /// The end of a range; nothing for an instant.
    pub(super) until_nanos: Option<i64>,
    pub(super) kind: Kind,
    pub(super) per_mille: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Lose,
    Late(i64),
    Duplicate,
    Reorder(u32),
    Corrupt,
    Resize(u32, u32),
    Freeze,
    Stamp(i64),
    Jump(i64),
    Drift(i64),
    Jitter(i64),
    Disconnect(i64),
    Rate(f64),
}

/// What was expected and what was found.
type Wrong = (&'static str, String);

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`SourceError::Script`] with the number of the statement.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let mut script = Self {
            seed: 0,
            faults: Vec::new(),
        };
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or(""));
        let statements = lines.flat_map(|line| line.split(';'));
        for (at, statement) in statements.filter(|s| !s.trim().is_empty()).enumerate() {
            let wrong = |(expected, found): Wrong| SourceError::Script {
                statement: at + 1,
                expected,
                found: one_line(&found),
            };
            if at >= MOST_STATEMENTS {
                return Err(wrong(("at most 1000 statements", "more".to_owned())));
            }
            let words: Vec<&str> = statement.split_whitespace().collect();
            match words.as_slice() {
                ["seed", seed] => {
                    let bad = |_| wrong(("seed N with a whole number", statement.to_owned()));
                    script.seed = seed.parse().map_err(bad)?;
                }
                _ => script.faults.push(Fault::parse(&words).map_err(wrong)?),
            }
        }
        Ok(script)
    }

    /// Reads a script from a file.
    ///
    /// # Errors
    /// [`SourceError::Io`] or as [`Script::parse`].
    pub fn load(path: &Path) -> Result<Self, SourceError> {
        let text = std::fs::read_to_string(path).map_err(|error| SourceError::Io {
            error,
            path: path.to_owned(),
        })?;
        Self::parse(&text)
    }
}

impl Fault {
    fn parse(words: &[&str]) -> Result<Self, Wrong> {
        let (when, name, rest) = match words {
            [when, name, rest @ ..] => (*when, *name, rest),
            _ => return Err(("WHEN FAULT [VALUE] [CHANCE%]", words.join(" "))),
        };
        let (rest, per_mille) = match rest {
            [rest @ .., last] if last.ends_with('%') => (rest, per_mille(last)?),
            _ => (rest, 1000),
        };
        let (from_nanos, until_nanos) = range(when)?;
        let kind = Kind::parse(name, rest)?;
        match kind {
            Kind::Disconnect(_) if until_nanos.is_some() => {
                return Err(("disconnect at an instant", when.to_owned()));
            }
            Kind::Freeze | Kind::Rate(_) | Kind::Drift(_) if until_nanos.is_none() => {
                return Err(("a range, as in 2s..3s or 2s..", when.to_owned()));
            }
            Kind::Freeze | Kind::Rate(_) | Kind::Drift(_) | Kind::Jump(_) | Kind::Disconnect(_)
                if per_mille < 1000 =>
            {
                return Err(("no chance with this fault", words.join(" ")));
            }
            _ => {}
        }
        Ok(Self {
            from_nanos,
            until_nanos,
            kind,
            per_mille,
        })
    }
}

impl Kind {
    fn parse(name: &str, values: &[&str]) -> Result<Self, Wrong> {
        let one = |expected| match values {
            [value] => Ok(*value),
            _ => Err((expected, format!("{name} {}", values.join(" ")))),
        };
        let later = |expected| {
            let nanos = time(one(expected)?)?;
            (nanos > 0)
                .then_some(nanos)
                .ok_or_else(|| (expected, values.join(" ")))
        };
        let none = |kind| match values {
            [] => Ok(kind),
            _ => Err((
                "no value with this fault",
                format!("{name} {}", values.join(" ")),
            )),
        };
        match name {
            "lose" => none(Self::Lose),
            "duplicate" => none(Self::Duplicate),
            "corrupt" => none(Self::Corrupt),
            "freeze" => none(Self::Freeze),
            "late" => later("late TIME above 0").map(Self::Late),
            "jitter" => later("jitter TIME above 0").map(Self::Jitter),
            "disconnect" => later("disconnect TIME above 0").map(Self::Disconnect),
            "stamp" => time(one("stamp TIME")?).map(Self::Stamp),
            "jump" => time(one("jump TIME")?).map(Self::Jump),
            "reorder" => {
                let expected = "reorder N with 1 to 100";
                let count = one(expected)?.parse().ok();
                let count = count.filter(|count| (1..=100).contains(count));
                count
                    .map(Self::Reorder)
                    .ok_or_else(|| (expected, values.join(" ")))
            }
            "drift" => {
                let expected = "drift PPM with -100000 to 100000";
                let ppm = one(expected)?.parse().ok();
                let ppm = ppm.filter(|ppm| (-100_000..=100_000).contains(ppm));
                ppm.map(Self::Drift)
                    .ok_or_else(|| (expected, values.join(" ")))
            }
            "rate" => {
                let expected = "rate HZ above 0 and at most 1000";
                let hertz = one(expected)?.parse().ok();
                let hertz = hertz.filter(|&hertz: &f64| hertz > 0.0 && hertz <= 1000.0);
                hertz
                    .map(Self::Rate)
                    .ok_or_else(|| (expected, values.join(" ")))
            }
            "resize" => {
                let expected = "resize WxH with sides of 1 to 8192";
                let sides = one(expected)?.split_once('x');
                let side = |text: &str| {
                    let side = text.parse().ok();
                    side.filter(|side| (1..=MOST_SIDE_PX).contains(side))
                };
                sides
                    .and_then(|(w, h)| Some(Self::Resize(side(w)?, side(h)?)))
                    .ok_or_else(|| (expected, values.join(" ")))
            }
            _ => Err((
                "lose, late, duplicate, reorder, corrupt, resize, freeze, stamp, jump, drift, \
                 jitter, disconnect or rate",
                name.to_owned(),
            )),
        }
    }
}

fn range(text: &str) -> Result<(i64, Option<i64>), Wrong> {
    let expected = "a time, as in 2s, 2s..3s or 2s..";
    let (from, until) = match text.split_once("..") {
        None => (time(text)?, None),
        Some((from, "")) => (time(from)?, Some(i64::MAX)),
        Some((from, until)) => (time(from)?, Some(time(until)?)),
    };
    if from < 0 || until.is_some_and(|until| until <= from) {
        return Err((expected, text.to_owned()));
    }
    Ok((from, until))
}

fn per_mille(text: &str) -> Result<u64, Wrong> {
    let percent = text.trim_end_matches('%').parse().ok();
    let percent = percent.filter(|percent: &f64| (0.0..=100.0).contains(percent));
    percent
        .map(|percent| (percent * 10.0).round() as u64)
        .ok_or_else(|| ("a chance of 0% to 100%", text.to_owned()))
}

fn time(text: &str) -> Result<i64, Wrong> {
    const UNITS: [(&str, f64); 5] = [
        ("us", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
    ];
    let wrong = || ("a time with us, ms, s, m or h", text.to_owned());
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(unit));
    let (unit, nanos) = unit.ok_or_else(wrong)?;
    let number: f64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    let nanos = number * nanos;
    let sane = nanos.abs() <= MOST_SECONDS * 1e9;
    sane.then(|| nanos.round() as i64).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_with_its_time_and_chance() {
        let text = "seed 7; 2s lose; 1.5s..2s late 300ms 20%\n3m.. jump -1h # a comment; 1s lose";
        let script = Script::parse(text).unwrap();
        assert_eq!(script.seed, 7);
        let fault = |from_nanos, until_nanos, kind, per_mille| Fault {
            from_nanos,
            until_nanos,
            kind,
            per_mille,
        };
        let second = 1_000_000_000;
        assert_eq!(
            script.faults,
            [
                fault(2 * second, None, Kind::Lose, 1000),
                fault(
                    3 * second / 2,
                    Some(2 * second),
                    Kind::Late(300_000_000),
                    200
                ),
                fault(
                    180 * second,
                    Some(i64::MAX),
                    Kind::Jump(-3600 * second),
                    1000
                ),
            ]
        );
        assert_eq!(Script::parse(" ;\n").unwrap().faults, []);
    }

    #[test]
    fn a_wrong_statement_is_named_by_its_number() {
        for (text, number, expected) in [
            ("2s lose; 3 lose", 2, "us, ms, s, m or h"),
            ("2s", 1, "WHEN FAULT"),
            ("2s melt", 1, "lose, late"),
            ("2s freeze", 1, "a range"),
            ("2s..1s lose", 1, "2s..3s"),
            ("-2s lose", 1, "a time"),
            ("1s resize 0x5", 1, "1 to 8192"),
            ("1s resize 5", 1, "1 to 8192"),
            ("1s lose 120%", 1, "0% to 100%"),
            ("1s late -3ms", 1, "above 0"),
            ("1s.. disconnect 1s", 1, "an instant"),
            ("1s lose now", 1, "no value"),
            ("seed x", 1, "whole number"),
            ("1s..2s rate nan", 1, "at most 1000"),
            ("NaNs lose", 1, "a time"),
            ("1s jump 1e30h", 1, "a time"),
            ("1s.. freeze 50%", 1, "no chance"),
        ] {
            let error = Script::parse(text).unwrap_err().to_string();
            let start = format!("fault script, statement {number}: ");
            assert!(
                error.starts_with(&start) && error.contains(expected),
                "{text}: {error}"
            );
        }
    }
}
