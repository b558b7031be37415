//! How long things took, at the end of a run.

use echocart_core::latency::{Histogram, Latencies};
use std::sync::atomic::Ordering;

/// Two or three lines; nothing where no clip was inferred.
pub fn words(latencies: &Latencies) -> String {
    let inference = latencies.inference.spread();
    if inference.count == 0 {
        return String::new();
    }
    let age = latencies.evidence.spread();
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let mut text = format!("inference: {}\n", spread(&latencies.inference));
    if age.count > 0 {
        text += &format!(
            "evidence age when sent: newest frame {:.2} to {:.2} s old, half of them at most {:.2} s\n",
            seconds(age.min_nanos),
            seconds(age.max_nanos),
            seconds(age.p50_nanos)
        );
    }
    text += &format!(
        "encoder to event: {}\nlast answer to event: {}\n",
        spread(&latencies.encoder_to_event),
        spread(&latencies.answer_to_event)
    );
    let pulses = latencies.pulses.load(Ordering::Relaxed);
    if latencies.after_pause.spread().count > 0 || pulses > 0 {
        text += &format!(
            "first inference after a pause: {}; keep-warm pulses: {pulses}\n",
            spread(&latencies.after_pause)
        );
    }
    text
}

fn spread(histogram: &Histogram) -> String {
    let s = histogram.spread();
    let millis = |nanos: u64| nanos as f64 / 1e6;
    match s.count {
        0 => "none".to_owned(),
        n => format!(
            "{n}, median {:.3} ms, p99 {:.3} ms, longest {:.3} ms",
            millis(s.p50_nanos),
            millis(s.p99_nanos),
            millis(s.max_nanos)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn nothing_is_said_of_nothing_and_a_pause_only_where_there_was_one() {
        let latencies = Latencies::default();
        assert_eq!(words(&latencies), "");
        latencies.inference.record(Duration::from_millis(20));
        latencies.answer_to_event.record(Duration::from_micros(100));
        let text = words(&latencies);
        assert!(text.contains("inference: 1, median 20.000 ms"), "{text}");
        assert!(
            text.contains("encoder to event: none") && !text.contains("pause"),
            "{text}"
        );
        latencies.pulses.fetch_add(1, Ordering::Relaxed);
        assert!(words(&latencies).contains("keep-warm pulses: 1"));
    }
}
