//! Bilinear resize of 8-bit images in fixed point, half-pixel centres, no antialiasing.
//!
//! Weights have 11 fractional bits. A row is blended to 11 bits and cut to 7; two rows are blended
//! to 18 bits, each cut to 2, and their sum is rounded. Pixels outside the image repeat its border.
//!
//! # Source
//! The arithmetic of OpenCV's 8-bit `INTER_LINEAR`, found equal to it by `preprocess_opencv.rs`.

use super::across::Across;
use super::blackout::Blackout;
use super::steps::{Size, Window};
use std::ops::Range;

const WEIGHT_BITS: u32 = 11;

/// Where a target position lies between two source positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tap {
    pub near: u32,
    pub far: u32,
    pub near_weight: u16,
    pub far_weight: u16,
}

impl Tap {
    /// The same blend of two neighbours, the first one at `near`: of a position at the border, where
    /// both are one pixel, the other neighbour counts nothing.
    fn of_neighbours(self) -> Self {
        let both = self.near_weight + self.far_weight;
        match (self.near == self.far, self.near) {
            (false, _) => self,
            (true, 0) => Self {
                far: 1,
                near_weight: both,
                far_weight: 0,
                ..self
            },
            (true, at) => Self {
                near: at - 1,
                far: at,
                near_weight: 0,
                far_weight: both,
            },
        }
    }
}

/// Rows of an 8-bit image, or of a rectangle of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    bytes: &'a [u8],
    stride_bytes: usize,
    row_bytes: usize,
}

impl<'a> View<'a> {
    /// The rectangle `window` of a frame that is known to hold it.
    pub fn of_frame(
        pixels: &'a [u8],
        stride_bytes: usize,
        window: Window,
        pixel_bytes: usize,
    ) -> Self {
        let start = window.y_px as usize * stride_bytes + window.x_px as usize * pixel_bytes;
        Self {
            bytes: &pixels[start..],
            stride_bytes,
            row_bytes: window.size.width_px as usize * pixel_bytes,
        }
    }

    /// Row `y`, counted from the top of the rectangle.
    pub fn row(self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride_bytes..][..self.row_bytes]
    }
}

/// One resize: tables for the part of its image that later steps need, and its buffers.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    columns: Vec<Tap>,
    across: Across,
    rows: Vec<Tap>,
    upper: Line,
    lower: Line,
    masked: Vec<u8>,
    image: Vec<u8>,
    row_bytes: usize,
}

/// A source row blended along x, and which row it is.
#[derive(Debug, Clone, Default)]
struct Line {
    values: Vec<u16>,
    source: Option<u32>,
}

impl Stage {
    /// Fills the tables for the part `window` of the target and answers which part of the source
    /// they read. Indices count from that part's corner; those along x count bytes.
    pub fn prepare(&mut self, from: Size, to: Size, window: Window, pixel_bytes: usize) -> Window {
        let wanted = window.x_px..window.x_px + window.size.width_px;
        fill(&mut self.columns, from.width_px, to.width_px, wanted);
        if from.width_px > 1 {
            let columns = self.columns.iter_mut();
            columns.for_each(|tap| *tap = tap.of_neighbours());
        }
        let wanted = window.y_px..window.y_px + window.size.height_px;
        fill(&mut self.rows, from.height_px, to.height_px, wanted);
        let (x_px, width_px) = rebase(&mut self.columns, pixel_bytes as u32);
        let (y_px, height_px) = rebase(&mut self.rows, 1);
        self.row_bytes = self.columns.len() * pixel_bytes;
        let source_bytes = width_px as usize * pixel_bytes;
        self.across
            .prepare(&self.columns, from.width_px == 1, pixel_bytes, source_bytes);
        let values = self.across.values(self.row_bytes);
        self.upper.values.resize(values, 0);
        self.lower.values.resize(values, 0);
        self.masked.resize(source_bytes, 0);
        Window {
            x_px,
            y_px,
            size: Size {
                width_px,
                height_px,
            },
        }
    }

    /// Makes room for the whole of this stage's image.
    pub fn hold_image(&mut self) {
        self.image.resize(self.row_bytes * self.rows.len(), 0);
    }

