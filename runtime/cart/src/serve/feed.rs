//! The page's image: frames from the capture thread, encoded as JPEG on a thread of its own.

use super::Hub;
use echocart_core::frame::{FrameMeta, PixelFormat};
use jpeg_encoder::{ColorType, Encoder};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Encodes the newest frame for the page while someone looks at it. Ends when dropped.
#[derive(Debug)]
pub struct ImageFeed {
    hub: Hub,
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Slot {
    content: Mutex<Content>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Content {
    pending: Option<(FrameMeta, u64)>,
    pixels: Vec<u8>,
    closed: bool,
}

impl ImageFeed {
    /// Starts the encoder's thread. `quality` is JPEG's, 1 to 100.
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(hub: Hub, quality: u8) -> std::io::Result<Self> {
        let slot = Arc::new(Slot::default());
        let thread = std::thread::Builder::new()
            .name("page-image".to_owned())
            .spawn({
                let (hub, slot) = (hub.clone(), Arc::clone(&slot));
                move || encode(&hub, &slot, quality)
            })?;
        Ok(Self {
            hub,
            slot,
            thread: Some(thread),
        })
    }

    /// Offers a frame to the page. Copies it only when someone is connected; a frame that the
    /// encoder has not begun is replaced and counted.
    ///
    /// # Shapes
    /// - `pixels`: rows without padding, as `meta` says.
    ///
    /// # Real-time
    /// Never waits. One copy of the frame; allocates only when a frame is larger than any before.
    pub fn offer(&self, pixels: &[u8], meta: &FrameMeta, frame_number: u64) {
        if !self.hub.wants_frames() {
            return;
        }
        let (Some(pixels), Ok(mut content)) = (
            pixels.get(..meta.frame_bytes()),
            self.slot.content.try_lock(),
        ) else {
            self.hub.preview_skipped();
            return;
        };
        content.pixels.clear();
        content.pixels.extend_from_slice(pixels);
        let replaced = content.pending.replace((*meta, frame_number));
        drop(content);
        self.slot.changed.notify_one();
        if replaced.is_some() {
            self.hub.preview_skipped();
        }
    }
}

impl Drop for ImageFeed {
    fn drop(&mut self) {
        self.slot
            .content
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.slot.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn encode(hub: &Hub, slot: &Slot, quality: u8) {
    let mut pixels = Vec::new();
    let mut jpeg = Vec::new();
    while let Some((meta, frame_number)) = next(slot, &mut pixels) {
        jpeg.clear();
        if encode_one(&pixels, &meta, quality, &mut jpeg).is_some() {
            hub.frame(&jpeg, frame_number, meta.capture_nanos);
        } else {
            hub.preview_skipped();
        }
    }
}

fn next(slot: &Slot, pixels: &mut Vec<u8>) -> Option<(FrameMeta, u64)> {
    let mut content = slot.content.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if content.closed {
            return None;
        }
        if let Some(pending) = content.pending.take() {
            std::mem::swap(&mut content.pixels, pixels);
            return Some(pending);
        }
        content = slot
            .changed
            .wait(content)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

fn encode_one(pixels: &[u8], meta: &FrameMeta, quality: u8, jpeg: &mut Vec<u8>) -> Option<()> {
    let width = u16::try_from(meta.width_px).ok()?;
    let height = u16::try_from(meta.height_px).ok()?;
    let color = match meta.format {
        PixelFormat::Gray8 => ColorType::Luma,
        PixelFormat::Rgb24 => ColorType::Rgb,
        _ => return None,
    };
    Encoder::new(jpeg, quality)
        .encode(pixels, width, height, color)
        .ok()
}
