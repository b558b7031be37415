//! The `extern "C"` functions: convert, call safe code inside the boundary, convert back.
#![expect(
    unsafe_code,
    reason = "exported names, and pointers that only the caller can vouch for"
)]
#![expect(
    non_camel_case_types,
    reason = "the names are those of the C header, which is generated from them"
)]

use crate::abi::{
    ECHOCART_ABI_MAJOR, ECHOCART_ABI_MINOR, ECHOCART_ABI_VERSION, ECHOCART_PACE_MAX,
    ECHOCART_PACE_REAL, echocart_frame_t, echocart_result_t, echocart_session_config_t,
    echocart_session_info_t,
};
use crate::boundary::{self, Handle, Out, enter, with};
use crate::codes::Code;
use crate::fault::{self, Fault};
use crate::frames::FramePort;
use crate::results::ResultPort;
use crate::session::{self, Request, SessionState};
use echocart_core::clock::{self, Pace};
use std::ffi::c_char;
use std::sync::Mutex;
use std::time::Duration;

/// Life cycle of one pipeline. One thread at a time may use it.
pub struct echocart_session_t(Mutex<SessionState>);

/// Where frames go in. One thread at a time may use it; it need not be the session's.
pub struct echocart_frame_port_t(Mutex<FramePort>);

/// Where results come out. One thread at a time may use it; it need not be the session's.
pub struct echocart_result_port_t(Mutex<ResultPort>);

macro_rules! handle {
    ($handle:ident, $state:ident) => {
        impl Handle for $handle {
            type State = $state;

            fn new(state: $state) -> Self {
                Self(Mutex::new(state))
            }

            fn state(&self) -> &Mutex<$state> {
                &self.0
            }

            fn into_state(self) -> Mutex<$state> {
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
    enter(|| unsafe { boundary::put_text(&text, buffer, buffer_bytes, out_text_bytes) })
}

/// Gives the time on the clock of all `_nanos` fields: monotonic, from an arbitrary start.
///
/// - `out_nanos`: nanoseconds, never negative.
///
/// Timing: one clock read, does not block.
///
/// # Safety
/// `out_nanos` is writable for 8 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_clock_now(out_nanos: *mut i64) -> u32 {
    enter(|| {
        // SAFETY: the caller's promise.
        unsafe { Out::new(out_nanos, "out_nanos") }?.set(clock::now_nanos());
        Ok(())
    })
}

/// Checks and loads a package and the runtime library, and starts the pipeline's two threads.
///
/// The three handles are the caller's; each is destroyed by its own function, in any order.
/// No output is written, and nothing is left behind, unless the result is ECHOCART_OK; a runtime
/// library that was loaded stays loaded.
///
/// - `config`: borrowed for the call, as is all text in it.
///
/// Timing: blocks; reads and hashes every file of the package and builds the graphs.
///
/// # Safety
/// Every pointer is NULL or points to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_create(
    config: *const echocart_session_config_t,
    out_session: *mut *mut echocart_session_t,
    out_frame_port: *mut *mut echocart_frame_port_t,
    out_result_port: *mut *mut echocart_result_port_t,
) -> u32 {
    enter(|| {
        // SAFETY: the caller's promise, for this block and the texts below.
        let (config, out_session, out_frame_port, out_result_port) = unsafe {
            check_version(boundary::abi_version(config, "config")?)?;
            (
                boundary::structure(config, "config")?,
                Out::new(out_session, "out_session")?,
                Out::new(out_frame_port, "out_frame_port")?,
                Out::new(out_result_port, "out_result_port")?,
            )
        };
        let text = |pointer, bytes, name| {
            // SAFETY: as above.
            unsafe { boundary::text(pointer, bytes, name) }
        };
        let request = Request {
            package_dir: text(config.package_dir, config.package_dir_bytes, "package_dir")?,
            library_path: text(
                config.library_path,
                config.library_path_bytes,
                "library_path",
            )?,
            config_toml: text(config.config_toml, config.config_toml_bytes, "config_toml")?,
            pace: match config.pace {
                ECHOCART_PACE_REAL => Pace::Real,
                ECHOCART_PACE_MAX => Pace::Max,
                unknown => return Err(Fault::bad("pace", "one of ECHOCART_PACE_*", unknown)),
            },
            allow_demonstration: match config.allow_demonstration {
                0 => false,
                1 => true,
                other => return Err(Fault::bad("allow_demonstration", "0 or 1", other)),
            },
        };
        let (session, frame_port, result_port) = session::create(&request)?;
        out_session.set(boundary::give(session));
        out_frame_port.set(boundary::give(frame_port));
        out_result_port.set(boundary::give(result_port));
        Ok(())
    })
}

fn check_version(found: u32) -> Result<(), Fault> {
    let (major, minor) = (found >> 16, found & 0xFFFF);
    if major == ECHOCART_ABI_MAJOR && (1..=ECHOCART_ABI_MINOR).contains(&minor) {
        return Ok(());
    }
    Err(Fault::new(
        Code::AbiMismatch,
        format!(
            "ABI version: expected {ECHOCART_ABI_MAJOR}.1 to \
             {ECHOCART_ABI_MAJOR}.{ECHOCART_ABI_MINOR}, found {major}.{minor}"
        ),
    ))
}

/// Tells what the session runs.
///
/// - `info_bytes`: `sizeof(echocart_session_info_t)`.
///
/// Timing: does not block.
///
/// # Safety
/// `session` came from `echocart_session_create`; `out_info` is writable for `info_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_info(
    session: *const echocart_session_t,
    info_bytes: u32,
    out_info: *mut echocart_session_info_t,
) -> u32 {
    let body = |state: &mut SessionState| {
        boundary::struct_size::<echocart_session_info_t>(info_bytes, "info_bytes")?;
        // SAFETY: the caller's promise.
        unsafe { Out::new(out_info, "out_info") }?.set(state.info());
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { with(session, body) }
}

/// Closes the frame port, lets the frames taken so far go through, and ends the pipeline. The
/// summary becomes the last result.
///
/// At maximum pace results must be polled meanwhile, or before: poll until SOURCE_ENDED, then
/// stop. Results nobody polls in time are dropped and counted. With a timeout of 0 frames still
/// in the pipeline are abandoned. A second call does nothing and gives ECHOCART_OK.
///
/// Timing: blocks for at most `timeout_micros` and half a second more. ECHOCART_TIMEOUT: frames
/// were left in the pipeline; the session is stopped all the same.
///
/// # Safety
/// `session` came from `echocart_session_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_stop(
    session: *mut echocart_session_t,
    timeout_micros: u64,
) -> u32 {
    let patience = Duration::from_micros(timeout_micros);
    // SAFETY: the caller's promise.
    unsafe { with(session, |state| state.stop(patience)) }
}

