//! The number formats: what a value becomes.
//!
//! Steps and roundings here are those of `QuantizeLinear` with zero point 0; weights are quantised
//! by the same functions when a variant is written.

use crate::variant::Format;
use echocart_core::manifest::Precision;

/// Largest integer of 8-bit symmetric quantisation.
pub const INT8_LARGEST: f32 = 127.0;
/// Largest number of E4M3.
pub const E4M3_LARGEST: f32 = 448.0;
/// Adding and subtracting it rounds magnitudes below 2^22 to whole numbers, ties to even.
const ROUNDER: f32 = 12_582_912.0;

/// Distance between two integers when `limit` becomes 127; never 0.
pub fn int8_step(limit: f32) -> f32 {
    (limit / INT8_LARGEST).max(f32::MIN_POSITIVE)
}

/// The integer nearest to `value / step`, ties to even, saturated to -128..=127.
pub fn int8(value: f32, step: f32) -> f32 {
    let scaled = (value / step).clamp(-INT8_LARGEST - 1.0, INT8_LARGEST);
    (scaled + ROUNDER) - ROUNDER
}

/// What 1.0 of E4M3 stands for when `limit` becomes its largest number; never 0.
pub fn e4m3_step(limit: f32) -> f32 {
    (limit / E4M3_LARGEST).max(f32::MIN_POSITIVE)
}

/// The E4M3 number nearest to `value / step`, ties to even, saturated.
pub fn e4m3(value: f32, step: f32) -> f32 {
    let scaled = (value / step).clamp(-E4M3_LARGEST, E4M3_LARGEST);
    let exponent = ((scaled.to_bits() >> 23) & 0xFF).max(127 - 6);
    let spacing = f32::from_bits((exponent - 3) << 23);
    (scaled / spacing + ROUNDER - ROUNDER) * spacing
}

/// Whether activations are quantised, so that ranges must be measured.
pub fn quantises_activations(precision: Precision) -> bool {
    Format::of(precision).is_some()
}

impl Format {
    /// The format of a precision that quantises activations; none for the others.
    pub fn of(precision: Precision) -> Option<Self> {
        match precision {
            Precision::Int8 => Some(Self::Int8),
            Precision::Fp8 => Some(Self::E4m3),
            Precision::Fp32 | Precision::Fp16 | Precision::WeightInt8 | Precision::WeightInt4 => {
                None
            }
        }
    }

    /// The step that makes `limit` the format's largest number.
    pub(super) fn step_for(self, limit: f32) -> f32 {
        match self {
            Self::Int8 => int8_step(limit),
            Self::E4m3 => e4m3_step(limit),
        }
    }

    /// What `value` is after quantisation and back.
    pub(super) fn nearest(self, value: f32, step: f32) -> f32 {
        match self {
            Self::Int8 => int8(value, step) * step,
            Self::E4m3 => e4m3(value, step) * step,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_half_to_even_and_saturate() {
        let found: Vec<f32> = [0.5, 1.5, -2.5, 126.6, 200.0, -200.0]
            .into_iter()
            .map(|value| int8(value, 1.0))
            .collect();
        assert_eq!(found, [0.0, 2.0, -2.0, 127.0, 127.0, -128.0]);
        assert_eq!(int8(1e-30, int8_step(0.0)), 127.0);
    }

    #[test]
    fn e4m3_has_its_numbers_and_no_others() {
        let mut numbers: Vec<f32> = (0u32..0x7F)
            .map(|bits| {
                let (exponent, mantissa) = (bits >> 3, (bits & 7) as f32);
                match exponent {
                    0 => mantissa * (-9f32).exp2(),
                    _ => (8.0 + mantissa) * (exponent as f32 - 10.0).exp2(),
                }
            })
            .collect();
        numbers.sort_by(f32::total_cmp);
        assert_eq!(numbers.last(), Some(&E4M3_LARGEST));
        for &number in &numbers {
            assert_eq!(e4m3(number, 1.0), number);
            assert_eq!(e4m3(-number, 1.0), -number);
        }
        for pair in numbers.windows(2) {
            let quarter = pair[0] + (pair[1] - pair[0]) * 0.25;
            assert_eq!(e4m3(quarter, 1.0), pair[0]);
            let middle = e4m3(f32::midpoint(pair[0], pair[1]), 1.0);
            assert!(pair.contains(&middle));
        }
        assert_eq!(e4m3(1e9, 1.0), E4M3_LARGEST);
    }
}
