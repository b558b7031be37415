//! When the heart beats, and how strongly.

use crate::PhantomError;
use crate::error::within;
use crate::random::Random;

/// Beats before time 0 cover at least this long.
const HISTORY_MILLIS: f64 = 3500.0;

/// How regular the beats are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rhythm {
    /// Sinus rhythm with a breath's worth of variation.
    Sinus,
    /// Sinus rhythm with ventricular ectopic beats: early, weak, with a pause after them.
    Ectopic,
    /// Atrial fibrillation: irregular, without atrial contraction.
    AtrialFibrillation,
}

/// One beat, from its R wave to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    /// Time of the R wave, which is end-diastole.
    pub start_millis: f64,
    /// Time to the next R wave.
    pub length_millis: f64,
    /// R wave to end-systole.
    pub systole_millis: f64,
    /// Contraction at its start: 0 where the ventricle has filled completely.
    pub contraction_start: f32,
    /// Contraction at end-systole: 1 in a regular beat.
    pub contraction_peak: f32,
    /// Contraction at its end, where the next beat starts.
    pub contraction_end: f32,
    /// Whether the atria contract before the next beat.
    pub atrial_kick: bool,
    /// Whether it started in the ventricle.
    pub ectopic: bool,
}

impl Beat {
    /// Time of end-systole, the smallest volume.
    pub fn end_systole_millis(&self) -> f64 {
        self.start_millis + self.systole_millis
    }
}

/// The beats of a clip; the first one starts well before time 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Beats {
    beats: Vec<Beat>,
    /// Contraction of a regular beat at the end.
    share: f32,
}

impl Beats {
    /// Draws beats for `seconds`, and some before for the ECG's history.
    ///
    /// # Units
    /// `rate_bpm` 40 to 130 beats per minute, `seconds` above 0 and at most 3700.
    ///
    /// # Errors
    /// [`PhantomError::Range`] outside those ranges.
    pub fn new(
        rhythm: Rhythm,
        rate_bpm: f32,
        seconds: f32,
        seed: u64,
    ) -> Result<Self, PhantomError> {
        within("hr", rate_bpm, 40.0, 130.0, "beats per minute")?;
        within("seconds", seconds, f32::MIN_POSITIVE, 3700.0, "s")?;
        let mut random = Random::new(seed, 3);
        let mean = 60_000.0 / f64::from(rate_bpm);
        let mut time = -HISTORY_MILLIS - mean * f64::from(random.unit());
        let end = f64::from(seconds) * 1000.0 + 2.0 * mean;
        let mut beats: Vec<Beat> = Vec::new();
        let mut contraction_start = 0.0;
        let mut pause = false;
        let mut breath = f64::from(random.unit()) * std::f64::consts::TAU;
        while time < end {
            let next_is_early = rhythm == Rhythm::Ectopic && !pause && random.chance(0.2);
            let is_ectopic = beats.last().is_some_and(|_| pause);
            breath += mean * 0.0015;
            let length_millis = match rhythm {
                _ if next_is_early => mean * f64::from(random.range(0.55, 0.68)),
                _ if is_ectopic => mean * f64::from(random.range(1.3, 1.42)),
                Rhythm::AtrialFibrillation => {
                    (mean * f64::from(1.0 + 0.22 * random.normal())).clamp(330.0, 2.0 * mean)
                }
                _ => mean * (1.0 + 0.025 * breath.sin() + 0.008 * f64::from(random.normal())),
            };
            let after_pause = beats.last().is_some_and(|beat| beat.ectopic);
            let strength = match (is_ectopic, after_pause) {
                (true, _) => 0.62,
                (_, true) => 1.06,
                _ if rhythm == Rhythm::AtrialFibrillation => 1.0 + 0.04 * random.normal(),
                _ => 1.0,
            };
            let contraction_peak = (strength - 0.45 * contraction_start)
                .max(contraction_start + 0.1)
                .min(1.1);
            let seconds = length_millis.min(1.15 * mean) / 1000.0;
            let systole_millis = (350.0 * seconds.powf(0.42)).min(0.7 * length_millis);
            let atrial_kick = rhythm != Rhythm::AtrialFibrillation && !next_is_early;
            let filling = length_millis - systole_millis - RELAXATION_MILLIS;
            let filled = 1.0 - (-filling.max(20.0) / 62.0).exp();
            let lacks = if atrial_kick { 1.0 } else { 1.6 };
            let contraction_end = contraction_peak * (lacks * (1.0 - filled) as f32).min(0.8);
            let contraction_end = if contraction_end < 0.04 {
                0.0
            } else {
                contraction_end
            };
            beats.push(Beat {
                start_millis: time,
                length_millis,
                systole_millis,
                contraction_start,
                contraction_peak,
                contraction_end,
                atrial_kick,
                ectopic: is_ectopic,
            });
            time += length_millis;
            contraction_start = contraction_end;
            pause = next_is_early;
        }
        Ok(Self { beats, share: 1.0 })
    }

    /// Scales the contraction of every beat that starts at or after a moment, against that of a
    /// regular beat.
    pub(crate) fn weaken(&mut self, from_millis: f64, share: f32) {
        let first = self
            .beats
            .partition_point(|beat| beat.start_millis < from_millis);
        let last_share = self.share;
        for beat in self.beats.iter_mut().skip(first) {
            beat.contraction_peak *= share / last_share;
            beat.contraction_start *= share / last_share;
            beat.contraction_end *= share / last_share;
        }
        if let (Some(before), Some(start)) = (
            first.checked_sub(1),
            self.beats.get(first).map(|beat| beat.contraction_start),
        ) {
            self.beats[before].contraction_end = start;
        }
        self.share = share;
    }

    /// The beats in order of time.
    pub fn all(&self) -> &[Beat] {
        &self.beats
    }

    /// The beat at a moment; before the first one its start, after the last one its end.
    pub fn at(&self, millis: f64) -> Beat {
        let index = self
            .beats
            .partition_point(|beat| beat.start_millis <= millis);
        self.beats[index.saturating_sub(1)]
    }

    /// The beat before the one at a moment.
    pub(crate) fn before(&self, millis: f64) -> Option<Beat> {
        let index = self
            .beats
            .partition_point(|beat| beat.start_millis <= millis);
        self.beats.get(index.checked_sub(2)?).copied()
    }

    /// Mean rate of the beats that start within a span of time, or touch it where none starts.
    ///
    /// # Units
    /// Beats per minute.
    pub fn rate_bpm(&self, from_millis: f64, to_millis: f64) -> f64 {
        let within = |beat: &&Beat| (from_millis..to_millis).contains(&beat.start_millis);
        let (count, total) = self
            .beats
            .iter()
            .filter(within)
            .fold((0.0, 0.0), |(n, sum), beat| {
                (n + 1.0, sum + beat.length_millis)
            });
        if count > 0.0 {
            60_000.0 * count / total
        } else {
            60_000.0 / self.at(from_millis).length_millis
        }
    }
}

/// Aortic closure to mitral opening.
pub(crate) const RELAXATION_MILLIS: f64 = 70.0;
