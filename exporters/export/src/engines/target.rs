//! The chips that engines are compiled for.

use echocart_core::manifest::Precision;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A chip, by its compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Ampere, data centre (A100).
    Sm80,
    /// Ampere (RTX A2000 to A6000; the GPU of IGX Orin's developer kit).
    Sm86,
    /// Ada Lovelace.
    Sm89,
    /// Blackwell.
    Sm120,
}

impl Target {
    /// Every chip that is compiled for.
    pub const ALL: [Self; 4] = [Self::Sm80, Self::Sm86, Self::Sm89, Self::Sm120];

    /// The word used on the command line and in file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sm80 => "sm80",
            Self::Sm86 => "sm86",
            Self::Sm89 => "sm89",
            Self::Sm120 => "sm120",
        }
    }

    /// Why the chip cannot take a number format; none if it can.
    pub fn refusal(self, precision: Precision) -> Option<&'static str> {
        let without_fp8 = matches!(self, Self::Sm80 | Self::Sm86);
        (precision == Precision::Fp8 && without_fp8).then_some(
            "8-bit floating point needs compute capability 8.9 or newer; TensorRT for RTX refuses \
             it below as a hardware-specific datatype",
        )
    }
}

/// A word that is no chip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("target: expected sm80, sm86, sm89 or sm120, found {0:?}")]
pub struct UnknownTarget(String);

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |target: &Self| target.as_str() == text;
        let found = Self::ALL.into_iter().find(named);
        found.ok_or_else(|| UnknownTarget(text.to_owned()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chip_is_found_by_its_word_and_no_other_word_is_one() {
        for target in Target::ALL {
            assert_eq!(target.as_str().parse(), Ok(target));
        }
        for word in ["", "SM86", "sm75", "sm860"] {
            assert_eq!(word.parse::<Target>(), Err(UnknownTarget(word.to_owned())));
        }
    }

    #[test]
    fn only_eight_bit_floats_are_refused_and_only_before_ada() {
        let refuses = |precision| Target::ALL.map(|t| t.refusal(precision).is_some());
        assert_eq!(refuses(Precision::Fp8), [true, true, false, false]);
        assert_eq!(refuses(Precision::Int8), [false; 4]);
        assert_eq!(refuses(Precision::Fp16), [false; 4]);
    }
}
