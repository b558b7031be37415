//! What is kept of an activation: the largest magnitude of each channel, and a sample of rows.

use crate::error::ExportError;
use ndarray::Array2;

/// Rows kept of every tensor, over all clips.
pub(super) const SAMPLE_ROWS: usize = 192;
const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;

/// What clips of one fold gave.
#[derive(Debug, Clone, Default)]
struct Fold {
    limits: Vec<f32>,
    sample: Vec<f32>,
}

/// Statistics of one activation tensor `[rows, channels]` over clips.
#[derive(Debug, Clone)]
pub(super) struct TensorStats {
    name: String,
    channels: usize,
    rows_per_clip: usize,
    clips: usize,
    folds: Vec<Fold>,
}

impl TensorStats {
    /// For `clips` clips of rows of `channels` values, in `folds` folds.
    pub fn new(name: &str, channels: usize, clips: usize, folds: usize) -> Self {
        let fold = Fold {
            limits: vec![0.0; channels],
            sample: Vec::new(),
        };
        Self {
            name: name.to_owned(),
            channels,
            rows_per_clip: SAMPLE_ROWS.div_ceil(clips.max(1)),
            clips: 0,
            folds: vec![fold; folds.max(1)],
        }
    }

    /// Takes the tensor of the next clip, which belongs to `fold`.
    ///
    /// # Errors
    /// [`ExportError::Request`] for a value that is no number, a number of values that is no
    /// multiple of the channels, or a fold that was not announced.
    pub fn observe(&mut self, fold: usize, values: &[f32]) -> Result<(), ExportError> {
        let rows = values.len() / self.channels;
        if rows == 0 || !values.len().is_multiple_of(self.channels) {
            return Err(self.wrong("whole rows", format!("{} values", values.len())));
        }
        // A maximum passes over NaN, so the sums are looked at as well.
        let sum: f64 = values.iter().map(|&v| f64::from(v.abs())).sum();
        if !sum.is_finite() {
            return Err(self.wrong("finite values in fp32", sum.to_string()));
        }
        let unknown = self.wrong("a known fold", fold.to_string());
        let own = self.folds.get_mut(fold).ok_or(unknown)?;
        for row in values.chunks_exact(self.channels) {
            for (limit, value) in own.limits.iter_mut().zip(row) {
                *limit = limit.max(value.abs());
            }
        }
        for kept in 0..self.rows_per_clip.min(rows) {
            let place = (self.clips * self.rows_per_clip + kept) as f64 * GOLDEN_RATIO;
            let row = (place.fract() * rows as f64) as usize;
            let start = row.min(rows - 1) * self.channels;
            own.sample
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

    /// Values of a row.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Largest magnitude over everything seen but the fold `without`.
    pub fn largest(&self, without: Option<usize>) -> f32 {
        let folds = self.folds.iter().enumerate();
        let some = folds.filter(|(at, _)| Some(*at) != without);
        let limits = some.flat_map(|(_, fold)| &fold.limits);
        limits.fold(0.0, |most, &limit| most.max(limit))
    }

    /// Of each fold: the largest magnitude of each channel, and the kept rows.
    pub fn folds(&self) -> Vec<(&[f32], Array2<f32>)> {
        let folds = self.folds.iter().map(|fold| {
            let rows = fold.sample.len() / self.channels;
            let sample = Array2::from_shape_fn((rows, self.channels), |(row, channel)| {
                fold.sample[row * self.channels + channel]
            });
            (fold.limits.as_slice(), sample)
        });
        folds.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_for_the_limits_and_rows_are_kept_whole() {
        let mut stats = TensorStats::new("t", 2, 2, 2);
        stats.observe(0, &[1.0, -2.0, 3.0, 4.0]).unwrap();
        stats.observe(1, &[-5.0, 0.0]).unwrap();
        assert_eq!(stats.largest(None), 5.0);
        assert_eq!(stats.largest(Some(1)), 4.0);
        let folds = stats.folds();
        assert_eq!(
            (folds[0].0, folds[1].0),
            ([3.0, 4.0].as_slice(), [5.0, 0.0].as_slice())
        );
        assert!(
            folds[1]
                .1
                .rows()
                .into_iter()
                .all(|row| row.to_vec() == [-5.0, 0.0])
        );
        let known = [[1.0, -2.0], [3.0, 4.0]];
        let rows = folds[0].1.rows().into_iter();
        assert!(
            rows.map(|row| row.to_vec())
                .all(|row| known.iter().any(|k| row == *k))
        );
    }

    #[test]
    fn a_value_that_is_no_number_is_refused_by_name() {
        for value in [f32::NAN, f32::INFINITY] {
            let error = TensorStats::new("blocks.3.mlp", 1, 1, 1).observe(0, &[1.0, value]);
            let text = error.unwrap_err().to_string();
            assert!(text.contains("blocks.3.mlp"), "{text}");
        }
        assert!(TensorStats::new("t", 2, 1, 1).observe(0, &[1.0]).is_err());
        assert!(TensorStats::new("t", 1, 1, 1).observe(1, &[1.0]).is_err());
    }
}
