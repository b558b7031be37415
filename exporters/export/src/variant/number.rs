//! Bit patterns of 16-bit and 8-bit floats.

/// The nearest 16-bit float, ties to even; infinity beyond its range.
pub(super) fn half_bits(value: f32) -> u16 {
    let sign = ((value.to_bits() >> 16) & 0x8000) as u16;
    let magnitude = value.abs();
    if magnitude.is_nan() {
        return sign | 0x7E00;
    }
    let exponent = ((magnitude.to_bits() >> 23) & 0xFF).clamp(127 - 14, 127 + 16);
    let spacing = f32::from_bits((exponent - 10) << 23);
    let steps = (magnitude.min(f32::from_bits((127 + 16) << 23)) / spacing).round_ties_even();
    let bits = ((exponent - (127 - 14)) << 10) + steps as u32;
    sign | bits.min(0x7C00) as u16
}

/// The value of a 16-bit float.
pub(super) fn half_value(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (u32::from(bits >> 10) & 0x1F, u32::from(bits) & 0x3FF);
    let magnitude = match exponent {
        0 => fraction as f32 * f32::from_bits((127 - 24) << 23),
        31 if fraction == 0 => f32::INFINITY,
        31 => f32::NAN,
        _ => f32::from_bits(((exponent + 127 - 15) << 23) | (fraction << 13)),
    };
    sign * magnitude
}

/// The bits of a number that E4M3 holds exactly.
pub(super) fn e4m3_bits(value: f32) -> u8 {
    let sign = ((value.to_bits() >> 24) & 0x80) as u8;
    let magnitude = value.abs();
    let exponent = ((magnitude.to_bits() >> 23) & 0xFF).max(127 - 6);
    let spacing = f32::from_bits((exponent - 3) << 23);
    let bits = ((exponent - (127 - 6)) << 3) + (magnitude / spacing) as u32;
    sign | bits.min(0x7E) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantise::number::e4m3;

    #[test]
    fn every_half_comes_back_and_the_middle_of_two_goes_to_the_even_one() {
        for bits in 0..0x7C00u16 {
            let value = half_value(bits);
            assert_eq!(half_bits(value), bits);
            assert_eq!(half_bits(-value), bits | 0x8000);
            let next = half_value(bits + 1);
            if next.is_finite() {
                let even = if bits % 2 == 0 { bits } else { bits + 1 };
                assert_eq!(half_bits((value + next) / 2.0), even);
            }
        }
    }

    #[test]
    fn known_halves() {
        for (value, bits) in [
            (1.0, 0x3C00),
            (-2.0, 0xC000),
            (65_504.0, 0x7BFF),
            (65_519.0, 0x7BFF),
            (65_520.0, 0x7C00),
            (1e30, 0x7C00),
            (f32::NEG_INFINITY, 0xFC00),
            (5.960_464_5e-8, 0x0001),
            (1e-9, 0x0000),
            (0.1, 0x2E66),
        ] {
            assert_eq!(half_bits(value), bits, "{value}");
        }
        assert!(half_value(half_bits(f32::NAN)).is_nan());
    }

    #[test]
    fn e4m3_bits_are_those_of_the_format() {
        for (value, bits) in [
            (0.0, 0x00),
            (0.001_953_125, 0x01),
            (0.013_671_875, 0x07),
            (0.015_625, 0x08),
            (1.0, 0x38),
            (-1.5, 0xBC),
            (448.0, 0x7E),
        ] {
            assert_eq!(e4m3_bits(value), bits, "{value}");
        }
        assert_eq!(e4m3_bits(e4m3(1e9, 1.0)), 0x7E);
        assert_eq!(e4m3_bits(e4m3(-17.1, 1.0)), 0xD9);
    }
}
