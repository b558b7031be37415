//! Tells the compiler which way a branch goes.

/// Says that the branch in which it is called is rarely taken, so its code lies out of the way.
#[cold]
#[inline(always)]
pub fn rare() {}
