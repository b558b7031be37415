//! What a pipeline must know of a source besides its frames.

/// What a source says of its frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceTraits {
    /// They are of a simulated heart: the only ones that a package trained on such hearts may give
    /// a VALUE for.
    pub simulated: bool,
    /// It shows the same pictures again and again on purpose: that is then no REVIEW_LOOP.
    pub loops: bool,
}

/// What a source says that is no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The device went away.
    Lost {
        /// What happened, on one line.
        why: String,
    },
    /// The device is there again.
    Back {
        /// How long it was away.
        away_nanos: i64,
    },
    /// The device's clock was taken up anew.
    Reanchored,
    /// The source lost frames before they could be handed in.
    Missed {
        /// How many.
        frames: u64,
    },
}
