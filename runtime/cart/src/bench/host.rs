//! `echocart bench host`: what the pipeline does to a host that draws, and how soon an EF is gone.

use super::busy::{Rig, rig};
use super::pictures::Pictures;
use super::pipeline::size;
use super::usage::{Usage, machine};
use crate::exit::{Because, Cause, Failure};
use crate::export::print;
use clap::Args;
use echocart_core::clock;
use echocart_core::events::Event;
use echocart_core::frame::{ExamToken, FrameMeta};
use echocart_core::latency::{Histogram, Spread};
use echocart_core::source::SourceTraits;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  echocart bench host
  echocart bench host --rounds 4 --seconds 30 --blanks 40

The host copies one picture and computes for 5 ms at 60 Hz; jitter is how far the time between two of
its frames is from 1/60 s, in turns without and with a session on the same thread. A blank is timed
from the push of the first frame that shows the change to the event that takes the EF away.";

const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / 60);
/// What the host computes per frame.
const DRAWING: Duration = Duration::from_millis(5);
/// Time of the engine per clip while the host draws, and while blanks are timed.
const FULL_LOAD: Duration = Duration::from_millis(400);
const QUICK: Duration = Duration::from_millis(40);
/// Longest time until an EF is there, or is gone.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HostArgs {
    /// Size of the frames, GRAY8.
    #[arg(long, value_name = "WxH", default_value = "1024x768", value_parser = size)]
    size: (u32, u32),
    /// Turns without and with a session.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of one turn, and of each look at the idle CPU.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Blanks timed of each kind.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    blanks: u32,
    /// Package whose geometry is used.
    #[arg(long, value_name = "DIR", default_value = ".echocart/packages/demo")]
    package: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// A host that draws at 60 Hz.
struct Host<'a> {
    pictures: &'a Pictures,
    screen: Vec<u8>,
    number: usize,
    begun: Option<Instant>,
}

impl Host<'_> {
    /// Draws for `frames` frames; hands each one to `rig`, changed by `edit`. Jitter after the
    /// first second goes to `jitter`.
    fn draw(
        &mut self,
        frames: u32,
        mut rig: Option<&mut Rig>,
        still: bool,
        edit: impl Fn(&mut FrameMeta),
        jitter: &Histogram,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        self.begun = None;
        for tick in 0..frames {
            let due = start + PERIOD * tick;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let begin = Instant::now();
            if let Some(before) = self.begun.replace(begin).filter(|_| tick > 60) {
                jitter.record(begin.duration_since(before).abs_diff(PERIOD));
            }
            self.number += usize::from(!still);
            let picture = self.pictures.get(self.number);
            if let Some(rig) = &mut rig {
                push(rig, self.pictures, self.number, &edit)?;
                while rig.events.try_recv().is_ok() {}
            }
            self.screen.copy_from_slice(picture);
            while begin.elapsed() < DRAWING {
                black_box(&mut self.screen);
            }
        }
        Ok(())
    }
}

fn push(
    rig: &mut Rig,
    pictures: &Pictures,
    number: usize,
    edit: &impl Fn(&mut FrameMeta),
) -> Result<(), Failure> {
    let mut meta = pictures.meta;
    meta.capture_nanos = clock::now_nanos();
    edit(&mut meta);
    let bytes = meta.frame_bytes();
    let picture = pictures.get(number);
    let pushed = rig.producer.push(meta, |pooled| {
        pooled.clear();
        pooled.extend_from_slice(&picture[..bytes.min(picture.len())]);
        pooled.resize(bytes, 0);
    });
    pushed.map(drop).because(Cause::Other)
}

fn declared(mut rig: Rig) -> Rig {
    rig.producer.declare(SourceTraits {
        simulated: false,
        loops: true,
    });
    rig
}

/// Runs the bench and prints what it found.
pub fn host(args: &HostArgs) -> Result<ExitCode, Failure> {
    let pictures = Pictures::new(args.size)?;
    let mut host = Host {
        screen: pictures.get(0).to_vec(),
        pictures: &pictures,
        number: 0,
        begun: None,
    };
    let ticks = args.seconds * 60;
    let (off, on, unused) = (
        Histogram::default(),
        Histogram::default(),
        Histogram::default(),
    );
    let mut words = String::new();
    for _ in 0..args.rounds {
        host.draw(ticks, None, false, |_| {}, &off)?;
        let mut rig = declared(rig(&args.package, FULL_LOAD)?);
        words.clone_from(&rig.words);
        host.draw(ticks, Some(&mut rig), false, |_| {}, &on)?;
        rig.session.stop();
    }

    let ours = |name: &str| name.starts_with("echocart-");
    let mut still = declared(rig(&args.package, QUICK)?);
    host.draw(180, Some(&mut still), false, |_| {}, &unused)?;
    host.draw(180, Some(&mut still), true, |_| {}, &unused)?;
    let before = Usage::now();
    host.draw(ticks, Some(&mut still), true, |_| {}, &unused)?;
    let frozen = Usage::now().percent_since(&before, ours);
    std::thread::sleep(Duration::from_secs(2));
    let before = Usage::now();
    std::thread::sleep(Duration::from_secs(args.seconds.into()));
    let idle = Usage::now().percent_since(&before, ours);
    still.session.stop();

    let mut blanks = Vec::new();
    for kind in ["freeze", "colour", "sector", "exam"] {
        let times = Histogram::default();
        let mut rig = declared(rig(&args.package, QUICK)?);
        let mut missed = None;
        for turn in 0..args.blanks {
            match blank(&mut rig, &pictures, kind, turn)? {
                Ok(took) => times.record(took),
                Err(why) => {
                    missed = Some(why);
                    break;
                }
            }
        }
        rig.session.stop();
        blanks.push(Blanks {
            kind,
            times: times.spread(),
            missed,
        });
    }
    let found = Found {
        words,
        off: off.spread(),
        on: on.spread(),
        frozen,
        idle,
        blanks,
    };
    let text = if args.json {
        found.json()
    } else {
        found.text()
    };
    print(&text).because(Cause::Other)?;
    Ok(ExitCode::SUCCESS)
}

