//! How much memory the frames' buffers take.

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
}
