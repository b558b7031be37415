//! What can be wrong with a request to the phantom.

/// Why a phantom cannot be made.
///
/// Each message is one line: what, what was expected, what was found, and the key last.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PhantomError {
    /// A number is not finite or outside its range.
    #[error("phantom: expected {from} to {to} {unit}, found {found}: {key}")]
    Range {
        /// Smallest value.
        from: f32,
        /// Largest value.
        to: f32,
        /// Unit of both.
        unit: &'static str,
        /// The value given.
        found: f32,
        /// The parameter.
        key: &'static str,
    },
    /// A text is not one of the known words or not a number.
    #[error("phantom: expected {expected}, found {found:?}: {key}")]
    Word {
        /// What would do.
        expected: String,
        /// The text given.
        found: String,
        /// The parameter.
        key: String,
    },
    /// A parameter that does not exist.
    #[error("phantom: expected one of {expected}, found an unknown key: {found}")]
    Key {
        /// The known keys.
        expected: String,
        /// The key given.
        found: String,
    },
    /// A parameter that was given twice.
    #[error("phantom: expected each key once, found a second one: {key}")]
    Twice {
        /// The key.
        key: String,
    },
    /// Two parameters that exclude one another.
    #[error("phantom: expected {expected}, found {found}: {key}")]
    Conflict {
        /// What would do.
        expected: &'static str,
        /// What was given.
        found: String,
        /// The parameter.
        key: &'static str,
    },
}

/// Checks that a parameter is finite and within its range, both ends included.
pub(crate) fn within(
    key: &'static str,
    found: f32,
    from: f32,
    to: f32,
    unit: &'static str,
) -> Result<(), PhantomError> {
    if found.is_finite() && (from..=to).contains(&found) {
        return Ok(());
    }
    Err(PhantomError::Range {
        from,
        to,
        unit,
        found,
        key,
    })
}
