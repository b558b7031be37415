//! Which exam is the newest, across all threads of a session.

use crate::events::Exam;
use crate::sync::{Arc, AtomicU64, Ordering};

/// Number of the newest exam, seen by everything that may still hold something of an older one.
#[derive(Debug, Clone, Default)]
pub struct NewestExam(Arc<AtomicU64>);

impl NewestExam {
    /// Ends every exam before `number`.
    #[inline]
    pub fn begin(&self, number: u64) {
        // ORDERING: Release pairs with the Acquire in `is_over`: who sees a frame of the new exam
        // in the ring, or a result of it, sees that the old one is over.
        self.0.fetch_max(number, Ordering::Release);
    }

    /// True when a later exam than `exam` has begun.
    pub fn is_over(&self, exam: &Exam) -> bool {
        // ORDERING: pairs with the Release in `begin`.
        exam.number < self.0.load(Ordering::Acquire)
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
