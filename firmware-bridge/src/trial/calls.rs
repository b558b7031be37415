//! Any sequence of calls, read from bytes: none may crash, give an unknown code, write an output
//! beside a failure, or lose a frame from the account.
#![expect(
    unsafe_code,
    reason = "calls the C functions with what a careless host gives them"
)]

use super::create;
use crate::Code;
use crate::abi::*;
use crate::codes::{ECHOCART_DROPPED, ECHOCART_OK};
use crate::shims::frame::*;
use crate::shims::result::*;
use crate::shims::session::*;
use crate::shims::{
    echocart_clock_now, echocart_code_text, echocart_frame_port_t, echocart_last_error,
    echocart_result_port_t, echocart_session_t,
};
use echocart_core::clock::Pace;
use std::ffi::{c_char, c_void};
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

/// Pixels that frames of the sequence point to.
const PIXEL_BYTES: usize = 64 * 1024;
/// What an output holds before a call.
const UNTOUCHED: u64 = 0x5A5A_5A5A_5A5A_5A5A;

/// Runs the calls that `bytes` spell, ends the session and checks the account.
///
/// # Panics
/// When one of the promises above is broken.
pub fn run(bytes: &[u8]) {
    let mut script = Script { bytes };
    let pace = if script.byte() & 1 == 0 {
        Pace::Max
    } else {
        Pace::Real
    };
    let mut host = Host::new(pace);
    while !script.bytes.is_empty() {
        host.call(&mut script);
    }
    host.finish();
}

/// Bytes that become arguments; past their end everything is 0.
struct Script<'a> {
    bytes: &'a [u8],
}

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *first
    }

    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    /// Mostly `usual`; else an edge of the range, or anything.
    fn odd(&mut self, usual: u64) -> u64 {
        match self.byte() {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => u64::from(u32::MAX),
            4 => 1 << 63,
            5 => self.word(),
            6 => usual.wrapping_sub(1),
            7 => usual.wrapping_add(1),
            _ => usual,
        }
    }

    /// As `odd`, for a size in 32 bits.
    fn odd_size<T>(&mut self) -> u32 {
        self.odd(size_of::<T>() as u64) as u32
    }

    fn seldom(&mut self) -> bool {
        self.byte() == 7
    }
}

struct Host {
    session: *mut echocart_session_t,
    frames: *mut echocart_frame_port_t,
    results: *mut echocart_result_port_t,
    pixels: Vec<u8>,
    lent: *mut u8,
    time: i64,
    /// Frames that a push or commit took or dropped.
    counted: u64,
    /// What a result port told last.
    summary: Option<echocart_counters_t>,
    heard: Box<AtomicU64>,
    subscribed: bool,
}

unsafe extern "C" fn hear(user_data: *mut c_void, result: *const echocart_result_t) {
    // SAFETY: `Host::heard` outlives the port; the result lives for the call.
    let (heard, kind) = unsafe { (&*user_data.cast::<AtomicU64>(), (*result).kind) };
    assert!((1..=3).contains(&kind));
    heard.fetch_add(1, Ordering::Relaxed);
}

#[track_caller]
fn known(code: u32) -> u32 {
    let found = Code::try_from(code);
    assert!(
        found.is_ok_and(|c| c != Code::Panic && c != Code::Poisoned),
        "{code}"
    );
    code
}

/// Checks that an output of 8 bytes was written exactly when the call did what it says.
#[track_caller]
fn written(code: u32, out: u64) -> u32 {
    known(code);
    assert!(
        code == ECHOCART_OK || out == UNTOUCHED,
        "{code} wrote {out}"
    );
    code
}

impl Host {
    fn new(pace: Pace) -> Self {
        let (session, frames, results) = create(pace);
        Self {
            session,
            frames,
            results,
            pixels: (0..PIXEL_BYTES).map(|at| (at * 7 % 251) as u8).collect(),
            lent: null_mut(),
            time: 0,
            counted: 0,
            summary: None,
            heard: Box::default(),
            subscribed: false,
        }
    }

    fn call(&mut self, script: &mut Script<'_>) {
        match script.byte() % 28 {
            0..=7 => self.push(script),
            8 => self.lease(script),
            9 | 10 => self.commit(script),
            11..=13 => self.poll(script),
            14 => self.text(script),
            15 => self.numbers(script),
            16 => self.create_fails(script),
            17 => self.subscribe(script),
            23 => self.end_a_handle(script),
            kind @ 18..=25 => self.change(kind, script),
            _ => self.without_a_handle(script),
        }
    }

