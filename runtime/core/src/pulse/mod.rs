//! How fast the heart beats, from its image or from the ECG that a host sends along.
//!
//! A wrong rate is worse than none: it can withhold a good number or let too short evidence pass.
//! So each way gives a rate only where everything it has seen speaks for it, and nothing
//! otherwise. Only comparison, addition, multiplication and division are used, and times are those
//! of the frames: the same frames give the same rate on every machine.

mod cells;
mod ecg;
mod likeness;
mod onsets;
mod period;

pub use onsets::{MAX_ONSETS, Onsets};

use crate::decide::{BeatRules, Rhythm};
use crate::events::{HeartRate, HeartSource};
use crate::screen::Picture;
use crate::screen::sector::Outline;
use ecg::Ecg;
use likeness::Likeness;
use serde::{Deserialize, Serialize};

/// What is known of the heartbeat at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heart {
    /// Beats per minute, over the newest seconds.
    pub bpm: f64,
    /// What it was measured from.
    pub from: HeartSource,
    /// Begin of the newest beats, where each is known; none of the image.
    #[serde(skip_serializing_if = "Onsets::is_empty", default)]
    pub onsets: Onsets,
}

impl Heart {
    /// The rhythm for the decision on a number.
    ///
    /// Of a regular rhythm only the rate counts: any stretch as long as a beat then holds a whole
    /// one, wherever it begins. Of an irregular one each beat counts by itself.
    pub fn rhythm(&self, rules: &BeatRules) -> Rhythm<'_> {
        match self.onsets.is_irregular(rules.irregular_above) {
            true => Rhythm::Onsets(self.onsets.times()),
            false => Rhythm::Rate(self.bpm),
        }
    }

    /// The rate as readers are told it, to a tenth.
    pub fn rate(&self) -> HeartRate {
        HeartRate {
            bpm: ((self.bpm * 10.0).round() / 10.0) as f32,
            from: self.from,
        }
    }

    /// Checks that it is one that can have been measured.
    ///
    /// # Errors
    /// What is out of range.
    pub(crate) fn check(&self) -> Result<(), String> {
        match (0.0..=1000.0).contains(&self.bpm) {
            true => Ok(()),
            false => Err(format!(
                "heart rate: expected 0 to 1000 per minute, found {}",
                self.bpm
            )),
        }
    }
}

/// Follows the heartbeat frame by frame.
#[derive(Debug)]
pub struct Pulse {
    image: Likeness,
    ecg: Ecg,
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

impl Pulse {
    /// Starts with nothing seen; takes all the memory it will use, about 300 KB.
    pub fn new() -> Self {
        Self {
            image: Likeness::new(),
            ecg: Ecg::new(),
        }
    }

    /// Forgets everything seen.
    pub fn reset(&mut self) {
        self.reset_image();
        self.ecg.reset();
    }

    /// Forgets the images: what comes next does not go on from them.
    pub fn reset_image(&mut self) {
        self.image.reset();
    }

    /// Takes a live frame and the imaging area in it; without an area nothing is known of it.
    ///
    /// # Real-time
    /// No allocation. About 30 times a second at most 4096 bytes are read and compared with those
    /// of the last 2.2 s; other frames are passed over.
    pub fn look(&mut self, picture: Picture<'_>, area: Option<&Outline>, at_nanos: i64) {
        match area {
            Some(area) => self.image.push(picture, area, at_nanos),
            None => self.image.reset(),
        }
    }

    /// Takes the ECG at a frame's time.
    ///
    /// # Real-time
    /// No allocation.
    pub fn ecg(&mut self, millivolts: f32, at_nanos: i64) {
        self.ecg.push(millivolts, at_nanos);
    }

    /// What is known now: by the ECG where it shows beats, else by the image.
    ///
    /// # Real-time
    /// No allocation; some 20 thousand additions. Meant for once a clip.
    pub fn heart(&mut self) -> Option<Heart> {
        if let Some(onsets) = self.ecg.onsets()
            && let Some(bpm) = onsets.mean_bpm()
        {
            return Some(Heart {
                bpm,
                from: HeartSource::Ecg,
                onsets,
            });
        }
        Some(Heart {
            bpm: self.image.bpm()?,
            from: HeartSource::Image,
            onsets: Onsets::default(),
        })
    }

    /// How unlike the image is to what it was some time before, by that time in seconds: what a
    /// rate is read from. For a look with the eyes; it allocates.
    pub fn curve(&self) -> Vec<[f64; 2]> {
        self.image.curve()
    }
}

#[cfg(test)]
mod tests;
