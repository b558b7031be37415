//! Prometheus' text format, version 0.0.4.

use super::Tally;
use echocart_core::decide::Level;
use echocart_core::events::Counters;
use echocart_core::latency::Histogram;
use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;

/// Ends of the histograms' buckets: powers of two less one nanosecond, 0.13 ms to 69 s, where
/// [`Histogram::up_to`] is exact.
const FIRST_BIT: u32 = 17;
const LAST_BIT: u32 = 36;

/// A metric's labels and value.
type Sample<'a, V> = (&'a [(&'a str, &'a str)], V);

pub(super) fn write(tally: &Tally, previews_skipped: u64, now_nanos: i64) -> String {
    let mut out = Page(String::with_capacity(8192));
    build(&mut out, tally);
    if let Some(observer) = &tally.observer {
        frames(&mut out, &observer.counters());
        let latencies = observer.latencies();
        let level = observer.level();
        out.one("echocart_ladder_level", "gauge", LADDER, step(level));
        for (name, help, histogram) in [
            ("echocart_clip_wait_seconds", WAIT, &latencies.clip_wait),
            (
                "echocart_inference_seconds",
                INFERENCE,
                &latencies.inference,
            ),
            ("echocart_event_latency_seconds", EVENT, &latencies.event),
            (
                "echocart_first_inference_seconds",
                AFTER_PAUSE,
                &latencies.after_pause,
            ),
            (
                "echocart_encoder_to_event_seconds",
                ENCODER_TO_EVENT,
                &latencies.encoder_to_event,
            ),
            (
                "echocart_answer_to_event_seconds",
                ANSWER_TO_EVENT,
                &latencies.answer_to_event,
            ),
        ] {
            out.histogram(name, help, histogram);
        }
        let pulses = latencies.pulses.load(Ordering::Relaxed);
        out.one("echocart_keep_warm_pulses_total", "counter", PULSES, pulses);
    }
    decisions(&mut out, tally);
    let flags = [
        (
            "echocart_engine_down",
            "1 after a failed inference, until one works.",
            !tally.down.is_empty(),
        ),
        (
            "echocart_source_lost",
            "1 while the source's device is away.",
            tally.source_lost,
        ),
    ];
    for (name, help, flag) in flags {
        out.one(name, "gauge", help, u8::from(flag));
    }
    if let Some(newest) = tally.newest_evidence_nanos {
        let age = (now_nanos - newest) as f64 / 1e9;
        out.one("echocart_evidence_age_seconds", "gauge", AGE, age);
    }
    if let Some(share) = tally.tokens_share {
        out.one("echocart_encoder_tokens_ratio", "gauge", TOKENS, share);
    }
    out.one(
        "echocart_previews_skipped_total",
        "counter",
        PREVIEWS,
        previews_skipped,
    );
    out.one(
        "echocart_events_lost_total",
        "counter",
        LOST,
        tally.events_dropped,
    );
    out.one(
        "echocart_uptime_seconds",
        "gauge",
        UPTIME,
        tally.began.elapsed().as_secs_f64(),
    );
    if let Some(bytes) = resident_bytes() {
        out.one("process_resident_memory_bytes", "gauge", RESIDENT, bytes);
    }
    out.0
}

const LADDER: &str = "Degradation ladder: 0 full, 1 lower rate, 2 view only, 3 signal only, 4 off.";
const WAIT: &str = "From a whole clip to the start of its inference.";
const INFERENCE: &str = "Encoder and heads of one clip.";
const EVENT: &str = "From the capture of a clip's newest frame to its event.";
const AFTER_PAUSE: &str = "Of a clip that came after more than a second without one.";
const ENCODER_TO_EVENT: &str = "From the end of the encoder to the event, heads included.";
const ANSWER_TO_EVENT: &str = "From the engine's last answer for a clip to its event.";
const PULSES: &str = "Runs of an idle engine that kept it warm.";
const AGE: &str = "Age of the newest frame behind the newest estimate; real pace only.";
const TOKENS: &str = "Share of the newest clip's tokens that the encoder was given.";
const PREVIEWS: &str = "Images of the page that were replaced before they were encoded.";
const LOST: &str = "Events that a full queue lost, known at the session's end.";
const UPTIME: &str = "Time since the process began to serve.";
const RESIDENT: &str = "Resident memory of the process.";

