//! Which exam is the newest, across all threads of a session.

use crate::events::Exam;
use crate::sync::{Arc, AtomicU64, Ordering};

/// The newest exam, seen by everything that may still hold something of an older one.
#[derive(Debug, Clone, Default)]
pub struct NewestExam(Arc<Newest>);

#[derive(Debug, Default)]
struct Newest {
    number: AtomicU64,
    /// Capture time of its first frame, an i64 as bits.
    first_nanos: AtomicU64,
}

impl NewestExam {
    /// Ends every exam before `number`, whose first frame was captured at `first_nanos`.
    #[inline]
    pub fn begin(&self, number: u64, first_nanos: i64) {
        if number > self.number() {
            let bits = first_nanos.cast_unsigned();
            self.0.first_nanos.store(bits, Ordering::Relaxed);
        }
        // ORDERING: Release pairs with the Acquire in `is_over`: who sees a frame of the new exam
        // in the ring, or a result of it, sees that the old one is over.
        self.0.number.fetch_max(number, Ordering::Release);
    }

    /// True when a later exam than `exam` has begun.
    pub fn is_over(&self, exam: &Exam) -> bool {
        // ORDERING: pairs with the Release in `begin`.
        exam.number < self.0.number.load(Ordering::Acquire)
    }

    /// True for the capture time of a frame of an exam before; the first exam has none before it.
    pub fn is_before(&self, capture_nanos: i64) -> bool {
        // ORDERING: pairs with the Release in `begin`, which comes after the time was written.
        let later = self.0.number.load(Ordering::Acquire) > 0;
        let first_nanos = self.0.first_nanos.load(Ordering::Relaxed).cast_signed();
        later && capture_nanos < first_nanos
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.0.number.load(Ordering::Relaxed)
    }
}
