//! `echocart bench reaction`: how soon the label is right after the probe has moved.

use super::pictures::{Frames, render};
use super::usage::machine;
use crate::engine::{Patience, start};
use crate::exit::{Because, Cause, Failure};
use crate::export::print;
use crate::run::config;
use clap::Args;
use crossbeam_channel::Receiver;
use echocart_core::clock::{self, Pace};
use echocart_core::events::{Estimate, Event};
use echocart_core::frame::FrameMeta;
use echocart_core::kept::Kept;
use echocart_core::latency::{Histogram, Spread};
use echocart_core::package::Package;
use echocart_core::ring::FrameProducer;
use echocart_core::session::{Session, SessionSetup};
use echocart_core::source::SourceTraits;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  echocart bench reaction
  echocart bench reaction --moves 40 --json

A simulated heart is shown in one view after the other, in real time and with the package's own engine. A move
is a cut: the worst case, since a hand takes a while. Each is timed to the first event that shows the new
view's label, also from when the new view fills half of a clip; and, where an EF was shown, to the
event that takes it away. A package that knows no hearts shows no labels: then all moves are missed.";

/// Views in the order in which the probe visits them.
const VIEWS: [&str; 4] = ["A4C", "PLAX", "A4C", "PSAX-MV"];
const FPS: u32 = 24;
/// The heart's beat lasts a second, so that its frames can be shown over and over.
const SECONDS: u32 = 4;
/// A view is held so long after its label has come, and a part of this longer, another one each time:
/// clips start every quarter of a second, and a move must meet them at any time.
const HOLD: Duration = Duration::from_secs(5);
const LONGER: Duration = Duration::from_millis(250);
const PARTS: u32 = 16;
/// Longest time that a label is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReactionArgs {
    /// Moves.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    moves: u32,
    /// Package with labels A4C, PLAX and PSAX-MV.
    #[arg(long, value_name = "DIR", default_value = ".echocart/packages/demo")]
    package: PathBuf,
    /// Cart configuration. Without it: the embedded configs/carts/demo.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seed of the heart.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
    /// ONNX Runtime library; its SHA-256 must be one this version knows.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Shows frames in real time.
struct Screen {
    producer: FrameProducer,
    events: Receiver<Event>,
    next: Instant,
    number: usize,
}

/// What the moves took.
#[derive(Default)]
struct Times {
    label: Histogram,
    filled: Histogram,
    gone: Histogram,
    /// Estimates with an EF after a move that no longer said the view it is of.
    late: u32,
    missed: u32,
    moves: u32,
}

/// Runs the bench and prints what it found.
pub fn reaction(args: &ReactionArgs) -> Result<ExitCode, Failure> {
    let config = config(args.config.as_deref())?;
    let package = Package::open(&args.package, &config.package).because(Cause::Package)?;
    let known = package.manifest.view_labels();
    if let Some(view) = VIEWS.iter().find(|view| !known.iter().any(|k| k == *view)) {
        let text = format!(
            "expected a package with the label {view}, found {}",
            known.join(", ")
        );
        return Err(Failure::text(Cause::Usage, text));
    }
    let say = &mut |text: &str| drop(writeln!(std::io::stderr(), "{text}"));
    let pace = (Patience::Wait, Pace::Real);
    let engine = start(&config, args.library.as_deref(), &package, pace, say)?;
    let words = format!(
        "{}, {}; {}",
        package.name(),
        package.manifest.card.trained.as_str(),
        engine.info().provider
    );
    let views: Vec<Frames> = VIEWS
        .iter()
        .map(|view| frames(view, args.seed))
        .collect::<Result<_, _>>()?;
    let sampling = &package.manifest.sampling;
    let span = (package.manifest.encoder.frames - 1) as f64 / sampling.rate_hz;
    let half = Duration::from_secs_f64(span / 2.0);
    let (session, mut producer, events) = Session::start(SessionSetup {
        manifest: package.manifest.clone(),
        package: package.name(),
        signed: package.signed,
        config,
        engine,
        pace: Pace::Real,
        kept: Kept::AsAllowed,
        guide: None,
    })
    .because(Cause::Other)?;
    producer.declare(SourceTraits {
        simulated: true,
        loops: true,
    });
    let mut screen = Screen {
        producer,
        events,
        next: Instant::now(),
        number: 0,
    };
    let mut times = Times::default();
    let mut had_ef = screen.show(&views[0], VIEWS[0], &mut Times::default(), half, None)?;
    for turn in 1..=args.moves as usize {
        say(&format!("move {turn} of {}", args.moves));
        let (at, before) = (turn % VIEWS.len(), VIEWS[(turn - 1) % VIEWS.len()]);
        let ef = had_ef.then_some(before);
        had_ef = screen.show(&views[at], VIEWS[at], &mut times, half, ef)?;
    }
    session.stop();
    let text = match args.json {
        true => times.json(&words),
        false => times.text(&words),
    };
    print(&text).because(Cause::Other)?;
    Ok(ExitCode::SUCCESS)
}

