//! A source that is spoiled on purpose, by a script and a seed.

mod noise;
mod picture;
mod script;
mod source;

pub use self::script::Script;
pub use self::source::FaultSource;
pub(crate) use self::source::open_location;

/// Scheme of spoiled sources.
pub(crate) const SCHEME: &str = "fault:";
