//! What is on the screen besides the imaging area.

use super::coarse::{Coarse, MAX_CELLS};
use super::polar::Polar;

/// Brightness above black from which a cell is lit, sum of 16 samples.
const LIT: u16 = 240;
/// Highest minus lowest sample up to which a cell is flat.
const FLAT: u8 = 2;
/// Highest minus lowest sample from which a cell is textured.
const TEXTURED: u8 = 6;
/// Cells round the area that count as of it.
const RIM: usize = 5;
/// Share of a row that textured cells beside the area fill in a second image or a strip.
const FILLED: f32 = 0.25;
/// Such rows in a row, of the frame's height.
const STRIP: f32 = 0.1;
/// Difference of a cell between two looks that is a change, sum of 16 samples.
const CHANGED: u16 = 480;
/// Looks after which the usual changes are known.
const KNOWN_AFTER: u32 = 6;

/// Compares each look with the one before.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    before: Vec<u16>,
    looks: u32,
    /// Usual change inside the area, of its brightness.
    usual_inside: f32,
    /// Usual number of changed cells outside.
    usual_outside: f32,
    inside_jumped: u32,
    outside_jumped: u32,
    second: bool,
    flat_dark: f32,
    flat_bright: f32,
}

impl Surroundings {
    /// Forgets everything.
    pub fn reset(&mut self) {
        self.looks = 0;
        (self.inside_jumped, self.outside_jumped) = (0, 0);
        self.second = false;
    }

    /// Takes a look; true when image and surroundings jumped together, as when depth or preset
    /// change.
    pub fn look(&mut self, coarse: &Coarse, area: Option<&Polar>) -> bool {
        self.shades(coarse);
        let Some(area) = area else {
            self.looks = 0;
            return false;
        };
        self.second = second_image(coarse, area);
        let jumped = self.jump(coarse, area);
        self.before.clone_from(&coarse.sums);
        jumped
    }

    /// The look before, sums of 16 samples; empty without one.
    pub fn before(&self) -> &[u16] {
        match self.looks {
            0 => &[],
            _ => &self.before,
        }
    }

    /// True when a second image, or a strip of M-mode or Doppler, lies beside the area.
    pub fn second_image(&self) -> bool {
        self.second
    }

    /// True when there is background, or flat bright panels: a screen, not a picture that fills it.
    pub fn is_a_screen(&self) -> bool {
        self.flat_dark >= 0.1 || self.flat_bright >= 0.1
    }

    fn shades(&mut self, coarse: &Coarse) {
        let cells = coarse.sums.len().max(1) as f32;
        let flat = coarse.sums.iter().zip(&coarse.ranges);
        let flat = flat.filter(|(_, range)| **range <= FLAT);
        let (mut dark, mut bright) = (0, 0);
        for (sum, _) in flat {
            dark += u32::from(*sum < 2 * LIT);
            bright += u32::from(*sum >= 4 * LIT);
        }
        (self.flat_dark, self.flat_bright) = (dark as f32 / cells, bright as f32 / cells);
    }

    fn jump(&mut self, coarse: &Coarse, area: &Polar) -> bool {
        self.looks = self.looks.saturating_add(1);
        if self.looks == 1 || self.before.len() != coarse.sums.len() {
            self.looks = 1;
            return false;
        }
        let (mut moved, mut level, mut outside) = (0_u64, 1_u64, 0_u32);
        let cells = self.before.iter().zip(&coarse.sums).enumerate();
        for (at, (before, now)) in cells {
            if area.inside(at) {
                moved += u64::from(before.abs_diff(*now));
                level += u64::from(*now);
            } else {
                outside += u32::from(before.abs_diff(*now) >= CHANGED);
            }
        }
        let inside = moved as f32 / level as f32;
        let outside = outside as f32;
        let known = self.looks > KNOWN_AFTER;
        let jumped_inside = known && inside > 0.15 && inside > 2.0 * self.usual_inside;
        let jumped_outside = known && outside > 8.0 && outside > 5.0 * self.usual_outside;
        let fade = |left: u32, jumped: bool| if jumped { 4 } else { left.saturating_sub(1) };
        self.inside_jumped = fade(self.inside_jumped, jumped_inside);
        self.outside_jumped = fade(self.outside_jumped, jumped_outside);
        let weight = 1.0 / self.looks.min(16) as f32;
        if !jumped_inside {
            self.usual_inside += (inside - self.usual_inside) * weight;
        }
        if !jumped_outside {
            self.usual_outside += (outside - self.usual_outside) * weight;
        }
        let both = self.inside_jumped > 0 && self.outside_jumped > 0;
        if both {
            (self.inside_jumped, self.outside_jumped) = (0, 0);
        }
        both
    }
}

fn second_image(coarse: &Coarse, area: &Polar) -> bool {
    let (cols, rows) = (coarse.cols, coarse.rows);
    let need = ((rows as f32 * STRIP) as usize).max(4);
    let mut in_a_row = 0;
    for y in 0..rows {
        let mut taken = [false; MAX_CELLS];
        for x in (0..cols).filter(|x| area.inside(y * cols + x)) {
            let (from, to) = (x.saturating_sub(RIM), (x + RIM + 1).min(cols));
            taken[from..to].fill(true);
        }
        let beside = (0..cols).filter(|x| {
            let at = y * cols + x;
            !taken[*x] && coarse.sums[at] >= LIT && coarse.ranges[at] >= TEXTURED
        });
        let filled = beside.count() as f32 >= FILLED * cols as f32;
        in_a_row = if filled { in_a_row + 1 } else { 0 };
        if in_a_row >= need {
            return true;
        }
    }
    false
}
