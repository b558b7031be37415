//! Which of the writer's slots this process holds, and how they go back.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use echocart_core::buffer::{Lender, Loan};
use rustix::net::SendFlags;

use super::mapping::Mapping;
use super::message::{FREE_SLOTS, Hello, ShmError, wrong};

/// The slots of one connection. Socket and memory stay until the last loan has ended, whatever
/// became of the connection.
pub(super) struct Slots {
    mapping: Mapping,
    socket: Arc<OwnedFd>,
    /// One bit for each slot.
    lent: AtomicU64,
    most_lent: u32,
}

impl Slots {
    pub(super) fn new(mapping: Mapping, socket: Arc<OwnedFd>, hello: &Hello) -> Arc<Self> {
        Arc::new(Self {
            mapping,
            socket,
            lent: AtomicU64::new(0),
            most_lent: hello.slots.saturating_sub(FREE_SLOTS),
        })
    }

    /// Checks that a slot that a frame is announced in is not lent.
    ///
    /// # Errors
    /// It is: the writer has written over a frame that is in use.
    pub(super) fn announced(&self, slot: u32) -> Result<(), ShmError> {
        // ORDERING: pairs with the Release in `take_back`.
        match self.lent.load(Ordering::Acquire) & bit(slot) {
            0 => Ok(()),
            _ => wrong("slot", "one that was given back", slot),
        }
    }

    /// Lends an announced slot; none where the writer would have too few left. One thread lends.
    pub(super) fn lend(self: &Arc<Self>, slot: u32, bytes: usize) -> Option<Loan> {
        if self.lent.load(Ordering::Relaxed).count_ones() >= self.most_lent {
            return None;
        }
        self.lent.fetch_or(bit(slot), Ordering::Relaxed);
        Some(Loan::new(self.clone(), slot, bytes))
    }
}

impl Lender for Slots {
    fn pixels(&self, slot: u32, bytes: usize) -> &[u8] {
        self.mapping.slot(slot, bytes)
    }

    fn take_back(&self, slot: u32) {
        // ORDERING: Release pairs with the Acquire in `announced`: all reading of the slot lies before.
        self.lent.fetch_and(!bit(slot), Ordering::Release);
        give_back(&self.socket, slot);
    }
}

/// Tells the writer that a slot is free. One that does not listen runs out of slots: its own loss.
pub(super) fn give_back(socket: &OwnedFd, slot: u32) {
    let mut free = [0; 8];
    free[..4].copy_from_slice(&2_u32.to_le_bytes());
    free[4..].copy_from_slice(&slot.to_le_bytes());
    let _ = rustix::net::send(socket, &free, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// Slots are below 64.
fn bit(slot: u32) -> u64 {
    1_u64.checked_shl(slot).unwrap_or(0)
}
