//! Why a call gives no [`Code::Ok`], and the text that `echocart_last_error` hands out.

use crate::boundary::cut;
use crate::codes::Code;
use echocart_core::config::ConfigError;
use echocart_core::golden::GoldenError;
use echocart_core::package::PackageError;
use echocart_core::recorder::SaveError;
use echocart_core::ring::PushError;
use echocart_core::session::SessionError;
use echocart_infer::worker::WorkerError;
use echocart_infer::{Refused, SelectError};
use std::borrow::Cow;
use std::cell::RefCell;

/// A code and what a person should know about it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub code: Code,
    pub detail: Cow<'static, str>,
}

impl Fault {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    #[cold]
    #[inline(never)]
    pub fn null(what: &'static str) -> Self {
        Self::new(
            Code::NullArgument,
            format!("expected a pointer, found NULL: {what}"),
        )
    }

    #[cold]
    pub fn bad(what: &str, expected: &str, found: impl std::fmt::Display) -> Self {
        Self::new(
            Code::BadArgument,
            format!("expected {expected}, found {found}: {what}"),
        )
    }
}

impl From<Code> for Fault {
    #[cold]
    #[inline(never)]
    fn from(code: Code) -> Self {
        Self::new(code, code.text().to_str().unwrap_or_default())
    }
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Self {
        Self::new(
            Code::ConfigInvalid,
            format!("configuration: {}", one_line(&error.message)),
        )
    }
}

impl From<PackageError> for Fault {
    fn from(error: PackageError) -> Self {
        let code = match &error {
            PackageError::Read { .. } => Code::PackageUnreadable,
            PackageError::Missing { .. }
            | PackageError::Altered { .. }
            | PackageError::Signature { .. } => Code::PackageAltered,
            PackageError::TooNew { .. } => Code::PackageUnsupported,
            PackageError::Manifest { error, .. } if error.key == "format" => {
                Code::PackageUnsupported
            }
            PackageError::Unsigned { .. } => Code::PackageUnsigned,
            _ => Code::PackageInvalid,
        };
        Self::new(code, one_line(&error.to_string()))
    }
}

impl From<SelectError> for Fault {
    fn from(error: SelectError) -> Self {
        Self::new(code_of(error.kind()), one_line(&error.to_string()))
    }
}

impl From<WorkerError> for Fault {
    fn from(error: WorkerError) -> Self {
        let code = match &error {
            WorkerError::Missing { .. } => Code::WorkerMissing,
            other => code_of(other.kind()),
        };
        Self::new(code, one_line(&error.to_string()))
    }
}

fn code_of(kind: Refused) -> Code {
    match kind {
        Refused::LibraryMissing => Code::LibraryMissing,
        Refused::LibraryUnknown => Code::LibraryUnknown,
        Refused::LibraryConflict => Code::LibraryConflict,
        Refused::LibraryFailed => Code::LibraryFailed,
        Refused::PackageUnreadable => Code::PackageUnreadable,
        Refused::PackageInvalid => Code::PackageInvalid,
        Refused::PackageUnsupported | Refused::NotProven => Code::PackageUnsupported,
        Refused::WrongAnswers => Code::SelfTestFailed,
        Refused::Thread => Code::ThreadFailed,
        Refused::Configuration => Code::ConfigInvalid,
        Refused::Cpus => Code::CpuSetRefused,
        _ => Code::EngineFailed,
    }
}

impl From<SaveError> for Fault {
    fn from(error: SaveError) -> Self {
        Self::new(Code::SaveFailed, one_line(&error.to_string()))
    }
}

impl From<SessionError> for Fault {
    fn from(error: SessionError) -> Self {
        let code = match &error {
            SessionError::Thread { .. } => Code::ThreadFailed,
            _ => Code::PackageInvalid,
        };
        Self::new(code, one_line(&error.to_string()))
    }
}

impl From<GoldenError> for Fault {
    fn from(error: GoldenError) -> Self {
        let code = match &error {
            GoldenError::Read { .. } => Code::PackageUnreadable,
            GoldenError::Engine(_) => Code::EngineFailed,
            GoldenError::Package { .. } => Code::PackageUnsupported,
            _ => Code::PackageInvalid,
        };
        Self::new(code, one_line(&error.to_string()))
    }
}

impl From<PushError> for Fault {
    #[cold]
    fn from(error: PushError) -> Self {
        let code = match error {
            PushError::Size { .. } | PushError::Pixels { .. } => Code::BadFrameSize,
            PushError::Time { .. } => Code::BadTime,
            PushError::Ended => Code::Closed,
        };
        Self::new(code, error.to_string())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

thread_local! {
    static LAST: RefCell<Cow<'static, str>> = const { RefCell::new(Cow::Borrowed("")) };
}

/// Most bytes kept of a text: a configuration may have a line of any length.
const MOST_BYTES: usize = 4096;

/// Keeps `detail` as this thread's last error.
pub(crate) fn remember(mut detail: Cow<'static, str>) {
    if detail.len() > MOST_BYTES {
        detail = Cow::Owned(cut(&detail, MOST_BYTES).to_owned());
    }
    let _ = LAST.try_with(|last| *last.borrow_mut() = detail);
}

/// This thread's last error, empty when there was none.
pub(crate) fn last() -> Cow<'static, str> {
    LAST.try_with(|last| last.borrow().clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use echocart_infer::{LibraryError, OpenError};
    use std::io;
    use std::path::PathBuf;

    fn code(fault: impl Into<Fault>) -> Code {
        let fault = fault.into();
        assert!(!fault.detail.is_empty() && !fault.detail.contains('\n'));
        fault.code
    }

    #[test]
    fn errors_that_cannot_be_provoked_at_will_have_their_code() {
        let thread = SessionError::Thread {
            name: "echocart-infer",
            source: io::Error::other("no more"),
        };
        assert_eq!(code(thread), Code::ThreadFailed);
        let load = LibraryError::Load {
            message: "two\nlines".to_owned(),
            path: PathBuf::from("lib.so"),
        };
        assert_eq!(code(SelectError::from(load)), Code::LibraryFailed);
        let variant = OpenError::NoVariant {
            variant: "fp32".to_owned(),
            found: "int8".to_owned(),
            path: PathBuf::from("p"),
        };
        assert_eq!(code(SelectError::from(variant)), Code::PackageUnsupported);
        let cpus = OpenError::Cpus {
            message: "no such CPU".to_owned(),
        };
        assert_eq!(code(SelectError::from(cpus)), Code::CpuSetRefused);
    }

    #[test]
    fn a_text_that_is_kept_has_an_end() {
        remember(Cow::Owned("é".repeat(MOST_BYTES)));
        assert_eq!(last().len(), MOST_BYTES);
        assert!(last().chars().all(|c| c == 'é'));
    }
}
