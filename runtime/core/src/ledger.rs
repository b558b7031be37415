//! Where every frame went: each frame is held, then settled exactly once.

use crate::events::Reason;
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
struct Record {
    number: u64,
    holds: u32,
    used: bool,
}

/// Accounts for frames from the moment the assembler takes them.
///
/// # Real-time
/// Allocates only while the number of frames held at once grows. Lookups are binary searches in
/// a short list ordered by frame number.
#[derive(Debug, Default)]
pub struct Ledger {
    held: VecDeque<Record>,
    used: u64,
    unused: u64,
    rejected: BTreeMap<Reason, u64>,
}

impl Ledger {
    /// Takes a frame in, held once. Numbers must grow from call to call.
    pub fn admit(&mut self, number: u64) {
        debug_assert!(self.held.back().is_none_or(|r| r.number < number));
        self.held.push_back(Record {
            number,
            holds: 1,
            used: false,
        });
    }

    /// Settles a frame that was never taken in, as refused.
    pub fn reject(&mut self, reason: Reason) {
        *self.rejected.entry(reason).or_default() += 1;
    }

    /// Settles a frame held once as refused instead of unused.
    pub fn release_rejected(&mut self, number: u64, reason: Reason) {
        if let Ok(at) = self.find(number) {
            self.held.remove(at);
            self.reject(reason);
        }
    }

    /// Settles every frame held: as used where a clip with it was inferred, else as refused.
    pub fn reject_all(&mut self, reason: Reason) {
        for record in std::mem::take(&mut self.held) {
            if record.used {
                self.used += 1;
            } else {
                self.reject(reason);
            }
        }
    }

    /// Holds a frame once more.
    pub fn hold(&mut self, number: u64) {
        if let Ok(at) = self.find(number) {
            self.held[at].holds += 1;
        }
    }

    /// Notes that the frame was in a clip that was inferred.
    pub fn mark_used(&mut self, number: u64) {
        if let Ok(at) = self.find(number) {
            self.held[at].used = true;
        }
    }

    /// Lets go of a frame once; the last release settles it.
    pub fn release(&mut self, number: u64) {
        let Ok(at) = self.find(number) else { return };
        self.held[at].holds -= 1;
        if self.held[at].holds == 0 {
            match self.held.remove(at) {
                Some(record) if record.used => self.used += 1,
                _ => self.unused += 1,
            }
        }
    }

    /// Frames settled as used.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Frames settled as unused.
    pub fn unused(&self) -> u64 {
        self.unused
    }

    /// Frames refused, by reason.
    pub fn rejected(&self) -> &BTreeMap<Reason, u64> {
        &self.rejected
    }

    /// Frames held now.
    pub fn in_flight(&self) -> u64 {
        self.held.len() as u64
    }

    fn find(&self, number: u64) -> Result<usize, usize> {
        self.held.binary_search_by_key(&number, |r| r.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_in_two_clips_is_used_once() {
        let mut ledger = Ledger::default();
        ledger.admit(7);
        ledger.hold(7);
        ledger.hold(7);
        ledger.mark_used(7);
        ledger.release(7);
        ledger.release(7);
        assert_eq!((ledger.used(), ledger.in_flight()), (0, 1));
        ledger.release(7);
        assert_eq!(
            (ledger.used(), ledger.unused(), ledger.in_flight()),
            (1, 0, 0)
        );
    }

    #[test]
    fn a_new_exam_settles_what_is_held_and_later_releases_change_nothing() {
        let mut ledger = Ledger::default();
        for number in 0..3 {
            ledger.admit(number);
            ledger.hold(number);
        }
        ledger.mark_used(0);
        ledger.reject_all(Reason::NewExam);
        ledger.mark_used(1);
        ledger.release(0);
        ledger.release(1);
        assert_eq!((ledger.used(), ledger.unused()), (1, 0));
        assert_eq!(ledger.rejected().get(&Reason::NewExam), Some(&2));
        assert_eq!(ledger.in_flight(), 0);
    }

    #[test]
    fn a_frame_of_a_superseded_clip_is_unused() {
        let mut ledger = Ledger::default();
        ledger.admit(1);
        ledger.release(1);
        assert_eq!((ledger.used(), ledger.unused()), (0, 1));
    }
}
