//! Linear algebra done once, at export.

/// Takes `rows` of a row-major `[n, inputs]` matrix and transposes them to `[inputs, rows]`.
pub fn transposed_rows(matrix: &[f32], inputs: usize, rows: &[usize]) -> Vec<f32> {
    const TILE: usize = 32;
    let columns = rows.len();
    let mut out = vec![0.0; inputs * columns];
    for column_start in (0..columns).step_by(TILE) {
        let tile = &rows[column_start..columns.min(column_start + TILE)];
        for input_start in (0..inputs).step_by(TILE) {
            let input_end = inputs.min(input_start + TILE);
            for (column, &row) in (column_start..).zip(tile) {
                let source = &matrix[row * inputs + input_start..row * inputs + input_end];
                for (input, &value) in (input_start..).zip(source) {
                    out[input * columns + column] = value;
                }
            }
        }
    }
    out
}

/// Transposes a row-major `[rows, inputs]` matrix.
pub fn transposed(matrix: &[f32], inputs: usize) -> Vec<f32> {
    let rows: Vec<usize> = (0..matrix.len() / inputs.max(1)).collect();
    transposed_rows(matrix, inputs, &rows)
}

/// `matrix x vector + offset` in double precision, row by row.
pub fn affine(matrix: &[f32], vector: &[f64], offset: &[f32]) -> Vec<f64> {
    matrix
        .chunks(vector.len())
        .zip(offset)
        .map(|(row, &offset)| dot(row, vector) + f64::from(offset))
        .collect()
}

fn dot(row: &[f32], vector: &[f64]) -> f64 {
    row.iter()
        .zip(vector)
        .map(|(&a, &b)| f64::from(a) * b)
        .sum()
}

/// Doubles of floats.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Floats of doubles.
pub fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_rows_become_columns_in_their_order() {
        let matrix: Vec<f32> = (0..6).map(|i| i as f32).collect();
        assert_eq!(transposed_rows(&matrix, 2, &[2, 0]), [4.0, 0.0, 5.0, 1.0]);
    }

    #[test]
    fn a_matrix_larger_than_a_tile_is_transposed_whole() {
        let (rows, inputs) = (67, 45);
        let matrix: Vec<f32> = (0..rows * inputs).map(|i| i as f32).collect();
        let out = transposed(&matrix, inputs);
        for row in 0..rows {
            for input in 0..inputs {
                assert_eq!(out[input * rows + row], matrix[row * inputs + input]);
            }
        }
    }
}
