//! Hearts and ECGs that are drawn by a formula.

use super::*;
use crate::events::HeartSource;

const MILLI: i64 = 1_000_000;
const SIDE: usize = 160;

/// The whole picture.
fn area() -> Outline {
    Outline::new(&[[0.5, 0.05], [0.95, 0.7], [0.5, 0.95], [0.05, 0.7]]).unwrap()
}

/// How far a heart is contracted at a time, whose beats begin at `onsets`: it contracts within
/// 0.15 s and fills again within 0.2 s after a systole of 0.25 s.
fn contraction(onsets: &[i64], at_nanos: i64) -> f64 {
    let begun = onsets.iter().rev().find(|o| **o <= at_nanos);
    let since = begun.map_or(1.0, |o| (at_nanos - o) as f64 / 1e9);
    match since {
        s if s < 0.15 => s / 0.15,
        s if s < 0.25 => 1.0,
        s if s < 0.45 => (0.45 - s) / 0.2,
        _ => 0.0,
    }
}

/// A ring that narrows, on noise; `pixels` is a square.
fn draw(contraction: f64, seed: u64, pixels: &mut Vec<u8>) {
    pixels.clear();
    let radius = 45.0 - 14.0 * contraction;
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for at in 0..SIDE * SIDE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (x, y) = ((at % SIDE) as f64 - 80.0, (at / SIDE) as f64 - 80.0);
        let off = ((x * x + y * y).sqrt() - radius).abs();
        let wall = if off < 8.0 { 110 } else { 30 };
        pixels.push(wall + (state >> 40) as u8 % 30);
    }
}

fn see(pulse: &mut Pulse, pixels: &[u8], at_nanos: i64) {
    let picture = Picture {
        pixels,
        stride_bytes: SIDE,
        pixel_bytes: 1,
        width_px: SIDE,
        height_px: SIDE,
    };
    pulse.look(picture, Some(&area()), at_nanos);
}

/// Shows a heart from one time to another, in steps of these lengths in turn.
fn show(pulse: &mut Pulse, onsets: &[i64], [from, to]: [i64; 2], steps: &[i64]) {
    let mut pixels = Vec::new();
    let (mut at, mut steps) = (from * MILLI, steps.iter().cycle());
    while at < to * MILLI {
        draw(contraction(onsets, at), at.unsigned_abs(), &mut pixels);
        see(pulse, &pixels, at);
        at += steps.next().unwrap() * MILLI;
    }
}

/// Beats of these lengths in turn, milliseconds, for 20 s.
fn beats(lengths: &[i64]) -> Vec<i64> {
    let mut at = 0;
    let mut onsets = Vec::new();
    for length in lengths.iter().cycle() {
        if at > 20_000 * MILLI {
            break;
        }
        onsets.push(at);
        at += length * MILLI;
    }
    onsets
}

#[track_caller]
fn assert_rate(pulse: &mut Pulse, bpm: f64, from: HeartSource) {
    let heart = pulse
        .heart()
        .unwrap_or_else(|| panic!("no rate, not {bpm}"));
    assert_eq!(heart.from, from);
    assert!(
        (heart.bpm - bpm).abs() <= 0.02 * bpm,
        "{heart:?}, not {bpm}"
    );
}

#[test]
fn a_regular_heart_is_measured_at_any_frame_rate_and_uneven_times() {
    for length in [460, 550, 700, 900, 1200, 1490] {
        for steps in [vec![17], vec![33], vec![40], vec![50], vec![33, 50, 38]] {
            let mut pulse = Pulse::new();
            show(&mut pulse, &beats(&[length]), [0, 7000], &steps);
            assert_rate(&mut pulse, 60_000.0 / length as f64, HeartSource::Image);
        }
    }
}

#[test]
fn nothing_is_said_before_four_beats() {
    let mut pulse = Pulse::new();
    show(&mut pulse, &beats(&[1000]), [0, 3700], &[33]);
    assert_eq!(pulse.heart(), None);
    show(&mut pulse, &beats(&[1000]), [3700, 4400], &[33]);
    assert_rate(&mut pulse, 60.0, HeartSource::Image);
}

