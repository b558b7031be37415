//! The way in, shared by the frame port, the session and the result port.

use crate::codes::Code;
use crate::fault::Fault;
use crate::sync::{AtomicU8, AtomicU64, EndSign, FrameProducer, Lease, Mutex, Ordering};
use echocart_core::latency::Histogram;
use echocart_core::lines::lines;
use echocart_core::rare::rare;
use std::fmt;

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Created,
    Running,
    Paused,
    Ended,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "not started",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Ended => "stopped",
        })
    }
}

fn either(phases: &[Phase]) -> String {
    let words: Vec<String> = phases.iter().map(Phase::to_string).collect();
    words.join(" or ")
}

/// The producer's end of the ring, its gate and its meters.
#[repr(C, align(512))]
pub(crate) struct Intake {
    phase: AtomicU8,
    end: EndSign,
    producer: Mutex<Option<FrameProducer>>,
    pub commit: Histogram,
    // A frame like the one before it touches nothing from here on.
    missing: AtomicU64,
    pub push: Histogram,
}

impl Intake {
    pub fn new(producer: FrameProducer) -> Self {
        Self {
            end: producer.end_sign(),
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

    /// True when frames are taken now, as far as can be seen without the lock.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        (self.phase() == Phase::Running) & !self.end.is_up()
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
            format!(
                "expected a session that is {}, found one that is {found}",
                either(from)
            ),
        ))
    }

    /// Calls with the producer if frames are taken now. Does not block.
    #[inline(always)]
    pub fn with<T>(&self, call: impl FnOnce(&mut FrameProducer) -> T) -> Result<T, Code> {
        let phase = self.phase();
        if phase != Phase::Running {
            rare();
            return Err(match phase {
                Phase::Created | Phase::Paused => Code::Paused,
                Phase::Running | Phase::Ended => Code::Closed,
            });
        }
        // Only a thread that closes the intake can hold the lock now.
        let Some(mut producer) = self.producer.try_lock() else {
            rare();
            return Err(Code::Closed);
        };
        let Some(producer) = producer.as_mut() else {
            rare();
            return Err(Code::Closed);
        };
        Ok(call(producer))
    }

    /// Gives every buffer of the pool so many bytes now; none with 0.
    pub fn reserve(&self, bytes: usize) {
        if bytes > 0
            && let Some(producer) = &mut *self.producer.lock()
        {
            producer.reserve(bytes);
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

    /// What [`Intake::is_open`] reads: addresses of cache lines.
    pub fn gate_memory(&self) -> impl Iterator<Item = usize> {
        lines(&self.phase).chain(self.end.memory())
    }

    /// What a commit reads and writes: addresses of cache lines.
    pub fn memory(&self) -> Vec<usize> {
        let mut all: Vec<usize> = lines(&self.phase).collect();
        all.extend(lines(&self.producer));
        all.extend(lines(&self.commit));
        if let Some(producer) = &*self.producer.lock() {
            all.extend(producer.memory());
        }
        all
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
