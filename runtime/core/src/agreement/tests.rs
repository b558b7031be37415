use super::*;
use proptest::prelude::*;

#[test]
fn bland_altman_of_known_differences() {
    let found = bland_altman(&[1.0, -2.0, 4.0, 1.0]).unwrap();
    assert_eq!(
        (found.count, found.bias, found.mae, found.max),
        (4, 1.0, 2.0, 4.0)
    );
    let sd = 6.0f64.sqrt();
    assert_eq!(found.sd, Some(sd));
    assert_eq!(found.limits, Some([1.0 - LIMITS * sd, 1.0 + LIMITS * sd]));
    let one = bland_altman(&[-3.0]).unwrap();
    assert_eq!(
        (one.bias, one.mae, one.sd, one.limits),
        (-3.0, 3.0, None, None)
    );
    assert_eq!(bland_altman(&[]), None);
    assert_eq!(bland_altman(&[1.0, f64::NAN]), None);
}

#[test]
fn wilson_of_known_counts() {
    let near = |found: Option<[f64; 2]>, low: f64, high: f64| {
        let [a, b] = found.unwrap();
        assert!((a - low).abs() < 5e-5 && (b - high).abs() < 5e-5, "{a} {b}");
    };
    near(wilson(0, 10, LIMITS), 0.0, 0.27754);
    near(wilson(10, 10, LIMITS), 0.72246, 1.0);
    near(wilson(81, 263, LIMITS), 0.25529, 0.36621);
    assert_eq!(wilson(1, 1, 0.0), Some([1.0, 1.0]));
    assert_eq!(wilson(0, 0, LIMITS), None);
    assert_eq!(wilson(3, 2, LIMITS), None);
    assert_eq!(wilson(1, 2, f64::NAN), None);
}

#[test]
fn the_median_is_the_middle() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[1.0, f64::NAN]), None);
}

proptest! {
    #[test]
    fn agreement_does_not_depend_on_the_order(
        mut differences in proptest::collection::vec(-30.0..30.0f64, 1..100),
    ) {
        let found = bland_altman(&differences).unwrap();
        let middle = median(&differences);
        differences.reverse();
        prop_assert_eq!(bland_altman(&differences).unwrap(), found);
        prop_assert_eq!(median(&differences), middle);
        prop_assert!(found.bias.abs() <= found.mae + 1e-12 && found.mae <= found.max + 1e-12);
    }

    #[test]
    fn a_shift_moves_the_bias_and_leaves_the_spread(
        differences in proptest::collection::vec(-30.0..30.0f64, 2..100),
        by in -10.0..10.0f64,
    ) {
        let found = bland_altman(&differences).unwrap();
        let moved: Vec<f64> = differences.iter().map(|d| d + by).collect();
        let moved = bland_altman(&moved).unwrap();
        prop_assert!((moved.bias - found.bias - by).abs() < 1e-9);
        prop_assert!((moved.sd.unwrap() - found.sd.unwrap()).abs() < 1e-6);
    }

    #[test]
    fn wilson_bounds_hold_the_share(successes in 0..500usize, failures in 0..500usize, z in 0.0..5.0f64) {
        let trials = successes + failures;
        prop_assume!(trials > 0);
        let [low, high] = wilson(successes, trials, z).unwrap();
        let share = successes as f64 / trials as f64;
        prop_assert!(low <= share + 1e-12 && share <= high + 1e-12 && low >= 0.0 && high <= 1.0);
        let [wider_low, wider_high] = wilson(successes, trials, z + 0.5).unwrap();
        prop_assert!(wider_low <= low + 1e-12 && wider_high >= high - 1e-12);
    }
}
