//! A frame's bytes: in a buffer of ours, or lent by whoever has them.
//!
//! Guarantees: reading costs no copy either way, a lent frame is copied only to be changed, and a
//! loan ends exactly once, with its last user. Nothing here allocates but a buffer that grows.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Someone who lends frames by the numbers of their places.
pub trait Lender: Send + Sync {
    /// The first `bytes` bytes of a place that is lent.
    fn pixels(&self, place: u32, bytes: usize) -> &[u8];

    /// Takes a place back: on any thread, once for each [`Loan`].
    ///
    /// # Real-time
    /// Must not block.
    fn take_back(&self, place: u32);
}

/// A place that is lent until this is dropped.
pub struct Loan {
    lender: Arc<dyn Lender>,
    place: u32,
    bytes: usize,
}

impl Loan {
    /// The loan of the first `bytes` bytes of `place`.
    pub fn new(lender: Arc<dyn Lender>, place: u32, bytes: usize) -> Self {
        Self {
            lender,
            place,
            bytes,
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lender.take_back(self.place);
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, bytes, .. } = self;
        write!(f, "Loan(place {place}, {bytes} bytes)")
    }
}

/// What holds a frame's pixels on their way; an empty one goes back to be filled again.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    own: Vec<u8>,
    loan: Option<Loan>,
}

impl FrameBuffer {
    /// Holds what is lent; what it had is gone.
    pub fn lend(&mut self, loan: Loan) {
        self.loan = Some(loan);
    }

    /// Ends the loan, if there is one.
    pub fn release(&mut self) {
        self.loan = None;
    }

    /// The buffer of ours, also while something is lent.
    #[inline]
    pub fn own(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// The buffer of ours, to be filled: its content is that of some earlier frame.
    pub fn refill(&mut self) -> &mut Vec<u8> {
        self.release();
        &mut self.own
    }

    /// The pixels, to be changed: copied if they are lent, and the loan then ends.
    pub fn owned(&mut self) -> &mut Vec<u8> {
        if let Some(Loan {
            lender,
            place,
            bytes,
        }) = &self.loan
        {
            self.own.clear();
            self.own.extend_from_slice(lender.pixels(*place, *bytes));
        }
        self.refill()
    }

    /// Bytes that the buffer of ours takes.
    pub fn capacity(&self) -> usize {
        self.own.capacity()
    }
}

impl Deref for FrameBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.loan {
            Some(loan) => loan.lender.pixels(loan.place, loan.bytes),
            None => &self.own,
        }
    }
}

impl From<Vec<u8>> for FrameBuffer {
    fn from(own: Vec<u8>) -> Self {
        Self { own, loan: None }
    }
}

impl From<FrameBuffer> for Vec<u8> {
    fn from(mut buffer: FrameBuffer) -> Self {
        std::mem::take(buffer.owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Shelf(Mutex<Vec<u32>>);

    impl Lender for Shelf {
        fn pixels(&self, place: u32, bytes: usize) -> &[u8] {
            &b"abcdef"[place as usize..][..bytes]
        }

        fn take_back(&self, place: u32) {
            self.0.lock().unwrap().push(place);
        }
    }

    #[test]
    fn a_loan_is_read_in_place_copied_to_be_changed_and_ends_once() {
        let shelf = Arc::new(Shelf::default());
        let returned = || shelf.0.lock().unwrap().clone();
        let mut buffer = FrameBuffer::from(vec![9; 4]);
        buffer.lend(Loan::new(shelf.clone(), 1, 3));
        assert_eq!(*buffer, *b"bcd");
        assert_eq!(buffer.as_ptr(), shelf.pixels(1, 3).as_ptr());
        assert!(returned().is_empty());
        buffer.owned()[0] = b'x';
        assert_eq!((&*buffer, returned()), (&b"xcd"[..], vec![1]));

        buffer.lend(Loan::new(shelf.clone(), 2, 1));
        buffer.lend(Loan::new(shelf.clone(), 3, 1));
        assert_eq!(returned(), [1, 2]);
        assert_eq!(buffer.refill().len(), 3);
        assert_eq!(returned(), [1, 2, 3]);
        buffer.release();
        buffer.lend(Loan::new(shelf.clone(), 4, 2));
        assert_eq!(Vec::from(buffer), b"ef");
        assert_eq!(returned(), [1, 2, 3, 4]);
    }
}
