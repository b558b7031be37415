use super::*;
use proptest::prelude::*;

/// A small generator, so that thousands of draws need no shrinking.
struct Draws(u64);

impl Draws {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

fn singles(residuals: &[f64]) -> Vec<Vec<f64>> {
    residuals.iter().map(|&r| vec![r]).collect()
}

proptest! {
    #[test]
    fn one_residual_per_patient_gives_the_ranked_one(
        residuals in proptest::collection::vec(0.0..50.0f64, 1..300),
        coverage in 0.5..0.999f64,
    ) {
        let n = residuals.len();
        let rank = (coverage * (n + 1) as f64 - SLACK).ceil() as usize;
        let found = conformal_half_width(&singles(&residuals), coverage);
        let mut sorted = residuals.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.get(rank - 1) {
            Some(expected) => prop_assert_eq!(found, Ok(*expected)),
            None => {
                let needed = fewest_groups(coverage);
                prop_assert!(needed > n);
                prop_assert_eq!(found, Err(CalibrationError::TooFew { needed, coverage, found: n }));
            }
        }
    }

    #[test]
    fn the_order_of_patients_and_estimates_does_not_matter(
        groups in proptest::collection::vec(proptest::collection::vec(-20.0..20.0f64, 0..6), 30..60),
        by in 1..29_usize,
    ) {
        let mut turned = groups.clone();
        turned.rotate_left(by);
        turned.iter_mut().for_each(|g| g.reverse());
        prop_assert_eq!(conformal_half_width(&groups, 0.6), conformal_half_width(&turned, 0.6));
    }

    #[test]
    fn a_repeated_estimate_counts_no_more_than_one(
        residuals in proptest::collection::vec(0.0..20.0f64, 9..60),
        times in 1..7_usize,
    ) {
        let repeated: Vec<Vec<f64>> = residuals.iter().map(|&r| vec![r; times]).collect();
        let single = conformal_half_width(&singles(&residuals), 0.8);
        prop_assert_eq!(conformal_half_width(&repeated, 0.8), single);
    }

    #[test]
    fn a_wider_promise_is_a_wider_interval(
        groups in proptest::collection::vec(proptest::collection::vec(0.0..20.0f64, 1..4), 40..80),
        low in 0.5..0.97f64,
        more in 0.0..0.3f64,
    ) {
        let high = (low + more).min(0.97);
        let (narrow, wide) = (conformal_half_width(&groups, low), conformal_half_width(&groups, high));
        prop_assert!(narrow.unwrap() <= wide.unwrap());
    }

    #[test]
    fn a_temperature_beats_its_neighbours_and_does_not_depend_on_the_order(seed in any::<u64>()) {
        let clips = clips(seed, 200, 2.5);
        let fitted = fit_temperature(&clips).unwrap();
        let loss = |t| view_loss(&clips, t).unwrap();
        for near in [0.5, 0.9, 0.99, 1.01, 1.1, 2.0] {
            prop_assert!(loss(fitted) <= loss(fitted * near) + 1e-12, "{} x {}", fitted, near);
        }
        let mut turned = clips.clone();
        turned.reverse();
        prop_assert_eq!(fit_temperature(&turned).unwrap().to_bits(), fitted.to_bits());
    }

    #[test]
    fn scaled_logits_scale_the_temperature(seed in any::<u64>(), exponent in -1i32..2) {
        let scale = 2f32.powi(exponent);
        let clips = clips(seed, 100, 1.5);
        let scaled: Vec<LabelledClip> = clips
            .iter()
            .map(|c| LabelledClip {
                logits: c.logits.iter().map(|l| l * scale).collect(),
                ..c.clone()
            })
            .collect();
        let (one, other) = (fit_temperature(&clips).unwrap(), fit_temperature(&scaled).unwrap());
        prop_assert!((other / one / f64::from(scale) - 1.0).abs() < 1e-9, "{} {}", one, other);
    }
}

/// Clips of three views whose labels are drawn from the softmax of a third of their logits, made
/// overconfident by `factor`.
fn clips(seed: u64, count: usize, factor: f64) -> Vec<LabelledClip> {
    let mut draws = Draws(seed);
    let one = |_| {
        let fair: Vec<f64> = (0..3).map(|_| 1.5 * draws.normal()).collect();
        let powers: Vec<f64> = fair.iter().map(|l| l.exp()).collect();
        let mut left = draws.unit() * powers.iter().sum::<f64>();
        let label = powers.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        LabelledClip {
            logits: fair.iter().map(|l| (l * factor) as f32).collect(),
            label: label.unwrap_or(2),
            weight: 1.0,
        }
    };
    (0..count).map(one).collect()
}

#[test]
fn overconfident_logits_get_the_temperature_they_were_made_with() {
    let fitted = fit_temperature(&clips(7, 20_000, 2.5)).unwrap();
    assert!((fitted - 2.5).abs() < 0.1, "{fitted}");
}

#[test]
fn certainty_is_right_as_often_as_it_says_at_the_fitted_temperature() {
    let clips = clips(11, 20_000, 2.5);
    let fitted = fit_temperature(&clips).unwrap();
    let error = |t| certainty_error(&clips, t).unwrap();
    assert!(error(fitted) < 0.02, "{}", error(fitted));
    assert!(error(1.0) > 0.1, "{}", error(1.0));
    let sure = LabelledClip {
        logits: vec![40.0, 0.0],
        label: 1,
        weight: 1.0,
    };
    assert_eq!(certainty_error(&[sure], 1.0), Ok(1.0));
}

#[test]
fn intervals_cover_new_patients_as_often_as_promised() {
    let mut draws = Draws(1);
    let patient = |draws: &mut Draws| -> Vec<f64> {
        let own = 4.0 * draws.normal();
        let estimates = 1 + (draws.unit() * 5.0) as usize;
        (0..estimates).map(|_| own + 3.0 * draws.normal()).collect()
    };
    for coverage in [0.8, 0.9, 0.95] {
        let (mut covered, rounds) = (0.0, 4000);
        for _ in 0..rounds {
            let groups: Vec<Vec<f64>> = (0..40).map(|_| patient(&mut draws)).collect();
            let half_width = conformal_half_width(&groups, coverage).unwrap();
            let new = patient(&mut draws);
            let inside = new.iter().filter(|r| r.abs() <= half_width).count();
            covered += inside as f64 / new.len() as f64;
        }
        let share = covered / f64::from(rounds);
        let margin = 3.0 * (coverage * (1.0 - coverage) / f64::from(rounds)).sqrt();
        assert!(share >= coverage - margin, "{share} for {coverage}");
        assert!(
            share <= coverage + 1.0 / 41.0 + 0.02,
            "{share} for {coverage}"
        );
    }
}

#[test]
fn too_few_patients_are_refused_with_the_number_needed() {
    for (coverage, needed) in [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)] {
        assert_eq!(fewest_groups(coverage), needed);
        let groups = singles(&vec![1.0; needed]);
        assert_eq!(conformal_half_width(&groups, coverage), Ok(1.0));
        let error = conformal_half_width(&groups[1..], coverage).unwrap_err();
        let found = needed - 1;
        let expected = format!(
            "patients: expected at least {needed} for a coverage of {coverage}, found {found}"
        );
        assert_eq!(error.to_string(), expected);
    }
    let empty = vec![Vec::new(); 100];
    assert!(conformal_half_width(&empty, 0.9).is_err());
}

