//! Named tensors in one slice.

use std::ops::Range;

use echocart_phantom::Random;

use super::Real;

/// How a tensor starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// All zeros.
    Zero,
    /// All ones.
    One,
    /// Normal with this standard deviation, cut at three.
    Normal(f32),
}

/// One tensor's name, shape and place.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Name in a checkpoint.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// Place in the slice.
    pub range: Range<usize>,
    /// How it starts.
    pub start: Start,
}

/// The places of a network's tensors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    entries: Vec<Entry>,
}

impl Layout {
    /// Adds a tensor and returns its place.
    pub fn add(&mut self, name: String, shape: &[usize], start: Start) -> Range<usize> {
        let from = self.len();
        let range = from..from + shape.iter().product::<usize>();
        self.entries.push(Entry {
            name,
            shape: shape.to_vec(),
            range: range.clone(),
            start,
        });
        range
    }

    /// Puts `prefix` before the names of the tensors from number `first`.
    pub fn prefix(&mut self, first: usize, prefix: &str) {
        for entry in self.entries.iter_mut().skip(first) {
            entry.name.insert_str(0, prefix);
        }
    }

    /// All tensors in order of place.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.entries.last().map_or(0, |entry| entry.range.end)
    }

    /// True without tensors.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Draws the values a network starts from.
    pub fn draw<F: Real>(&self, seed: u64) -> Vec<F> {
        let mut values = Vec::with_capacity(self.len());
        for (index, entry) in self.entries.iter().enumerate() {
            let mut random = Random::new(seed, 0x7000 + index as u64);
            values.extend(entry.range.clone().map(|_| match entry.start {
                Start::Zero => F::zero(),
                Start::One => F::one(),
                Start::Normal(deviation) => F::of(f64::from(deviation * random.normal())),
            }));
        }
        values
    }

    /// The values whose weights decay: those of tensors with two or more dimensions.
    pub fn decaying(&self) -> Vec<bool> {
        self.entries
            .iter()
            .flat_map(|entry| entry.range.clone().map(|_| entry.shape.len() > 1))
            .collect()
    }
}
