//! The standard views.

use std::fmt;

/// A standard view of the heart, or anything else that a probe may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// Apical two-chamber.
    A2c,
    /// Apical three-chamber, or apical long axis.
    A3c,
    /// Apical four-chamber.
    A4c,
    /// Apical five-chamber.
    A5c,
    /// No standard view: off-axis, another organ, no contact, a still.
    Other,
    /// Parasternal long axis.
    Plax,
    /// Parasternal short axis, apical level.
    PsaxAp,
    /// Parasternal short axis, level of the aortic valve.
    PsaxAv,
    /// Parasternal short axis, level of the mitral valve.
    PsaxMv,
    /// Parasternal short axis, level of the papillary muscles.
    PsaxPm,
    /// Subcostal four-chamber.
    Subcostal,
}

impl View {
    /// Every view that the phantom can make.
    pub const ALL: [Self; 11] = [
        Self::A2c,
        Self::A3c,
        Self::A4c,
        Self::A5c,
        Self::Other,
        Self::Plax,
        Self::PsaxAp,
        Self::PsaxAv,
        Self::PsaxMv,
        Self::PsaxPm,
        Self::Subcostal,
    ];

    /// The name that EchoJEPA's view classes have.
    pub fn name(self) -> &'static str {
        match self {
            Self::A2c => "A2C",
            Self::A3c => "A3C",
            Self::A4c => "A4C",
            Self::A5c => "A5C",
            Self::Other => "Other",
            Self::Plax => "PLAX",
            Self::PsaxAp => "PSAX-AP",
            Self::PsaxAv => "PSAX-AV",
            Self::PsaxMv => "PSAX-MV",
            Self::PsaxPm => "PSAX-PM",
            Self::Subcostal => "Subcostal",
        }
    }

    /// The class's number among EchoJEPA's 13 view classes, of which the phantom lacks 10 (SSN)
    /// and 12 (TEE).
    pub fn class_id(self) -> u8 {
        match self {
            Self::A2c => 0,
            Self::A3c => 1,
            Self::A4c => 2,
            Self::A5c => 3,
            Self::Other => 4,
            Self::Plax => 5,
            Self::PsaxAp => 6,
            Self::PsaxAv => 7,
            Self::PsaxMv => 8,
            Self::PsaxPm => 9,
            Self::Subcostal => 11,
        }
    }

    /// The view of a name, whatever its case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|view| view.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
