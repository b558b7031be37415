//! Functions of a frame port.
#![expect(
    unsafe_code,
    reason = "exported names, and pointers that only the caller can vouch for"
)]

use super::echocart_frame_port_t;
use crate::abi::echocart_frame_t;
use crate::ahead;
use crate::boundary::{self, Out, with};
use crate::frames::FramePort;

/// Copies one frame into the pipeline.
///
/// - `frame`: borrowed for the call, as are its pixels.
/// - `out_number`: number of the frame, counted from 0 over all frames captured.
///
/// ECHOCART_PAUSED: the session is not started or paused, nothing happened. ECHOCART_WOULD_BLOCK at maximum pace: nothing happened, poll results and push the same frame
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

/// Lends a pooled frame buffer: the frame goes into the pipeline without a copy.
///
/// Write rows from top to bottom, then `echocart_frame_commit`, or give it back with
/// `echocart_frame_release`. A port lends one buffer at a time; frames may be pushed meanwhile.
/// What was in the buffer before is not defined. It is the caller's until it is committed or
/// released, or the port is destroyed, and lives as long also when the session is destroyed.
///
/// - `pixel_bytes`: bytes needed, row padding included.
/// - `out_pixels`: the buffer, aligned to 1 byte, of at least `pixel_bytes` bytes.
///
/// ECHOCART_BAD_FRAME_SIZE: more than `pipeline.max_frame_bytes`, or none. ECHOCART_BAD_STATE: a
/// buffer is lent already. ECHOCART_WOULD_BLOCK: no buffer is free now, at either pace; nothing was
/// counted. ECHOCART_PAUSED, ECHOCART_CLOSED: as for a push.
///
/// Timing: does not block. Memory is allocated only when the buffer never held as many bytes.
///
/// # Safety
/// `port` came from `echocart_session_create`; `out_pixels` is writable for a pointer.
#[cfg_attr(
    all(target_os = "linux", target_arch = "x86_64"),
    unsafe(link_section = "echocart_lease")
)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_frame_lease(
    port: *mut echocart_frame_port_t,
    pixel_bytes: u64,
    out_pixels: *mut *mut u8,
) -> u32 {
    let body = |port: &mut FramePort| {
        // SAFETY: the caller's promise.
        let out_pixels = unsafe { Out::new(out_pixels, "out_pixels") }?;
        out_pixels.set(port.lease(pixel_bytes)?);
        ahead::commit();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { with(port, body) }
}

/// Puts the lent buffer into the pipeline, as `echocart_frame_push` would a copy of it.
///
/// - `frame`: borrowed for the call. `pixels` is what the lease gave; `pixel_bytes` is at most what
///   was asked for.
/// - `out_number`: number of the frame, as from a push.
///
/// ECHOCART_OK and ECHOCART_DROPPED end the lease, every other code leaves it as it is.
/// ECHOCART_BAD_STATE: no buffer is lent.
///
/// Timing: does not block, copies no pixel, allocates nothing but the text of a failure.
///
/// # Safety
/// `port` came from `echocart_session_create`; nobody touches the buffer any more.
#[cfg_attr(
    all(target_os = "linux", target_arch = "x86_64"),
    unsafe(link_section = "echocart_commit")
)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_frame_commit(
    port: *mut echocart_frame_port_t,
    frame: *const echocart_frame_t,
    out_number: *mut u64,
) -> u32 {
    let body = |port: &mut FramePort| {
        // SAFETY: the caller's promise.
        let (frame, out_number) = unsafe {
            (
                boundary::structure(frame, "frame")?,
                Out::new(out_number, "out_number")?,
            )
        };
        out_number.set(port.commit(&frame)?);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { with(port, body) }
}

/// Gives the lent buffer back unused. Without a lease it does nothing.
///
/// Timing: does not block.
///
/// # Safety
/// `port` came from `echocart_session_create`; nobody touches the buffer any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_frame_release(port: *mut echocart_frame_port_t) -> u32 {
    let body = |port: &mut FramePort| {
        port.release();
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
