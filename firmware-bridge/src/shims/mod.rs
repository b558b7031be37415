//! The `extern "C"` functions: convert, call safe code inside the boundary, convert back.
#![expect(
    unsafe_code,
    reason = "exported names, and pointers that only the caller can vouch for"
)]
#![expect(
    non_camel_case_types,
    reason = "the names are those of the C header, which is generated from them"
)]

use crate::abi::ECHOCART_ABI_VERSION;
use crate::ahead;
use crate::boundary::{self, Guarded, Handle, Out, enter};
use crate::clock;
use crate::codes::Code;
use crate::fault;
use crate::frames::FramePort;
use crate::results::ResultPort;
use crate::session::SessionState;
use std::ffi::c_char;

pub mod session;

pub mod frame;

pub mod result;

/// Life cycle of one pipeline. One thread at a time may use it.
pub struct echocart_session_t(Guarded<SessionState>);

/// Where frames go in. One thread at a time may use it; it need not be the session's.
pub struct echocart_frame_port_t(Guarded<FramePort>);

/// Where results come out. One thread at a time may use it; it need not be the session's.
pub struct echocart_result_port_t(Guarded<ResultPort>);

macro_rules! handle {
    ($handle:ident, $state:ident) => {
        impl Handle for $handle {
            type State = $state;

            fn new(guarded: Guarded<$state>) -> Self {
                Self(guarded)
            }

            fn guarded(&self) -> &Guarded<$state> {
                &self.0
            }

            fn into_guarded(self) -> Guarded<$state> {
                self.0
            }
        }
    };
}

handle!(echocart_session_t, SessionState);
handle!(echocart_frame_port_t, FramePort);
handle!(echocart_result_port_t, ResultPort);

/// Gives the ABI version of the library, major << 16 | minor. Not a result code.
///
/// Timing: does not block.
#[unsafe(no_mangle)]
pub extern "C" fn echocart_abi_version() -> u32 {
    ECHOCART_ABI_VERSION
}

/// Gives static text, ASCII and ended by NUL, for any number; never NULL.
///
/// Timing: does not block.
#[unsafe(no_mangle)]
pub extern "C" fn echocart_code_text(code: u32) -> *const c_char {
    Code::try_from(code)
        .map_or(c"unknown code", Code::text)
        .as_ptr()
}

/// Copies the text of the newest failure of a call on this thread; empty when there was none.
///
/// A failure is any code but ECHOCART_OK and 11xx. Other calls leave the text as it is.
/// The text is UTF-8, cut between two characters where it does not fit, and ends with NUL.
///
/// - `buffer`: `buffer_bytes` bytes, or NULL with 0.
/// - `out_text_bytes`: length of the whole text without NUL.
///
/// Timing: does not block.
///
/// # Safety
/// `buffer` is writable for `buffer_bytes` bytes, `out_text_bytes` for 8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_last_error(
    buffer: *mut c_char,
    buffer_bytes: u64,
    out_text_bytes: *mut u64,
) -> u32 {
    let text = fault::last();
    // SAFETY: the caller's promise.
    enter(|_| unsafe { boundary::put_text(&text, buffer, buffer_bytes, out_text_bytes) })
}

/// Gives the time on the clock of all `_nanos` fields: monotonic, from an arbitrary start.
///
/// - `out_nanos`: nanoseconds, never negative.
///
/// Timing: one clock read, does not block. A thread that leases frame buffers reads the time of a frame right
/// before its lease: this call then asks the processor for what the lease will read.
///
/// # Safety
/// `out_nanos` is writable for 8 bytes.
#[cfg_attr(
    all(target_os = "linux", target_arch = "x86_64"),
    unsafe(link_section = "echocart_lease")
)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_clock_now(out_nanos: *mut i64) -> u32 {
    enter(|here| {
        for line in here.leases().iter().flatten() {
            ahead::line(*line);
        }
        // SAFETY: the caller's promise.
        unsafe { Out::new(out_nanos, "out_nanos") }?.set(clock::now_nanos());
        Ok(())
    })
}
