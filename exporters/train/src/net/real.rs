//! Numbers that the network runs on: f32 to train, f64 to check gradients.

use ndarray::NdFloat;

/// A float with the two functions that a transformer spends its time in.
pub trait Real: NdFloat + Default + std::iter::Sum {
    /// Converts from f64.
    fn of(value: f64) -> Self;
    /// Converts to f64.
    fn wide(self) -> f64;
    /// `e^self`, for arguments not above 0.
    fn fast_exp(self) -> Self;
    /// GELU in its exact form, and its slope.
    fn gelu(self) -> (Self, Self);
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }

    fn fast_exp(self) -> Self {
        self.exp()
    }

    fn gelu(self) -> (Self, Self) {
        let normal = 0.5 * (1.0 + erf(self * std::f64::consts::FRAC_1_SQRT_2));
        let density = (-0.5 * self * self).exp() / std::f64::consts::TAU.sqrt();
        (self * normal, normal + self * density)
    }
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn fast_exp(self) -> Self {
        const ROUND: f32 = 12_582_912.0;
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        let bounded = self.max(-87.0);
        let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
        let whole = shifted - ROUND;
        let part = (bounded - whole * LN_2_HIGH) - whole * LN_2_LOW;
        let mut sum = 1.0 / 720.0;
        for factor in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            sum = sum * part + factor;
        }
        // The low bits of `shifted` are the whole number: no cast, so that loops become SIMD.
        let power = shifted.to_bits().wrapping_sub(ROUND.to_bits());
        sum * Self::from_bits(power.wrapping_add(127) << 23)
    }

    // Abramowitz and Stegun 7.1.26.
    fn gelu(self) -> (Self, Self) {
        let bell = (-0.5 * self * self).fast_exp();
        let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * self.abs());
        let mut sum = 1.061_405_4;
        for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
            sum = sum * t + factor;
        }
        let tail = 0.5 * sum * t * bell;
        let normal = if self > 0.0 { 1.0 - tail } else { tail };
        (self * normal, normal + self * bell * 0.398_942_3)
    }
}

/// The error function: a series near 0, a continued fraction beyond.
fn erf(x: f64) -> f64 {
    let size = x.abs();
    if size < 2.5 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let mut tail = size;
    for n in (1..80).rev() {
        tail = size + 0.5 * f64::from(n) / tail;
    }
    let beyond = (-size * size).exp() / (tail * std::f64::consts::PI.sqrt());
    (1.0 - beyond).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_its_known_values() {
        for (x, known) in [
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (-1.0, -0.842_700_792_949_714_9),
        ] {
            assert!((erf(x) - known).abs() < 1e-13, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn the_fast_gelu_is_right_to_two_millionths() {
        for step in -7000..7000 {
            let x = f64::from(step) * 1e-3 + 1.7e-4;
            let (value, slope) = (x as f32).gelu();
            let (right, right_slope) = x.gelu();
            assert!((f64::from(value) - right).abs() < 2e-6, "gelu({x})");
            assert!((f64::from(slope) - right_slope).abs() < 2e-5, "gelu'({x})");
        }
    }

    #[test]
    fn the_fast_exponential_is_as_good_as_f32() {
        for step in 0..8000 {
            let x = -0.01 * step as f32;
            let right = f64::from(x).exp();
            let found = f64::from(x.fast_exp());
            assert!((found - right).abs() <= 3e-7 * right, "exp({x})");
        }
    }
}
