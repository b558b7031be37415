//! Fixed boxes that are blackened between two steps.

use super::steps::{Size, Window};
use crate::manifest::{ManifestError, Mask};
use std::ops::Range;

/// The black parts of the rows of one image, or of a rectangle of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Blackout {
    boxes: Vec<[f64; 4]>,
    /// Per row of the rectangle, where its black bytes stand in `spans`.
    rows: Vec<Range<usize>>,
    spans: Vec<Range<usize>>,
}

impl Blackout {
    /// Takes the boxes of a mask and the number of steps before it; nothing for no mask.
    pub fn new(mask: &Mask, steps: usize) -> Result<Option<(usize, Self)>, ManifestError> {
        let Mask::Boxes { after_steps, boxes } = mask else {
            return Ok(None);
        };
        let wrong = |key: &str, expected: String, found: String| ManifestError {
            key: key.to_owned(),
            expected,
            found,
        };
        if *after_steps > steps {
            let expected = format!("0 to {steps}, the number of steps");
            let found = after_steps.to_string();
            return Err(wrong("preprocess.mask.after_steps", expected, found));
        }
        let inside = |b: &&[f64; 4]| !b.iter().all(|v| (0.0..=1.0).contains(v));
        if let Some(found) = boxes.iter().find(inside) {
            let (expected, found) = ("fractions from 0 to 1".to_owned(), format!("{found:?}"));
            return Err(wrong("preprocess.mask.boxes", expected, found));
        }
        let blackout = Self {
            boxes: boxes.clone(),
            ..Self::default()
        };
        Ok(Some((*after_steps, blackout)))
    }

    /// Finds the black bytes of the part `window` of an image of `size`.
    ///
    /// # Source
    /// An edge is the whole part of fraction times side; a box's far edge is that of the sum of
    /// its two fractions, at most the image's.
    pub fn prepare(&mut self, size: Size, window: Window, pixel_bytes: usize) {
        self.rows.clear();
        self.spans.clear();
        let columns = window.x_px..window.x_px + window.size.width_px;
        for y in window.y_px..window.y_px + window.size.height_px {
            let first = self.spans.len();
            for &[left, top, width, height] in &self.boxes {
                if !edges(top, height, size.height_px).contains(&y) {
                    continue;
                }
                let black = edges(left, width, size.width_px);
                let from = black.start.max(columns.start);
                let to = black.end.min(columns.end);
                if from < to {
                    let byte = |x: u32| (x - columns.start) as usize * pixel_bytes;
                    self.spans.push(byte(from)..byte(to));
                }
            }
            self.rows.push(first..self.spans.len());
        }
    }

    /// Blackens row `y` of the rectangle.
    pub fn apply(&self, y: usize, row: &mut [u8]) {
        for span in &self.spans[self.rows[y].clone()] {
            row[span.clone()].fill(0);
        }
    }
}

fn edges(from: f64, length: f64, side_px: u32) -> Range<u32> {
    let edge = |fraction: f64| (fraction * f64::from(side_px)) as u32;
    edge(from)..edge(from + length).min(side_px)
}
