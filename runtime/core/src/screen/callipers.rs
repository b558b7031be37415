//! Callipers: two or more like crosses that stay where they are in the imaging area.
//!
//! A cross is four straight bright arms of one length, upright or slanting, each thin, with an end,
//! and with something darker between them. One alone is none: it may be a pointer.

use super::sector::Outline;
use super::stillness::Picture;

/// Pixels looked at in one look; larger areas take several.
const PIXELS_A_LOOK: usize = 131_072;
/// Rows from which every second row and column is left out, every third from twice as many, ...
const ROWS: usize = 1440;
/// Brightness from which a pixel may be of a cross.
const BRIGHT: u8 = 140;
/// How much darker what is beside an arm must be, and what is beyond its end.
const DARKER: u8 = 50;
/// Where an arm begins at the latest, and where it may end, from the middle.
const BEGINS: i32 = 3;
const ENDS: [i32; 2] = [4, 11];
/// Shortest arm.
const LEAST_ARM: i32 = 3;
/// Least number of the four places between the arms that must be darker.
const LEAST_BETWEEN: usize = 3;
/// Most that the arms of a cross, or two like crosses, differ by in length and in brightness.
const ALIKE: (i32, u8) = (1, 48);
/// Least distance between two callipers.
const APART: i32 = 10;
/// Crosses that are remembered.
const MOST: usize = 16;
/// Passes in which a cross must be seen.
const SEEN: u8 = 2;
/// Looks without it after which one is forgotten that was seen once, and one that is known: bright
/// tissue that passes below hides it.
const FORGOTTEN: [u8; 2] = [12, 24];

/// The four ways of the arms: of an upright cross, of a slanting one.
const WAYS: [[[i32; 2]; 4]; 2] = [
    [[1, 0], [0, 1], [-1, 0], [0, -1]],
    [[1, 1], [-1, 1], [-1, -1], [1, -1]],
];

/// Watches for callipers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CalliperWatch {
    crosses: [Cross; MOST],
    used: usize,
    /// The row that the next look begins at; 0 at the beginning of a pass.
    row: usize,
    /// Looks of this pass.
    looks: u8,
}

/// A cross that was seen.
#[derive(Debug, Clone, Copy, Default)]
struct Cross {
    at: [i32; 2],
    slanting: bool,
    /// Where its arms end, from its middle.
    end: i32,
    bright: u8,
    /// Passes that it was seen in, and looks of the passes since.
    seen: u8,
    missed: u8,
    /// Whether it was seen in this pass.
    now: bool,
}

impl Cross {
    fn is_like(&self, other: &Self) -> bool {
        self.slanting == other.slanting
            && (self.end - other.end).abs() <= ALIKE.0
            && self.bright.abs_diff(other.bright) <= ALIKE.1
    }

    fn off(&self, other: &Self) -> i32 {
        let [x, y] = [0, 1].map(|axis| (self.at[axis] - other.at[axis]).abs());
        x.max(y)
    }
}

impl CalliperWatch {
    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// True while callipers are in the image.
    pub fn are_there(&self) -> bool {
        let known = self.crosses.iter().take(self.used);
        let known = known.filter(|cross| cross.seen >= SEEN);
        known.clone().any(|one| {
            let like = |other: &&Cross| one.is_like(other) && one.off(other) >= APART;
            known.clone().any(|other| like(&other))
        })
    }

    /// Looks at the next rows inside `area`.
    ///
    /// # Real-time
    /// No allocation; at most 131072 pixels and those round bright ones.
    pub fn look(&mut self, picture: Picture<'_>, area: &Outline) {
        let seen = Seen::new(picture);
        let [left, top, right, bottom] = area.bounds();
        let within = |share: f32, side: i32| ((share * side as f32) as i32).clamp(0, side);
        let columns = within(left, seen.width)..within(right, seen.width);
        let rows = within(top, seen.height)..within(bottom, seen.height);
        let (across, down) = (columns.len().max(1), rows.len());
        let many = (PIXELS_A_LOOK / across).max(1);
        let from = self.row.min(down);
        let to = (from + many).min(down);
        for y in (from..to).map(|row| rows.start + row as i32) {
            for x in columns.clone().filter(|x| seen.may_be_cross(*x, y)) {
                let share = |at: i32, side: i32| (at as f32 + 0.5) / side as f32;
                if area.contains(share(x, seen.width), share(y, seen.height)) {
                    for slanting in [false, true] {
                        if let Some(cross) = seen.cross(x, y, slanting) {
                            self.note(cross);
                        }
                    }
                }
            }
        }
        self.row = to;
        self.looks = self.looks.saturating_add(1);
        if to >= down {
            self.row = 0;
            self.end_pass();
        }
    }