fn build(out: &mut Page, tally: &Tally) {
    let Some(session) = &tally.session else {
        return;
    };
    let labels = [
        ("version", session.version.as_str()),
        ("package", &session.package),
        ("trained", &session.trained),
        ("provider", &session.provider),
        ("variant", &session.variant),
        ("library", &session.library),
        ("config", &session.config),
    ];
    out.many(
        "echocart_session_info",
        "gauge",
        "What is running.",
        &[(&labels[..], 1)],
    );
    let nodes: Vec<_> = session
        .nodes
        .iter()
        .map(|(provider, n)| ([("provider", provider.as_str())], *n))
        .collect();
    let nodes: Vec<Sample<usize>> = nodes.iter().map(|(l, n)| (&l[..], *n)).collect();
    out.many(
        "echocart_graph_nodes",
        "gauge",
        "Graph nodes by provider.",
        &nodes,
    );
}

fn frames(out: &mut Page, counters: &Counters) {
    let c = counters;
    out.one(
        "echocart_frames_captured_total",
        "counter",
        "Frames handed in.",
        c.captured,
    );
    let rejected: Vec<(String, u64)> = c
        .rejected
        .iter()
        .map(|(r, n)| (super::word(r), *n))
        .collect();
    let mut labelled = vec![
        ([("outcome", "used"), ("reason", "")], c.used),
        ([("outcome", "unused"), ("reason", "")], c.unused),
        (
            [("outcome", "dropped_ring_full"), ("reason", "")],
            c.dropped_ring_full,
        ),
    ];
    labelled.extend(
        rejected
            .iter()
            .map(|(reason, n)| ([("outcome", "rejected"), ("reason", reason.as_str())], *n)),
    );
    let samples: Vec<Sample<u64>> = labelled.iter().map(|(l, n)| (&l[..], *n)).collect();
    out.many(
        "echocart_frames_total",
        "counter",
        "Frames by what became of them.",
        &samples,
    );
    out.one(
        "echocart_frames_in_flight",
        "gauge",
        "Frames still held.",
        c.in_flight,
    );
    let ended: u64 = labelled.iter().map(|(_, n)| n).sum();
    let unaccounted = i128::from(c.captured) - i128::from(ended) - i128::from(c.in_flight);
    out.one(
        "echocart_frames_unaccounted",
        "gauge",
        "Frames captured that are nowhere: 0, or the ledger is wrong.",
        unaccounted,
    );
    out.one(
        "echocart_frames_missed_total",
        "counter",
        "Frames the source itself lost; in no other sum.",
        c.missed,
    );
    out.one(
        "echocart_clips_superseded_total",
        "counter",
        "Clips that a newer one replaced, or that the ladder left out.",
        c.clips_superseded,
    );
}

fn decisions(out: &mut Page, tally: &Tally) {
    out.one(
        "echocart_estimates_total",
        "counter",
        "Clips, evaluated or refused.",
        tally.estimates,
    );
    let outcomes: Vec<_> = tally
        .outcomes
        .iter()
        .map(|((output, status, reason), n)| {
            let labels = [
                ("output", *output),
                ("status", status.as_str()),
                ("reason", reason),
            ];
            (labels, *n)
        })
        .collect();
    let outcomes: Vec<Sample<u64>> = outcomes.iter().map(|(l, n)| (&l[..], *n)).collect();
    out.many(
        "echocart_outputs_total",
        "counter",
        "Estimates by output, status and reason.",
        &outcomes,
    );
    let states: Vec<_> = tally
        .states
        .iter()
        .map(|(state, n)| ([("state", state.as_str())], *n))
        .collect();
    let states: Vec<Sample<u64>> = states.iter().map(|(l, n)| (&l[..], *n)).collect();
    out.many(
        "echocart_states_total",
        "counter",
        "State events by kind.",
        &states,
    );
}

fn step(level: Level) -> u8 {
    match level {
        Level::Full => 0,
        Level::LowerRate => 1,
        Level::ViewOnly => 2,
        Level::SignalOnly => 3,
        Level::Off => 4,
    }
}

/// Resident memory as the kernel says.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

struct Page(String);

impl Page {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.many(name, kind, help, &[(&[], value)]);
    }

    fn many<V: Display>(&mut self, name: &str, kind: &str, help: &str, samples: &[Sample<V>]) {
        self.head(name, kind, help);
        for (labels, value) in samples {
            self.sample(name, labels, value);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let ends: Vec<u64> = (FIRST_BIT..=LAST_BIT).map(|bit| (1 << bit) - 1).collect();
        let (counts, count, sum_nanos) = histogram.up_to(&ends);
        let bucket = format!("{name}_bucket");
        for (end, n) in ends.iter().zip(counts) {
            let end = format!("{}.{:09}", end / 1_000_000_000, end % 1_000_000_000);
            self.sample(&bucket, &[("le", &end)], n);
        }
        self.sample(&bucket, &[("le", "+Inf")], count);
        self.sample(&format!("{name}_sum"), &[], sum_nanos as f64 / 1e9);
        self.sample(&format!("{name}_count"), &[], count);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }
}
