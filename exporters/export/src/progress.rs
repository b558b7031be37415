//! Steps that are shown and can be stopped.

use crate::error::ExportError;
use echocart_core::hash::sha256_file_checked;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// Called with what is being done, and how many of how many steps are behind; `Break` stops.
///
/// A long step calls it again and again with the same words and numbers. There are 0 steps until
/// their number is known.
pub type Progress<'a> = &'a mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>;

pub(crate) fn go_on(flow: ControlFlow<()>) -> Result<(), ExportError> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ExportError::Interrupted),
    }
}

/// The steps of one export.
pub(crate) struct Steps<'a> {
    progress: Progress<'a>,
    what: String,
    behind: usize,
    next: usize,
    total: usize,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(progress: Progress<'a>) -> Self {
        Self {
            progress,
            what: String::new(),
            behind: 0,
            next: 0,
            total: 0,
        }
    }

    /// Counting starts: there are `total` steps.
    pub(crate) fn count(&mut self, total: usize) {
        (self.behind, self.next, self.total) = (0, 0, total);
    }

    /// The next step starts.
    pub(crate) fn step(&mut self, what: &str) -> Result<(), ExportError> {
        what.clone_into(&mut self.what);
        self.behind = self.next;
        if self.total > 0 {
            self.next += 1;
        }
        self.check()
    }

    /// The step goes on.
    pub(crate) fn check(&mut self) -> Result<(), ExportError> {
        go_on((self.progress)(&self.what, self.behind, self.total))
    }

    /// Everything is done and cannot be stopped any more.
    pub(crate) fn done(&mut self) {
        let _ = (self.progress)("done", self.total, self.total);
    }

    /// SHA-256 and length of a file, with a check after every piece.
    pub(crate) fn hash(&mut self, path: &Path) -> Result<(String, u64), ExportError> {
        let mut stopped = false;
        let hashed = sha256_file_checked(path, &mut || {
            stopped = self.check().is_err();
            if stopped {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Ok(())
        });
        if stopped {
            return Err(ExportError::Interrupted);
        }
        hashed.map_err(ExportError::read(path))
    }
}
