//! What kind of thing keeps an engine from serving, also across a process.

use crate::engine::OpenError;
use crate::gate::GateError;
use crate::library::LibraryError;
use crate::select::SelectError;
use echocart_core::golden::GoldenError;
use serde::{Deserialize, Serialize};

/// Kinds of reasons why no engine serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refused {
    /// No library file.
    LibraryMissing,
    /// A library file that is not approved, or without the provider.
    LibraryUnknown,
    /// Another library is loaded already.
    LibraryConflict,
    /// The library does not load.
    LibraryFailed,
    /// A file of the package cannot be read.
    PackageUnreadable,
    /// The package is not what it was when it was opened first, or contradicts itself.
    PackageInvalid,
    /// The package has nothing that the provider may run.
    PackageUnsupported,
    /// A graph does not load.
    GraphFailed,
    /// The package has nothing to prove the variant with.
    NotProven,
    /// Answers are not those the package expects.
    WrongAnswers,
    /// The configuration names what is not there.
    Configuration,
    /// The CPU set cannot be had.
    Cpus,
    /// The provider, the system or the worker fails.
    EngineFailed,
    /// The system gives no thread.
    Thread,
}

impl SelectError {
    /// Its kind.
    pub fn kind(&self) -> Refused {
        match self {
            Self::Library(error) => match error {
                LibraryError::Missing { .. } => Refused::LibraryMissing,
                LibraryError::Unknown { .. } => Refused::LibraryUnknown,
                LibraryError::Another { .. } => Refused::LibraryConflict,
                _ => Refused::LibraryFailed,
            },
            Self::Open(OpenError::NoVariant { .. } | OpenError::WrongProvider { .. })
            | Self::NoVariant { .. } => Refused::PackageUnsupported,
            Self::Open(OpenError::GpuMemory { .. }) => Refused::Configuration,
            Self::Open(OpenError::Cpus { .. }) => Refused::Cpus,
            Self::Open(_) => Refused::GraphFailed,
            Self::Gate(GateError::Wrong { .. }) => Refused::WrongAnswers,
            Self::Gate(GateError::NotRun { error, .. }) => match **error {
                GoldenError::Read { .. } => Refused::PackageUnreadable,
                GoldenError::Engine(_) => Refused::EngineFailed,
                GoldenError::Package { .. } => Refused::NotProven,
                _ => Refused::PackageInvalid,
            },
            Self::NotInLibrary { .. } | Self::NotApproved { .. } => Refused::LibraryUnknown,
            Self::Provider(_) | Self::Auto => Refused::Configuration,
            _ => Refused::EngineFailed,
        }
    }
}
