//! Result codes: one number space, no number ever used twice.
//!
//! 0 ok, 1000 to 1099 the caller, 1100 to 1199 flow (not a failure), 2xxx data and configuration,
//! 3xxx device and engine, 9xxx internal. Last added: 3009.

use std::ffi::CStr;

/// The call did what it says.
pub const ECHOCART_OK: u32 = 0;
/// A pointer that must not be NULL is NULL: a handle, a struct, an output, or text with a length.
pub const ECHOCART_NULL_ARGUMENT: u32 = 1001;
/// An argument or a field has a value that is not allowed.
pub const ECHOCART_BAD_ARGUMENT: u32 = 1002;
/// `struct_size`, or the size given for an output struct, is not one this library knows.
pub const ECHOCART_BAD_STRUCT_SIZE: u32 = 1003;
/// The caller was built for another major version or a later minor version.
pub const ECHOCART_ABI_MISMATCH: u32 = 1004;
/// Text is not UTF-8.
pub const ECHOCART_BAD_TEXT: u32 = 1005;
/// The number is reserved for something this version does not do.
pub const ECHOCART_UNSUPPORTED: u32 = 1006;
/// Width, height, row stride and pixel bytes do not fit together or exceed the limit.
pub const ECHOCART_BAD_FRAME_SIZE: u32 = 1007;
/// The capture time is negative, absurd, or in real pace later than now.
pub const ECHOCART_BAD_TIME: u32 = 1008;
/// Another thread is inside a call with the same handle.
pub const ECHOCART_CONCURRENT_USE: u32 = 1009;
/// No frame is taken any more: the port is closed, the session stopped or its result port gone.
pub const ECHOCART_CLOSED: u32 = 1010;
/// The call came from inside a callback of this library.
pub const ECHOCART_IN_CALLBACK: u32 = 1011;
/// The call does not fit what the handle is doing: a second lease or subscription, a commit without
/// a lease, a start after the end, a poll beside a callback.
pub const ECHOCART_BAD_STATE: u32 = 1012;
/// Maximum pace: no room now. The frame was not taken and not counted; poll, then push it again.
pub const ECHOCART_WOULD_BLOCK: u32 = 1101;
/// No result is waiting. More may come.
pub const ECHOCART_EMPTY: u32 = 1102;
/// The summary was the last result. None will come.
pub const ECHOCART_END: u32 = 1103;
/// Real pace: the ring was full. The frame was counted as dropped; do not push it again.
pub const ECHOCART_DROPPED: u32 = 1104;
/// The session is stopped, but the pipeline had not run dry when the time ran out: frames may be left.
pub const ECHOCART_TIMEOUT: u32 = 1105;
/// The session is not started, or paused. The frame was not taken and not counted.
pub const ECHOCART_PAUSED: u32 = 1106;
/// The configuration does not parse, lacks a key, has an unknown key or a value out of range.
pub const ECHOCART_CONFIG_INVALID: u32 = 2001;
/// A file of the package cannot be read.
pub const ECHOCART_PACKAGE_UNREADABLE: u32 = 2002;
/// `package.toml` is no valid manifest.
pub const ECHOCART_PACKAGE_INVALID: u32 = 2003;
/// A file of the package is missing or is not the one that its manifest lists, or its signature
/// is one of another manifest.
pub const ECHOCART_PACKAGE_ALTERED: u32 = 2004;
/// The package has no signature by a trusted key and the configuration does not allow that.
pub const ECHOCART_PACKAGE_UNSIGNED: u32 = 2005;
/// The package is valid but needs a newer echocart, holds more than this ABI can carry, or no
/// variant that can serve.
pub const ECHOCART_PACKAGE_UNSUPPORTED: u32 = 2006;
/// The ONNX Runtime library is missing or cannot be read.
pub const ECHOCART_LIBRARY_MISSING: u32 = 3001;
/// The file is not an ONNX Runtime library that this version was built for.
pub const ECHOCART_LIBRARY_UNKNOWN: u32 = 3002;
/// This process has already loaded another ONNX Runtime library, through this one or on its own.
pub const ECHOCART_LIBRARY_CONFLICT: u32 = 3003;
/// The operating system or ONNX Runtime itself refused the library.
pub const ECHOCART_LIBRARY_FAILED: u32 = 3004;
/// ONNX Runtime does not take a graph of the package.
pub const ECHOCART_ENGINE_FAILED: u32 = 3005;
/// The operating system gave no thread.
pub const ECHOCART_THREAD_FAILED: u32 = 3006;
/// The engine does not give what the package's golden clips expect.
pub const ECHOCART_SELF_TEST_FAILED: u32 = 3007;
/// The operating system refused the CPU set.
pub const ECHOCART_CPU_SET_REFUSED: u32 = 3008;
/// Isolation WORKER, and `echocart-worker` is not where it should be. Since ABI 0.2.
pub const ECHOCART_WORKER_MISSING: u32 = 3009;
/// The recording's file cannot be written. Since ABI 0.3.
pub const ECHOCART_SAVE_FAILED: u32 = 3010;
/// A defect in the library. The handle of the call is poisoned.
pub const ECHOCART_PANIC: u32 = 9001;
/// An earlier call with this handle ended in ECHOCART_PANIC. Only destroying it is left.
pub const ECHOCART_POISONED: u32 = 9002;

