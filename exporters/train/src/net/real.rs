//! Numbers that the network runs on: f32 to train, f64 to check gradients.

use std::sync::OnceLock;

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
        let power = (whole as i32 + 127) as u32;
        sum * Self::from_bits(power << 23)
    }

    fn gelu(self) -> (Self, Self) {
        let table = table();
        let place = (self + REACH) * (CELLS as f32 / (2.0 * REACH));
        if !(place > 0.0 && place < CELLS as f32) {
            return if self > 0.0 {
                (self, 1.0)
            } else {
                (self * 0.0, 0.0)
            };
        }
        let cell = place as usize;
        let t = place - cell as f32;
        let [value, slope, square, cube] = table[cell.min(CELLS - 1)];
        let scale = CELLS as f32 / (2.0 * REACH);
        (
            value + t * (slope + t * (square + t * cube)),
            scale * (slope + t * (2.0 * square + t * 3.0 * cube)),
        )
    }
}

const REACH: f32 = 6.0;
const CELLS: usize = 768;

/// Cubics that meet GELU's value and slope at the ends of every cell.
fn table() -> &'static [[f32; 4]; CELLS] {
    static TABLE: OnceLock<[[f32; 4]; CELLS]> = OnceLock::new();
    TABLE.get_or_init(|| {
        let width = 2.0 * f64::from(REACH) / CELLS as f64;
        let at = |cell: usize| (width * cell as f64 - f64::from(REACH)).gelu();
        std::array::from_fn(|cell| {
            let ((a, slope_a), (b, slope_b)) = (at(cell), at(cell + 1));
            let (from, to) = (slope_a * width, slope_b * width);
            let square = 3.0 * (b - a) - 2.0 * from - to;
            let cube = 2.0 * (a - b) + from + to;
            [a as f32, from as f32, square as f32, cube as f32]
        })
    })
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
    fn the_table_of_gelu_is_right_to_two_millionths() {
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
