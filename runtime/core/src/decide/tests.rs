use super::*;
use crate::events::Reason;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

fn reading(percent: f64, begin_second: f64) -> Reading {
    let first_frame = (begin_second * 8.0) as u64;
    let first_nanos = (begin_second * 1e9) as i64;
    let span = Span {
        first_frame,
        last_frame: first_frame + 15,
        first_nanos,
        last_nanos: first_nanos + 1_875_000_000,
    };
    Reading {
        percent,
        spans: [Some(span), None],
        exam: 1,
        sector: 0,
        view: 2,
    }
}

fn combined(readings: &[Reading], rhythm: Rhythm<'_>) -> Result<Combined, Reason> {
    combine(&EjectionRules::default(), readings, rhythm)
}

#[test]
fn overlapping_clips_agree_as_one() {
    let readings: Vec<_> = (0..8).map(|i| reading(50.0, 0.25 * f64::from(i))).collect();
    let result = combined(&readings, Rhythm::Rate(60.0)).unwrap();
    assert_eq!(
        (result.readings, result.independent, result.agreeing),
        (8, 1, 1)
    );
    let apart = [reading(50.0, 0.0), reading(51.0, 2.0), reading(70.0, 4.0)];
    let result = combined(&apart, Rhythm::Rate(60.0)).unwrap();
    assert_eq!((result.percent, result.spread), (51.0, 20.0));
    assert_eq!((result.independent, result.agreeing), (3, 2));
}

#[test]
fn each_row_of_the_table_gives_its_reason() {
    let good = reading(50.0, 0.0);
    let with = |change: fn(&mut Reading)| {
        let mut other = good;
        change(&mut other);
        combined(&[other, good], Rhythm::Rate(60.0)).unwrap_err()
    };
    assert_eq!(with(|r| r.percent = f64::NAN), Reason::EngineDown);
    assert_eq!(with(|r| r.exam = 2), Reason::NewExam);
    assert_eq!(with(|r| r.sector = 2), Reason::SectorChanged);
    assert_eq!(with(|r| r.view = 3), Reason::WrongView);
    assert_eq!(combined(&[], Rhythm::Unknown), Err(Reason::WarmingUp));
    let one = |rhythm| combined(&[good], rhythm).map(|c| c.percent);
    assert_eq!(one(Rhythm::Unknown), Ok(50.0));
    assert_eq!(one(Rhythm::Rate(39.0)), Err(Reason::NotPermitted));
    assert_eq!(one(Rhythm::Rate(f64::NAN)), Err(Reason::NotPermitted));
    assert_eq!(one(Rhythm::Onsets(&[])), Err(Reason::WarmingUp));
    assert_eq!(one(Rhythm::Onsets(&[0, SECOND])), Ok(50.0));
    assert_eq!(one(Rhythm::Onsets(&[SECOND, 0])), Err(Reason::BadTimestamp));
    let late = [SECOND, 2 * SECOND];
    assert_eq!(one(Rhythm::Onsets(&late)), Err(Reason::WarmingUp));
    let uneven = [0, SECOND, 1_600_000_000];
    assert_eq!(one(Rhythm::Onsets(&uneven)), Err(Reason::Rhythm));
    let mut short = good;
    short.spans = [Some(Span::default()), None];
    assert_eq!(
        combined(&[short], Rhythm::Rate(60.0)),
        Err(Reason::WarmingUp)
    );
    for percent in [4.9, 85.1, -10.0, 300.0] {
        let result = combined(&[reading(percent, 0.0)], Rhythm::Rate(60.0));
        assert_eq!(result, Err(Reason::OutOfRange));
    }
}

#[test]
fn five_uneven_beats_are_enough() {
    let readings = [reading(50.0, 0.0), reading(52.0, 1.5), reading(54.0, 3.0)];
    let onsets = [0, 700, 1700, 2300, 3300, 4000].map(|millis| millis * 1_000_000);
    let percent = combined(&readings, Rhythm::Onsets(&onsets)).map(|c| c.percent);
    assert_eq!(percent, Ok(52.0));
    let fewer = combined(&readings, Rhythm::Onsets(&onsets[..5]));
    assert_eq!(fewer, Err(Reason::Rhythm));
}

#[test]
fn the_gate_asks_screen_ladder_and_view_in_this_order() {
    let shown = ViewDecision::Shown(2);
    let ask = |screen, level, view| gate(screen, level, view, &[2]);
    let frozen = Some(Reason::Frozen);
    assert_eq!(ask(frozen, Level::Off, shown), Err(Reason::Frozen));
    assert_eq!(ask(None, Level::ViewOnly, shown), Err(Reason::Degraded));
    assert_eq!(ask(None, Level::LowerRate, shown), Ok(2));
    let uncertain = ViewDecision::Uncertain;
    assert_eq!(ask(None, Level::Full, uncertain), Err(Reason::Uncertain));
    let other = ViewDecision::Shown(1);
    assert_eq!(ask(None, Level::Full, other), Err(Reason::WrongView));
}

