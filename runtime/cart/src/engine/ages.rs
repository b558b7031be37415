//! How old the evidence behind a number will be on this machine.

use echocart_core::manifest::Manifest;
use echocart_infer::Timings;

/// Beyond this age of the newest evidence the page says "delayed".
const DELAYED_SECONDS: f64 = 1.5;

/// Ages from when an output is sent to just before the next one replaces it, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ages {
    /// Between two outputs.
    pub interval: f64,
    /// Newest frame of the evidence: least and most.
    pub newest: (f64, f64),
    /// Oldest frame of the view's one clip: least and most.
    pub oldest: (f64, f64),
    /// Clips of the head with most segments.
    pub segments: usize,
    /// Oldest frame of that head's clips, if they follow one another without a pause.
    pub oldest_of_all: (f64, f64),
}

/// The ages of a live source, from the times of the golden clips: each clip waits for the one in
/// inference, the newest wins, and every head runs on it.
pub fn expected(manifest: &Manifest, timings: &Timings) -> Ages {
    let sampling = &manifest.sampling;
    let slot = 1.0 / sampling.rate_hz;
    let hop = sampling.hop_slots as f64 * slot;
    let span = manifest.encoder.frames.saturating_sub(1) as f64 * slot;
    let nanos: u64 = manifest
        .heads
        .iter()
        .filter_map(|(name, head)| {
            let key = (name.clone(), head.segments.to_string());
            timings.heads_nanos.get(&key)
        })
        .sum::<u64>()
        + timings.encode_nanos;
    let work = nanos as f64 / 1e9;
    let decided = sampling.max_skew_millis / 1e3;
    let interval = work.max(hop);
    let waits = if work <= hop { 0.0 } else { hop };
    let newest = (work, work + decided + waits + interval);
    let segments = manifest.heads.values().map(|h| h.segments).max();
    let segments = segments.unwrap_or(1);
    let all = span * segments as f64 + slot * segments.saturating_sub(1) as f64;
    Ages {
        interval,
        newest,
        oldest: (newest.0 + span, newest.1 + span),
        segments,
        oldest_of_all: (newest.0 + all, newest.1 + all),
    }
}

impl Ages {
    /// One line for a person.
    pub fn words(&self) -> String {
        let range = |(least, most): (f64, f64)| format!("{least:.2} to {most:.2} s");
        let mut text = format!(
            "newest frame {} old, oldest {}",
            range(self.newest),
            range(self.oldest)
        );
        if self.segments > 1 {
            let (clips, range) = (self.segments, range(self.oldest_of_all));
            text += &format!(" (of {clips} clips: {range})");
        }
        text += &format!(", an update every {:.2} s", self.interval);
        if self.newest.1 > DELAYED_SECONDS {
            text += &format!("; beyond {DELAYED_SECONDS} s the page says \"delayed\"");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use echocart_core::config::PackageConfig;
    use echocart_core::package::Package;
    use std::path::Path;

    fn manifest() -> Manifest {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let dir = root.join(".echocart/packages/generated");
        Package::open(&dir, &PackageConfig::ANY).unwrap().manifest
    }

    fn timings(encode_nanos: u64) -> Timings {
        Timings {
            encode_nanos,
            ..Timings::default()
        }
    }

    #[test]
    fn a_fast_engine_is_bound_by_the_hop_and_a_slow_one_by_itself() {
        let manifest = manifest();
        let hop = manifest.sampling.hop_slots as f64 / manifest.sampling.rate_hz;
        let fast = expected(&manifest, &timings(1_000_000));
        assert!((fast.interval - hop).abs() < 1e-9 && fast.newest.1 < 1.5);
        assert!(!fast.words().contains("delayed"), "{}", fast.words());
        let slow = expected(&manifest, &timings(8_000_000_000));
        assert!((slow.interval - 8.0).abs() < 1e-9 && slow.newest.0 >= 8.0);
        assert!(slow.oldest.0 > slow.newest.0 && slow.oldest_of_all.0 >= slow.oldest.0);
        assert!(slow.words().contains("delayed"), "{}", slow.words());
    }
}
