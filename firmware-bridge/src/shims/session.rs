//! Functions of a session.
#![expect(
    unsafe_code,
    reason = "exported names, and pointers that only the caller can vouch for"
)]

use super::{echocart_frame_port_t, echocart_result_port_t, echocart_session_t};
use crate::abi::{
    ECHOCART_ABI_MAJOR, ECHOCART_ABI_MINOR, echocart_self_test_t, echocart_session_config_t,
    echocart_session_info_t, echocart_session_memory_t, echocart_session_stats_t,
};
use crate::boundary::{self, Out, enter, with};
use crate::codes::Code;
use crate::fault::Fault;
use crate::layout::CONFIG_SIZE_0_1;
use crate::load;
use crate::request::Request;
use crate::session::SessionState;
use std::ffi::c_char;
use std::path::Path;
use std::time::Duration;

/// Checks and loads a package and the runtime library, and makes the pipeline's two threads, which
/// wait. `echocart_session_start` lets frames in.
///
/// The three handles are the caller's; each is destroyed by its own function, in any order.
/// No output is written, and nothing is left behind, unless the result is ECHOCART_OK; a runtime
/// library that was loaded stays loaded.
///
/// - `config`: borrowed for the call, as is all text in it.
///
/// ECHOCART_SELF_TEST_FAILED: the engine does not give the package's golden answers here.
/// ECHOCART_WORKER_MISSING: with isolation WORKER there is no `echocart-worker`.
///
/// Timing: blocks; reads and hashes every file of the package, builds the graphs, and runs them on
/// the package's golden clips, unless `cache_dir` knows that they were proven here.
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
    enter(|_| {
        // SAFETY: the caller's promise.
        let (request, out_session, out_frame_port, out_result_port) = unsafe {
            (
                request(config)?,
                Out::new(out_session, "out_session")?,
                Out::new(out_frame_port, "out_frame_port")?,
                Out::new(out_result_port, "out_result_port")?,
            )
        };
        let (session, frame_port, result_port) = load::create(request)?;
        out_session.set(boundary::give(session));
        out_frame_port.set(boundary::give(frame_port));
        out_result_port.set(boundary::give(result_port));
        Ok(())
    })
}

/// Runs the package's golden clips on an engine made for this call and compares the outputs with
/// those the package expects.
///
/// It makes no session; one may run meanwhile. ECHOCART_SELF_TEST_FAILED: an output was outside its
/// tolerance, `echocart_last_error` says which. ECHOCART_PACKAGE_UNSUPPORTED: the package has no
/// golden clips for the variant.
///
/// - `config`: as for `echocart_session_create`.
/// - `report_bytes`: `sizeof(echocart_self_test_t)`.
///
/// Timing: blocks; loads the package and runs it on each golden clip.
///
/// # Safety
/// Every pointer is NULL or points to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_self_test(
    config: *const echocart_session_config_t,
    report_bytes: u32,
    out_report: *mut echocart_self_test_t,
) -> u32 {
    enter(|_| {
        // SAFETY: the caller's promise.
        let (request, out_report) = unsafe {
            let request = request(config)?;
            boundary::struct_size::<echocart_self_test_t>(report_bytes, "report_bytes")?;
            (request, Out::new(out_report, "out_report")?)
        };
        out_report.set(load::self_test(request)?);
        Ok(())
    })
}

/// Checks the caller's configuration and copies its texts.
///
/// # Safety
/// `config` is NULL or what the header says, for the call.
unsafe fn request(config: *const echocart_session_config_t) -> Result<Request, Fault> {
    // SAFETY: the caller's promise, here and for the texts below.
    let config = unsafe {
        check_version(boundary::abi_version(config, "config")?)?;
        boundary::grown(config, CONFIG_SIZE_0_1, "config")?
    };
    let text = |pointer, bytes, name| {
        // SAFETY: as above.
        unsafe { boundary::text(pointer, bytes, name) }.map(str::to_owned)
    };
    Request::new(
        &config,
        text(config.package_dir, config.package_dir_bytes, "package_dir")?,
        text(
            config.library_path,
            config.library_path_bytes,
            "library_path",
        )?,
        text(config.config_toml, config.config_toml_bytes, "config_toml")?,
        text(config.worker_path, config.worker_path_bytes, "worker_path")?,
        text(config.cache_dir, config.cache_dir_bytes, "cache_dir")?,
    )
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

/// Lets frames in.
///
/// A second call does nothing. ECHOCART_BAD_STATE after `echocart_session_stop`, and while paused.
///
/// Timing: does not block.
///
/// # Safety
/// `session` came from `echocart_session_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_start(session: *mut echocart_session_t) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { with(session, SessionState::start) }
}