/// Stops the session at once if it runs, waits for its threads, frees it and sets `*session` to
/// NULL. The ports stay: they answer ECHOCART_CLOSED, and the results that are left, then END.
///
/// NULL and a pointer to NULL do nothing.
///
/// Timing: blocks until the inference call in flight, if any, has returned.
///
/// # Safety
/// `*session` is NULL or came from `echocart_session_create`, and no other copy of it is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_destroy(session: *mut *mut echocart_session_t) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { boundary::destroy(session, SessionState::end) }
}

/// Copies one frame into the pipeline.
///
/// - `frame`: borrowed for the call, as are its pixels.
/// - `out_number`: number of the frame, counted from 0 over all frames captured.
///
/// ECHOCART_WOULD_BLOCK at maximum pace: nothing happened, poll results and push the same frame
/// again. ECHOCART_DROPPED in real pace: the frame was counted as dropped. A capture time that is
/// not later than the one before is taken, refused by the pipeline and counted as BAD_TIMESTAMP.
///
/// Timing: does not block; one copy of the pixels. Memory is allocated only until each of the
/// `pipeline.ring_frames + 4` buffers has held a frame of this size, and for the text of a failure.
///
/// # Safety
/// `port` came from `echocart_session_create`; `frame` and its pixels are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_frame_push(
    port: *mut echocart_frame_port_t,
    frame: *const echocart_frame_t,
    out_number: *mut u64,
) -> u32 {
    let body = |port: &mut FramePort| {
        // SAFETY: the caller's promise.
        let (frame, pixels, out_number) = unsafe {
            let frame = boundary::structure(frame, "frame")?;
            let pixels = boundary::bytes(frame.pixels, frame.pixel_bytes, "pixels")?;
            (frame, pixels, Out::new(out_number, "out_number")?)
        };
        out_number.set(port.push(&frame, pixels)?);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { with(port, body) }
}

/// Says that no frame will come any more. Results go on until SOURCE_ENDED; a second call does
/// nothing.
///
/// Timing: does not block.
///
/// # Safety
/// `port` came from `echocart_session_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_frame_port_close(port: *mut echocart_frame_port_t) -> u32 {
    let body = |port: &mut FramePort| {
        port.close();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { with(port, body) }
}

/// Closes the port, frees it and sets `*port` to NULL. NULL and a pointer to NULL do nothing.
///
/// Timing: does not block.
///
/// # Safety
/// `*port` is NULL or came from `echocart_session_create`, and no other copy of it is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_frame_port_destroy(port: *mut *mut echocart_frame_port_t) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { boundary::destroy(port, drop) }
}

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
    let body = |port: &mut ResultPort| {
        boundary::struct_size::<echocart_result_t>(result_bytes, "result_bytes")?;
        // SAFETY: the caller's promise.
        let out_result = unsafe { Out::new(out_result, "out_result") }?;
        out_result.set(port.poll()?);
        Ok(())
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
/// Timing: does not block.
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
