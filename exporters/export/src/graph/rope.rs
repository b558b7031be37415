//! Three-axis rotary positions of V-JEPA 2.
//!
//! A head's channels are three equal segments (tubelet, row, column) and a rest that is not
//! rotated. Within a segment the pairs are neighbours, but the angles are tiled over the segment,
//! so the two members of a pair turn by different angles. Weights learnt with this form need it.
//! Here even members come first and odd members second, so that a pair swap swaps two halves.

use echocart_core::manifest::Encoder;

const BASE: f64 = 10_000.0;

/// How the channels of one attention head are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rope {
    head_dim: usize,
}

/// Cosine and signed sine per token and channel, for `x * cos + swapped_halves(x) * sin`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// `[tokens, head_dim]`.
    pub cos: Vec<f32>,
    /// `[tokens, head_dim]`.
    pub sin: Vec<f32>,
}

impl Rope {
    /// For heads of `head_dim` channels, an even number.
    pub fn new(head_dim: usize) -> Self {
        Self { head_dim }
    }

    fn segment(self) -> usize {
        2 * (self.head_dim / 3 / 2)
    }

    /// For each channel in the new order, its place in the original one.
    pub fn order(self) -> Vec<usize> {
        let rotated = 3 * self.segment();
        let rest = (self.head_dim - rotated) / 2;
        let evens = (0..rotated).step_by(2).chain(rotated..rotated + rest);
        let odds = (1..rotated).step_by(2).chain(rotated + rest..self.head_dim);
        evens.chain(odds).collect()
    }

    fn turn(self, position: [usize; 3], channel: usize) -> (f64, f64) {
        let segment = self.segment();
        let Some(&along) = (channel < 3 * segment).then(|| &position[channel / segment]) else {
            return (1.0, 0.0);
        };
        let within = channel % segment;
        let half = segment / 2;
        let exponent = (within % half) as f64 / half as f64;
        let angle = along as f64 / BASE.powf(exponent);
        let sign = if within.is_multiple_of(2) { -1.0 } else { 1.0 };
        (angle.cos(), sign * angle.sin())
    }

    /// Tables over every token of the encoder's grid, tubelet by tubelet, row by row.
    pub fn tables(self, encoder: &Encoder) -> Tables {
        let columns = encoder.width_px / encoder.patch_px;
        let per_tubelet = encoder.tokens_per_tubelet();
        let order = self.order();
        let size = encoder.tokens() * self.head_dim;
        let mut tables = Tables {
            cos: Vec::with_capacity(size),
            sin: Vec::with_capacity(size),
        };
        for token in 0..encoder.tokens() {
            let within = token % per_tubelet;
            let position = [token / per_tubelet, within / columns, within % columns];
            for &channel in &order {
                let (cos, sin) = self.turn(position, channel);
                tables.cos.push(cos as f32);
                tables.sin.push(sin as f32);
            }
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotate(rope: Rope, position: [usize; 3], x: &[f64]) -> Vec<f64> {
        let order = rope.order();
        let half = x.len() / 2;
        let mut out = vec![0.0; x.len()];
        for (place, &channel) in order.iter().enumerate() {
            let other = order[(place + half) % x.len()];
            let (cos, sin) = rope.turn(position, channel);
            out[channel] = x[channel] * cos + x[other] * sin;
        }
        out
    }

    #[test]
    fn a_segment_of_20_turns_as_measured_on_the_original_model() {
        let expected = [
            0.110076, 0.004907, -0.037099, 0.236670, 0.210452, 0.312120, 0.341969, 0.402761,
            0.448420, 0.500565, 0.731369, 0.257744, -0.042083, 0.867130, 0.643881, 0.836485,
            0.831918, 0.906707, 0.946840, 1.001192,
        ];
        let segment: Vec<f64> = (1..=20).map(|i| f64::from(i) / 20.0).collect();
        let x: Vec<f64> = segment.iter().cycle().take(64).copied().collect();
        for axis in 0..3 {
            let mut position = [0; 3];
            position[axis] = 5;
            let out = rotate(Rope::new(64), position, &x);
            let turned = &out[20 * axis..20 * (axis + 1)];
            for (found, expected) in turned.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
            }
            let norm = turned.iter().map(|v| v * v).sum::<f64>().sqrt();
            assert!((norm - 2.612365).abs() < 1e-6);
            for other in (0..3).filter(|&other| other != axis) {
                assert_eq!(
                    out[20 * other..20 * (other + 1)],
                    x[20 * other..20 * (other + 1)]
                );
            }
            assert_eq!(out[60..], x[60..]);
        }
    }

    #[test]
    fn the_order_is_a_permutation_whose_halves_hold_the_pairs() {
        for head_dim in [2, 4, 6, 10, 32, 48, 64, 80, 88, 128] {
            let rope = Rope::new(head_dim);
            let order = rope.order();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..head_dim).collect::<Vec<_>>());
            let half = head_dim / 2;
            for place in (0..half).filter(|&place| order[place] < 3 * rope.segment()) {
                assert_eq!(order[place] + 1, order[place + half]);
            }
        }
    }
}