/// Takes no frame until `echocart_session_resume`: pushes give ECHOCART_PAUSED.
///
/// Frames taken before go through, and their results come. What is shown must be blanked as
/// always. A second call does nothing. ECHOCART_BAD_STATE before start and after stop.
///
/// Timing: does not block.
///
/// # Safety
/// `session` came from `echocart_session_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_pause(session: *mut echocart_session_t) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { with(session, SessionState::pause) }
}

/// Takes frames again. Evidence begins anew where the pause was longer than the package lets
/// frames be missing.
///
/// ECHOCART_BAD_STATE unless paused.
///
/// Timing: does not block.
///
/// # Safety
/// `session` came from `echocart_session_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_resume(session: *mut echocart_session_t) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { with(session, SessionState::resume) }
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
    // SAFETY: the caller's promise.
    unsafe {
        get(
            session,
            (info_bytes, "info_bytes"),
            (out_info, "out_info"),
            SessionState::info,
        )
    }
}

/// Gives counts and times since the session was created.
///
/// It works until the session is destroyed, also after a stop.
///
/// - `stats_bytes`: `sizeof(echocart_session_stats_t)`.
///
/// Timing: does not block.
///
/// # Safety
/// `session` came from `echocart_session_create`; `out_stats` is writable for `stats_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_stats(
    session: *const echocart_session_t,
    stats_bytes: u32,
    out_stats: *mut echocart_session_stats_t,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        get(
            session,
            (stats_bytes, "stats_bytes"),
            (out_stats, "out_stats"),
            SessionState::stats,
        )
    }
}

/// Tells how much memory the session has.
///
/// - `memory_bytes`: `sizeof(echocart_session_memory_t)`.
///
/// Timing: reads two lines of the system's about this process; does not block.
///
/// # Safety
/// `session` came from `echocart_session_create`; `out_memory` is writable for `memory_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_memory(
    session: *const echocart_session_t,
    memory_bytes: u32,
    out_memory: *mut echocart_session_memory_t,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        get(
            session,
            (memory_bytes, "memory_bytes"),
            (out_memory, "out_memory"),
            SessionState::memory,
        )
    }
}

/// Writes what the flight recorder holds to a new file: the newest frames and decisions of the exam.
///
/// The recorder is on where the configuration has `[recorder]`. A frame with another `exam_token`
/// erases what it holds, as does the session's end. Frames are those that a clip has a place for, black outside the imaging area;
/// none is kept while that area is not known for sure. `echocart replay` reads the file. It works until the session is destroyed, also after a stop. Since ABI 0.3.
///
/// - `path`: UTF-8, `path_bytes` bytes. A file that is there is never replaced.
/// - `out_records`, `out_frames`: how many of each are in the file.
///
/// ECHOCART_BAD_STATE: the configuration has no `[recorder]`. ECHOCART_SAVE_FAILED: the file cannot
/// be written; what was written of it stays and can be read.
///
/// Timing: blocks until the file is on the disk, which has at most `recorder.budget_mib`. Frames and results go on
/// meanwhile; other calls with this handle give ECHOCART_CONCURRENT_USE.
///
/// # Safety
/// `session` came from `echocart_session_create`; `path` is readable for `path_bytes` bytes, the
/// outputs are writable for 8 each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_session_save(
    session: *mut echocart_session_t,
    path: *const c_char,
    path_bytes: u64,
    out_records: *mut u64,
    out_frames: *mut u64,
) -> u32 {
    let body = |state: &mut SessionState| {
        // SAFETY: the caller's promise.
        let (path, out_records, out_frames) = unsafe {
            (
                boundary::text(path, path_bytes, "path")?,
                Out::new(out_records, "out_records")?,
                Out::new(out_frames, "out_frames")?,
            )
        };
        if path.is_empty() {
            return Err(Fault::bad("path", "a file", "an empty text"));
        }
        let saved = state.save(Path::new(path))?;
        out_records.set(saved.records as u64);
        out_frames.set(saved.images as u64);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { with(session, body) }
}

/// Reads something of a session into a struct of the caller's.
///
/// # Safety
/// As [`with`]; the output is NULL or writable for the size given if that is `T`'s.
unsafe fn get<T>(
    session: *const echocart_session_t,
    (bytes, bytes_name): (u32, &'static str),
    (out, out_name): (*mut T, &'static str),
    read: impl FnOnce(&mut SessionState) -> T,
) -> u32 {
    let body = |state: &mut SessionState| {
        boundary::struct_size::<T>(bytes, bytes_name)?;
        // SAFETY: the caller's promise.
        unsafe { Out::new(out, out_name) }?.set(read(state));
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