    /// Starts, pauses, resumes, releases, stops or closes.
    fn change(&mut self, kind: u8, script: &mut Script<'_>) {
        let patience = u64::from(script.byte());
        // SAFETY: live handles or NULL.
        let code = unsafe {
            match kind {
                18 | 19 => echocart_session_start(self.session),
                20 => echocart_session_pause(self.session),
                21 => echocart_session_resume(self.session),
                22 => {
                    self.lent = null_mut();
                    echocart_frame_release(self.frames)
                }
                24 => echocart_session_stop(self.session, patience),
                _ if patience == 7 => echocart_frame_port_close(self.frames),
                _ => ECHOCART_OK,
            }
        };
        known(code);
    }

    /// A frame that is usual but for what the script changes.
    fn frame(
        &mut self,
        script: &mut Script<'_>,
        pixels: *const u8,
        room: usize,
    ) -> echocart_frame_t {
        // SAFETY: all zero is a valid frame.
        let mut frame: echocart_frame_t = unsafe { zeroed() };
        let format = script.byte();
        frame.struct_size = script.odd_size::<echocart_frame_t>();
        frame.format = u32::from(format) % 8;
        frame.width_px = script.odd(16 + u64::from(format & 0xF0)) as u32;
        frame.height_px = script.odd(16) as u32;
        frame.row_stride_bytes = script.odd(u64::from(frame.width_px) * 4) as u32;
        frame.pixels = if script.seldom() { null() } else { pixels };
        // More than there is would be the caller's lie.
        frame.pixel_bytes = script.odd(room as u64).min(room as u64);
        self.time += i64::from(script.byte()) * 2_000_000;
        frame.capture_nanos = script.odd(self.time as u64) as i64;
        frame.host_frame_id = script.odd(7);
        frame.sequence = script.odd(self.counted);
        frame.exam_token[0] = script.byte() / 64;
        frame.flags = script.odd(0) as u32;
        frame.memory = script.odd(0) as u32;
        frame.ecg_millivolts = f32::from_bits(script.odd(0) as u32);
        frame.depth_mm = f32::from_bits(script.odd(0x4300_0000) as u32);
        frame.chroma_offset_bytes = script.odd(0);
        frame
    }

    fn taken(&mut self, code: u32, number: u64) {
        written(code, number);
        if code == ECHOCART_OK {
            assert_eq!(number, self.counted);
        }
        self.counted += u64::from(code == ECHOCART_OK || code == ECHOCART_DROPPED);
    }

    fn push(&mut self, script: &mut Script<'_>) {
        let pixels = self.pixels.as_ptr();
        let frame = self.frame(script, pixels, PIXEL_BYTES);
        let mut number = UNTOUCHED;
        let (frame, out): (*const _, *mut _) = match script.byte() {
            0 => (null(), &mut number),
            1 => (&frame, null_mut()),
            _ => (&frame, &mut number),
        };
        // SAFETY: the pixels are as long as the frame says.
        let code = unsafe { echocart_frame_push(self.frames, frame, out) };
        self.taken(code, number);
    }

    fn lease(&mut self, script: &mut Script<'_>) {
        let bytes = script.odd(4096);
        let mut lent: *mut u8 = null_mut();
        // SAFETY: a live handle or NULL, and a place for the buffer.
        let code = known(unsafe { echocart_frame_lease(self.frames, bytes, &mut lent) });
        assert_eq!(code == ECHOCART_OK, !lent.is_null());
        if code == ECHOCART_OK {
            self.lent = lent;
            // SAFETY: the buffer lent has at least as many bytes.
            unsafe { lent.write_bytes(0x33, bytes.min(4096) as usize) };
        }
    }

    fn commit(&mut self, script: &mut Script<'_>) {
        let pixels = match script.byte() {
            0 => self.pixels.as_ptr(),
            _ => self.lent.cast_const(),
        };
        let frame = self.frame(script, pixels, 4096);
        let mut number = UNTOUCHED;
        // SAFETY: a commit reads the buffer that it lent, whatever the frame says.
        let code = unsafe { echocart_frame_commit(self.frames, &frame, &mut number) };
        self.taken(code, number);
        if code == ECHOCART_OK || code == ECHOCART_DROPPED {
            self.lent = null_mut();
        }
    }

