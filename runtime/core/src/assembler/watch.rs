//! What the pixels of each frame say about it, before anything is chosen.

use crate::events::{ImagingArea, Reason, SignalValue};
use crate::ring::Queued;
use crate::screen::sector::{Outline, Sector};
use crate::screen::signal::Hint;
use crate::screen::{
    Area, AreaNews, Fault, Motion, Picture, Pixels, Scene, ScreenSetup, Stillness, StillnessRules,
};

/// Shortest and longest time without a change until the image counts as frozen.
const PATIENCE_NANOS: [i64; 2] = [80_000_000, 400_000_000];
/// Confidence from which on what is outside the imaging area may be removed.
const SURE_OF_THE_AREA: f32 = 0.5;
/// Change of the signal meter that readers are told.
const SIGNAL_STEP: f32 = 0.1;
/// Shortest time between two such tellings.
const SIGNAL_EVERY_NANOS: i64 = 300_000_000;
/// Changes of the image after which their usual distance is known.
const KNOWN_AFTER: u32 = 8;
/// Time without a change after which the screen shows nothing that was not looked at.
const ALL_SEEN_NANOS: i64 = 2_000_000_000;

/// Tells live images from frozen and repeating ones.
///
/// An image is frozen after twice the usual time between two changes, so that a grabber that is
/// faster than the scanner does not count as one.
pub(super) struct Watch {
    stillness: Stillness,
    changed_nanos: Option<i64>,
    usual_nanos: i64,
    changes: u32,
    frozen: bool,
    repeating: bool,
    scene: Scene,
    fault: Option<Fault>,
    told: Option<Told>,
    /// Pass of the newest frame.
    pass: u32,
}

/// The signal as readers know it.
#[derive(Clone, Copy)]
struct Told {
    at_nanos: i64,
    meter: f32,
    hint: Option<Hint>,
}

impl Watch {
    pub fn new(setup: ScreenSetup) -> Self {
        let every_equal_picture = StillnessRules {
            frozen_after_nanos: 0,
            ..StillnessRules::default()
        };
        Self {
            stillness: Stillness::new(every_equal_picture),
            changed_nanos: None,
            usual_nanos: 0,
            changes: 0,
            frozen: false,
            repeating: false,
            scene: Scene::new(setup),
            fault: None,
            told: None,
            pass: 0,
        }
    }

    pub fn reset(&mut self) {
        self.scene.reset();
        (self.fault, self.told) = (None, None);
        self.stillness.reset();
        self.changed_nanos = None;
        (self.usual_nanos, self.changes) = (0, 0);
        (self.frozen, self.repeating) = (false, false);
    }

    /// Why no value may come of the frame, if so.
    pub fn look(&mut self, queued: &Queued) -> Option<Reason> {
        let at_nanos = queued.meta.capture_nanos;
        if std::mem::replace(&mut self.pass, queued.meta.pass) != queued.meta.pass {
            self.scene.starts_over();
        }
        let pixels = Pixels::new(&queued.pixels, queued.layout, &queued.meta);
        let picture = pixels.picture();
        let area = self.area(picture);
        let motion = self.stillness.push(picture, area, at_nanos);
        if motion != Motion::Frozen || !self.all_seen(at_nanos) {
            self.fault = self.scene.look(&pixels, at_nanos);
        }
        match motion {
            Motion::Frozen => {
                let since = *self.changed_nanos.get_or_insert(at_nanos);
                let [least, most] = PATIENCE_NANOS;
                let patience = self.usual_nanos.saturating_mul(2).clamp(least, most);
                self.frozen |= at_nanos.saturating_sub(since) >= patience;
            }
            motion => {
                if let Some(before) = self.changed_nanos.filter(|_| !self.frozen) {
                    self.change(at_nanos.saturating_sub(before));
                }
                self.changed_nanos = Some(at_nanos);
                self.frozen = false;
                self.repeating = motion == Motion::Repeating;
            }
        }
        if self.frozen {
            return Some(Reason::Frozen);
        }
        let declared = queued.source.loops || queued.meta.pass > 0;
        if self.repeating && !declared {
            return Some(Reason::ReviewLoop);
        }
        self.fault.map(|fault| match fault {
            Fault::Colour => Reason::ColourOn,
            Fault::NoImage => Reason::NotUltrasound,
            Fault::Callipers => Reason::ReviewLoop,
            Fault::LinearProbe | Fault::Zoomed | Fault::SecondImage => Reason::NotPermitted,
            Fault::UpsideDown | Fault::Mirrored => Reason::Orientation,
            Fault::InAir | Fault::LowSignal => Reason::LowSignal,
        })
    }

