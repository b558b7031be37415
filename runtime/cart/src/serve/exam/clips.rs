//! Images in memory: those of the last seconds, and those of captured clips. Never on disk.

use axum::body::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// How far back a clip can be kept.
pub const RECENT_NANOS: i64 = 12_000_000_000;
const RECENT_BYTES: usize = 96 << 20;
const KEPT_BYTES: usize = 256 << 20;
/// Captures of one exam.
pub const CAPTURES: usize = 64;

/// One image of the page: JPEG with its capture time.
#[derive(Debug, Clone)]
pub struct Image {
    pub capture_nanos: i64,
    pub jpeg: Bytes,
}

/// The images of the last seconds, oldest first.
#[derive(Debug, Default)]
pub struct Recent {
    images: VecDeque<Image>,
    bytes: usize,
    arrived_nanos: i64,
}

impl Recent {
    /// Adds the newest, come at `now_nanos`; the oldest leave when they are too old or too many.
    pub fn push(&mut self, image: Image, now_nanos: i64) {
        if self
            .images
            .back()
            .is_some_and(|b| b.capture_nanos >= image.capture_nanos)
        {
            self.clear();
        }
        self.arrived_nanos = now_nanos;
        self.bytes += image.jpeg.len();
        let oldest = image.capture_nanos.saturating_sub(RECENT_NANOS);
        while self
            .images
            .front()
            .is_some_and(|i| i.capture_nanos < oldest)
        {
            self.drop_oldest();
        }
        self.images.push_back(image);
        while self.bytes > RECENT_BYTES && self.drop_oldest() {}
    }

    /// Forgets all images once none has come for as long as they are kept.
    pub fn look(&mut self, now_nanos: i64) {
        if now_nanos.saturating_sub(self.arrived_nanos) > RECENT_NANOS {
            self.clear();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.images.pop_front() else {
            return false;
        };
        self.bytes -= oldest.jpeg.len();
        true
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Those captured from `first` to `last`; an image is shared, not copied.
    pub fn between(&self, first: i64, last: i64) -> Vec<Image> {
        let within = |i: &&Image| (first..=last).contains(&i.capture_nanos);
        self.images.iter().filter(within).cloned().collect()
    }

    /// True when everything since `first` is still here.
    pub fn reaches(&self, first: i64) -> bool {
        self.images
            .front()
            .is_some_and(|i| i.capture_nanos <= first)
    }

    pub fn newest_nanos(&self) -> Option<i64> {
        self.images.back().map(|i| i.capture_nanos)
    }
}

/// The images of captured clips, by capture.
#[derive(Debug, Default)]
pub struct Kept {
    clips: BTreeMap<u64, Vec<Image>>,
    bytes: usize,
}

impl Kept {
    /// Keeps `images` for capture `id`; false when they do not fit.
    pub fn keep(&mut self, id: u64, images: Vec<Image>) -> bool {
        let bytes: usize = images.iter().map(|i| i.jpeg.len()).sum();
        if self.is_full() || self.bytes + bytes > KEPT_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.clips.insert(id, images);
        true
    }

    pub fn is_full(&self) -> bool {
        self.clips.len() >= CAPTURES || self.bytes >= KEPT_BYTES
    }

    pub fn erase(&mut self, id: u64) {
        if let Some(images) = self.clips.remove(&id) {
            self.bytes -= images.iter().map(|i| i.jpeg.len()).sum::<usize>();
        }
    }

    pub fn get(&self, id: u64) -> Option<&[Image]> {
        self.clips.get(&id).map(Vec::as_slice)
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