/// Plays live frames until an EF is shown, then changes what they show; gives the time from the
/// first such frame to the event that takes the EF away, or why there is none.
fn blank(
    rig: &mut Rig,
    pictures: &Pictures,
    kind: &str,
    turn: u32,
) -> Result<Result<Duration, String>, Failure> {
    let exam = |turn: u32| match kind {
        "exam" => ExamToken([turn as u8; 16]),
        _ => ExamToken::default(),
    };
    let mut number = 0;
    let limit = Instant::now() + PATIENCE;
    let live = |meta: &mut FrameMeta| meta.host.exam = exam(turn);
    let seconds = PATIENCE.as_secs();
    let mut last = "no estimate came".to_owned();
    while !rig.events.try_iter().any(|event| {
        if let Event::Estimate(estimate) = &event {
            last = format!("{:?} {:?}", estimate.lvef.status, estimate.lvef.reason);
        }
        ef(&event) == Some(true)
    }) {
        number += 1;
        push(rig, pictures, number, &live)?;
        std::thread::sleep(PERIOD);
        if Instant::now() > limit {
            return Ok(Err(format!(
                "no EF came in {seconds} s, the last was {last}"
            )));
        }
    }
    let changed = |meta: &mut FrameMeta| {
        meta.host.exam = exam(turn + u32::from(kind == "exam"));
        meta.host.colour_on = kind == "colour";
        meta.height_px -= 2 * u32::from(kind == "sector");
    };
    let begin = Instant::now();
    let mut next = begin;
    let limit = begin + PATIENCE;
    loop {
        if Instant::now() >= next {
            number += usize::from(kind != "freeze");
            push(rig, pictures, number, &changed)?;
            next += PERIOD;
        }
        let wait = next.saturating_duration_since(Instant::now());
        match rig.events.recv_timeout(wait) {
            Ok(event) if ef(&event) == Some(false) => return Ok(Ok(begin.elapsed())),
            _ if Instant::now() > limit => {
                return Ok(Err(format!("the EF did not go in {seconds} s")));
            }
            _ => {}
        }
    }
}

/// Whether an event shows an EF; none where it says nothing about it.
fn ef(event: &Event) -> Option<bool> {
    match event {
        Event::Estimate(estimate) => Some(estimate.lvef.has_value()),
        _ => None,
    }
}

struct Found {
    words: String,
    off: Spread,
    on: Spread,
    frozen: f64,
    idle: f64,
    blanks: Vec<Blanks>,
}

/// Times of one kind of change.
struct Blanks {
    kind: &'static str,
    times: Spread,
    /// Why there are no more.
    missed: Option<String>,
}

impl Found {
    fn text(&self) -> String {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let mut text = format!(
            "machine: {}\npackage: {}\n\n{:<28}{:>8}{:>10}{:>10}{:>10}{:>10}\n",
            machine(),
            self.words,
            "jitter, microseconds",
            "n",
            "p50",
            "p99",
            "p99.9",
            "max"
        );
        for (name, s) in [
            ("without a session", &self.off),
            ("with one, full load", &self.on),
        ] {
            let _ = writeln!(
                text,
                "{name:<28}{:>8}{:>10.0}{:>10.0}{:>10.0}{:>10.0}",
                s.count,
                micros(s.p50_nanos),
                micros(s.p99_nanos),
                micros(s.p999_nanos),
                micros(s.max_nanos)
            );
        }
        let more = micros(self.on.p999_nanos) - micros(self.off.p999_nanos);
        let _ = writeln!(
            text,
            "p99.9 with one less without: {more:.0}\n\nCPU of all echocart threads: frozen image \
             {:.2} %, no frames {:.2} % of one core\n\n{:<28}{:>8}{:>10}{:>10}",
            self.frozen, self.idle, "EF blank, milliseconds", "n", "p50", "p99"
        );
        for Blanks {
            kind,
            times: s,
            missed,
        } in &self.blanks
        {
            let millis = |nanos: u64| nanos as f64 / 1e6;
            let (p50, p99) = (millis(s.p50_nanos), millis(s.p99_nanos));
            let _ = writeln!(text, "{kind:<28}{:>8}{p50:>10.2}{p99:>10.2}", s.count);
            if let Some(why) = missed {
                let _ = writeln!(text, "    not measured further: {why}");
            }
        }
        text
    }

    fn json(&self) -> String {
        let spread = |s: &Spread| {
            serde_json::json!({
                "count": s.count, "p50_nanos": s.p50_nanos, "p99_nanos": s.p99_nanos,
                "p999_nanos": s.p999_nanos, "max_nanos": s.max_nanos,
            })
        };
        let blanks: serde_json::Map<_, _> = self
            .blanks
            .iter()
            .map(|blanks| {
                let mut found = spread(&blanks.times);
                found["missed"] = serde_json::json!(blanks.missed);
                (blanks.kind.to_owned(), found)
            })
            .collect();
        let value = serde_json::json!({
            "machine": machine(), "package": self.words,
            "jitter_off": spread(&self.off), "jitter_on": spread(&self.on),
            "frozen_percent_of_a_core": self.frozen, "idle_percent_of_a_core": self.idle,
            "ef_blank": blanks,
        });
        format!("{value:#}\n")
    }
}