    /// Forgets the rows of the previous frame.
    pub fn restart(&mut self) {
        self.upper.source = None;
        self.lower.source = None;
    }

    /// This stage's image, once filled.
    pub fn view(&self) -> View<'_> {
        View {
            bytes: &self.image,
            stride_bytes: self.row_bytes,
            row_bytes: self.row_bytes,
        }
    }

    /// Computes the whole of this stage's image.
    pub fn fill_image<const BYTES: usize>(&mut self, source: Source<'_>) {
        self.restart();
        let mut image = std::mem::take(&mut self.image);
        for (y, out) in image.chunks_exact_mut(self.row_bytes).enumerate() {
            self.row::<BYTES>(source, y, out);
        }
        self.image = image;
    }

    /// Computes row `y` of this stage's image. Source rows shared with the row before are kept.
    pub fn row<const BYTES: usize>(&mut self, source: Source<'_>, y: usize, out: &mut [u8]) {
        let tap = self.rows[y];
        if self.upper.source != Some(tap.near) {
            std::mem::swap(&mut self.upper, &mut self.lower);
        }
        let (across, masked) = (&self.across, &mut self.masked);
        self.upper.fill::<BYTES>(source, tap.near, across, masked);
        if tap.far == tap.near {
            blend(&self.upper.values, &self.upper.values, tap, out);
        } else {
            self.lower.fill::<BYTES>(source, tap.far, across, masked);
            blend(&self.upper.values, &self.lower.values, tap, out);
        }
    }
}

/// The image a stage reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub view: View<'a>,
    /// What is black in it.
    pub blackout: Option<&'a Blackout>,
}

impl Source<'_> {
    /// Row `y`, in `masked` where parts of it are black.
    pub fn row<'a>(&'a self, y: usize, masked: &'a mut [u8]) -> &'a [u8] {
        let row = self.view.row(y);
        let Some(blackout) = self.blackout else {
            return row;
        };
        masked.copy_from_slice(row);
        blackout.apply(y, masked);
        masked
    }
}

impl Line {
    fn fill<const BYTES: usize>(
        &mut self,
        source: Source<'_>,
        row: u32,
        across: &Across,
        masked: &mut [u8],
    ) {
        if self.source == Some(row) {
            return;
        }
        let pixels = source.row(row as usize, masked);
        across.blend::<BYTES>(pixels, &mut self.values);
        self.source = Some(row);
    }
}

fn blend(upper: &[u16], lower: &[u16], tap: Tap, out: &mut [u8]) {
    let high =
        |value: u16, weight: u16| (u32::from(value).wrapping_mul(u32::from(weight)) >> 16) as u16;
    for ((out, &upper), &lower) in out.iter_mut().zip(upper).zip(lower) {
        let sum = high(upper, tap.near_weight).wrapping_add(high(lower, tap.far_weight));
        *out = (sum.wrapping_add(2) >> 2) as u8;
    }
}

fn fill(taps: &mut Vec<Tap>, source_len: u32, target_len: u32, wanted: Range<u32>) {
    let scale = 1.0 / (f64::from(target_len) / f64::from(source_len));
    let last = i64::from(source_len) - 1;
    taps.clear();
    taps.extend(wanted.map(|at| {
        let position = ((f64::from(at) + 0.5) * scale - 0.5) as f32;
        let floor = position.floor();
        let fraction = position - floor;
        let near = floor as i64;
        Tap {
            near: near.clamp(0, last) as u32,
            far: (near + 1).clamp(0, last) as u32,
            near_weight: weight(1.0 - fraction),
            far_weight: weight(fraction),
        }
    }));
}

fn weight(share: f32) -> u16 {
    (share * (1 << WEIGHT_BITS) as f32).round_ties_even() as u16
}

/// Makes indices relative to the smallest one, in units of `step`; answers it and the span.
fn rebase(taps: &mut [Tap], step: u32) -> (u32, u32) {
    let first = taps.iter().map(|tap| tap.near).min().unwrap_or(0);
    let end = taps.iter().map(|tap| tap.far + 1).max().unwrap_or(1);
    for tap in taps {
        tap.near = (tap.near - first) * step;
        tap.far = (tap.far - first) * step;
    }
    (first, end - first)
}