    fn poll(&mut self, script: &mut Script<'_>) {
        // SAFETY: all zero is a valid result.
        let mut result: echocart_result_t = unsafe { zeroed() };
        result.clip = UNTOUCHED;
        let bytes = script.odd_size::<echocart_result_t>();
        let out: *mut _ = match script.seldom() {
            true => null_mut(),
            false => &mut result,
        };
        let micros = u64::from(script.byte());
        // SAFETY: the result has its size or the call refuses.
        let code = unsafe {
            match micros % 2 {
                0 => echocart_result_poll(self.results, bytes, out),
                _ => echocart_result_wait(self.results, micros, bytes, out),
            }
        };
        written(code, result.clip);
        self.seen(code, &result);
    }

    fn seen(&mut self, code: u32, result: &echocart_result_t) {
        if code != ECHOCART_OK {
            return;
        }
        assert!((1..=3).contains(&result.kind), "{}", result.kind);
        if result.kind == ECHOCART_RESULT_SUMMARY {
            self.summary = Some(result.counters);
        }
    }

    fn text(&mut self, script: &mut Script<'_>) {
        let mut buffer = [b'#' as c_char; 64];
        let (mut bytes, room) = (UNTOUCHED, u64::from(script.byte()) % 64);
        let place = if script.seldom() {
            null_mut()
        } else {
            buffer.as_mut_ptr()
        };
        let index = script.odd(1) as u32;
        // SAFETY: the buffer has at least `room` bytes.
        let code = unsafe {
            match index % 2 {
                0 => echocart_last_error(place, room, &mut bytes),
                _ => echocart_result_label(self.results, index / 2, place, room, &mut bytes),
            }
        };
        written(code, bytes);
        let untouched = buffer
            .iter()
            .skip(room as usize)
            .all(|c| *c == b'#' as c_char);
        assert!(untouched, "text behind the buffer's end");
    }

    fn numbers(&mut self, script: &mut Script<'_>) {
        // SAFETY: all zero is valid for the three; each has its size or the call refuses.
        unsafe {
            let (mut info, mut stats, mut memory) = (zeroed(), zeroed(), zeroed());
            let bytes = script.odd_size::<echocart_session_info_t>();
            known(echocart_session_info(self.session, bytes, &mut info));
            let bytes = script.odd_size::<echocart_session_stats_t>();
            let code = known(echocart_session_stats(self.session, bytes, &mut stats));
            if code == ECHOCART_OK {
                assert!(sum(&stats.counters) == stats.counters.captured);
            }
            let bytes = script.odd_size::<echocart_session_memory_t>();
            known(echocart_session_memory(self.session, bytes, &mut memory));
            let (path, mut saved) = (c"/dev/null/none", [UNTOUCHED; 2]);
            let [records, frames] = &mut saved;
            let code = known(echocart_session_save(
                self.session,
                path.as_ptr(),
                14,
                records,
                frames,
            ));
            assert!(code != ECHOCART_OK && saved == [UNTOUCHED; 2]);
        }
    }

    /// A session that cannot be had: nothing here names a package that is there.
    fn create_fails(&mut self, script: &mut Script<'_>) {
        // SAFETY: all zero is a valid configuration.
        let mut config: echocart_session_config_t = unsafe { zeroed() };
        let text = b"/dev/null/no package\xFF";
        config.struct_size = script.odd_size::<echocart_session_config_t>();
        config.abi_version = script.odd(u64::from(ECHOCART_ABI_VERSION)) as u32;
        config.pace = script.odd(0) as u32;
        config.allow_demonstration = script.odd(1) as u32;
        config.package_dir = if script.seldom() {
            null()
        } else {
            text.as_ptr().cast()
        };
        config.package_dir_bytes = script.odd(20).min(21);
        config.library_path = text.as_ptr().cast();
        config.library_path_bytes = script.odd(20).min(21);
        config.config_toml = text.as_ptr().cast();
        config.config_toml_bytes = script.odd(0).min(21);
        config.isolation = script.odd(0) as u32;
        config.priority = ECHOCART_PRIORITY_INHERIT;
        config.threads = script.odd(0) as u32;
        config.log_level = script.odd(0) as u32;
        config.gpu_memory_bytes = script.odd(0);
        config.reserve_frame_bytes = script.odd(0);
        let (mut session, mut frames, mut results) = (null_mut(), null_mut(), null_mut());
        // SAFETY: the texts are as long as said, and the outputs are places for pointers.
        let code =
            unsafe { echocart_session_create(&config, &mut session, &mut frames, &mut results) };
        assert_ne!(known(code), ECHOCART_OK);
        assert!(session.is_null() && frames.is_null() && results.is_null());
    }