#[test]
fn an_irregular_heart_and_one_in_pairs_have_no_rate_of_the_image() {
    let hearts: [&[i64]; 4] = [
        &[820, 1010, 640, 1190, 730, 930, 560, 1130],
        &[600, 600, 600, 600, 370, 830],
        &[450, 750],
        &[450, 600, 790],
    ];
    for lengths in hearts {
        let mut pulse = Pulse::new();
        for end in [4000, 5000, 6000, 7000, 8000, 9000] {
            show(&mut pulse, &beats(lengths), [end - 1000, end], &[33]);
            let heart = pulse.heart();
            assert!(heart.is_none(), "{lengths:?} at {end} ms: {heart:?}");
            if end == 4000 {
                show(&mut pulse, &beats(lengths), [4000, 4020], &[33]);
            }
        }
    }
}

#[test]
fn noise_and_a_still_image_have_no_rate() {
    let mut pulse = Pulse::new();
    show(&mut pulse, &[], [0, 7000], &[33]);
    assert_eq!(pulse.heart(), None);
    let mut pixels = Vec::new();
    draw(0.3, 5, &mut pixels);
    pulse.reset();
    (0..200).for_each(|i| see(&mut pulse, &pixels, i * 33 * MILLI));
    assert_eq!(pulse.heart(), None);
}

#[test]
fn a_gap_another_area_and_a_reset_begin_anew() {
    let regular = beats(&[800]);
    let known = || {
        let mut pulse = Pulse::new();
        show(&mut pulse, &regular, [0, 6000], &[33]);
        assert!(pulse.heart().is_some());
        pulse
    };
    let mut pulse = known();
    show(&mut pulse, &regular, [6300, 8000], &[33]);
    assert_eq!(pulse.heart(), None, "gap");
    let mut pulse = known();
    show(&mut pulse, &regular, [100, 200], &[33]);
    assert_eq!(pulse.heart(), None, "time goes back");
    let mut pulse = known();
    pulse.reset_image();
    show(&mut pulse, &regular, [6000, 8000], &[33]);
    assert_eq!(pulse.heart(), None, "reset");
    let mut pulse = known();
    let pixels = vec![0; SIDE * SIDE];
    let picture = Picture {
        pixels: &pixels,
        stride_bytes: SIDE,
        pixel_bytes: 1,
        width_px: SIDE,
        height_px: SIDE,
    };
    let other = Outline::new(&[[0.4, 0.0], [0.9, 0.7], [0.1, 0.7]]).unwrap();
    pulse.look(picture, Some(&other), 6010 * MILLI);
    assert_eq!(pulse.heart(), None, "another area");
    let mut pulse = known();
    pulse.look(picture, None, 6010 * MILLI);
    assert_eq!(pulse.heart(), None, "no area");
}

#[test]
fn what_runs_outside_the_imaging_area_is_not_looked_at() {
    let mut pulse = Pulse::new();
    let mut pixels = Vec::new();
    for i in 0..220_i64 {
        let at = i * 33 * MILLI;
        draw(0.0, at.unsigned_abs(), &mut pixels);
        let lit = i % 20 < 8;
        for (pixel, place) in pixels.iter_mut().zip(0..) {
            let (x, y) = ((place % SIDE) as f32, (place / SIDE) as f32);
            if lit && !area().contains((x + 0.5) / SIDE as f32, (y + 0.5) / SIDE as f32) {
                *pixel = 255;
            }
        }
        see(&mut pulse, &pixels, at);
    }
    assert_eq!(pulse.heart(), None);
}

/// An ECG with P, R, S and T waves, a base line that wanders, and noise.
fn ecg(onsets: &[i64], at_nanos: i64) -> f32 {
    let wave = |at_millis: f64, height: f64, half_millis: f64| {
        let heights = onsets.iter().map(|o| {
            let off = ((at_nanos - o) as f64 / 1e6 - at_millis).abs() / half_millis;
            height * (1.0 - off).max(0.0)
        });
        heights.sum::<f64>()
    };
    let wander = ((at_nanos / MILLI % 4000) as f64 / 2000.0 - 1.0).abs();
    let noise = (at_nanos / 7_000_000).wrapping_mul(2_654_435_761) % 97;
    let waves = wave(-160.0, 0.12, 50.0) + wave(0.0, 1.0, 45.0) + wave(45.0, -0.2, 30.0);
    (waves + wave(260.0, 0.35, 90.0) + 0.3 * wander + 0.0004 * noise as f64) as f32
}

