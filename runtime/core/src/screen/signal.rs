//! The image signal meter: how much there is to see, from measurable things only.

use super::polar::Measures;
use crate::events::{Evidence, Output, SignalValue, Status};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Meter below which a number is withheld.
pub const WITHHELD_BELOW: f32 = 0.15;
/// Meter from which on numbers come back.
pub const BACK_FROM: f32 = 0.22;
/// Bend across the directions below which there is no structure.
const STRUCTURE: f32 = 0.1;
/// Coherence below which an image without structure is noise.
const COHERENCE: f32 = 0.55;
/// Share of a new measure in the smoothed ones, ten times a second.
const WEIGHT: f32 = 0.3;
/// Looks in a row without structure until there is no contact, and with it until there is.
const LOOKS: u32 = 4;

/// What of the image is lacking, in the order in which it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hint {
    /// Noise and reverberation only: the same in all directions, and either behind a dark band or
    /// another one at each look.
    NoStructure,
    /// The image does not change.
    Still,
    /// Its brightness is low.
    GainLow,
    /// Its brightness is high.
    GainHigh,
    /// There is nothing in some directions.
    PartlyDark,
    /// Its brightness is the same everywhere.
    LittleContrast,
}

/// All hints.
const HINTS: [Hint; 6] = [
    Hint::NoStructure,
    Hint::Still,
    Hint::GainLow,
    Hint::GainHigh,
    Hint::PartlyDark,
    Hint::LittleContrast,
];

impl Hint {
    /// The words that a person reads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoStructure => "no structure across the beam: probe in air?",
            Self::Still => "image still",
            Self::GainLow => "gain low",
            Self::GainHigh => "gain high",
            Self::PartlyDark => "sector partly dark",
            Self::LittleContrast => "little contrast",
        }
    }
}

/// What the meter says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// 0 (nothing to see) to 1.
    pub meter: f32,
    /// What is lacking most, if anything.
    pub hint: Option<Hint>,
}

/// Smooths measures into the meter.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    smooth: Option<Measures>,
    low: bool,
    in_air: bool,
    looks: u32,
}

impl Meter {
    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes one frame's measures.
    pub fn push(&mut self, new: Measures) {
        let old = self.smooth.unwrap_or(new);
        let mix = |old: f32, new: f32| old + (new - old) * WEIGHT;
        self.smooth = Some(Measures {
            coverage: mix(old.coverage, new.coverage),
            mean: mix(old.mean, new.mean),
            contrast: mix(old.contrast, new.contrast),
            structure: mix(old.structure, new.structure),
            dark_directions: mix(old.dark_directions, new.dark_directions),
            texture: mix(old.texture, new.texture),
            dead_band: new.dead_band,
            coherence: new.coherence,
        });
        let empty = new.dead_band || new.coherence < COHERENCE;
        let air = new.structure < STRUCTURE && empty;
        self.looks = if air == self.in_air {
            0
        } else {
            self.looks + 1
        };
        if self.looks >= LOOKS {
            (self.in_air, self.looks) = (air, 0);
        }
        let meter = self.signal().map_or(1.0, |s| s.meter);
        self.low = meter < if self.low { BACK_FROM } else { WITHHELD_BELOW };
    }

    /// True while the probe touches nothing.
    pub fn in_air(&self) -> bool {
        self.in_air
    }

    /// True while there is too little to see.
    pub fn is_low(&self) -> bool {
        self.low
    }

    /// The meter, once anything was measured.
    pub fn signal(&self) -> Option<Signal> {
        let m = self.smooth?;
        let [coverage, gain, contrast] =
            [m.coverage / 0.6, m.mean / 30.0, m.contrast / 70.0].map(|v| v.clamp(0.0, 1.0));
        let all = 0.3 * coverage + 0.3 * gain + 0.4 * contrast;
        let hint = if self.in_air {
            Some(Hint::NoStructure)
        } else if gain < 0.4 {
            Some(Hint::GainLow)
        } else if m.mean > 150.0 {
            Some(Hint::GainHigh)
        } else if m.dark_directions >= 0.25 {
            Some(Hint::PartlyDark)
        } else {
            (contrast < 0.5).then_some(Hint::LittleContrast)
        };
        Some(Signal {
            meter: if self.in_air { all * 0.1 } else { all },
            hint,
        })
    }
}

/// The newest signal, written by one thread and read by another.
#[derive(Debug, Default)]
pub(crate) struct SignalBoard {
    /// Meter as bits, hint and whether anything was measured in one word.
    word: AtomicU64,
    at_nanos: AtomicI64,
}

impl SignalBoard {
    /// Notes the signal of a frame captured at `at_nanos`.
    pub fn set(&self, signal: Option<(f32, Option<Hint>)>, at_nanos: i64) {
        let word = signal.map_or(0, |(meter, hint)| {
            let hint = hint.and_then(|h| HINTS.iter().position(|other| *other == h));
            let hint = hint.map_or(0, |at| at as u64 + 1);
            u64::from(meter.to_bits()) | hint << 32 | 1 << 40
        });
        self.at_nanos.store(at_nanos, Ordering::Relaxed);
        self.word.store(word, Ordering::Release);
    }

    /// Goes back to a recorded reading.
    pub fn restore(&self, reading: Option<Reading>) {
        let at_nanos = reading.map_or(0, |r| r.at_nanos);
        let reading = reading.map(|r| (f32::from_bits(r.meter_bits), r.hint));
        self.set(reading, at_nanos);
    }

    /// The newest reading, once anything was measured.
    pub fn reading(&self) -> Option<Reading> {
        let word = self.word.load(Ordering::Acquire);
        if word == 0 {
            return None;
        }
        let hint = usize::try_from(word >> 32 & 0xFF).unwrap_or(0);
        let hint = hint.checked_sub(1).and_then(|at| HINTS.get(at).copied());
        Some(Reading {
            meter_bits: word as u32,
            hint,
            at_nanos: self.at_nanos.load(Ordering::Relaxed),
        })
    }
}

/// The signal of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// The meter, an f32 as bits.
    pub meter_bits: u32,
    /// What is lacking most, if anything.
    pub hint: Option<Hint>,
    /// Capture time of the frame.
    pub at_nanos: i64,
}

impl Reading {
    /// The `signal` output, with the frames of the clip it goes with; OFF where nothing is measured.
    pub fn output(
        reading: Option<Self>,
        evidence: Evidence,
        valid_for_nanos: i64,
    ) -> Output<SignalValue> {
        let Some(reading) = reading else {
            return Output::quiet(Status::Off);
        };
        Output {
            status: Status::Value,
            reason: None,
            value: Some(SignalValue {
                meter: f32::from_bits(reading.meter_bits),
                hint: reading.hint.map(|h| h.as_str().to_owned()),
            }),
            evidence,
            valid_until_nanos: Some(reading.at_nanos.saturating_add(valid_for_nanos)),
        }
    }
}
