//! The only way in: NULL, poisoned and busy handles, panics, and pointers of the caller.
#![expect(
    unsafe_code,
    reason = "pointers of the caller become references and values here"
)]

use crate::codes::Code;
use crate::fault::{self, Fault};
use crate::here::{self, Here};
use parking_lot::Mutex;
use std::any::Any;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// An opaque handle.
pub(crate) trait Handle {
    /// What calls work on.
    type State;

    fn new(guarded: Guarded<Self::State>) -> Self;
    fn guarded(&self) -> &Guarded<Self::State>;
    fn into_guarded(self) -> Guarded<Self::State>;
}

/// The state of a handle, and whether a panic has left it half-updated.
///
/// The lock is never waited for. That of the standard library knows about panics by itself, from a
/// count on a page that no other part of a call touches. The alignment keeps what a lease reads first on one page.
#[repr(C, align(512))]
pub(crate) struct Guarded<T> {
    poisoned: AtomicBool,
    state: Mutex<T>,
}

/// Poisons a handle unless it is defused.
struct Fuse<'a>(&'a AtomicBool);

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `body` without a handle and turns what happens into a code.
#[inline(always)]
pub(crate) fn enter(body: impl FnOnce(&Here) -> Result<(), Fault>) -> u32 {
    quiet_panics();
    caught(body)
}

/// Turns what happens into a code.
#[inline(always)]
fn caught(body: impl FnOnce(&Here) -> Result<(), Fault>) -> u32 {
    let outcome = here::inside(|here| catch_unwind(AssertUnwindSafe(|| body(here))));
    let code = match outcome {
        Ok(Ok(())) => Code::Ok,
        Ok(Err(fault)) => failed(fault),
        Err(payload) => panicked(payload),
    };
    code as u32
}

#[cold]
fn failed(fault: Fault) -> Code {
    if !fault.code.is_flow() {
        fault::remember(fault.detail);
    }
    fault.code
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> Code {
    fault::remember(panic_text(payload.as_ref()).into());
    // Dropping a payload may panic again, outside the net.
    std::mem::forget(payload);
    Code::Panic
}

/// Runs `body` on the state of `handle`.
///
/// # Safety
/// `handle` is NULL, or came from [`give`] and was not given to [`destroy`] since.
#[inline(always)]
pub(crate) unsafe fn with<H: Handle>(
    handle: *const H,
    body: impl FnOnce(&mut H::State) -> Result<(), Fault>,
) -> u32 {
    // `give` has quieted panics.
    caught(|here| {
        here.refuse_in_callback()?;
        // SAFETY: the caller's promise; the state behind it is locked before it is touched.
        let Some(handle) = (unsafe { handle.as_ref() }) else {
            return Err(Fault::null("handle"));
        };
        let Guarded { state, poisoned } = handle.guarded();
        let Some(mut state) = state.try_lock() else {
            return Err(Code::ConcurrentUse.into());
        };
        if poisoned.load(Ordering::Relaxed) {
            return Err(Code::Poisoned.into());
        }
        let fuse = Fuse(poisoned);
        let outcome = body(&mut state);
        std::mem::forget(fuse);
        outcome
    })
}

/// Takes the state out of `*handle`, sets `*handle` to NULL and runs `last` on the state.
///
/// # Safety
/// `handle` is NULL or points to a pointer that is NULL or came from [`give`].
pub(crate) unsafe fn destroy<H: Handle>(handle: *mut *mut H, last: impl FnOnce(H::State)) -> u32 {
    enter(|here| {
        here.refuse_in_callback()?;
        if handle.is_null() {
            return Ok(());
        }
        // SAFETY: not NULL, so it points to the caller's variable.
        let inner = unsafe { handle.read_unaligned() };
        // SAFETY: the caller's promise for the pointer in that variable.
        let Some(held) = (unsafe { inner.as_ref() }) else {
            return Ok(());
        };
        if held.guarded().state.is_locked() {
            return Err(Code::ConcurrentUse.into());
        }
        // SAFETY: as for the read above.
        unsafe { handle.write_unaligned(std::ptr::null_mut()) };
        // SAFETY: `give` made it with `Box::into_raw`, and the caller's variable is NULL now.
        let held = unsafe { Box::from_raw(inner) };
        last(held.into_guarded().state.into_inner());
        Ok(())
    })
}

/// Makes a handle and leaves it to the caller.
pub(crate) fn give<H: Handle>(state: H::State) -> *mut H {
    quiet_panics();
    Box::into_raw(Box::new(H::new(Guarded {
        state: Mutex::new(state),
        poisoned: AtomicBool::new(false),
    })))
}

/// The caller's place for an output.
#[derive(Debug)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is NULL or may be written with a `T`, aligned or not, until the call returns.
    pub unsafe fn new(pointer: *mut T, name: &'static str) -> Result<Self, Fault> {
        if pointer.is_null() {
            return Err(Fault::null(name));
        }
        Ok(Self(pointer))
    }

    pub fn set(self, value: T) {
        // SAFETY: `new`'s promise.
        unsafe { self.0.write_unaligned(value) }
    }
}

