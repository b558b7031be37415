//! Matrix products of slices.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::Real;

/// Sums run in this many lanes, which round the same way on every machine.
pub const LANES: usize = 16;

/// A slice as `rows` rows.
///
/// # Panics
/// If the slice has another size.
pub fn view<F>(data: &[F], rows: usize, columns: usize) -> ArrayView2<'_, F> {
    let Ok(view) = ArrayView2::from_shape((rows, columns), data) else {
        panic!(
            "expected {rows} rows of {columns}, found {} values",
            data.len()
        );
    };
    view
}

/// A slice as `rows` rows, to be written.
///
/// # Panics
/// If the slice has another size.
pub fn view_mut<F>(data: &mut [F], rows: usize, columns: usize) -> ArrayViewMut2<'_, F> {
    let found = data.len();
    let Ok(view) = ArrayViewMut2::from_shape((rows, columns), data) else {
        panic!("expected {rows} rows of {columns}, found {found} values");
    };
    view
}

/// `c = a b`, or `c += a b`.
pub fn product<F: Real>(
    a: ArrayView2<'_, F>,
    b: ArrayView2<'_, F>,
    mut c: ArrayViewMut2<'_, F>,
    add: bool,
) {
    let keep = if add { F::one() } else { F::zero() };
    general_mat_mul(F::one(), &a, &b, keep, &mut c);
}

/// The sum of the products of pairs.
pub fn dot<F: Real>(a: &[F], b: &[F]) -> F {
    let (a, b) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [F::zero(); LANES];
    for (a, b) in a.0.iter().zip(b.0) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest = a.1.iter().zip(b.1).map(|(&a, &b)| a * b);
    lanes.into_iter().chain(rest).sum()
}

/// The sum of all values.
pub fn sum<F: Real>(values: &[F]) -> F {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [F::zero(); LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).sum()
}
