//! What is kept of an activation: the largest magnitude of each channel, and a sample of rows.

use crate::error::ExportError;
use ndarray::Array2;

/// Rows kept of every tensor, over all clips.
pub(super) const SAMPLE_ROWS: usize = 512;
const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;

/// Statistics of one activation tensor `[rows, channels]` over clips.
#[derive(Debug, Clone)]
pub(super) struct TensorStats {
    name: String,
    channels: usize,
    rows_per_clip: usize,
    clips: usize,
    limits: Vec<f32>,
    sample: Vec<f32>,
}

impl TensorStats {
    /// For `clips` clips of rows of `channels` values.
    pub fn new(name: &str, channels: usize, clips: usize) -> Self {
        Self {
            name: name.to_owned(),
            channels,
            rows_per_clip: SAMPLE_ROWS.div_ceil(clips.max(1)),
            clips: 0,
            limits: vec![0.0; channels],
            sample: Vec::new(),
        }
    }

    /// Takes the tensor of the next clip.
    ///
    /// # Errors
    /// [`ExportError::Request`] for a value that is no number, or a number of values that is no
    /// multiple of the channels.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), ExportError> {
        let rows = values.len() / self.channels;
        if rows == 0 || !values.len().is_multiple_of(self.channels) {
            return Err(self.wrong("whole rows", format!("{} values", values.len())));
        }
        for row in values.chunks_exact(self.channels) {
            for (limit, value) in self.limits.iter_mut().zip(row) {
                *limit = limit.max(value.abs());
            }
        }
        // A maximum passes over NaN, so the sums are looked at as well.
        let sum: f64 = values.iter().map(|&v| f64::from(v.abs())).sum();
        if !sum.is_finite() {
            return Err(self.wrong("finite values in fp32", sum.to_string()));
        }
        for kept in 0..self.rows_per_clip.min(rows) {
            let place = (self.clips * self.rows_per_clip + kept) as f64 * GOLDEN_RATIO;
            let row = (place.fract() * rows as f64) as usize;
            let start = row.min(rows - 1) * self.channels;
            self.sample
                .extend_from_slice(&values[start..start + self.channels]);
        }
        self.clips += 1;
        Ok(())
    }

    fn wrong(&self, expected: &str, found: String) -> ExportError {
        ExportError::Request {
            what: format!("activation {}", self.name),
            expected: expected.to_owned(),
            found,
        }
    }

    /// Largest magnitude of each channel over everything seen.
    pub fn limits(&self) -> &[f32] {
        &self.limits
    }

    /// The kept rows.
    pub fn sample(&self) -> Array2<f32> {
        let rows = self.sample.len() / self.channels;
        Array2::from_shape_fn((rows, self.channels), |(row, channel)| {
            self.sample[row * self.channels + channel]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_for_the_limits_and_rows_are_kept_whole() {
        let mut stats = TensorStats::new("t", 2, 2);
        stats.observe(&[1.0, -2.0, 3.0, 4.0]).unwrap();
        stats.observe(&[-5.0, 0.0]).unwrap();
        assert_eq!(stats.limits(), [5.0, 4.0]);
        let sample = stats.sample();
        assert_eq!(sample.ncols(), 2);
        let known = [[1.0, -2.0], [3.0, 4.0], [-5.0, 0.0]];
        assert!(
            sample
                .rows()
                .into_iter()
                .all(|row| { known.iter().any(|known| row.to_vec() == *known) })
        );
    }

    #[test]
    fn a_value_that_is_no_number_is_refused_by_name() {
        for value in [f32::NAN, f32::INFINITY] {
            let error = TensorStats::new("blocks.3.mlp", 1, 1).observe(&[1.0, value]);
            let text = error.unwrap_err().to_string();
            assert!(text.contains("blocks.3.mlp"), "{text}");
        }
        assert!(TensorStats::new("t", 2, 1).observe(&[1.0]).is_err());
    }
}