/// Copies a struct of the caller's after checking its leading `struct_size`.
///
/// # Safety
/// `pointer` is NULL or readable for 4 bytes, and for a whole `T` if these hold `size_of::<T>()`.
/// Any bytes are a valid `T`.
pub(crate) unsafe fn structure<T: Copy>(pointer: *const T, name: &'static str) -> Result<T, Fault> {
    if pointer.is_null() {
        return Err(Fault::null(name));
    }
    // SAFETY: not NULL, so at least `struct_size` is there.
    let found = unsafe { pointer.cast::<u32>().read_unaligned() };
    struct_size::<T>(found, name)?;
    // SAFETY: the struct says it is as long as `T`.
    Ok(unsafe { pointer.read_unaligned() })
}

/// As [`structure`], for a struct that had `earlier` bytes before: what it had not is zero.
///
/// # Safety
/// As [`structure`]; it is readable for `earlier` bytes if its size is that. All zero is a valid `T`.
pub(crate) unsafe fn grown<T: Copy>(
    pointer: *const T,
    earlier: usize,
    name: &'static str,
) -> Result<T, Fault> {
    if pointer.is_null() {
        return Err(Fault::null(name));
    }
    // SAFETY: not NULL, so at least `struct_size` is there.
    let found = unsafe { pointer.cast::<u32>().read_unaligned() } as usize;
    if found != earlier || found > size_of::<T>() {
        // SAFETY: passed on.
        return unsafe { structure(pointer, name) };
    }
    let mut whole = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the struct says it has `earlier` bytes, no more than a `T`; what they leave is zero,
    // which the caller says is valid.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), whole.as_mut_ptr().cast(), earlier);
        Ok(whole.assume_init())
    }
}

/// Checks a size that the caller gave for a `T`.
#[inline(always)]
pub(crate) fn struct_size<T>(found: u32, name: &'static str) -> Result<(), Fault> {
    if found as usize == size_of::<T>() {
        return Ok(());
    }
    Err(bad_struct_size(size_of::<T>(), found, name))
}

#[cold]
fn bad_struct_size(expected: usize, found: u32, name: &str) -> Fault {
    let text = format!("struct size: expected {expected}, found {found}: {name}");
    Fault::new(Code::BadStructSize, text)
}

/// Reads the second field of a versioned struct, which is its ABI version in every version.
///
/// # Safety
/// `pointer` is NULL or readable for 4 bytes, and for 8 if the first 4 hold 8 or more.
pub(crate) unsafe fn abi_version<T>(pointer: *const T, name: &'static str) -> Result<u32, Fault> {
    if pointer.is_null() {
        return Err(Fault::null(name));
    }
    let words = pointer.cast::<u32>();
    // SAFETY: not NULL, so the size is there.
    let size = unsafe { words.read_unaligned() };
    if size < 8 {
        struct_size::<T>(size, name)?;
    }
    // SAFETY: the struct has at least 8 bytes.
    Ok(unsafe { words.add(1).read_unaligned() })
}

