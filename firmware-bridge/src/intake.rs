//! The way in, shared by the frame port, the session and the result port.

use crate::codes::Code;
use crate::fault::Fault;
use crate::sync::{AtomicU8, AtomicU64, FrameProducer, Lease, Mutex, Ordering};
use echocart_core::latency::Histogram;
use echocart_core::region::Region;

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Created,
    Running,
    Paused,
    Ended,
}

/// The producer's end of the ring, its gate and its meters.
#[repr(align(512))]
pub(crate) struct Intake {
    producer: Mutex<Option<FrameProducer>>,
    phase: AtomicU8,
    missing: AtomicU64,
    pub push: Histogram,
    pub commit: Histogram,
}

impl Intake {
    pub fn new(producer: FrameProducer) -> Self {
        Self {
            producer: Mutex::new(Some(producer)),
            phase: AtomicU8::new(Phase::Created as u8),
            missing: AtomicU64::new(0),
            push: Histogram::default(),
            commit: Histogram::default(),
        }
    }

    #[inline(always)]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Created,
            1 => Phase::Running,
            2 => Phase::Paused,
            _ => Phase::Ended,
        }
    }

    /// Goes from one of `from` to `to`.
    pub fn change(&self, from: &[Phase], to: Phase) -> Result<(), Fault> {
        let found = self.phase();
        let order = Ordering::Relaxed;
        let changed = from.contains(&found)
            && self
                .phase
                .compare_exchange(found as u8, to as u8, order, order)
                .is_ok();
        if changed {
            return Ok(());
        }
        Err(Fault::new(
            Code::BadState,
            format!("expected one of {from:?}, found {found:?}: session"),
        ))
    }

    /// Calls with the producer if frames are taken now. Does not block.
    #[inline(always)]
    pub fn with<T>(&self, call: impl FnOnce(&mut FrameProducer) -> T) -> Result<T, Code> {
        match self.phase() {
            Phase::Running => {}
            Phase::Created | Phase::Paused => return Err(Code::Paused),
            Phase::Ended => return Err(Code::Closed),
        }
        // Only a thread that closes the intake can hold the lock now.
        let Some(mut producer) = self.producer.try_lock() else {
            return Err(Code::Closed);
        };
        match producer.as_mut() {
            Some(producer) => Ok(call(producer)),
            None => Err(Code::Closed),
        }
    }

    /// Gives a lent buffer back to the pool if there still is one.
    pub fn give_back(&self, lent: Lease) {
        if let Some(mut producer) = self.producer.try_lock()
            && let Some(producer) = producer.as_mut()
        {
            producer.give_back(lent);
        }
    }

    /// What a lease and a commit read and write; what the lease reads first.
    pub fn memory(&self) -> [Region; 8] {
        let mut regions = [Region::default(); 8];
        let producer = self.producer.lock();
        let rings = producer.as_ref().map(FrameProducer::memory);
        let own = std::iter::once(Region::of(self));
        let rest = rings.into_iter().flatten();
        let all = own.chain(rest).chain([self.commit.memory()]);
        for (place, region) in regions.iter_mut().zip(all) {
            *place = region;
        }
        regions
    }

    pub fn missing(&self, frames: u64) {
        self.missing.fetch_add(frames, Ordering::Relaxed);
    }

    pub fn frames_missing(&self) -> u64 {
        self.missing.load(Ordering::Relaxed)
    }

    /// Ends the stream. Waits for a push in progress.
    pub fn close(&self) {
        self.phase.store(Phase::Ended as u8, Ordering::Relaxed);
        self.producer.lock().take();
    }
}
