//! One scenario through Rust and through C: the same events, field by field and bit by bit.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod played;

use echocart_core::config::CartConfig;
use echocart_core::events::{Counters, Estimate, Event, Output, Segment, StateKind, Status};
use echocart_core::frame::{ExamToken, FrameMeta, HostMeta, PixelFormat};
use echocart_core::package::Package;
use echocart_tests::{fetched, root, text};
use played::play;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

const FRAMES: u64 = 260;
const FRAME_NANOS: i64 = 40_000_000;

/// The numbers of the header by name, so that the bridge's own tables are not asked.
fn numbers() -> BTreeMap<String, u32> {
    let header = fs::read_to_string(root().join("firmware-bridge/include/echocart.h")).unwrap();
    let lines = header
        .lines()
        .filter_map(|l| l.strip_prefix("#define ECHOCART_"));
    lines
        .filter_map(|line| {
            let (name, number) = line.split_once(' ')?;
            Some((name.to_owned(), number.trim().parse().ok()?))
        })
        .collect()
}

struct Writer {
    numbers: BTreeMap<String, u32>,
    labels: Vec<String>,
}

impl Writer {
    /// The header's number for a value as its JSON names it.
    fn number(&self, kind: &str, value: impl serde::Serialize) -> u32 {
        let name = serde_json::to_value(value).unwrap();
        let name = format!("{kind}_{}", name.as_str().unwrap());
        *self.numbers.get(&name).unwrap_or_else(|| panic!("{name}"))
    }

    fn label(&self, label: Option<&String>) -> u32 {
        let at = label.and_then(|l| self.labels.iter().position(|known| known == l));
        at.map_or(u32::MAX, |at| at as u32)
    }

    fn segment(&self, part: &Segment) -> String {
        format!(
            " [{} {} {} {} {} {} {} {} {} {}]",
            part.first_frame,
            part.last_frame,
            part.first_capture_nanos,
            part.last_capture_nanos,
            part.sector,
            self.label(part.view.as_ref()),
            u32::from(part.seam),
            part.first_host_frame.unwrap(),
            part.last_host_frame.unwrap(),
            part.exam.token.0[15],
        )
    }

    fn output<T>(&self, name: &str, output: &Output<T>) -> String {
        let none = i64::MIN;
        let evidence = &output.evidence;
        let reason = output.reason.map_or(0, |r| self.number("REASON", r));
        let segments = evidence.segments.iter().map(|s| self.segment(s));
        format!(
            " {name} {} {reason} {} {} {}{}",
            self.number("STATUS", output.status),
            output.valid_until_nanos.unwrap_or(none),
            evidence.age_newest_nanos.unwrap_or(none),
            evidence.age_oldest_nanos.unwrap_or(none),
            segments.collect::<String>(),
        )
    }

    fn estimate(&self, e: &Estimate) -> String {
        let view = e.view.value.as_ref();
        let lvef = e.lvef.value.as_ref();
        let interval = lvef.and_then(|l| l.interval);
        let calibration = lvef.map_or(0, |l| self.number("CALIBRATION", l.calibration));
        let nan = f32::NAN;
        let mut line = format!("estimate {} {}", e.clip, e.sent_nanos.unwrap_or(i64::MIN));
        line += &self.output("view", &e.view);
        line += &self.output("lvef", &e.lvef);
        line += &self.output("signal", &e.signal);
        let _ = write!(
            line,
            " values {} {} {} {} {} {calibration} {}",
            self.label(view.map(|v| &v.label)),
            bits(lvef.map_or(nan, |l| l.percent)),
            bits(interval.map_or(nan, |i| i.low)),
            bits(interval.map_or(nan, |i| i.high)),
            bits(interval.map_or(nan, |i| i.coverage)),
            bits(e.signal.value.as_ref().map_or(nan, |s| s.meter)),
        );
        let raw = e.raw.clone().unwrap_or_default();
        let probabilities = view.map(|v| v.probabilities.clone()).unwrap_or_default();
        line += &floats("probabilities", &probabilities);
        line += &floats("raw", &raw.view.unwrap_or_default());
        line + &floats("", &raw.lvef.unwrap_or_default())
    }

    fn counters(&self, c: &Counters) -> String {
        let mut line = format!(
            " counters {} {} {} {} {} {}",
            c.captured, c.used, c.unused, c.dropped_ring_full, c.in_flight, c.clips_superseded
        );
        let rejected: BTreeMap<u32, u64> = c
            .rejected
            .iter()
            .filter(|(_, frames)| **frames > 0)
            .map(|(reason, frames)| (self.number("REASON", *reason), *frames))
            .collect();
        for (reason, frames) in rejected {
            let _ = write!(line, " {reason}:{frames}");
        }
        line
    }

