//! Asks the processor for what a lease and a commit will run through and touch, before they do.
//!
//! A frame's time after the last one their code and data have left the caches and are found missing one
//! after the other. Asked for together, they come together. Decisions 0066 to 0068.
#![cfg_attr(
    all(target_os = "linux", target_arch = "x86_64"),
    expect(
        unsafe_code,
        reason = "the linker's names for the ends of a section, and hints about addresses"
    )
)]

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use echocart_core::lines::LINE_BYTES;

// The section of clock, lease and commit begins a page.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
core::arch::global_asm!(
    ".pushsection echocart_lease,\"ax\",@progbits",
    ".balign 4096",
    ".popsection"
);

/// Asks for the code of a commit; nothing on other processors than x86-64 and elsewhere than on Linux.
///
/// # Real-time
/// A hint for each 64 bytes, none of which waits.
#[inline(always)]
pub(crate) fn commit() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        unsafe extern "C" {
            #[link_name = "__start_echocart_commit"]
            static START: i8;
            #[link_name = "__stop_echocart_commit"]
            static STOP: i8;
        }
        let (mut line, stop) = (&raw const START, &raw const STOP);
        while line < stop {
            // SAFETY: a hint may be about any address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line) };
            line = line.wrapping_add(LINE_BYTES);
        }
    }
}

/// Asks for a cache line. Nothing where [`commit`] does nothing.
///
/// # Real-time
/// A hint, which does not wait.
#[inline(always)]
pub(crate) fn line(line: usize) {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint may be about any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(line)) };
    }
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    let _ = line;
}
