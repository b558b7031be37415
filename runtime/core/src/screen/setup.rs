//! What a site says about its scanner's screen.

use super::sector::{Outline, Shape};

/// Where the probe is on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apex {
    /// At the top.
    Up,
    /// At the bottom.
    Down,
}

/// A side of the image, as a person looks at the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Left.
    Left,
    /// Right.
    Right,
}

impl Side {
    /// The word used in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

/// A site's setting.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ScreenSetup {
    /// Where the probe is, if that is checked.
    pub apex: Option<Apex>,
    /// On which side the scanner's orientation mark is, if that is checked.
    pub marker: Option<Side>,
    /// The imaging area, where the site knows it; otherwise it is looked for.
    pub pinned: Option<Pinned>,
}

/// An imaging area that is known beforehand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pinned {
    /// Its outline.
    pub outline: Outline,
    /// Its kind.
    pub shape: Shape,
}
