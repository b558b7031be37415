//! What a calibrated package adds to estimates.

mod common;

use common::{A4C, Act, Scripted, calibration, finish, frames, manifest, push_all, start_package};
use echocart_core::clock::Pace;
use echocart_core::events::{Calibrated, Estimate, Event, Interval, Reason, Status};
use echocart_core::manifest::{Calibration, Manifest};

fn calibrated(variant: &str, calibration: Calibration) -> Manifest {
    let mut manifest = manifest();
    manifest.calibration.insert(variant.to_owned(), calibration);
    manifest
}

/// Name of the scripted engine's variant.
fn variant() -> String {
    Scripted::engine(|_| A4C).info().variant
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn last_estimate(manifest: Manifest, act: fn(u64) -> Act) -> Estimate {
    let engine = Scripted::engine(act);
    let (session, mut producer, events) = start_package(manifest, engine, Pace::Max, |_| {});
    push_all(&mut producer, frames(20, 125));
    let (_, all) = finish(session, producer, &events);
    let mut estimates = all.into_iter().rev().filter_map(|e| match e {
        Event::Estimate(e) => Some(*e),
        _ => None,
    });
    estimates.next().unwrap()
}

#[test]
fn a_calibrated_value_has_its_interval() {
    let manifest = calibrated(&variant(), calibration(1.0, [20.0, 80.0]));
    let lvef = last_estimate(manifest, |_| A4C).lvef;
    assert_eq!(lvef.status, Status::Value);
    let value = lvef.value.unwrap();
    assert_eq!(
        (value.percent, value.calibration),
        (55.0, Calibrated::Inside)
    );
    let interval = Interval {
        low: 46.5,
        high: 63.5,
        coverage: 0.9,
    };
    assert_eq!(value.interval, Some(interval));
}

#[test]
fn a_value_outside_the_calibrated_range_says_so_and_has_no_interval() {
    let manifest = calibrated(&variant(), calibration(1.0, [60.0, 80.0]));
    let value = last_estimate(manifest, |_| A4C).lvef.value.unwrap();
    assert_eq!((value.percent, value.interval), (55.0, None));
    assert_eq!(value.calibration, Calibrated::Outside);
}

#[test]
fn another_variants_calibration_does_not_count() {
    let manifest = calibrated("another", calibration(50.0, [20.0, 80.0]));
    let estimate = last_estimate(manifest, |_| A4C);
    assert_eq!(estimate.view.status, Status::Value);
    let value = estimate.lvef.value.unwrap();
    assert_eq!(
        (value.interval, value.calibration),
        (None, Calibrated::None)
    );
}

#[test]
fn the_temperature_decides_how_certain_a_view_is() {
    let hot = calibrated(&variant(), calibration(15.0, [20.0, 80.0]));
    let estimate = last_estimate(hot, |_| A4C);
    assert_eq!(estimate.view.reason, Some(Reason::Uncertain));
    assert_eq!(estimate.lvef.reason, Some(Reason::Uncertain));
    let cold = calibrated(&variant(), calibration(2.0, [20.0, 80.0]));
    let view = last_estimate(cold, |_| A4C).view.value.unwrap();
    let expected = 1.0 / (1.0 + (-2.5f64).exp());
    assert!((f64::from(view.probabilities[1]) - expected).abs() < 1e-6);
}

#[test]
fn an_interval_wider_than_the_packages_limit_withholds_the_number() {
    for (widest, shown) in [(17.0, true), (16.9, false)] {
        let mut manifest = calibrated(&variant(), calibration(1.0, [20.0, 80.0]));
        manifest.limits.widest_interval = Some(widest);
        let lvef = last_estimate(manifest, |_| A4C).lvef;
        assert_eq!(lvef.has_value(), shown, "{widest}");
        let reason = (!shown).then_some(Reason::Uncertain);
        assert_eq!(lvef.reason, reason, "{widest}");
    }
}

#[test]
fn a_map_to_standard_views_that_cannot_be_is_named() {
    let message = |pairs: &[(&str, &str)]| {
        let mut manifest = manifest();
        let pairs = pairs
            .iter()
            .map(|(l, v)| ((*l).to_owned(), (*v).to_owned()));
        manifest.view.standard = pairs.collect();
        manifest.validate().map_err(|e| e.to_string())
    };
    assert_eq!(message(&[("A4C", "A4C")]), Ok(()));
    for (pairs, part) in [
        (vec![("LAX", "PLAX")], "view.standard"),
        (vec![("A4C", "LAX")], "view.standard.A4C"),
        (vec![("A4C", "A4C"), ("A2C", "A4C")], "one label for a view"),
    ] {
        let error = message(&pairs).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_interval_ends_where_a_fraction_does() {
    let mut manifest = calibrated(&variant(), calibration(1.0, [0.0, 100.0]));
    if let Some(lvef) = manifest
        .calibration
        .values_mut()
        .next()
        .and_then(|c| c.lvef.as_mut())
    {
        lvef.half_width = 70.0;
    }
    let value = last_estimate(manifest, |_| A4C).lvef.value.unwrap();
    let interval = value.interval.unwrap();
    assert_eq!((interval.low, interval.high), (0.0, 100.0));
}

#[test]
fn a_calibration_that_cannot_be_is_named() {
    let message = |edit: fn(&mut Calibration)| {
        let mut manifest = manifest();
        let mut calibration = calibration(1.0, [20.0, 80.0]);
        edit(&mut calibration);
        manifest.calibration.insert("fp32".to_owned(), calibration);
        manifest.validate().map_err(|e| e.to_string())
    };
    assert_eq!(message(|_| {}), Ok(()));
    let refused = |edit, words: &str| {
        let error = message(edit).unwrap_err();
        assert!(error.starts_with("calibration.fp32"), "{error}");
        assert!(error.contains(words), "{error}");
    };
    refused(|c| c.view.as_mut().unwrap().temperature = f64::NAN, "NaN");
    refused(
        |c| c.view.as_mut().unwrap().temperature = 0.0,
        "found 0 of 20",
    );
    refused(|c| c.lvef.as_mut().unwrap().coverage = 1.0, "found 1");
    refused(|c| c.lvef.as_mut().unwrap().half_width = -1.0, "found -1");
    refused(
        |c| c.lvef.as_mut().unwrap().range = [2.0, 1.0],
        "low <= high",
    );
    refused(|c| c.lvef.as_mut().unwrap().views.clear(), "view labels");
    refused(|c| c.domain.sources.clear(), "sources");
    refused(|c| (c.view, c.lvef) = (None, None), "neither");
    refused(|c| c.domain.views.extend([("A5X".to_owned(), 1)]), "A5X");
    let mut unknown = manifest();
    let calibration = calibration(1.0, [20.0, 80.0]);
    unknown.calibration.insert("int8".to_owned(), calibration);
    let error = unknown.validate().unwrap_err().to_string();
    assert!(error.contains("the name of a variant"), "{error}");
}
