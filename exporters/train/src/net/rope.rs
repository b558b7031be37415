//! Rotary positions of V-JEPA 2, with tiled angles over interleaved pairs.

use super::Real;

/// Cosines and sines of every position of a grid.
#[derive(Debug, Clone)]
pub struct Rope<F> {
    cos: Vec<F>,
    sin: Vec<F>,
    width: usize,
}

impl<F: Real> Rope<F> {
    /// Makes the tables of a grid of `depth` by `rows` by `columns` for heads of `width` values.
    pub fn new(grid: [usize; 3], width: usize) -> Self {
        let [depth, rows, columns] = grid;
        let axis = 2 * (width / 3 / 2);
        let half = (axis / 2).max(1);
        let mut cos = Vec::with_capacity(depth * rows * columns * width);
        let mut sin = Vec::with_capacity(cos.capacity());
        for index in 0..depth * rows * columns {
            let place = [
                index / (rows * columns),
                index % (rows * columns) / columns,
                index % columns,
            ];
            for lane in 0..width {
                let angle = place.get(lane / axis.max(1)).map_or(0.0, |&at| {
                    let power = (lane % axis % half) as f64 / half as f64;
                    at as f64 * 10_000_f64.powf(-power)
                });
                cos.push(F::of(angle.cos()));
                sin.push(F::of(angle.sin()));
            }
        }
        Self { cos, sin, width }
    }

    /// Turns one head of one token.
    pub fn turn(&self, position: usize, head: &mut [F]) {
        let (cos, sin) = self.row(position);
        for ((pair, c), s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
            let [a, b] = [pair[0], pair[1]];
            pair[0] = a * c[0] - b * s[0];
            pair[1] = b * c[1] + a * s[1];
        }
    }

    /// The transpose of [`Rope::turn`], which is not its inverse.
    pub fn turn_back(&self, position: usize, head: &mut [F]) {
        let (cos, sin) = self.row(position);
        for ((pair, c), s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
            let [a, b] = [pair[0], pair[1]];
            pair[0] = a * c[0] + b * s[1];
            pair[1] = b * c[1] - a * s[0];
        }
    }

    fn row(
        &self,
        position: usize,
    ) -> (
        std::slice::ChunksExact<'_, F>,
        std::slice::ChunksExact<'_, F>,
    ) {
        let range = position * self.width..(position + 1) * self.width;
        (
            self.cos[range.clone()].chunks_exact(2),
            self.sin[range].chunks_exact(2),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_of_twenty_turns_as_the_model_does() {
        let rope = Rope::<f64>::new([6, 1, 1], 64);
        let mut head: Vec<f64> = (0..64).map(|lane| f64::from(lane + 1) / 20.0).collect();
        rope.turn(5, &mut head);
        let known = [0.110076, 0.004907, -0.037099, 0.236670, 0.210452, 0.312120];
        for (found, right) in head.iter().zip(known) {
            assert!((found - right).abs() < 1e-6, "{found} {right}");
        }
        assert!((head[19] - 1.001192).abs() < 1e-6);
        assert_eq!(
            head[20..],
            (20..64)
                .map(|lane| f64::from(lane + 1) / 20.0)
                .collect::<Vec<_>>()
        );
    }
}
