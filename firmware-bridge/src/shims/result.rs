//! Functions of a result port.
#![expect(
    unsafe_code,
    reason = "exported names, and pointers that only the caller can vouch for"
)]

use super::echocart_result_port_t;
use crate::abi::{echocart_result_callback_t, echocart_result_t};
use crate::boundary::{self, Out, with};
use crate::callback;
use crate::fault::Fault;
use crate::results::ResultPort;
use std::ffi::{c_char, c_void};
use std::time::Duration;

/// Takes the oldest result that is waiting.
///
/// In real pace a value past `valid_until_nanos` comes as WITHHELD with the reason STALE, and
/// ages count up to this call. A value taken in time must still be blanked by the caller when
/// `echocart_clock_now` passes `valid_until_nanos`.
///
/// - `result_bytes`: `sizeof(echocart_result_t)`.
///
/// ECHOCART_EMPTY: none is waiting. ECHOCART_END: the summary was the last one.
///
/// Timing: does not block.
///
/// # Safety
/// `port` came from `echocart_session_create`; `out_result` is writable for `result_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_result_poll(
    port: *mut echocart_result_port_t,
    result_bytes: u32,
    out_result: *mut echocart_result_t,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { take(port, result_bytes, out_result, ResultPort::poll) }
}

/// Takes the oldest result, and waits for one if there is none.
///
/// As `echocart_result_poll`, but ECHOCART_EMPTY comes after `timeout_micros`. Other calls with this
/// port give ECHOCART_CONCURRENT_USE meanwhile.
///
/// Timing: blocks for at most `timeout_micros`; the thread sleeps.
///
/// # Safety
/// As for `echocart_result_poll`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_result_wait(
    port: *mut echocart_result_port_t,
    timeout_micros: u64,
    result_bytes: u32,
    out_result: *mut echocart_result_t,
) -> u32 {
    let patience = Duration::from_micros(timeout_micros);
    // SAFETY: the caller's promise.
    unsafe { take(port, result_bytes, out_result, |port| port.wait(patience)) }
}

/// # Safety
/// As for `echocart_result_poll`.
unsafe fn take(
    port: *mut echocart_result_port_t,
    result_bytes: u32,
    out_result: *mut echocart_result_t,
    take: impl FnOnce(&mut ResultPort) -> Result<echocart_result_t, Fault>,
) -> u32 {
    let body = |port: &mut ResultPort| {
        boundary::struct_size::<echocart_result_t>(result_bytes, "result_bytes")?;
        // SAFETY: the caller's promise.
        let out_result = unsafe { Out::new(out_result, "out_result") }?;
        out_result.set(take(port)?);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { with(port, body) }
}

/// Has every result from now on handed to `callback` on a thread of the library's,
/// `echocart-result`. It cannot be taken back: it ends after the summary, or when the port is
/// destroyed.
///
/// - `user_data`: handed to `callback` untouched.
///
/// Polling and waiting give ECHOCART_BAD_STATE from then on, and so does a second subscription.
///
/// Timing: does not block; makes a thread.
///
/// # Safety
/// `port` came from `echocart_session_create`; `callback` may be called with `user_data` from another
/// thread until the port is destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_result_subscribe(
    port: *mut echocart_result_port_t,
    callback: echocart_result_callback_t,
    user_data: *mut c_void,
) -> u32 {
    let body = |port: &mut ResultPort| {
        let callback = callback.ok_or_else(|| Fault::null("callback"))?;
        // SAFETY: the caller's promise.
        port.subscribe(unsafe { callback::ResultSink::new(callback, user_data) })
    };
    // SAFETY: the caller's promise.
    unsafe { with(port, body) }
}

/// Copies the text of a view label: UTF-8, cut as in `echocart_last_error`, ended by NUL.
///
/// - `index`: 0 to `label_count - 1` of `echocart_session_info_t`.
/// - `buffer`: `buffer_bytes` bytes, or NULL with 0.
/// - `out_text_bytes`: length of the whole text without NUL.
///
/// Timing: does not block.
///
/// # Safety
/// `port` came from `echocart_session_create`; `buffer` is writable for `buffer_bytes` bytes,
/// `out_text_bytes` for 8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_result_label(
    port: *const echocart_result_port_t,
    index: u32,
    buffer: *mut c_char,
    buffer_bytes: u64,
    out_text_bytes: *mut u64,
) -> u32 {
    let body = |port: &mut ResultPort| {
        let label = port.label(index)?;
        // SAFETY: the caller's promise.
        unsafe { boundary::put_text(label, buffer, buffer_bytes, out_text_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { with(port, body) }
}

/// Closes the frame port too, since nobody would read its results, frees this port and sets
/// `*port` to NULL. NULL and a pointer to NULL do nothing.
///
/// Timing: blocks until a callback in progress has returned; without one it does not block.
///
/// # Safety
/// `*port` is NULL or came from `echocart_session_create`, and no other copy of it is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_result_port_destroy(
    port: *mut *mut echocart_result_port_t,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { boundary::destroy(port, drop) }
}
