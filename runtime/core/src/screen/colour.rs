//! Colour Doppler inside the imaging area, told from tinted grey.

use super::pixels::Pixels;
use super::sector::Outline;

/// Samples across and down the frame.
const GRID: (usize, usize) = (96, 72);
/// Highest minus lowest of red, green and blue from which a sample has a colour.
const COLOURED: u8 = 56;
/// Brightest of the three from which a sample is looked at.
const LIT: u8 = 48;
/// Hues told apart.
const HUES: usize = 12;
/// A colour too faint to tell its hue.
const FAINT: u8 = 2 + HUES as u8;
/// Share of the lit samples without a colour from which on the image is grey, in a hundred.
const GREY_PERCENT: usize = 30;
/// Coloured samples, in a thousand of the area, from which colour is on at once.
const MUCH_PER_MILLE: usize = 15;
/// The same, from which it is on when the frame before had them too.
const SOME_PER_MILLE: usize = 5;
/// Share of the coloured samples that are of one hue or those beside it, where it is a tint, in a hundred.
const TINTED_PERCENT: usize = 90;
/// Frames in a row until an image is believed to be tinted, or no longer to be.
const TINTED_FRAMES: u32 = 5;
/// How long it stays on without a coloured sample: longer than a heart at 40 beats rests.
const HELD_NANOS: i64 = 1_500_000_000;

/// Watches for colour.
#[derive(Debug, Clone)]
pub(super) struct ColourWatch {
    /// Samples inside the area, as [`hue_of`] has them.
    hues: Vec<u8>,
    inside: Vec<bool>,
    area: usize,
    before: bool,
    on_until_nanos: Option<i64>,
    tinted: bool,
    /// Frames in a row that say otherwise than `tinted`.
    otherwise: u32,
}

impl Default for ColourWatch {
    fn default() -> Self {
        let samples = GRID.0 * GRID.1;
        Self {
            hues: vec![0; samples],
            inside: vec![false; samples],
            area: 0,
            before: false,
            on_until_nanos: None,
            tinted: false,
            otherwise: 0,
        }
    }
}

impl ColourWatch {
    /// Takes the area to watch; nothing is watched without one.
    pub fn watch(&mut self, outline: Option<&Outline>) {
        self.area = 0;
        for (at, inside) in self.inside.iter_mut().enumerate() {
            let (x, y) = (at % GRID.0, at / GRID.0);
            let middle = |at: usize, of: usize| (at as f32 + 0.5) / of as f32;
            let (x, y) = (middle(x, GRID.0), middle(y, GRID.1));
            *inside = outline.is_some_and(|o| o.contains(x, y));
            self.area += usize::from(*inside);
        }
    }

    /// Forgets what was on.
    pub fn reset(&mut self) {
        self.before = false;
        self.on_until_nanos = None;
        (self.tinted, self.otherwise) = (false, 0);
    }

    /// True while the image is grey under a tint.
    pub fn is_tinted(&self) -> bool {
        self.tinted
    }

    /// True while colour is on.
    ///
    /// # Real-time
    /// No allocation; reads at most 6912 pixels.
    pub fn look(&mut self, pixels: &Pixels<'_>, at_nanos: i64) -> bool {
        if !pixels.has_colour() || self.area == 0 {
            self.reset();
            return false;
        }
        let coloured = self.coloured(pixels);
        let much = coloured * 1000 >= self.area * MUCH_PER_MILLE;
        let some = coloured * 1000 >= self.area * SOME_PER_MILLE;
        if much || (some && self.before) {
            self.on_until_nanos = Some(at_nanos.saturating_add(HELD_NANOS));
        }
        self.before = some;
        self.on_until_nanos.is_some_and(|until| at_nanos < until)
    }

    /// Takes what one frame says of a tint.
    fn tint(&mut self, tinted: bool) {
        self.otherwise = match tinted == self.tinted {
            true => 0,
            false => self.otherwise + 1,
        };
        if self.otherwise >= TINTED_FRAMES {
            (self.tinted, self.otherwise) = (tinted, 0);
        }
    }

    /// Samples of a colour that is no tint and that have neighbours of a colour too.
    fn coloured(&mut self, pixels: &Pixels<'_>) -> usize {
        let (width, height) = pixels.size_px();
        let mut counts = [0_usize; HUES + 3];
        for (at, hue) in self.hues.iter_mut().enumerate() {
            if !self.inside[at] {
                *hue = 0;
                continue;
            }
            let x = (2 * (at % GRID.0) + 1) * width / (2 * GRID.0);
            let y = (2 * (at / GRID.0) + 1) * height / (2 * GRID.1);
            *hue = hue_of(pixels.rgb(x, y));
            counts[usize::from(*hue)] += 1;
        }
        let [_, grey, hues @ .., faint] = counts;
        let with_colour: usize = hues.iter().sum();
        let lit = grey + with_colour;
        let beside = |hue: usize, of: usize| {
            let apart = hue.abs_diff(of);
            apart.min(HUES - apart) <= 1
        };
        let main = (0..HUES).max_by_key(|hue| hues[*hue]).unwrap_or(0);
        let tint = (grey * 100 < lit * GREY_PERCENT).then_some(main);
        let of_main: usize = (0..HUES)
            .filter(|h| beside(*h, main))
            .map(|h| hues[h])
            .sum();
        let (any, all) = (with_colour + faint, with_colour + faint + grey);
        self.tint(
            grey * 100 < all * GREY_PERCENT
                && (of_main + faint) * 100 >= any * TINTED_PERCENT
                && any * 10 >= self.area,
        );
        let speaks = |at: usize| {
            let hue = usize::from(self.hues.get(at).copied().unwrap_or(0));
            let Some(hue) = hue.checked_sub(2).filter(|hue| *hue < HUES) else {
                return false;
            };
            tint.is_none_or(|tint| !beside(hue, tint))
        };
        let together = |at: &usize| {
            let next = [
                at.wrapping_sub(1),
                at + 1,
                at.wrapping_sub(GRID.0),
                at + GRID.0,
            ];
            speaks(*at) && next.into_iter().filter(|at| speaks(*at)).count() >= 2
        };
        (0..self.hues.len()).filter(together).count()
    }
}

/// 0 for dark, 1 for grey, [`FAINT`] for a faint colour, others for a colour: red, yellow, green, cyan,
/// blue, magenta, each in two halves.
fn hue_of([r, g, b]: [u8; 3]) -> u8 {
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    let spread = high - low;
    if high < LIT {
        return 0;
    }
    let (spread_wide, brightest) = (u16::from(spread), u16::from(high));
    if spread_wide * 4 < brightest {
        return 1;
    }
    if spread < COLOURED || spread_wide * 3 < brightest {
        return FAINT;
    }
    let third = |from: u8, up: u8, down: u8| {
        let turn = (i32::from(up) - i32::from(down)) * 2 / i32::from(spread).max(1);
        (i32::from(from) * 4 + turn + 12) % 12
    };
    let hue = if high == r {
        third(0, g, b)
    } else if high == g {
        third(1, b, r)
    } else {
        third(2, r, g)
    };
    u8::try_from(hue + 2).unwrap_or(1)
}