    fn subscribe(&mut self, script: &mut Script<'_>) {
        let user_data = (&raw const *self.heard).cast_mut().cast();
        let callback: echocart_result_callback_t = match script.byte() {
            0 => Some(hear),
            _ => None,
        };
        // SAFETY: `heard` outlives the port.
        let code = unsafe { echocart_result_subscribe(self.results, callback, user_data) };
        self.subscribed |= known(code) == ECHOCART_OK;
    }

    fn end_a_handle(&mut self, script: &mut Script<'_>) {
        // SAFETY: each variable is NULL or holds a live handle.
        let code = unsafe {
            match script.byte() {
                0..=31 => echocart_session_destroy(&mut self.session),
                32..=47 => {
                    self.lent = null_mut();
                    echocart_frame_port_destroy(&mut self.frames)
                }
                48..=55 => echocart_result_port_destroy(&mut self.results),
                56..=99 => echocart_session_destroy(null_mut()),
                100..=149 => echocart_frame_port_destroy(null_mut()),
                _ => echocart_result_port_destroy(null_mut()),
            }
        };
        assert_eq!(known(code), ECHOCART_OK);
    }

    fn without_a_handle(&mut self, script: &mut Script<'_>) {
        let number = script.word() as u32;
        assert!(!echocart_code_text(number).is_null());
        let mut now = UNTOUCHED as i64;
        let place = if script.seldom() {
            null_mut()
        } else {
            &raw mut now
        };
        // SAFETY: NULL or a place for the time.
        written(unsafe { echocart_clock_now(place) }, now as u64);
    }

    /// Stops, takes what is left, and compares the account with what the calls said.
    fn finish(mut self) {
        // SAFETY: live handles or NULL; the result has its size.
        unsafe {
            known(echocart_session_stop(self.session, 0));
            let mut result: echocart_result_t = zeroed();
            let bytes = size_of::<echocart_result_t>() as u32;
            while !self.results.is_null() && !self.subscribed {
                let code = known(echocart_result_wait(
                    self.results,
                    2_000_000,
                    bytes,
                    &mut result,
                ));
                self.seen(code, &result);
                if code != ECHOCART_OK {
                    assert_eq!(code, Code::End as u32);
                    break;
                }
            }
            if let Some(counters) = &self.summary {
                assert_eq!(sum(counters), counters.captured);
                // A stop without patience leaves what the ring still held uncounted or in flight.
                assert!(counters.captured <= self.counted);
            }
            known(echocart_session_destroy(&mut self.session));
            known(echocart_result_port_destroy(&mut self.results));
            known(echocart_frame_port_destroy(&mut self.frames));
        }
    }
}

fn sum(counters: &echocart_counters_t) -> u64 {
    let rejected: u64 = counters.rejected.iter().sum();
    let ended = counters.used + counters.unused + counters.dropped_ring_full;
    ended + rejected + counters.in_flight
}

#[cfg(test)]
mod tests {
    use super::run;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn no_sequence_of_calls_breaks_a_promise(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            run(&bytes);
        }

        #[test]
        fn nor_does_one_of_mostly_usual_calls(
            bytes in prop::collection::vec(prop_oneof![3 => 8_u8..=255, 1 => 0_u8..8], 0..2000)
        ) {
            run(&bytes);
        }
    }

    #[test]
    fn what_the_fuzzer_found_and_kept_stays_harmless() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/calls");
        let files: Vec<_> = fs::read_dir(&corpus).unwrap().collect();
        assert!(files.len() >= 8, "{}", corpus.display());
        for file in files {
            run(&fs::read(file.unwrap().path()).unwrap());
        }
    }
}