#[test]
fn a_view_between_the_thresholds_stays_and_does_not_begin() {
    let mut smoother = ViewSmoother::new(ViewRules::default(), 2);
    assert_eq!(smoother.push(&[0.9, 0.1]), ViewDecision::WarmingUp);
    assert_eq!(smoother.push(&[0.9, 0.1]), ViewDecision::Shown(0));
    for _ in 0..20 {
        assert_eq!(smoother.push(&[0.5, 0.5]), ViewDecision::Shown(0));
    }
    for _ in 0..10 {
        smoother.push(&[0.9, 0.1]);
    }
    let changed = (0..20).find(|_| smoother.push(&[0.1, 0.9]) == ViewDecision::Shown(1));
    assert_eq!(changed, Some(1));
    smoother.reset();
    smoother.push(&[0.5, 0.5]);
    assert_eq!(smoother.push(&[0.5, 0.5]), ViewDecision::Uncertain);
    assert_eq!(smoother.push(&[f32::NAN, 0.5]), ViewDecision::WarmingUp);
}

fn load(at_second: i64, busy: f64) -> Load {
    Load {
        at_nanos: at_second * SECOND,
        busy,
        hot: false,
        failed: false,
    }
}

#[test]
fn a_failed_engine_rests_at_once_and_comes_back_by_itself() {
    let mut ladder = Ladder::new(LadderRules::default());
    let failed = Load {
        failed: true,
        ..load(0, 0.1)
    };
    assert_eq!(ladder.step(failed), Level::SignalOnly);
    let levels: Vec<_> = (1..30).map(|s| ladder.step(load(s, 0.1))).collect();
    assert_eq!(levels.last(), Some(&Level::Full));
    assert!(levels.windows(2).all(|w| w[1] <= w[0]));
}

#[test]
fn a_step_up_that_does_not_last_is_tried_less_and_less() {
    let mut ladder = Ladder::new(LadderRules::default());
    let mut ups = Vec::new();
    for second in 0..1000 {
        let busy = if ladder.level() == Level::Full {
            1.5
        } else {
            0.3
        };
        let before = ladder.level();
        if ladder.step(load(second, busy)) < before {
            ups.push(second);
        }
    }
    let waits: Vec<_> = ups.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(waits.windows(2).all(|w| w[1] >= w[0]), "{waits:?}");
    assert!(waits.last() >= Some(&80), "{waits:?}");
}

proptest! {
    #[test]
    fn a_number_is_the_median_of_its_readings_within_the_range(
        values in prop::collection::vec((-50.0..150.0_f64, 0.0..60.0_f64), 0..50)
    ) {
        let mut readings: Vec<_> = values.iter().map(|v| reading(v.0, v.1)).collect();
        let held = readings.len().min(MAX_READINGS);
        let newest = readings.split_off(readings.len() - held);
        readings.extend(newest.iter().copied());
        if let Ok(result) = combined(&readings, Rhythm::Rate(70.0)) {
            let below = newest.iter().filter(|r| r.percent <= result.percent).count();
            let above = newest.iter().filter(|r| r.percent >= result.percent).count();
            prop_assert!(2 * below >= held && 2 * above >= held);
            prop_assert!((5.0..=85.0).contains(&result.percent));
            prop_assert!(result.agreeing <= result.independent);
            prop_assert!((1..=held).contains(&result.independent));
            prop_assert!(result.spread >= 0.0);
        }
    }

    #[test]
    fn covered_time_counts_each_instant_once(begins in prop::collection::vec(0_u32..40, 1..30)) {
        let readings: Vec<_> =
            begins.iter().map(|b| reading(50.0, 0.25 * f64::from(*b))).collect();
        let eighths = |b: &u32| (2 * b)..(2 * b + 15);
        let mut covered: Vec<u32> = begins.iter().flat_map(eighths).collect();
        covered.sort_unstable();
        covered.dedup();
        prop_assert_eq!(covered_nanos(&readings), covered.len() as i64 * 125_000_000);
    }

    #[test]
    fn the_ladder_never_skips_a_level_without_a_failure(
        loads in prop::collection::vec((0.0..3.0_f64, any::<bool>()), 0..400)
    ) {
        let mut ladder = Ladder::new(LadderRules::default());
        for (second, (busy, hot)) in (0..).zip(loads) {
            let before = ladder.level() as i32;
            let after = ladder.step(Load { hot, ..load(second, busy) }) as i32;
            prop_assert!((after - before).abs() <= 1);
        }
    }

    #[test]
    fn a_shown_view_is_one_the_clips_were_certain_of(
        clips in prop::collection::vec(0.0..=1.0_f32, 1..60)
    ) {
        let rules = ViewRules::default();
        let mut smoother = ViewSmoother::new(rules, 2);
        for p in clips {
            if let ViewDecision::Shown(label) = smoother.push(&[p, 1.0 - p]) {
                prop_assert!(smoother.means()[label] >= rules.leave);
            }
        }
    }
}