#[test]
fn what_is_no_number_is_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut groups = singles(&[1.0; 20]);
        groups[3] = vec![1.0, bad];
        let error = conformal_half_width(&groups, 0.8).unwrap_err();
        assert!(matches!(
            error,
            CalibrationError::NotFinite {
                what: "residual",
                ..
            }
        ));
        assert!(conformal_half_width(&singles(&[1.0; 20]), bad).is_err());
        let mut clips = clips(3, 20, 1.0);
        clips[2].logits[1] = bad as f32;
        let error = fit_temperature(&clips).unwrap_err();
        assert!(matches!(
            error,
            CalibrationError::NotFinite {
                what: "view logits",
                ..
            }
        ));
        assert!(view_loss(&clips, 1.0).is_err());
    }
    let mut clips = clips(3, 20, 1.0);
    clips[2].label = 3;
    let expected = "label: expected below 3, the number of logits, found 3";
    assert_eq!(fit_temperature(&clips).unwrap_err().to_string(), expected);
    assert_eq!(fit_temperature(&[]), Err(CalibrationError::NoClip));
}

#[test]
fn a_temperature_without_a_maximum_is_refused_with_its_reason() {
    let clip = |logits: [f32; 2], label| LabelledClip {
        logits: logits.to_vec(),
        label,
        weight: 1.0,
    };
    let right = [clip([3.0, 0.0], 0), clip([0.0, 3.0], 1)];
    let error = fit_temperature(&right).unwrap_err().to_string();
    assert!(error.ends_with("0.05: hardly a clip is wrong"), "{error}");
    let wrong = [clip([3.0, 0.0], 1), clip([0.0, 3.0], 1)];
    let error = fit_temperature(&wrong).unwrap_err().to_string();
    let expected = "20: the logits say nothing about the labels";
    assert!(error.ends_with(expected), "{error}");
    assert!(fit_temperature(&[clip([1.0, 1.0], 0)]).is_err());
}