    fn note(&mut self, cross: Cross) {
        let known = self.crosses.iter_mut().take(self.used);
        let same = |known: &&mut Cross| known.is_like(&cross) && known.off(&cross) <= 2;
        if let Some(known) = known.into_iter().find(same) {
            known.now = true;
        } else if let Some(free) = self.crosses.get_mut(self.used) {
            *free = Cross { now: true, ..cross };
            self.used += 1;
        }
    }

    fn end_pass(&mut self) {
        let mut kept = 0;
        for at in 0..self.used {
            let mut cross = self.crosses[at];
            (cross.seen, cross.missed) = match cross.now {
                true => (cross.seen.saturating_add(1), 0),
                false => (cross.seen, cross.missed.saturating_add(self.looks)),
            };
            cross.now = false;
            if cross.missed < FORGOTTEN[usize::from(cross.seen >= SEEN)] {
                self.crosses[kept] = cross;
                kept += 1;
            }
        }
        self.used = kept;
        self.looks = 0;
    }
}

/// A picture by row and column.
struct Seen<'a> {
    picture: Picture<'a>,
    byte: usize,
    step: usize,
    width: i32,
    height: i32,
}

impl<'a> Seen<'a> {
    fn new(picture: Picture<'a>) -> Self {
        let step = picture.height_px / ROWS + 1;
        let side = |px: usize| i32::try_from(px / step).unwrap_or(0);
        Self {
            picture,
            byte: picture.pixel_bytes.saturating_sub(1).min(1),
            step,
            width: side(picture.width_px),
            height: side(picture.height_px),
        }
    }

    fn at(&self, x: i32, y: i32) -> u8 {
        let (Ok(column), Ok(row)) = (usize::try_from(x), usize::try_from(y)) else {
            return 0;
        };
        if x >= self.width || y >= self.height {
            return 0;
        }
        let start = (row * self.step).saturating_mul(self.picture.stride_bytes);
        let at = column * self.step * self.picture.pixel_bytes + self.byte;
        let pixel = self.picture.pixels.get(start.saturating_add(at));
        pixel.copied().unwrap_or(0)
    }

    /// What holds for the middle of every cross, and for few other pixels.
    fn may_be_cross(&self, x: i32, y: i32) -> bool {
        let bright = |dx: i32, dy: i32| self.at(x + dx, y + dy) >= BRIGHT;
        let upright = bright(3, 0) && bright(-3, 0) && bright(0, 3) && bright(0, -3);
        upright || (bright(3, 3) && bright(-3, -3) && bright(3, -3) && bright(-3, 3))
    }

    fn cross(&self, x: i32, y: i32, slanting: bool) -> Option<Cross> {
        let ways = WAYS[usize::from(slanting)];
        let (mut shortest, mut longest) = (i32::MAX, 0);
        let (mut dimmest, mut brightest) = (u8::MAX, 0);
        for way in ways {
            let along = |far: i32| self.at(x + way[0] * far, y + way[1] * far);
            let begin = (0..=BEGINS).find(|far| along(*far) >= BRIGHT)?;
            let end = (begin..=ENDS[1] + 1).find(|far| along(*far) < BRIGHT)? - 1;
            if end < ENDS[0] || end + 1 - begin < LEAST_ARM {
                return None;
            }
            let arm = begin.max(1)..=end;
            let mean = arm.clone().map(|far| u32::from(along(far))).sum::<u32>();
            let mean = (mean / arm.clone().count().max(1) as u32).min(255) as u8;
            let dark = mean.saturating_sub(DARKER);
            if along(end + 2) > dark {
                return None;
            }
            // slanting arms are looked at across the grid, so that what is beside is as far
            let across = [-way[1], way[0]];
            let beside = |far: i32, sign: i32| {
                (2..=4).any(|off| {
                    let [dx, dy] = [0, 1].map(|axis| way[axis] * far + across[axis] * off * sign);
                    self.at(x + dx, y + dy) <= dark
                })
            };
            let outer = arm.filter(|far| 2 * far > end);
            let thin = outer.clone().all(|far| beside(far, 1) && beside(far, -1));
            if !thin {
                return None;
            }
            (shortest, longest) = (shortest.min(end), longest.max(end));
            (dimmest, brightest) = (dimmest.min(mean), brightest.max(mean));
        }
        // a disc or a square is as bright between its corners
        let off = if slanting {
            longest
        } else {
            (3 * longest + 3) / 4
        };
        let dark = dimmest.saturating_sub(DARKER);
        let between = WAYS[usize::from(!slanting)].iter();
        let between = between.filter(|way| self.at(x + way[0] * off, y + way[1] * off) <= dark);
        if between.count() < LEAST_BETWEEN {
            return None;
        }
        let alike = longest - shortest <= ALIKE.0 && brightest - dimmest <= ALIKE.1;
        alike.then_some(Cross {
            at: [x, y],
            slanting,
            end: longest,
            bright: brightest,
            ..Cross::default()
        })
    }
}
