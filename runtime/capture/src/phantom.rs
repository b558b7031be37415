//! The simulated heart as a source.

use std::time::Duration;

use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_phantom::{Screen, Spec};

use crate::source::frame_meta;
use crate::{Delivery, OpenOptions, Polled, Source, SourceError, SourceInfo, Stamps};

/// Scheme of the phantom's locations.
pub(crate) const SCHEME: &str = "phantom:";

/// A phantom, rendered frame by frame.
pub(crate) struct PhantomSource {
    name: String,
    screen: Screen,
    format: PixelFormat,
    next_frame: u32,
}

impl PhantomSource {
    /// Sets up the phantom that a location asks for.
    pub(crate) fn open(location: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        if options.assume_fps.is_some() {
            return Err(SourceError::PhantomRate {
                location: location.to_owned(),
            });
        }
        let text = location.strip_prefix(SCHEME).unwrap_or(location);
        let phantom_error = |error| SourceError::Phantom {
            error,
            location: location.to_owned(),
        };
        let spec = Spec::parse(text).map_err(phantom_error)?;
        let format = match spec.has_colour() {
            true => PixelFormat::Rgb24,
            false => PixelFormat::Gray8,
        };
        Ok(Self {
            name: location.to_owned(),
            screen: spec.screen().map_err(phantom_error)?,
            format,
            next_frame: 0,
        })
    }
}

impl Source for PhantomSource {
    fn describe(&self) -> SourceInfo {
        let phantom = self.screen.phantom();
        let exam = phantom.exam();
        SourceInfo {
            name: self.name.clone(),
            kind: "phantom",
            delivery: Delivery::OnDemand,
            stamps: Stamps::Exact,
            width_px: exam.layout.width_px,
            height_px: exam.layout.height_px,
            format: self.format,
            frames: Some(u64::from(exam.frames)),
            nominal_period_nanos: phantom.time_nanos(1),
            timing: format!("simulated, {} frames/s", exam.frame_rate_hz),
        }
    }

    fn next(&mut self, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, SourceError> {
        let phantom = self.screen.phantom();
        if self.next_frame >= phantom.exam().frames {
            return Ok(None);
        }
        let layout = &phantom.exam().layout;
        let meta = frame_meta(
            (layout.width_px, layout.height_px),
            self.format,
            phantom.time_nanos(self.next_frame),
        );
        pixels.clear();
        pixels.resize(meta.frame_bytes(), 0);
        self.screen.render(self.next_frame, pixels);
        self.next_frame += 1;
        Ok(Some(meta))
    }

    fn poll(&mut self, pixels: &mut FrameBuffer, _: Duration) -> Result<Polled, SourceError> {
        self.next(pixels.refill()).map(Polled::exact)
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.next_frame = 0;
        self.screen.restart();
        Ok(())
    }
}
