//! How much memory the frames' buffers take.

use crate::buffer::FrameBuffer;
use crate::sync::{AtomicU64, Ordering};

/// Size of the pool of frame buffers.
#[derive(Debug, Default)]
pub struct PoolSize {
    pub(crate) buffers: usize,
    pub(crate) bytes: AtomicU64,
}

impl PoolSize {
    /// Buffers there are.
    pub fn buffers(&self) -> usize {
        self.buffers
    }

    /// Bytes they have now.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Changes a buffer of the pool and counts what it grows or shrinks by.
    #[inline]
    pub(crate) fn resized(&self, buffer: &mut FrameBuffer, change: impl FnOnce(&mut FrameBuffer)) {
        let before = buffer.capacity() as u64;
        change(buffer);
        let after = buffer.capacity() as u64;
        if after != before {
            self.bytes.fetch_add(after, Ordering::Relaxed);
            self.bytes.fetch_sub(before, Ordering::Relaxed);
        }
    }
}