fn hear(pulse: &mut Pulse, onsets: &[i64], [from, to]: [i64; 2], step_micros: i64) {
    let mut at = from * MILLI;
    while at < to * MILLI {
        pulse.ecg(ecg(onsets, at), at);
        at += step_micros * 1000;
    }
}

#[test]
fn r_waves_are_found_at_the_frame_rates_of_a_host() {
    for step_micros in [40_000, 33_367, 20_000, 16_683, 8_333, 1_000] {
        for length in [400, 600, 857, 1200, 1500] {
            let onsets = beats(&[length]);
            let mut pulse = Pulse::new();
            hear(&mut pulse, &onsets, [0, 9700], step_micros);
            assert_rate(&mut pulse, 60_000.0 / length as f64, HeartSource::Ecg);
            let heart = pulse.heart().unwrap();
            for found in heart.onsets.times() {
                let off = onsets.iter().map(|o| (o - found).abs()).min().unwrap();
                assert!(off <= 90 * MILLI, "{step_micros} us, {length} ms: {off} ns");
            }
            assert!(!heart.onsets.is_irregular(0.2), "{step_micros} {length}");
        }
    }
}

#[test]
fn an_irregular_ecg_keeps_its_beats_and_comes_before_the_image() {
    let onsets = beats(&[820, 1010, 640, 1190, 730, 930, 560, 1130]);
    let mut pulse = Pulse::new();
    show(&mut pulse, &beats(&[800]), [0, 8000], &[33]);
    hear(&mut pulse, &onsets, [0, 8000], 33_367);
    let heart = pulse.heart().unwrap();
    assert_eq!(heart.from, HeartSource::Ecg);
    let rules = BeatRules::default();
    let Rhythm::Onsets(times) = heart.rhythm(&rules) else {
        panic!("{heart:?}");
    };
    assert!(times.len() >= 8, "{heart:?}");
    for pair in times.windows(2) {
        let length = (pair[1] - pair[0]) / MILLI;
        assert!((520..=1230).contains(&length), "{length}");
    }
    pulse.reset();
    assert_eq!(pulse.heart(), None);
}

#[test]
fn an_ecg_without_beats_gives_way_to_the_image() {
    let flat = |_: i64| 0.2;
    let ramp = |at: i64| at as f32 / 1e9;
    let noise = |at: i64| (at / MILLI).wrapping_mul(2_654_435_761).rem_euclid(97) as f32 / 97.0;
    let lead_off = |at: i64| match at < 5000 * MILLI {
        true => ecg(&beats(&[800]), at),
        false => 0.0,
    };
    let curves: [&dyn Fn(i64) -> f32; 4] = [&flat, &ramp, &noise, &lead_off];
    for (curve, which) in curves.iter().zip(0..) {
        let mut pulse = Pulse::new();
        show(&mut pulse, &beats(&[800]), [0, 8000], &[33]);
        for i in 0..480 {
            pulse.ecg(curve(i * 16_683_000), i * 16_683_000);
        }
        let heart = pulse.heart().expect("by the image");
        assert_eq!(heart.from, HeartSource::Image, "{which}: {heart:?}");
    }
}

#[test]
fn a_heart_is_written_short_and_read_again() {
    let mut onsets = Onsets::default();
    onsets.push(4);
    onsets.push(9);
    for onsets in [Onsets::default(), onsets] {
        let heart = Heart {
            bpm: 71.23,
            from: HeartSource::Image,
            onsets,
        };
        let text = serde_json::to_string(&heart).unwrap();
        assert_eq!(serde_json::from_str::<Heart>(&text).unwrap(), heart);
        assert_eq!(text.contains("onsets"), !onsets.is_empty());
        assert_eq!(heart.rate().bpm, 71.2);
        assert!(heart.check().is_ok());
        assert!(
            Heart {
                bpm: f64::NAN,
                ..heart
            }
            .check()
            .is_err()
        );
    }
}