/// Bytes of the caller's, borrowed for the call.
///
/// # Safety
/// `pointer` is NULL or readable for `bytes` bytes, which nobody changes during `'call`.
pub(crate) unsafe fn bytes<'call>(
    pointer: *const u8,
    bytes: u64,
    name: &'static str,
) -> Result<&'call [u8], Fault> {
    match (pointer.is_null(), usize::try_from(bytes)) {
        (true, Ok(0)) => Ok(&[]),
        (true, _) => Err(Fault::null(name)),
        (false, Ok(n)) if n <= isize::MAX as usize => {
            // SAFETY: not NULL, the caller's promise, and no longer than a slice may be.
            Ok(unsafe { std::slice::from_raw_parts(pointer, n) })
        }
        _ => Err(Fault::bad(name, "a length that fits into memory", bytes)),
    }
}

/// Text of the caller's, borrowed for the call.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn text<'call>(
    pointer: *const c_char,
    length: u64,
    name: &'static str,
) -> Result<&'call str, Fault> {
    // SAFETY: passed on.
    let bytes = unsafe { bytes(pointer.cast(), length, name) }?;
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Fault::new(Code::BadText, format!("expected UTF-8, found {e}: {name}")))?;
    match text.find('\0') {
        None => Ok(text),
        Some(at) => Err(Fault::new(
            Code::BadText,
            format!("expected text without NUL, found one at byte {at}: {name}"),
        )),
    }
}

/// Writes `text` with a terminating NUL into the caller's buffer, cut where it does not fit, and
/// its whole length without NUL to `out_bytes`.
///
/// # Safety
/// `buffer` is NULL or writable for `bytes` bytes; `out_bytes` is NULL or writable.
pub(crate) unsafe fn put_text(
    text: &str,
    buffer: *mut c_char,
    bytes: u64,
    out_bytes: *mut u64,
) -> Result<(), Fault> {
    // SAFETY: passed on.
    let out_bytes = unsafe { Out::new(out_bytes, "out_bytes") }?;
    if buffer.is_null() && bytes > 0 {
        return Err(Fault::null("buffer"));
    }
    let room = usize::try_from(bytes).unwrap_or(usize::MAX);
    if let Some(most) = room.checked_sub(1) {
        let cut = cut(text, most);
        // SAFETY: `cut` has at most `bytes - 1` bytes and cannot overlap a buffer of the caller's.
        unsafe {
            std::ptr::copy_nonoverlapping(cut.as_ptr().cast(), buffer, cut.len());
            buffer.add(cut.len()).write(0);
        }
    }
    out_bytes.set(text.len() as u64);
    Ok(())
}

/// The longest part of `text` of at most `most` bytes that ends between two characters.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or("")
}

