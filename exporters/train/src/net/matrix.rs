//! Matrix products of slices.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::Real;

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
