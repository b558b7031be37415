//! From time to the state of the heart.

use crate::motion::HeartState;
use crate::rhythm::{Beat, Beats, RELAXATION_MILLIS, Rhythm};

/// R wave to the opening of the aortic valve.
const ISOVOLUMIC_MILLIS: f64 = 48.0;
/// Start of the atrial contraction before the next R wave.
const KICK_MILLIS: f64 = 165.0;
/// Share of the filling that comes before the atria contract.
const EARLY_SHARE: f32 = 0.72;

/// Smooth from 0 at `from` to 1 at `to`.
fn rise(from: f64, to: f64, t: f64) -> f32 {
    crate::vector::smooth_step(0.0, 1.0, ((t - from) / (to - from)) as f32)
}

/// One hump from `from` to `to` with its top at `top`.
fn hump(from: f64, top: f64, to: f64, t: f64) -> f32 {
    rise(from, top, t).min(1.0 - rise(top, to, t))
}

/// The state at a moment.
pub(crate) fn state(beats: &Beats, millis: f64) -> HeartState {
    let beat = beats.at(millis);
    let t = (millis - beat.start_millis).clamp(0.0, beat.length_millis);
    let last = beats.before(millis);
    let release = last.is_none_or(|last| last.atrial_kick);
    let atrial_tail = if release {
        1.0 - rise(0.0, 130.0, t)
    } else {
        0.0
    };
    let closing = if last.is_some() {
        0.25 * (1.0 - rise(0.0, 30.0, t))
    } else {
        0.0
    };
    let phases = Phases::of(&beat);
    HeartState {
        contraction: phases.contraction(&beat, t),
        atrial: atrial_tail.max(phases.kick(t)),
        mitral: phases.inflow(t).max(closing),
        aortic: phases.outflow(t),
    }
}

/// Times within a beat, in milliseconds from its R wave.
struct Phases {
    ejection: f64,
    end_systole: f64,
    opening: f64,
    early_end: f64,
    kick: Option<f64>,
    end: f64,
}

impl Phases {
    fn of(beat: &Beat) -> Self {
        let end = beat.length_millis;
        let end_systole = beat.systole_millis;
        let opening = (end_systole + RELAXATION_MILLIS).min(end - 40.0);
        let room = end - opening;
        let kick = (beat.atrial_kick && room > 90.0).then(|| end - KICK_MILLIS.min(0.6 * room));
        let early_room = kick.map_or(room, |kick| (kick - opening).max(0.45 * room));
        Self {
            ejection: ISOVOLUMIC_MILLIS.min(0.25 * end_systole),
            end_systole,
            opening,
            early_end: opening + early_room.min(210.0),
            kick,
            end,
        }
    }

    fn contraction(&self, beat: &Beat, t: f64) -> f32 {
        if t <= self.end_systole {
            let share = ((t - self.ejection) / (self.end_systole - self.ejection)).clamp(0.0, 1.0);
            let share = (0.5 - 0.5 * (std::f64::consts::PI * share.powf(0.85)).cos()) as f32;
            return beat.contraction_start
                + (beat.contraction_peak - beat.contraction_start) * share;
        }
        let early = rise(self.opening - 12.0, self.early_end, t);
        let filled = match self.kick {
            Some(kick) => EARLY_SHARE * early + (1.0 - EARLY_SHARE) * rise(kick, self.end, t),
            None => early,
        };
        beat.contraction_peak + (beat.contraction_end - beat.contraction_peak) * filled
    }

    fn kick(&self, t: f64) -> f32 {
        self.kick.map_or(0.0, |kick| rise(kick, self.end, t))
    }

    fn inflow(&self, t: f64) -> f32 {
        if t < self.end_systole {
            return 0.0;
        }
        let top = self.opening + 0.38 * (self.early_end - self.opening);
        let early =
            rise(self.opening - 8.0, top, t) * (1.0 - 0.68 * rise(top, self.early_end + 40.0, t));
        let late = self.kick.map_or(0.0, |kick| {
            0.78 * hump(
                kick - 10.0,
                kick + 0.4 * (self.end - kick),
                self.end + 15.0,
                t,
            )
        });
        let shut = 1.0 - 0.75 * rise(self.end - 45.0, self.end, t);
        early.max(late) * shut
    }