    fn line(&self, event: &Event) -> String {
        match event {
            Event::Estimate(e) => self.estimate(e),
            Event::State(s) => {
                let state = self.number("STATE", s.state);
                let counters = s.counters.clone().unwrap_or_default();
                format!("state {state} {} {}", s.at_nanos, s.detail) + &self.counters(&counters)
            }
            Event::Summary(s) => {
                let values = |name: &str| s.values.get(name).copied().unwrap_or(0);
                format!(
                    "summary {} {} {} {} {}",
                    s.estimates,
                    values("view"),
                    values("lvef"),
                    values("signal"),
                    s.events_dropped
                ) + &self.counters(&s.counters)
            }
        }
    }
}

fn bits(number: f32) -> String {
    format!("{:08x}", number.to_bits())
}

fn floats(name: &str, numbers: &[f32]) -> String {
    let words: String = numbers.iter().map(|n| format!(" {}", bits(*n))).collect();
    format!(" {name}{words}")
}

/// The scenario: colour, a freeze, a repeated time, missing frames, a new exam, another size.
fn frame(number: u64) -> (FrameMeta, Vec<u8>) {
    let (width_px, height_px) = if number >= 200 { (64, 48) } else { (96, 80) };
    let meta = FrameMeta {
        width_px,
        height_px,
        format: PixelFormat::Gray8,
        capture_nanos: if number == 100 { 99 } else { number as i64 } * FRAME_NANOS,
        pass: 0,
        host: HostMeta {
            frame_id: Some(1000 + number),
            exam: ExamToken([if number < 150 { 1 } else { 2 }; 16]),
            colour_on: (60..70).contains(&number),
            frozen: (90..93).contains(&number),
            ..HostMeta::default()
        },
    };
    let at = 0..meta.frame_bytes() as u64;
    let pixels = at.map(|at| ((at * (number % 89 + 3)) % 253) as u8);
    (meta, pixels.collect())
}

fn through_rust(package: &Path) -> (Vec<String>, Vec<Event>) {
    let package = Package::open(package, &CartConfig::demo().unwrap().package).unwrap();
    let writer = Writer {
        numbers: numbers(),
        labels: package.manifest.view_labels().to_vec(),
    };
    let numbers = (0..FRAMES).filter(|n| !(130..=140).contains(n));
    let seen = play(&package, numbers.map(frame));
    (seen.iter().map(|event| writer.line(event)).collect(), seen)
}

fn through_c(package: &Path, library: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("scenario");
    let mut deps = std::env::current_exe().unwrap();
    deps.pop();
    fs::copy(
        deps.join("libechocart.so"),
        dir.path().join("libechocart.so.0"),
    )
    .unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(root().join("firmware-bridge/include"))
        .arg(root().join("tests/c/scenario.c"))
        .arg(dir.path().join("libechocart.so.0"))
        .arg(format!("-Wl,-rpath,{}", dir.path().display()))
        .arg("-o")
        .arg(&program);
    let output = gcc.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let output = Command::new(program)
        .arg(package)
        .arg(library)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn rust_and_c_get_the_same_events() {
    let package = fetched("packages/generated").unwrap();
    let library = fetched("lib/onnxruntime-1.28.0/libonnxruntime.so.1.28.0").unwrap();
    let (rust, events) = through_rust(&package);
    let c = through_c(&package, &library);
    for (at, (rust, c)) in rust.iter().zip(&c).enumerate() {
        assert_eq!(rust, c, "result {at}");
    }
    assert_eq!(rust.len(), c.len());

    let mut reasons = BTreeSet::new();
    let (mut values, mut states) = (0, BTreeSet::new());
    for event in &events {
        match event {
            Event::Estimate(e) => {
                reasons.extend(e.view.reason.map(|r| format!("{r:?}")));
                values += u32::from(e.lvef.status == Status::Demonstration);
            }
            Event::State(s) => drop(states.insert(format!("{:?}", s.state))),
            Event::Summary(s) => {
                reasons.extend(s.counters.rejected.keys().map(|r| format!("{r:?}")))
            }
        }
    }
    for expected in [
        "ColourOn",
        "Frozen",
        "Gap",
        "BadTimestamp",
        "NewExam",
        "SectorChanged",
    ] {
        let there = reasons.contains(expected) || states.contains(expected);
        assert!(
            there,
            "the scenario lacks {expected}: {reasons:?} {states:?}"
        );
    }
    assert!(states.contains(&format!("{:?}", StateKind::SourceEnded)));
    println!("{} events the same, {values} with an EF", rust.len());
}
