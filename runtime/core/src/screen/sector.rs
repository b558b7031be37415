//! Where on the screen the ultrasound image is.

use crate::frame::{FrameMeta, PixelFormat, PixelLayout};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Luminance of black in video range, and chroma without colour.
const VIDEO_BLACK: u8 = 16;
const NO_COLOUR: u8 = 128;

/// Corners an outline may have.
pub const MAX_CORNERS: usize = 40;

/// What kind of probe draws such an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A fan that comes from a point, or nearly: phased arrays.
    Phased,
    /// A fan that comes from an arc.
    Curvilinear,
    /// A rectangle.
    Linear,
}

impl Shape {
    /// The word used in events and configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phased => "phased",
            Self::Curvilinear => "curvilinear",
            Self::Linear => "linear",
        }
    }
}

/// A polygon on the screen, without holes; edges do not cross.
///
/// # Units
/// Corners are fractions of the frame's width and height, from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outline {
    corners: [[f32; 2]; MAX_CORNERS],
    used: usize,
}

impl Outline {
    /// Takes corners, each cut to 0 to 1; nothing for fewer than three or more than
    /// [`MAX_CORNERS`], or for one that is not finite.
    pub fn new(corners: &[[f32; 2]]) -> Option<Self> {
        if !(3..=MAX_CORNERS).contains(&corners.len())
            || !corners.iter().flatten().all(|v| v.is_finite())
        {
            return None;
        }
        let mut outline = Self {
            corners: [[0.0; 2]; MAX_CORNERS],
            used: corners.len(),
        };
        for (to, from) in outline.corners.iter_mut().zip(corners) {
            *to = from.map(|v| v.clamp(0.0, 1.0));
        }
        Some(outline)
    }

    /// The corners in order.
    pub fn corners(&self) -> &[[f32; 2]] {
        self.corners.get(..self.used).unwrap_or_default()
    }

    /// True for a point inside.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        self.edges().fold(false, |inside, [a, b]| {
            inside != crossing(a, b, y).is_some_and(|at| x < at)
        })
    }

    /// Left, top, right and bottom of the rectangle around it.
    pub fn bounds(&self) -> [f32; 4] {
        let around = [1.0_f32, 1.0, 0.0, 0.0];
        self.corners().iter().fold(around, |[l, t, r, b], [x, y]| {
            [l.min(*x), t.min(*y), r.max(*x), b.max(*y)]
        })
    }

    /// Share of the frame inside.
    pub fn area(&self) -> f32 {
        let twice: f32 = self.edges().map(|[a, b]| a[0] * b[1] - b[0] * a[1]).sum();
        twice.abs() / 2.0
    }

    fn edges(&self) -> impl Iterator<Item = [[f32; 2]; 2]> + '_ {
        let corners = self.corners();
        let next = corners.iter().cycle().skip(1);
        corners.iter().zip(next).map(|(a, b)| [*a, *b])
    }
}

/// Where the edge crosses the horizontal line at `y`; an upper end belongs to the edge, a lower
/// one does not.
fn crossing(a: [f32; 2], b: [f32; 2], y: f32) -> Option<f32> {
    let crosses = (a[1] <= y) != (b[1] <= y);
    crosses.then(|| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
}

/// An imaging area that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sector {
    /// Its outline.
    pub outline: Outline,
    /// Its kind.
    pub shape: Shape,
    /// True when the probe is at the bottom.
    pub inverted: bool,
    /// How well straight sides, arc and filling fit, 0 to 1.
    pub confidence: f32,
}

/// The pixels inside an outline, as ranges per row. Buffers are kept from one outline to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SectorMask {
    width_px: u32,
    height_px: u32,
    /// Per row, where its ranges end in `spans`.
    ends: Vec<usize>,
    spans: Vec<Range<u32>>,
}

impl SectorMask {
    /// Finds the pixels whose centres are inside `outline`.
    ///
    /// # Real-time
    /// Allocates only for more rows or ranges than ever before.
    pub fn build(&mut self, outline: &Outline, width_px: u32, height_px: u32) {
        (self.width_px, self.height_px) = (width_px, height_px);
        self.ends.clear();
        self.spans.clear();
        let (width, height) = (width_px as f32, height_px as f32);
        for y in 0..height_px {
            let mut at = [0.0_f32; MAX_CORNERS];
            let mut found = 0;
            let line = (y as f32 + 0.5) / height;
            for x in outline.edges().filter_map(|[a, b]| crossing(a, b, line)) {
                if let Some(to) = at.get_mut(found) {
                    *to = x;
                    found += 1;
                }
            }
            let at = at.get_mut(..found).unwrap_or_default();
            at.sort_unstable_by(f32::total_cmp);
            for pair in at.chunks_exact(2) {
                let first = |x: f32| ((x * width - 0.5).ceil().max(0.0) as u32).min(width_px);
                let range = first(pair[0])..first(pair[1]);
                if !range.is_empty() {
                    self.spans.push(range);
                }
            }
            self.ends.push(self.spans.len());
        }
    }

