//! Fault scripts by chance through a whole run: frames add up on every snapshot, nothing panics,
//! and the stream comes back.

use echocart_tests::{build_dir, echocart, events, fetched, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::{Child, Stdio};

/// Faults come from the first second on and are over by then.
const FAULTS_UNTIL_MILLIS: u64 = 3_500;
const KINDS: [&str; 13] = [
    "lose",
    "late",
    "duplicate",
    "reorder",
    "corrupt",
    "resize",
    "freeze",
    "stamp",
    "jump",
    "drift",
    "jitter",
    "disconnect",
    "rate",
];

/// Numbers by chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    fn signed(&mut self, most: u64) -> i64 {
        self.below(2 * most + 1) as i64 - most as i64
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A script of twelve statements, over before [`FAULTS_UNTIL_MILLIS`]; the kinds that script number
/// `seed` is sure to have are chosen so that four scripts have all.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn script(seed: u64) -> String {
    let mut chance = Chance(seed);
    let mut text = format!("seed {seed}");
    for at in 0..12 {
        let kind = match at {
            0..4 => KINDS[(seed * 4 + at) as usize % KINDS.len()],
            _ => chance.one(&KINDS),
        };
        let from = 1_000 + chance.below(1_000);
        let until = from + 1 + chance.below(FAULTS_UNTIL_MILLIS - from - 1_000);
        let range = format!("{from}ms..{until}ms");
        let when = match (kind, chance.below(2)) {
            ("disconnect", _) | ("lose" | "late" | "corrupt" | "resize" | "stamp", 0) => {
                format!("{from}ms")
            }
            _ => range,
        };
        let value = match kind {
            "late" | "jitter" => format!("{}ms", 1 + chance.below(1_000)),
            "disconnect" => format!("{}ms", 1 + chance.below(2_000)),
            "reorder" => (1 + chance.below(12)).to_string(),
            "resize" => format!("{}x{}", 1 + chance.below(900), 1 + chance.below(900)),
            "stamp" | "jump" => match chance.below(3) {
                0 => format!("{}h", chance.signed(100)),
                1 => format!("{}s", chance.signed(30)),
                _ => format!("{}ms", chance.signed(400)),
            },
            "drift" => chance.signed(50_000).to_string(),
            "rate" => (1 + chance.below(60)).to_string(),
            _ => String::new(),
        };
        write!(text, "; {when} {kind} {value}").unwrap();
        let certain = ["freeze", "rate", "drift", "jump", "disconnect"];
        if !certain.contains(&kind) && chance.below(2) == 0 {
            write!(text, " {}%", 1 + chance.below(99)).unwrap();
        }
    }
    text
}

/// A run that has been started, with the script it got.
struct Run {
    script: String,
    file: std::path::PathBuf,
    child: Child,
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn start(dir: &std::path::Path, seed: u64, pace: &str, heart: &str) -> Run {
    let script = script(seed);
    let file = dir.join(format!("{pace}-{seed}.jsonl"));
    let mut command = echocart().unwrap();
    command.args(["run", "--headless", "--pace", pace, "--events"]);
    command.arg(&file).arg("--package");
    command.arg(fetched("packages/generated").unwrap());
    command.args(["--source", &format!("fault:{script}|{heart}")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    Run {
        script,
        file,
        child,
    }
}

/// Frames of a snapshot that are accounted for, and those captured.
fn sums(counters: &Value) -> (u64, u64) {
    let number = |key: &str| counters[key].as_u64().unwrap_or(0);
    let rejected = counters["rejected"].as_object().into_iter().flatten();
    let rejected: u64 = rejected.filter_map(|(_, count)| count.as_u64()).sum();
    let accounted = number("used") + number("unused") + number("dropped_ring_full");
    (
        accounted + rejected + number("in_flight"),
        number("captured"),
    )
}

/// Waits for a run and gives its events.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn ended(run: Run) -> (String, Vec<Value>) {
    let output = run.child.wait_with_output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{}: {said}", run.script);
    assert!(!said.contains("panicked"), "{}: {said}", run.script);
    let all = events(&run.file).unwrap();
    (run.script, all)
}

/// Counters in every snapshot, one summary at the end, and clips evaluated after the last fault.
#[track_caller]
fn check(script: &str, all: &[Value]) {
    let mut snapshots = 0;
    for event in all {
        let counters = match event["type"].as_str() {
            Some("summary") => event,
            Some("state") if event["counters"].is_object() => &event["counters"],
            _ => continue,
        };
        let (accounted, captured) = sums(counters);
        assert_eq!(accounted, captured, "{script}: {event}");
        snapshots += 1;
    }
    assert!(snapshots >= 2, "{script}: {snapshots} snapshots");
    let last = all.last().map_or(&Value::Null, |event| &event["type"]);
    assert_eq!(last, "summary", "{script}");
    let captured = all.last().map_or(0, |event| sums(event).1);
    let evaluated = all.iter().filter(|event| event["raw"].is_object());
    let newest = evaluated.flat_map(|event| event["view"]["evidence"]["segments"].as_array());
    let newest = newest
        .flatten()
        .filter_map(|segment| segment["last_frame"].as_u64())
        .max();
    let from_end = newest.map(|frame| captured.saturating_sub(frame));
    assert!(
        from_end.is_some_and(|frames| frames <= 30),
        "{script}: the newest evaluated frame is {newest:?} of {captured}"
    );
}

#[test]
fn four_scripts_by_chance_keep_the_account_and_come_back() {
    build_dir().unwrap();
    let all: String = (0..4).map(script).collect();
    for kind in KINDS {
        assert!(all.contains(&format!(" {kind} ")), "{kind} is in no script");
    }
    let dir = tempfile::tempdir().unwrap();
    let heart = "phantom:view=A4C,fps=20,seconds=7,size=240x180";
    for pair in [0, 2] {
        let runs = [pair, pair + 1].map(|seed| start(dir.path(), seed, "max", heart));
        for run in runs {
            let (script, events) = ended(run);
            check(&script, &events);
        }
    }
}

#[test]
fn two_scripts_by_chance_in_real_time() {
    let dir = tempfile::tempdir().unwrap();
    let heart = "phantom:view=A4C,fps=20,seconds=7,size=240x180";
    let runs = [3, 8].map(|seed| start(dir.path(), seed, "real", heart));
    for run in runs {
        let (script, events) = ended(run);
        check(&script, &events);
    }
}

#[test]
fn a_device_that_is_away_at_the_end_is_back_in_the_next_pass() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    let mut command = echocart().unwrap();
    command.args(["run", "--headless", "--pace", "max", "--loop"]);
    command.args(["--seconds", "10", "--events"]).arg(&file);
    command.arg("--package");
    command.arg(fetched("packages/generated").unwrap());
    let heart = "phantom:view=A4C,fps=20,seconds=4,size=320x240";
    command.args(["--source", &format!("fault:3s disconnect 1h|{heart}")]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let states: Vec<String> = events(&file)
        .unwrap()
        .iter()
        .filter_map(|event| event["state"].as_str().map(str::to_owned))
        .filter(|state| state.starts_with("SOURCE_"))
        .collect();
    let kinds: BTreeSet<&str> = states.iter().map(String::as_str).collect();
    assert!(kinds.contains("SOURCE_BACK"), "{states:?}");
    for pair in states.windows(2) {
        assert_ne!(pair[0], pair[1], "{states:?}");
    }
}
