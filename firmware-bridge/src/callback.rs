//! Functions of the caller's that the library calls.
#![expect(unsafe_code, reason = "only the caller can vouch for its functions")]

use crate::abi::{echocart_log_callback_t, echocart_result_t};
use crate::here::calling;
use std::ffi::{CString, c_char, c_void};
use std::fmt;

type ResultFunction = unsafe extern "C" fn(*mut c_void, *const echocart_result_t);
type LogFunction = unsafe extern "C" fn(*mut c_void, u32, *const c_char, u64);

/// Where results go.
#[derive(Debug)]
pub(crate) struct ResultSink {
    callback: ResultFunction,
    user_data: *mut c_void,
}

// SAFETY: `new`'s promise: the function may be called from another thread.
unsafe impl Send for ResultSink {}

impl ResultSink {
    /// # Safety
    /// `callback` may be called with `user_data` from any one thread while this value lives.
    pub unsafe fn new(callback: ResultFunction, user_data: *mut c_void) -> Self {
        Self {
            callback,
            user_data,
        }
    }

    pub fn take(&self, result: &echocart_result_t) {
        // SAFETY: `new`'s promise; the result lives until the call returns.
        calling(|| unsafe { (self.callback)(self.user_data, result) });
    }
}

/// Where the log goes, and how much of it.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    callback: Option<LogFunction>,
    user_data: *mut c_void,
    level: u32,
}

// SAFETY: the configuration says that the function is called from several threads.
unsafe impl Send for Log {}
// SAFETY: as above.
unsafe impl Sync for Log {}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.level)
    }
}

impl Log {
    pub fn new(callback: echocart_log_callback_t, user_data: *mut c_void, level: u32) -> Self {
        Self {
            callback,
            user_data,
            level,
        }
    }

    /// Says `text` if the level is wanted.
    pub fn say(&self, level: u32, text: &str) {
        let Some(callback) = self.callback.filter(|_| level <= self.level) else {
            return;
        };
        let Ok(text) = CString::new(text.replace('\0', " ")) else {
            return;
        };
        let bytes = text.as_bytes().len() as u64;
        // SAFETY: the header's promise for the function; the text lives until it returns.
        calling(|| unsafe { callback(self.user_data, level, text.as_ptr(), bytes) });
    }
}
