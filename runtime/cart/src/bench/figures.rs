//! Medians, tails and ratios of what the sides took.

use serde::Serialize;

/// Durations of one stage, milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Half took no longer.
    pub median: f64,
    /// 99 % took no longer: the longest of up to 100.
    pub p99: f64,
    /// 99.9 % took no longer.
    pub p999: f64,
    /// Shortest.
    pub least: f64,
    /// All of them, in the order they were taken.
    pub samples: Vec<f64>,
}

impl Figures {
    /// Of nanoseconds; zeros of none.
    pub fn of(nanos: &[u64]) -> Self {
        let samples: Vec<f64> = nanos.iter().map(|&n| n as f64 / 1e6).collect();
        let mut sorted = samples.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |rank: usize| sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0);
        let n = sorted.len();
        Self {
            median: (at(n.div_ceil(2)) + at(n / 2 + 1)) / 2.0,
            p99: at((n * 99).div_ceil(100)),
            p999: at((n * 999).div_ceil(1000)),
            least: at(1),
            samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_few_and_of_many() {
        let ms = |n: u64| n * 1_000_000;
        let few = Figures::of(&[ms(4), ms(1), ms(3), ms(2)]);
        assert_eq!((few.median, few.p99, few.least), (2.5, 4.0, 1.0));
        let many: Vec<u64> = (1..=201).map(ms).collect();
        let many = Figures::of(&many);
        assert_eq!((many.median, many.p99, many.least), (101.0, 199.0, 1.0));
        assert_eq!(many.p999, 201.0);
        assert_eq!(Figures::of(&[]).median, 0.0);
    }
}
