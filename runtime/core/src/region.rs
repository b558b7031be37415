//! Where something lies in memory, for those who ask the processor for it before they need it.

/// An address and a length; nobody reads or writes through it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Region {
    /// Address of the first byte.
    pub start: usize,
    /// How many bytes.
    pub bytes: usize,
}

impl Region {
    /// Nowhere.
    pub const NONE: Self = Self { start: 0, bytes: 0 };

    /// Where `value` itself lies, without what it points to.
    pub fn of<T>(value: &T) -> Self {
        Self {
            start: std::ptr::from_ref(value).addr(),
            bytes: size_of::<T>(),
        }
    }
}