/// Keeps panics of calls and of the library's threads off the standard error stream.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            let ours = thread.name().is_some_and(|n| n.starts_with("echocart-"));
            if !ours && !here::is_inside() {
                others(info);
            }
        }));
    });
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("defect in echocart: {}", text.unwrap_or("no description"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Counter(Guarded<u32>);

    impl Handle for Counter {
        type State = u32;
        fn new(guarded: Guarded<u32>) -> Self {
            Self(guarded)
        }
        fn guarded(&self) -> &Guarded<u32> {
            &self.0
        }
        fn into_guarded(self) -> Guarded<u32> {
            self.0
        }
    }

    fn add(handle: *const Counter, by: u32) -> u32 {
        // SAFETY: the tests pass NULL or a pointer of `give`.
        unsafe {
            with(handle, |n| {
                assert!(by != 13, "thirteen");
                *n += by;
                Ok(())
            })
        }
    }

    fn end(handle: &mut *mut Counter) -> (u32, Option<u32>) {
        let seen = Cell::new(None);
        // SAFETY: the tests pass NULL or a pointer of `give`.
        let code = unsafe { destroy(handle, |n| seen.set(Some(n))) };
        (code, seen.get())
    }

    #[test]
    fn an_injected_panic_is_a_code_poisons_the_handle_and_leaves_others_alone() {
        let mut one: *mut Counter = give(0);
        let mut two: *mut Counter = give(0);
        assert_eq!(add(one, 2), Code::Ok as u32);
        assert_eq!(add(one, 13), Code::Panic as u32);
        assert_eq!(fault::last(), "defect in echocart: thirteen");
        assert_eq!(add(one, 2), Code::Poisoned as u32);
        assert_eq!(add(two, 2), Code::Ok as u32);
        assert_eq!(end(&mut one), (0, Some(2)));
        assert_eq!(end(&mut two), (0, Some(2)));
    }

    #[test]
    fn a_null_handle_is_a_code_and_destroying_twice_does_nothing() {
        assert_eq!(add(std::ptr::null(), 1), Code::NullArgument as u32);
        let mut one: *mut Counter = give(5);
        assert_eq!(end(&mut one), (0, Some(5)));
        assert!(one.is_null());
        assert_eq!(end(&mut one), (0, None));
        // SAFETY: NULL is allowed.
        let code = unsafe { destroy::<Counter>(std::ptr::null_mut(), |_| ()) };
        assert_eq!(code, 0);
    }

    #[test]
    fn a_handle_in_use_is_neither_used_nor_destroyed() {
        let mut one: *mut Counter = give(5);
        // SAFETY: `one` came from `give`; the calls inside see the lock held.
        let code = unsafe {
            with(one, |_| {
                assert_eq!(add(one, 1), Code::ConcurrentUse as u32);
                let mut again = one;
                assert_eq!(end(&mut again), (Code::ConcurrentUse as u32, None));
                Ok(())
            })
        };
        assert_eq!(code, 0);
        assert_eq!(end(&mut one), (0, Some(5)));
    }

    #[test]
    fn a_panic_while_a_handle_is_destroyed_frees_it_and_nulls_the_variable() {
        let mut one: *mut Counter = give(5);
        // SAFETY: `one` came from `give`.
        let code = unsafe { destroy(&mut one, |_| panic!("late")) };
        assert_eq!(code, Code::Panic as u32);
        assert!(one.is_null());
    }

    #[test]
    fn text_is_cut_between_characters_and_always_ends_with_nul() {
        let text = "aé€😀";
        for room in 0..=12u64 {
            let mut buffer = [0x55u8; 12];
            let mut whole = 0u64;
            // SAFETY: the buffer has at least `room` bytes.
            unsafe { put_text(text, buffer.as_mut_ptr().cast(), room, &mut whole) }.unwrap();
            assert_eq!(whole, 10);
            let Some(end) = buffer[..room as usize].iter().position(|b| *b == 0) else {
                assert_eq!(room, 0);
                continue;
            };
            let kept = std::str::from_utf8(&buffer[..end]).unwrap();
            assert!(text.starts_with(kept), "{kept}");
            assert!(buffer[end + 1..].iter().all(|b| *b == 0x55), "{room}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_and_lengths_without_memory_are_refused() {
        let bad = [0xFFu8, b'a'];
        // SAFETY: two bytes are there.
        let error = unsafe { text(bad.as_ptr().cast(), 2, "x") }.unwrap_err();
        assert_eq!(error.code, Code::BadText);
        let cut = *b"/a\0b";
        // SAFETY: four bytes are there.
        let error = unsafe { text(cut.as_ptr().cast(), 4, "x") }.unwrap_err();
        assert_eq!(error.code, Code::BadText);
        assert_eq!(
            error.detail,
            "expected text without NUL, found one at byte 2: x"
        );
        // SAFETY: NULL is never read.
        let error = unsafe { text(std::ptr::null(), 2, "x") }.unwrap_err();
        assert_eq!(error.code, Code::NullArgument);
        // SAFETY: the length is refused before anything is read.
        let error = unsafe { text(bad.as_ptr().cast(), u64::MAX, "x") }.unwrap_err();
        assert_eq!(error.code, Code::BadArgument);
    }
}