    /// True when the image has been frozen for so long that every look at it has been taken.
    fn all_seen(&self, at_nanos: i64) -> bool {
        let since = self.changed_nanos.unwrap_or(at_nanos);
        self.frozen && at_nanos.saturating_sub(since) >= ALL_SEEN_NANOS
    }

    /// True while the image stands still.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// True while the image is grey under a tint.
    pub fn is_tinted(&self) -> bool {
        self.scene.is_tinted()
    }

    /// What the newest frame's fault is in words, beyond its reason.
    pub fn words(&self) -> Option<&'static str> {
        self.fault.map(|fault| match fault {
            Fault::Colour => "colour Doppler is on",
            Fault::NoImage => "no ultrasound image is found",
            Fault::LinearProbe => "the image is a rectangle: a linear probe's, or enlarged",
            Fault::Zoomed => "the image has no near field: it is enlarged",
            Fault::SecondImage => "a second image, or a strip of M-mode or Doppler, is shown",
            Fault::Callipers => {
                "callipers are drawn in the image: it is a stored one that is measured"
            }
            Fault::UpsideDown => "the probe is on the other side than the site's setting says",
            Fault::Mirrored => {
                "the scanner's orientation mark is on the other side than the site's setting says"
            }
            Fault::InAir => "no structure across the beam: the probe may touch nothing",
            Fault::LowSignal => "there is too little image signal",
        })
    }

    /// What became of the imaging area since it was last asked.
    pub fn take_news(&mut self) -> Option<AreaNews> {
        self.scene.take_news()
    }

    /// The imaging area, where it is found for sure.
    pub fn sure_area(&self) -> Option<&Sector> {
        self.scene
            .sector()
            .filter(|s| s.confidence >= SURE_OF_THE_AREA)
    }

    /// Outline of the imaging area, once it is found.
    pub fn area_outline(&self) -> Option<&Outline> {
        self.scene.sector().map(|s| &s.outline)
    }

    /// True while the imaging area is found for sure and nothing speaks against it.
    pub fn area_holds(&self) -> bool {
        self.scene.is_sure() && self.sure_area().is_some()
    }

    /// The imaging area for readers, as sector `number`.
    pub fn imaging_area(
        &self,
        number: u32,
        patches_outside: impl Fn(&Outline) -> Vec<u32>,
    ) -> Option<ImagingArea> {
        self.scene.sector().map(|sector| ImagingArea {
            number,
            shape: sector.shape.as_str().to_owned(),
            inverted: sector.inverted,
            confidence: sector.confidence,
            outline: sector.outline.corners().to_vec(),
            patches_outside: patches_outside(&sector.outline),
        })
    }

    /// The image signal, once it is measured.
    pub fn signal(&self) -> Option<(f32, Option<Hint>)> {
        let signal = self.scene.signal()?;
        let still = self.frozen.then_some(Hint::Still);
        Some((signal.meter, still.or(signal.hint)))
    }

    /// The signal where readers should hear of it: it differs noticeably from what they know, and
    /// they heard of it some time ago.
    pub fn take_signal(&mut self, at_nanos: i64) -> Option<SignalValue> {
        let (meter, hint) = self.signal()?;
        let due = self.told.is_none_or(|told| {
            let differs = (told.meter - meter).abs() >= SIGNAL_STEP || told.hint != hint;
            differs && at_nanos.saturating_sub(told.at_nanos) >= SIGNAL_EVERY_NANOS
        });
        due.then(|| {
            self.told = Some(Told {
                at_nanos,
                meter,
                hint,
            });
            SignalValue {
                meter,
                hint: hint.map(|h| h.as_str().to_owned()),
            }
        })
    }

    /// Where stillness is looked for: the imaging area, so that a running ECG is no motion.
    fn area(&self, picture: Picture<'_>) -> Area {
        let whole = [0.0, 0.0, 1.0, 1.0];
        let bounds = self.scene.sector().map_or(whole, |s| s.outline.bounds());
        let [left, top, right, bottom] = bounds;
        let at = |share: f32, side: usize| (share * side as f32) as usize;
        Area {
            x_px: at(left, picture.width_px),
            y_px: at(top, picture.height_px),
            width_px: at(right - left, picture.width_px).max(1),
            height_px: at(bottom - top, picture.height_px).max(1),
        }
    }

    /// Pictures per second, once they are known.
    pub fn fps(&self) -> Option<f64> {
        let known = self.changes >= KNOWN_AFTER && self.usual_nanos > 0;
        known.then(|| 1e9 / self.usual_nanos as f64)
    }

    fn change(&mut self, step_nanos: i64) {
        self.changes = self.changes.saturating_add(1);
        let weight = i64::from(self.changes.min(16));
        self.usual_nanos += (step_nanos - self.usual_nanos) / weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameMeta, PixelFormat, PixelLayout};

    const MILLI: i64 = 1_000_000;

    fn frame(format: PixelFormat, picture: u64, at_nanos: i64) -> Queued {
        let meta = FrameMeta {
            width_px: 64,
            height_px: 48,
            format,
            capture_nanos: at_nanos,
            pass: 0,
            host: Default::default(),
        };
        let shade = |at: u64| {
            let mixed = (picture << 20 | at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            ((mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 40) as u8
        };
        Queued {
            pixels: (0..meta.frame_bytes() as u64)
                .map(shade)
                .collect::<Vec<u8>>()
                .into(),
            layout: PixelLayout::packed(&meta),
            meta,
            ..*Queued::empty()
        }
    }

    const FORMATS: [PixelFormat; 5] = [
        PixelFormat::Gray8,
        PixelFormat::Rgb24,
        PixelFormat::Bgra32,
        PixelFormat::Yuy2,
        PixelFormat::Nv12,
    ];

    #[test]
    fn a_freeze_is_called_within_100_ms_in_every_format() {
        for format in FORMATS {
            for period in [MILLI * 1000 / 60, MILLI * 1000 / 30, 40 * MILLI] {
                let mut watch = Watch::new(ScreenSetup::default());
                for i in 0..50 {
                    let said = watch.look(&frame(format, i, i as i64 * period));
                    assert_eq!(said, None, "{format} frame {i}");
                }
                let from = 49 * period;
                let mut at = from;
                while watch.look(&frame(format, 49, at)).is_none() {
                    at += period;
                }
                assert!(at - from <= 100 * MILLI, "{format} {period} {}", at - from);
                assert_eq!(watch.look(&frame(format, 50, at + period)), None);
            }
        }
    }

    #[test]
    fn a_grabber_faster_than_the_scanner_is_no_freeze() {
        let mut watch = Watch::new(ScreenSetup::default());
        let period = MILLI * 1000 / 60;
        let said: Vec<_> = (0..600)
            .map(|i| watch.look(&frame(PixelFormat::Gray8, i / 4, i as i64 * period)))
            .collect();
        assert!(said.iter().all(Option::is_none));
        let fps = watch.fps().unwrap();
        assert!((fps - 15.0).abs() < 0.5, "{fps}");
    }

    #[test]
    fn a_loop_is_called_unless_it_is_declared() {
        for declared in [false, true] {
            let mut watch = Watch::new(ScreenSetup::default());
            let said = (0..120).map(|i| {
                let mut frame = frame(PixelFormat::Gray8, i % 30, i as i64 * 40 * MILLI);
                frame.source.loops = declared;
                watch.look(&frame)
            });
            let loops = said.filter(|r| *r == Some(Reason::ReviewLoop)).count();
            assert_eq!(loops > 60, !declared, "{loops}");
        }
    }
}