macro_rules! table {
    ($($name:ident = $number:ident, $text:literal;)*) => {
        /// A result code as the Rust side holds it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Code {
            $(
                #[doc = concat!("[`", stringify!($number), "`].")]
                $name = $number,
            )*
        }

        impl Code {
            /// Every code with the name it has in the header.
            pub const ALL: &'static [(Self, &'static str)] =
                &[$((Self::$name, stringify!($number)),)*];

            /// What the code means, in static text.
            pub fn text(self) -> &'static CStr {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }

        impl TryFrom<u32> for Code {
            type Error = u32;

            fn try_from(number: u32) -> Result<Self, u32> {
                match number {
                    $($number => Ok(Self::$name),)*
                    unknown => Err(unknown),
                }
            }
        }
    };
}

table! {
    Ok = ECHOCART_OK, c"ok";
    NullArgument = ECHOCART_NULL_ARGUMENT, c"a pointer that must not be NULL is NULL";
    BadArgument = ECHOCART_BAD_ARGUMENT, c"a value is not allowed";
    BadStructSize = ECHOCART_BAD_STRUCT_SIZE, c"a struct has a size this library does not know";
    AbiMismatch = ECHOCART_ABI_MISMATCH, c"the caller was built for another ABI version";
    BadText = ECHOCART_BAD_TEXT, c"text is not UTF-8, or has a NUL";
    Unsupported = ECHOCART_UNSUPPORTED, c"reserved, but not supported by this version";
    BadFrameSize = ECHOCART_BAD_FRAME_SIZE, c"the sizes of a frame do not fit";
    BadTime = ECHOCART_BAD_TIME, c"a capture time cannot be right";
    ConcurrentUse = ECHOCART_CONCURRENT_USE, c"another thread is using the handle";
    Closed = ECHOCART_CLOSED, c"no frame is taken any more: the port is closed, or the session stopped";
    InCallback = ECHOCART_IN_CALLBACK, c"called from inside a callback";
    BadState = ECHOCART_BAD_STATE, c"the call does not fit what the handle is doing";
    WouldBlock = ECHOCART_WOULD_BLOCK, c"no room for the frame now, push it again";
    Empty = ECHOCART_EMPTY, c"no result is waiting";
    End = ECHOCART_END, c"no result will come any more";
    Dropped = ECHOCART_DROPPED, c"the frame was dropped and counted";
    Timeout = ECHOCART_TIMEOUT, c"stopped before every frame had gone through";
    Paused = ECHOCART_PAUSED, c"the session is not started or paused";
    ConfigInvalid = ECHOCART_CONFIG_INVALID, c"the configuration is not valid";
    PackageUnreadable = ECHOCART_PACKAGE_UNREADABLE, c"the package cannot be read";
    PackageInvalid = ECHOCART_PACKAGE_INVALID, c"the package is not valid";
    PackageAltered = ECHOCART_PACKAGE_ALTERED, c"a file of the package is missing or altered";
    PackageUnsigned = ECHOCART_PACKAGE_UNSIGNED, c"the package is not signed";
    PackageUnsupported = ECHOCART_PACKAGE_UNSUPPORTED, c"the package cannot be served by this version";
    LibraryMissing = ECHOCART_LIBRARY_MISSING, c"the ONNX Runtime library is missing";
    LibraryUnknown = ECHOCART_LIBRARY_UNKNOWN, c"the ONNX Runtime library is not a known one";
    LibraryConflict = ECHOCART_LIBRARY_CONFLICT, c"another ONNX Runtime library is loaded already";
    LibraryFailed = ECHOCART_LIBRARY_FAILED, c"the ONNX Runtime library does not load";
    EngineFailed = ECHOCART_ENGINE_FAILED, c"the engine or its worker does not start";
    ThreadFailed = ECHOCART_THREAD_FAILED, c"a thread cannot be started";
    SelfTestFailed = ECHOCART_SELF_TEST_FAILED, c"the engine does not give the package's numbers";
    CpuSetRefused = ECHOCART_CPU_SET_REFUSED, c"the CPU set cannot be had";
    WorkerMissing = ECHOCART_WORKER_MISSING, c"the worker's executable is missing";
    SaveFailed = ECHOCART_SAVE_FAILED, c"the recording cannot be written";
    Panic = ECHOCART_PANIC, c"a defect in the library";
    Poisoned = ECHOCART_POISONED, c"the handle is unusable after a defect";
}

impl Code {
    /// True for codes that tell how the stream goes and leave the thread's error text alone.
    pub fn is_flow(self) -> bool {
        (1100..1200).contains(&(self as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_named_worded_and_come_back_from_their_number() {
        let mut numbers = BTreeSet::new();
        let mut texts = BTreeSet::new();
        for (code, name) in Code::ALL {
            assert!(name.starts_with("ECHOCART_"), "{name}");
            assert!(numbers.insert(*code as u32), "{name}");
            assert!(texts.insert(code.text().to_str().unwrap()), "{name}");
            assert!(!code.text().is_empty(), "{name}");
            assert_eq!(Code::try_from(*code as u32), Ok(*code));
        }
        assert_eq!(Code::try_from(1000), Err(1000));
    }

    #[test]
    fn every_code_lies_in_a_stated_range() {
        for (code, name) in Code::ALL {
            let number = *code as u32;
            let stated =
                matches!(number, 0 | 1001..=1199 | 2001..=2999 | 3001..=3999 | 9001..=9099);
            assert!(stated, "{name} {number}");
        }
    }
}
