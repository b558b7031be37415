//! Asks for the code of a commit all at once, before it is run through.
//!
//! A frame's time after the last commit its code has left the caches and is found missing line by line, each
//! after the one before has come. Asked for together, the lines come together. Decision 0064.
#![cfg_attr(
    all(target_os = "linux", target_arch = "x86_64"),
    expect(
        unsafe_code,
        reason = "the linker's names for the ends of a section, and a hint about what lies between them"
    )
)]

/// Asks for the section of `echocart_frame_commit`; nothing on other processors than x86-64 and elsewhere than on Linux.
///
/// # Real-time
/// Some 70 hints, none of which waits for its line.
#[inline(always)]
pub(crate) fn commit() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        const LINE: usize = 64;
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
            line = line.wrapping_add(LINE);
        }
    }
}