    /// Width and height that it was built for.
    pub fn size_px(&self) -> (u32, u32) {
        (self.width_px, self.height_px)
    }

    /// Ranges of columns inside in row `y`, from left to right; none below the last row.
    pub fn row(&self, y: u32) -> &[Range<u32>] {
        let y = y as usize;
        let from = match y.checked_sub(1) {
            None => Some(0),
            Some(above) => self.ends.get(above).copied(),
        };
        let spans = from.zip(self.ends.get(y)).map(|(from, to)| from..*to);
        spans.and_then(|s| self.spans.get(s)).unwrap_or_default()
    }

    /// True for a pixel inside.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        self.row(y).iter().any(|span| span.contains(&x))
    }

    /// Blackens everything outside of a frame that the mask was built for.
    ///
    /// Colour that covers pixels on both sides stays. Bytes that `pixels` does not hold are left
    /// out.
    ///
    /// # Real-time
    /// As [`SectorMask::blacken`].
    pub fn blacken_frame(&self, pixels: &mut [u8], layout: PixelLayout, meta: &FrameMeta) {
        let stride = layout.stride_bytes;
        match meta.format {
            PixelFormat::Gray8 => self.blacken(pixels, stride, 1),
            PixelFormat::Rgb24 => self.blacken(pixels, stride, 3),
            PixelFormat::Bgra32 => self.blacken(pixels, stride, 4),
            PixelFormat::Yuy2 => {
                self.fill_outside(pixels, stride, 2, |at| [VIDEO_BLACK, NO_COLOUR][at % 2]);
            }
            PixelFormat::Nv12 => {
                self.fill_outside(pixels, stride, 1, |_| VIDEO_BLACK);
                let chroma = pixels.get_mut(layout.chroma_offset_bytes..);
                let rows = chroma.unwrap_or_default().chunks_mut(stride.max(1));
                for (row, y) in rows.zip(0..self.height_px / 2) {
                    for (pair, x) in row.chunks_exact_mut(2).zip(0..self.width_px / 2) {
                        let here = |dx, dy| self.contains(2 * x + dx, 2 * y + dy);
                        if !(here(0, 0) || here(1, 0) || here(0, 1) || here(1, 1)) {
                            pair.fill(NO_COLOUR);
                        }
                    }
                }
            }
        }
    }

    /// Blackens everything outside, in rows of `pixel_bytes` a pixel.
    ///
    /// Rows that `pixels` does not hold are left out.
    ///
    /// # Real-time
    /// No allocation; only bytes outside are written.
    pub fn blacken(&self, pixels: &mut [u8], stride_bytes: usize, pixel_bytes: usize) {
        self.fill_outside(pixels, stride_bytes, pixel_bytes, |_| 0);
    }

    fn fill_outside(
        &self,
        pixels: &mut [u8],
        stride_bytes: usize,
        pixel_bytes: usize,
        black: impl Fn(usize) -> u8,
    ) {
        let width_bytes = self.width_px as usize * pixel_bytes;
        for y in 0..self.height_px {
            let start = (y as usize).saturating_mul(stride_bytes);
            let row = start..start.saturating_add(width_bytes);
            let Some(row) = pixels.get_mut(row) else {
                continue;
            };
            let mut from = 0;
            for span in self.row(y) {
                let [inside, after] = [span.start, span.end].map(|x| x as usize * pixel_bytes);
                for (byte, at) in row.get_mut(from..inside).into_iter().flatten().zip(from..) {
                    *byte = black(at);
                }
                from = after;
            }
            for (byte, at) in row.get_mut(from..).into_iter().flatten().zip(from..) {
                *byte = black(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fan() -> Outline {
        Outline::new(&[[0.5, 0.1], [0.9, 0.7], [0.5, 0.9], [0.1, 0.7]]).unwrap()
    }

    #[test]
    fn corners_are_three_to_forty_finite_ones() {
        assert_eq!(Outline::new(&[[0.0, 0.0], [1.0, 1.0]]), None);
        assert_eq!(Outline::new(&[[0.5; 2]; MAX_CORNERS + 1]), None);
        assert_eq!(
            Outline::new(&[[0.0, f32::NAN], [1.0, 1.0], [0.0, 1.0]]),
            None
        );
        let cut = Outline::new(&[[-1.0, 0.0], [2.0, 0.0], [0.5, 3.0]]).unwrap();
        assert_eq!(cut.corners(), [[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]]);
        assert_eq!(cut.bounds(), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(cut.area(), 0.5);
    }

    #[test]
    fn a_mask_has_the_pixels_whose_centres_are_inside() {
        let mut mask = SectorMask::default();
        for (width, height) in [(1, 1), (7, 3), (64, 48), (33, 200)] {
            mask.build(&fan(), width, height);
            assert_eq!(mask.size_px(), (width, height));
            for y in 0..height {
                for x in 0..width {
                    let middle = |at: u32, side: u32| (at as f32 + 0.5) / side as f32;
                    let inside = fan().contains(middle(x, width), middle(y, height));
                    assert_eq!(mask.contains(x, y), inside, "{x} {y} of {width}x{height}");
                }
            }
            assert_eq!(mask.row(height), []);
        }
    }

    #[test]
    fn a_concave_outline_gives_two_ranges_in_a_row() {
        let arch = [[0.0, 0.0], [0.5, 0.5], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        let mut mask = SectorMask::default();
        mask.build(&Outline::new(&arch).unwrap(), 50, 100);
        assert_eq!(mask.row(10), [0..5, 45..50]);
        assert_eq!(mask.row(80), std::slice::from_ref(&(0..50)));
        let mut pixels = vec![9; 100 * 52];
        mask.blacken(&mut pixels, 52, 1);
        let row = &pixels[10 * 52..][..50];
        assert_eq!(row.iter().filter(|p| **p == 0).count(), 40);
        assert_eq!([row[4], row[5], row[44], row[45]], [9, 0, 0, 9]);
    }

    #[test]
    fn a_frame_of_any_format_is_black_outside() {
        use crate::frame::HostMeta;
        let mut mask = SectorMask::default();
        mask.build(&fan(), 32, 20);
        for format in [
            PixelFormat::Gray8,
            PixelFormat::Rgb24,
            PixelFormat::Bgra32,
            PixelFormat::Yuy2,
            PixelFormat::Nv12,
        ] {
            let meta = FrameMeta {
                width_px: 32,
                height_px: 20,
                format,
                capture_nanos: 0,
                pass: 0,
                host: HostMeta::default(),
            };
            let layout = PixelLayout::packed(&meta);
            let mut pixels = vec![90; meta.frame_bytes()];
            mask.blacken_frame(&mut pixels, layout, &meta);
            let seen = crate::screen::Pixels::new(&pixels, layout, &meta);
            for y in 0..20 {
                for x in 0..32 {
                    // a pair of YUY2 or NV12 pixels shares its colour
                    let near = [x & !1, x | 1]
                        .into_iter()
                        .any(|x| mask.contains(x, y & !1) || mask.contains(x, y | 1));
                    let dark = seen.rgb(x as usize, y as usize).iter().all(|v| *v < 3);
                    match mask.contains(x, y) {
                        true => assert!(!dark, "{format} {x} {y}"),
                        false => assert!(dark || near, "{format} {x} {y}"),
                    }
                }
            }
        }
    }

    #[test]
    fn rows_that_are_missing_are_left_out() {
        let mut mask = SectorMask::default();
        mask.build(&fan(), 16, 16);
        mask.blacken(&mut [1; 20], 16, 1);
        mask.blacken(&mut [], usize::MAX, 3);
    }

    proptest! {
        #[test]
        fn any_outline_masks_without_overlap(
            corners in proptest::collection::vec([-0.5_f32..1.5, -0.5_f32..1.5], 3..=MAX_CORNERS),
            width in 1_u32..90,
            height in 1_u32..90,
        ) {
            let outline = Outline::new(&corners).unwrap();
            let mut mask = SectorMask::default();
            mask.build(&outline, width, height);
            let mut pixels = vec![7_u8; (width * height) as usize];
            mask.blacken(&mut pixels, width as usize, 1);
            for y in 0..height {
                let mut from = 0;
                for span in mask.row(y) {
                    prop_assert!(span.start >= from && span.start < span.end && span.end <= width);
                    from = span.end;
                }
                for x in 0..width {
                    let kept = pixels[(y * width + x) as usize] == 7;
                    prop_assert_eq!(kept, mask.contains(x, y));
                }
            }
        }
    }
}
