//! One set-up at a time in a checkout.

use crate::layout::Layout;
use anyhow::{Context, Result};
use std::fs::{self, File, TryLockError};

/// Held while `.echocart` is being changed; the system lets go of it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until no other set-up runs in this checkout.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn take(layout: &Layout) -> Result<Self> {
        let dir = layout.echocart();
        fs::create_dir_all(&dir).with_context(|| format!("cannot create ({})", dir.display()))?;
        let path = dir.join("lock");
        let cannot_lock = || format!("cannot lock ({})", path.display());
        let file = File::create(&path).with_context(cannot_lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                println!("waiting for another set-up in this checkout to end");
                file.lock().with_context(cannot_lock)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot_lock),
        }
        Ok(Self { _file: file })
    }
}
