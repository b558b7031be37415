//! `echocart bench pipeline`: from a decided slot to a clip that is ready.

use super::busy::rig;
use super::pictures::Pictures;
use super::usage::{Usage, machine, resident_mib};
use crate::cli::positive;
use crate::exit::{Because, Cause, Failure};
use crate::export::print;
use clap::Args;
use echocart_core::clock;
use echocart_core::latency::{Histogram, Spread};
use echocart_core::source::SourceTraits;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  echocart bench pipeline
  echocart bench pipeline --size 1920x1080 --seconds 60 --json

The engine is a loop that keeps one core busy all the time; the package gives the geometry only.
The warm-up is timed apart. Percentiles come from histograms whose buckets are 1/64 wide.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PipelineArgs {
    /// Size of the frames, GRAY8.
    #[arg(long, value_name = "WxH", default_value = "1024x768", value_parser = size)]
    size: (u32, u32),
    /// Frames per second.
    #[arg(long, value_name = "FPS", default_value_t = 60.0, value_parser = positive)]
    fps: f64,
    /// How long to measure.
    #[arg(long, value_name = "N", default_value_t = 20.0, value_parser = positive)]
    seconds: f64,
    /// How long to warm up before.
    #[arg(long, value_name = "N", default_value_t = 4.0, value_parser = positive)]
    warm_up: f64,
    /// Time of the busy engine per clip, ms.
    #[arg(long, value_name = "MS", default_value_t = 400)]
    engine_millis: u64,
    /// Package whose geometry is used.
    #[arg(long, value_name = "DIR", default_value = ".echocart/packages/demo")]
    package: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// `640x480`.
pub fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x');
    let sides = sides.and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let within = 1..=8192;
    match sides {
        Some((w, h)) if within.contains(&w) && within.contains(&h) => Ok((w, h)),
        _ => Err(format!(
            "expected WIDTHxHEIGHT, sides 1 to 8192, found {text:?}"
        )),
    }
}

/// Runs the bench and prints what it found.
pub fn pipeline(args: &PipelineArgs) -> Result<ExitCode, Failure> {
    let pictures = Pictures::new(args.size)?;
    let per_clip = Duration::from_millis(args.engine_millis);
    let mut rig = rig(&args.package, per_clip)?;
    rig.producer.declare(SourceTraits {
        simulated: false,
        loops: true,
    });
    let latencies = rig.session.latencies();
    let push = Histogram::default();
    let of = |name: &str| -> &Histogram {
        match name {
            "slot decided to clip ready" => &latencies.slot_to_clip,
            "frame captured to slot decided" => &latencies.decision,
            "assembler per frame" => &latencies.frame,
            _ => &push,
        }
    };
    const ROWS: [&str; 4] = [
        "slot decided to clip ready",
        "frame captured to slot decided",
        "assembler per frame",
        "push per frame",
    ];
    let start = Instant::now();
    let period = Duration::from_secs_f64(1.0 / args.fps);
    let warm = (args.warm_up * args.fps) as usize;
    let frames = warm + (args.seconds * args.fps) as usize;
    let (mut marks, mut usage) = (Vec::new(), Usage::now());
    for number in 0..frames {
        if number == warm {
            marks = ROWS.iter().map(|row| of(row).mark()).collect();
            usage = Usage::now();
        }
        let due = start + period * number as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut meta = pictures.meta;
        meta.capture_nanos = clock::now_nanos();
        let begin = Instant::now();
        let pushed = rig.producer.push(meta, |pooled| {
            pooled.clear();
            pooled.extend_from_slice(pictures.get(number));
        });
        push.record(begin.elapsed());
        pushed.because(Cause::Other)?;
        while rig.events.try_recv().is_ok() {}
    }
    let used = Usage::now();
    let resident = resident_mib();
    let counters = rig.session.counters();
    let spreads: Vec<(Spread, Spread)> = ROWS
        .iter()
        .zip(&marks)
        .map(|(row, mark)| (of(row).since(mark), of(row).until(mark)))
        .collect();
    rig.session.stop();
    let share = |name: &str| used.percent_since(&usage, |n| n == name);
    let shares = [
        ("assembler thread", share("echocart-clips")),
        ("pushing thread", share("echocart")),
        ("engine thread", share("echocart-infer")),
    ];
    let text = if args.json {
        let rows: Vec<_> = ROWS
            .iter()
            .zip(&spreads)
            .map(|(row, (measured, warm_up))| {
                serde_json::json!({
                    "what": row, "measured": json(measured), "warm_up": json(warm_up),
                })
            })
            .collect();
        let shares: Vec<_> = shares
            .iter()
            .map(
                |(name, percent)| serde_json::json!({"thread": name, "percent_of_a_core": percent}),
            )
            .collect();
        let value = serde_json::json!({
            "machine": machine(), "package": rig.words, "size": [args.size.0, args.size.1],
            "fps": args.fps, "seconds": args.seconds, "rows": rows, "cpu": shares,
            "resident_mib": resident, "captured": counters.captured,
            "dropped": counters.dropped_ring_full, "clips_superseded": counters.clips_superseded,
        });
        format!("{value:#}\n")
    } else {
        let mut text = format!(
            "machine: {}\npackage: {}\nframes: {}x{} GRAY8 at {} frames/s, {} s after {} s of \
             warm-up; {} captured, {} dropped, {} clips superseded\n\n{:<32}{:>8}{:>10}{:>10}\
             {:>10}{:>10}\n",
            machine(),
            rig.words,
            args.size.0,
            args.size.1,
            args.fps,
            args.seconds,
            args.warm_up,
            counters.captured,
            counters.dropped_ring_full,
            counters.clips_superseded,
            "microseconds",
            "n",
            "p50",
            "p99",
            "p99.9",
            "max"
        );
        for (row, (measured, warm_up)) in ROWS.iter().zip(&spreads) {
            for (name, spread) in [
                ((*row).to_owned(), measured),
                ("  (warm-up)".to_owned(), warm_up),
            ] {
                let micros = |nanos: u64| nanos as f64 / 1e3;
                let _ = writeln!(
                    text,
                    "{name:<32}{:>8}{:>10.0}{:>10.0}{:>10.0}{:>10.0}",
                    spread.count,
                    micros(spread.p50_nanos),
                    micros(spread.p99_nanos),
                    micros(spread.p999_nanos),
                    micros(spread.max_nanos)
                );
            }
        }
        text += "\n";
        for (name, percent) in shares {
            let _ = writeln!(text, "{name}: {percent:.2} % of one core");
        }
        let _ = writeln!(text, "resident memory: {resident:.1} MiB");
        text
    };
    print(&text).because(Cause::Other)?;
    Ok(ExitCode::SUCCESS)
}

fn json(spread: &Spread) -> serde_json::Value {
    serde_json::json!({
        "count": spread.count,
        "p50_nanos": spread.p50_nanos,
        "p99_nanos": spread.p99_nanos,
        "p999_nanos": spread.p999_nanos,
        "max_nanos": spread.max_nanos,
    })
}
