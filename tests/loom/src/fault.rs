//! As much of the bridge's faults as the intake needs.

use crate::codes::Code;
use std::borrow::Cow;

#[derive(Debug)]
pub(crate) struct Fault {
    pub code: Code,
}

impl Fault {
    pub fn new(code: Code, _: impl Into<Cow<'static, str>>) -> Self {
        Self { code }
    }
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Self { code }
    }
}
