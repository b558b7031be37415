//! The imaging area and the image signal, as the assembler uses and tells them.

use super::Assembler;
use crate::events::{Reason, StateKind};
use crate::frame::PixelFormat;
use crate::manifest::Mask;
use crate::recorder::Cause;
use crate::ring::Queued;
use crate::screen::sector::Outline;
use crate::screen::{AreaNews, Pixels};
use std::sync::Arc;

/// Width, height and format of frames.
type Picture = (u32, u32, PixelFormat);

/// The patches of the newest imaging area that was asked for.
#[derive(Default)]
pub(super) struct Inside {
    of: Option<(Outline, Option<Picture>)>,
    patches: Option<Arc<[u32]>>,
}

impl Assembler {
    /// Takes note of what became of the imaging area.
    pub(super) fn area_news(&mut self, at_nanos: i64) {
        let Some(news) = self.watch.take_news() else {
            return;
        };
        if news == AreaNews::Other {
            self.sector += 1;
            self.pulse.reset_image();
            self.announce(Cause::Frame, Reason::SectorChanged);
        }
        let patch_px = self.encoder.patch_px;
        let Some(lane) = self.lanes.first() else {
            return;
        };
        let outside = |o: &Outline| lane.preprocessor.patches_outside(o, patch_px);
        let Some(area) = self.watch.imaging_area(self.sector, outside) else {
            return;
        };
        let (kind, what) = match news {
            AreaNews::First => (StateKind::ScreenChanged, "found"),
            AreaNews::Other => (StateKind::SectorChanged, "changed"),
            AreaNews::Better => (StateKind::ScreenChanged, "known better"),
        };
        let detail = format!("imaging area {what}: {}", area.shape);
        self.tell(kind, at_nanos, detail, Some(area), None);
    }

    /// Takes note of the image signal; a noticeable change is told, at most three times a second.
    pub(super) fn signal(&mut self, at_nanos: i64) {
        self.context.signal.set(self.watch.signal(), at_nanos);
        if let Some(signal) = self.watch.take_signal(at_nanos) {
            let detail = "the image signal has changed".to_owned();
            self.tell(
                StateKind::ScreenChanged,
                at_nanos,
                detail,
                None,
                Some(signal),
            );
        }
    }

    /// Follows the heartbeat: by the ECG whatever the image shows, by the image while it is live and
    /// goes on from the frame before.
    pub(super) fn beat(&mut self, queued: &Queued, unfit: Option<Reason>) {
        let meta = &queued.meta;
        if let Some(millivolts) = meta.host.ecg_millivolts {
            self.pulse.ecg(millivolts, meta.capture_nanos);
        }
        if unfit.is_some() || std::mem::replace(&mut self.pass, meta.pass) != meta.pass {
            self.pulse.reset_image();
        }
        if unfit.is_none() {
            let pixels = Pixels::new(&queued.pixels, queued.layout, meta);
            let area = self.watch.area_outline();
            self.pulse.look(pixels.picture(), area, meta.capture_nanos);
        }
    }

    /// Blackens what is outside the imaging area, where the package was trained so; why the frame
    /// cannot be used, where no area is found for sure.
    pub(super) fn remove_surroundings(&mut self, queued: &mut Queued) -> Option<Reason> {
        if self.context.manifest.preprocess.mask != Mask::Sector {
            return None;
        }
        let (layout, meta) = (queued.layout, queued.meta);
        if !self.mask_area(meta.width_px, meta.height_px) {
            return Some(Reason::WarmingUp);
        }
        let pixels = self.frames.owned(&mut queued.pixels);
        self.mask.blacken_frame(pixels, layout, &meta);
        None
    }

    /// Numbers of the patches that are not wholly outside the imaging area, where the engine may be
    /// given them alone and the area is known for sure; none if that is all of them or none.
    pub(super) fn patches_inside(&mut self) -> Option<Arc<[u32]>> {
        if !self.context.seat.facts().keeps_fewer || !self.watch.area_holds() {
            return None;
        }
        let of = (self.watch.sure_area()?.outline, self.geometry);
        if self.inside.of != Some(of) {
            let outside = self
                .lanes
                .first()?
                .preprocessor
                .patches_outside(&of.0, self.encoder.patch_px);
            let all = self.encoder.tokens_per_tubelet() as u32;
            let inside = (0..all).filter(|patch| outside.binary_search(patch).is_err());
            let inside: Arc<[u32]> = inside.collect();
            let fewer = !inside.is_empty() && !outside.is_empty();
            self.inside = Inside {
                of: Some(of),
                patches: fewer.then_some(inside),
            };
        }
        self.inside.patches.clone()
    }

    /// Makes the mask that of the imaging area; false where no area is known for sure.
    pub(super) fn mask_area(&mut self, width_px: u32, height_px: u32) -> bool {
        let Some(area) = self.watch.sure_area() else {
            return false;
        };
        if self.masked != Some(area.outline) || self.mask.size_px() != (width_px, height_px) {
            self.mask.build(&area.outline, width_px, height_px);
            self.masked = Some(area.outline);
        }
        true
    }
}
