//! Makes directions of the targets equal: what few directions are easily predicted would else be all that is ever learned.

use crate::net::Real;
use crate::net::matrix::{dot, product, view, view_mut};

/// Share of a step in the running covariance.
const PULL: f32 = 0.02;

/// The running covariance of the teacher's features, each less what is usual at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Covariance {
    /// `[dim, dim]`.
    pub values: Vec<f32>,
    dim: usize,
}

impl Covariance {
    /// Of nothing.
    pub fn new(dim: usize) -> Self {
        Self {
            values: vec![0.0; dim * dim],
            dim,
        }
    }

    /// Takes [`moments`] of `count` features in with a share; without any before, as they are.
    ///
    /// # Shapes
    /// - `sums`: `[dim, dim]`.
    pub fn take(&mut self, sums: &[f32], count: f32) {
        let pull = if self.values.iter().all(|x| *x == 0.0) {
            1.0
        } else {
            PULL
        };
        for (value, sum) in self.values.iter_mut().zip(sums) {
            *value += pull * (sum / count.max(1.0) - *value);
        }
    }

    /// What makes all directions with more than `floor` of the mean variance about equal: the inverse of Cholesky's factor.
    pub fn equaliser(&self, floor: f32) -> Vec<f32> {
        let n = self.dim;
        let mut a: Vec<f64> = self.values.iter().map(|x| f64::from(*x)).collect();
        let mean = a.iter().step_by(n + 1).sum::<f64>() / n as f64;
        let floor = (f64::from(floor) * mean).max(1e-12);
        a.iter_mut().step_by(n + 1).for_each(|at| *at += floor);
        inverse_factor(&a, n)
            .into_iter()
            .map(|x| x as f32)
            .collect()
    }
}

/// Adds `rows^T rows` to `sums`.
pub fn moments<F: Real>(rows: &[F], dim: usize, sums: &mut [F]) {
    let rows = view(rows, rows.len() / dim, dim);
    product(rows.t(), rows, view_mut(sums, dim, dim), true);
}

/// The inverse of the lower triangular factor of a positive definite matrix.
fn inverse_factor(a: &[f64], n: usize) -> Vec<f64> {
    let mut l = vec![0.0; n * n];
    for row in 0..n {
        for column in 0..=row {
            let (left, above) = (
                &l[row * n..row * n + column],
                &l[column * n..column * n + column],
            );
            let rest = a[row * n + column] - dot(left, above);
            l[row * n + column] = match row == column {
                true => rest.max(f64::MIN_POSITIVE).sqrt(),
                false => rest / l[column * n + column],
            };
        }
    }
    // Column by column, kept as rows of the transpose.
    let mut columns = vec![0.0; n * n];
    for unit in 0..n {
        for row in unit..n {
            let one = if row == unit { 1.0 } else { 0.0 };
            let known = dot(
                &l[row * n..row * n + row],
                &columns[unit * n..unit * n + row],
            );
            columns[unit * n + row] = (one - known) / l[row * n + row];
        }
    }
    (0..n * n).map(|at| columns[at % n * n + at / n]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use echocart_phantom::Random;

    #[test]
    fn directions_of_any_strength_become_equal_down_to_the_floor() {
        let (dim, count, mut random) = (6, 4000, Random::new(1, 1));
        let mut rows: Vec<f32> = (0..dim * count).map(|_| random.normal()).collect();
        for row in rows.chunks_exact_mut(dim) {
            for (at, scale) in [10.0, 1.0, 3.0, 0.5, 2.0, 0.001].into_iter().enumerate() {
                row[at] *= scale;
            }
            row[1] += row[0];
        }
        let mut sums = vec![0.0; dim * dim];
        moments(&rows, dim, &mut sums);
        let mut covariance = Covariance::new(dim);
        covariance.take(&sums, count as f32);
        let equaliser = covariance.equaliser(1e-3);
        let equal: Vec<f32> = rows
            .chunks_exact(dim)
            .flat_map(|row| equaliser.chunks_exact(dim).map(move |to| dot(to, row)))
            .collect();
        let mut sums = vec![0.0; dim * dim];
        moments(&equal, dim, &mut sums);
        for (at, sum) in sums.iter().enumerate() {
            let found = sum / count as f32;
            let expected = if at % (dim + 1) == 0 && at / dim < 5 {
                1.0
            } else {
                0.0
            };
            assert!((found - expected).abs() < 0.2, "{at}: {found}");
        }
    }
}