    fn outflow(&self, t: f64) -> f32 {
        let open = rise(self.ejection - 4.0, self.ejection + 32.0, t);
        let shut = rise(self.end_systole - 50.0, self.end_systole + 4.0, t);
        open * (1.0 - shut) * (1.0 - 0.15 * rise(self.ejection, self.end_systole, t))
    }
}

/// The ECG at a moment: about 1 at the top of an R wave.
pub(crate) fn ecg(beats: &Beats, rhythm: Rhythm, millis: f64) -> f32 {
    let wave = |at: f64, width: f64, height: f64| height * (-((millis - at) / width).powi(2)).exp();
    let beat = beats.at(millis);
    let next = beats.at(beat.start_millis + beat.length_millis + 1.0);
    let complexes: f64 = [beats.before(millis), Some(beat), Some(next)]
        .into_iter()
        .flatten()
        .map(|beat| {
            let at = beat.start_millis;
            let p = match beat.ectopic || rhythm == Rhythm::AtrialFibrillation {
                true => 0.0,
                false => 0.12,
            };
            let (wide, high, t_high) = match beat.ectopic {
                true => (32.0, 1.2, -0.3),
                false => (9.0, 1.0, 0.22),
            };
            wave(at - 150.0, 24.0, p) + wave(at, wide, high)
                - wave(at + 2.4 * wide, wide, 0.22)
                - wave(at - 22.0, 7.0, 0.08)
                + wave(at + 0.84 * beat.systole_millis, 45.0, t_high)
        })
        .sum();
    let fibrillation = if rhythm == Rhythm::AtrialFibrillation {
        0.03 * (millis * 0.041).sin() + 0.02 * (millis * 0.0557 + 1.0).sin()
    } else {
        0.0
    };
    (complexes + fibrillation) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(rhythm: Rhythm, rate_bpm: f32) -> Beats {
        Beats::new(rhythm, rate_bpm, 30.0, 3).unwrap()
    }

    #[test]
    fn contraction_peaks_at_end_systole_and_never_jumps() {
        for rhythm in [Rhythm::Sinus, Rhythm::Ectopic, Rhythm::AtrialFibrillation] {
            for rate_bpm in [40.0, 70.0, 100.0, 130.0] {
                let beats = beats(rhythm, rate_bpm);
                let mut last = state(&beats, 0.0);
                for millis in 1..30_000 {
                    let now = state(&beats, f64::from(millis));
                    let step = (now.contraction - last.contraction).abs();
                    assert!(step < 0.025, "{rhythm:?} {rate_bpm} at {millis} ms: {step}");
                    last = now;
                }
                for beat in beats.all().iter().filter(|beat| beat.start_millis > 0.0) {
                    let peak = state(&beats, beat.end_systole_millis()).contraction;
                    assert!((peak - beat.contraction_peak).abs() < 1e-3);
                }
            }
        }
    }

    #[test]
    fn mitral_and_aortic_valve_are_never_both_open() {
        let beats = beats(Rhythm::Sinus, 75.0);
        for millis in 0..20_000 {
            let now = state(&beats, f64::from(millis));
            assert!(now.mitral.min(now.aortic) < 0.3, "{millis} ms: {now:?}");
        }
    }

    #[test]
    fn an_ectopic_beat_is_early_and_weak_and_fibrillation_has_no_atrial_kick() {
        let ectopic = beats(Rhythm::Ectopic, 70.0);
        let early: Vec<&Beat> = ectopic.all().iter().filter(|beat| beat.ectopic).collect();
        assert!(!early.is_empty());
        assert!(early.iter().all(|beat| beat.contraction_peak < 0.7));
        let fibrillation = beats(Rhythm::AtrialFibrillation, 90.0);
        assert!(fibrillation.all().iter().all(|beat| !beat.atrial_kick));
        let lengths = fibrillation.all().iter().map(|beat| beat.length_millis);
        let (shortest, longest) =
            lengths.fold((f64::MAX, 0.0_f64), |(a, b), x| (a.min(x), b.max(x)));
        assert!(longest > 1.4 * shortest);
    }

    #[test]
    fn the_mean_rate_is_the_asked_one() {
        for rate_bpm in [40.0, 75.0, 130.0] {
            let found = beats(Rhythm::Sinus, rate_bpm).rate_bpm(0.0, 30_000.0);
            assert!(
                (found - f64::from(rate_bpm)).abs() < 0.05 * found,
                "{found}"
            );
        }
    }
}
