//! Scan conversion: from beams and samples to pixels.

use crate::Imaging;
use crate::polar::PolarGrid;

/// The share of a frame that the sector may fill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Width of the frame in pixels.
    pub width_px: u32,
    /// Height of the frame in pixels.
    pub height_px: u32,
    /// Width over height of what the frame shows: a frame of 4:3 squashed into a square has 4/3.
    pub aspect: f32,
    /// Free border on the left, top, right and bottom, as a share of width or height.
    pub margins: [f32; 4],
}

impl Layout {
    /// A frame that the sector fills but for two percent, with square pixels.
    pub fn plain(width_px: u32, height_px: u32) -> Self {
        Self {
            width_px,
            height_px,
            aspect: width_px as f32 / height_px.max(1) as f32,
            margins: [0.02; 4],
        }
    }
}

/// Where the sector lies in the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Column of the probe's middle.
    pub centre_px: f32,
    /// Row of the skin.
    pub top_px: f32,
    /// Columns per millimetre.
    pub across_px_per_mm: f32,
    /// Rows per millimetre.
    pub down_px_per_mm: f32,
}

impl Placement {
    /// The largest sector that fits.
    pub(crate) fn new(layout: &Layout, imaging: &Imaging) -> Self {
        let half = 0.5 * imaging.sector_deg;
        let ends = [imaging.steer_deg - half, imaging.steer_deg + half].map(f32::to_radians);
        let far = imaging.origin_mm + imaging.depth_mm;
        let [left_rad, right_rad] = ends;
        let widest = |angle: f32| far * angle.clamp(-1.571, 1.571).sin();
        let (left, right) = (widest(left_rad).min(0.0), widest(right_rad).max(0.0));
        let lowest = ends
            .iter()
            .map(|end| imaging.origin_mm * end.cos() - imaging.origin_mm)
            .fold(0.0, f32::min);
        let [m_left, m_top, m_right, m_bottom] = layout.margins;
        let free = |from: f32, to: f32| (1.0 - from - to).max(0.05);
        let (wide, high) = (free(m_left, m_right), free(m_top, m_bottom));
        let scale = (wide * layout.aspect / (right - left)).min(high / (imaging.depth_mm - lowest));
        let width = layout.width_px as f32;
        let height = layout.height_px as f32;
        let across_px_per_mm = scale * width / layout.aspect;
        let middle = m_left + 0.5 * wide;
        Self {
            centre_px: middle * width - 0.5 * (left + right) * across_px_per_mm,
            top_px: m_top * height - lowest * scale * height,
            across_px_per_mm,
            down_px_per_mm: scale * height,
        }
    }

    /// Millimetres right of the middle and below the skin, for the middle of a pixel.
    pub fn mm_from_px(&self, column: u32, row: u32) -> (f32, f32) {
        (
            (column as f32 + 0.5 - self.centre_px) / self.across_px_per_mm,
            (row as f32 + 0.5 - self.top_px) / self.down_px_per_mm,
        )
    }

    /// Column and row of a point in the image plane.
    pub fn px_from_mm(&self, right_mm: f32, down_mm: f32) -> (f32, f32) {
        (
            self.centre_px + right_mm * self.across_px_per_mm,
            self.top_px + down_mm * self.down_px_per_mm,
        )
    }
}

/// Pixels inside the sector, with where each takes its grey level from.
#[derive(Debug, Clone)]
pub(crate) struct ScanConverter {
    beams: usize,
    taps: Vec<Tap>,
}

#[derive(Debug, Clone, Copy)]
struct Tap {
    pixel: u32,
    first: u32,
    right: u8,
    down: u8,
}

impl ScanConverter {
    pub(crate) fn new(layout: &Layout, placement: &Placement, grid: &PolarGrid) -> Self {
        let mut taps = Vec::new();
        let (last_beam, last_sample) = ((grid.beams - 1) as f32, (grid.samples - 1) as f32);
        for row in 0..layout.height_px {
            for column in 0..layout.width_px {
                let (right_mm, down_mm) = placement.mm_from_px(column, row);
                if down_mm + grid.origin_mm <= 0.0 {
                    continue;
                }
                let (beam, sample) = grid.position(right_mm, down_mm);
                if !(0.0..last_beam).contains(&beam) || !(0.0..last_sample).contains(&sample) {
                    continue;
                }
                taps.push(Tap {
                    pixel: row * layout.width_px + column,
                    first: sample as u32 * grid.beams as u32 + beam as u32,
                    right: (beam.fract() * 256.0) as u8,
                    down: (sample.fract() * 256.0) as u8,
                });
            }
        }
        Self {
            beams: grid.beams,
            taps,
        }
    }

    /// Writes every pixel of the sector and leaves the others.
    pub(crate) fn convert(&self, grey: &[f32], pixels: &mut [u8]) {
        for tap in &self.taps {
            let first = tap.first as usize;
            let second = first + self.beams;
            let right = f32::from(tap.right) * (1.0 / 256.0);
            let down = f32::from(tap.down) * (1.0 / 256.0);
            let upper = grey[first] + (grey[first + 1] - grey[first]) * right;
            let lower = grey[second] + (grey[second + 1] - grey[second]) * right;
            pixels[tap.pixel as usize] = (upper + (lower - upper) * down + 0.5) as u8;
        }
    }

    /// The pixels of the sector.
    pub(crate) fn pixels(&self) -> impl Iterator<Item = usize> {
        self.taps.iter().map(|tap| tap.pixel as usize)
    }
}
