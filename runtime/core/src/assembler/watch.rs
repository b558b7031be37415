//! What the pixels of each frame say about it, before anything is chosen.

use crate::events::Reason;
use crate::frame::PixelFormat;
use crate::ring::Queued;
use crate::screen::{Area, Motion, Picture, Stillness, StillnessRules};

/// Shortest and longest time without a change until the image counts as frozen.
const PATIENCE_NANOS: [i64; 2] = [80_000_000, 400_000_000];
/// Changes of the image after which their usual distance is known.
const KNOWN_AFTER: u32 = 8;

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
}

impl Watch {
    pub fn new() -> Self {
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
        }
    }

    pub fn reset(&mut self) {
        self.stillness.reset();
        self.changed_nanos = None;
        (self.usual_nanos, self.changes) = (0, 0);
        (self.frozen, self.repeating) = (false, false);
    }

    /// Why no value may come of the frame, if so.
    pub fn look(&mut self, queued: &Queued) -> Option<Reason> {
        let at_nanos = queued.meta.capture_nanos;
        let Some((picture, area)) = picture(queued) else {
            return Some(Reason::NotPermitted);
        };
        match self.stillness.push(picture, area, at_nanos) {
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
        (self.repeating && !declared).then_some(Reason::ReviewLoop)
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

/// The frame as one sample of brightness a pixel, and all of it.
fn picture(queued: &Queued) -> Option<(Picture<'_>, Area)> {
    let meta = &queued.meta;
    let width_px = usize::try_from(meta.width_px).ok()?;
    let height_px = usize::try_from(meta.height_px).ok()?;
    // Of two YUY2 pixels the second one's Y is what stands for both.
    let (from, pixel_bytes, width_px) = match meta.format {
        PixelFormat::Yuy2 => (1, 4, width_px / 2),
        format => (0, format.bytes(), width_px),
    };
    let picture = Picture {
        pixels: queued.pixels.get(from..)?,
        stride_bytes: queued.layout.stride_bytes,
        pixel_bytes,
        width_px,
        height_px,
    };
    let area = Area {
        x_px: 0,
        y_px: 0,
        width_px,
        height_px,
    };
    Some((picture, area))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Exam;
    use crate::frame::{FrameMeta, PixelLayout};
    use crate::source::SourceTraits;

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
            pixels: (0..meta.frame_bytes() as u64).map(shade).collect(),
            layout: PixelLayout::packed(&meta),
            meta,
            number: 0,
            exam: Exam::default(),
            source: SourceTraits::default(),
            notices: Vec::new(),
            anew: false,
            captured: 0,
            dropped: 0,
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
                let mut watch = Watch::new();
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
        let mut watch = Watch::new();
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
            let mut watch = Watch::new();
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