/// The heart's frames in a view.
fn frames(view: &str, seed: u32) -> Result<Frames, Failure> {
    render(&format!(
        "view={view},ef=55,hr=60,seed={seed},fps={FPS},seconds={SECONDS},size=640x480"
    ))
}

impl Screen {
    /// Moves to a view and holds it; gives whether an EF is shown at the end.
    fn show(
        &mut self,
        frames: &[(FrameMeta, Vec<u8>)],
        view: &str,
        times: &mut Times,
        half: Duration,
        mut ef: Option<&str>,
    ) -> Result<bool, Failure> {
        let parts = times.moves * 7 % PARTS;
        let hold = HOLD + LONGER * parts / PARTS;
        times.moves += 1;
        let moved = Instant::now().max(self.next);
        let (mut label, mut until) = (None, moved + PATIENCE);
        let mut shown = ef.is_some();
        while Instant::now() < until {
            if Instant::now() >= self.next {
                self.push(frames)?;
            }
            let wait = self.next.saturating_duration_since(Instant::now());
            let Ok(Event::Estimate(estimate)) = self.events.recv_timeout(wait) else {
                continue;
            };
            shown = estimate.lvef.has_value();
            if let Some(before) = ef {
                times.late += u32::from(shown && !says(&estimate, before));
                if !shown {
                    times.gone.record(moved.elapsed());
                    ef = None;
                }
            }
            if label.is_none() && says(&estimate, view) {
                let took = moved.elapsed();
                times.label.record(took);
                times.filled.record(took.saturating_sub(half));
                (label, until) = (Some(took), Instant::now() + hold);
            }
        }
        times.missed += u32::from(label.is_none());
        Ok(shown)
    }

    fn push(&mut self, frames: &[(FrameMeta, Vec<u8>)]) -> Result<(), Failure> {
        let (meta, picture) = &frames[self.number % frames.len()];
        self.number += 1;
        self.next += Duration::from_secs(1) / FPS;
        let meta = FrameMeta {
            capture_nanos: clock::now_nanos(),
            ..*meta
        };
        let pushed = self.producer.push(meta, |to| to.clone_from(picture));
        pushed.map(drop).because(Cause::Other)
    }
}

/// Whether a reader is shown this label.
fn says(estimate: &Estimate, view: &str) -> bool {
    estimate.view.has_value()
        && estimate
            .view
            .value
            .as_ref()
            .is_some_and(|v| v.label == view)
}

impl Times {
    fn rows(&self) -> [(&'static str, Spread); 3] {
        [
            ("label right", self.label.spread()),
            ("label right, from half a clip", self.filled.spread()),
            ("EF gone after a move away", self.gone.spread()),
        ]
    }

    fn text(&self, words: &str) -> String {
        let mut text = format!(
            "machine: {}\npackage: {words}\n\n{:<32}{:>6}{:>10}{:>10}{:>10}\n",
            machine(),
            "milliseconds",
            "n",
            "p50",
            "p90",
            "max"
        );
        for (name, s) in self.rows() {
            let millis = |nanos: u64| nanos as f64 / 1e6;
            let _ = writeln!(
                text,
                "{name:<32}{:>6}{:>10.0}{:>10.0}{:>10.0}",
                s.count,
                millis(s.p50_nanos),
                millis(s.p90_nanos),
                millis(s.max_nanos)
            );
        }
        let _ = writeln!(
            text,
            "moves without the label in {} s: {}\nestimates with an EF that no longer said its view: {}",
            PATIENCE.as_secs(),
            self.missed,
            self.late
        );
        text
    }

    fn json(&self, words: &str) -> String {
        let row = |s: &Spread| {
            serde_json::json!({
                "count": s.count, "p50_nanos": s.p50_nanos, "p90_nanos": s.p90_nanos, "max_nanos": s.max_nanos,
            })
        };
        let [label, filled, gone] = self.rows().map(|(_, spread)| row(&spread));
        let value = serde_json::json!({
            "machine": machine(), "package": words, "label_right": label,
            "label_right_from_half_a_clip": filled, "ef_gone": gone, "missed": self.missed,
            "ef_without_its_view": self.late,
        });
        format!("{value:#}\n")
    }
}
