//! The scanner's orientation mark: a small compact sign beside the probe, outside the imaging area.
//!
//! It is found for sure or not at all. Whatever might be text, a scale or the image itself is none,
//! and nothing is said where both sides hold something of its size.

use super::fan::Form;
use super::finder::Found;
use super::pixels::Pixels;
use super::setup::Side;

/// Rows that a frame is sampled at, about.
const ROWS: usize = 480;
/// Most samples across and down the window.
const MOST: (usize, usize) = (1024, 120);
/// How far the window reaches beside and above the probe's face, of the frame's height.
const BESIDE: f32 = 0.16;
const ABOVE: f32 = 0.06;
/// How far it reaches below the face's corners.
const BELOW: f32 = 0.1;
/// Width of the rim round the imaging area that counts as of it.
const RIM: f32 = 0.015;
/// Brightest colour above the background from which a sample is lit.
const LIT: u8 = 40;
/// Brightest background.
const BRIGHTEST_BACKGROUND: usize = 100;
/// Longer side from which a thing is of a mark's size, and from which it is too large.
const SIZES: [f32; 2] = [0.012, 0.06];
/// Longer side from which a coloured sign and a grey disc are marks.
const LEAST: [f32; 2] = [0.018, 0.022];
/// Shortest side in samples.
const LEAST_SAMPLES: usize = 5;
/// How far from the middle of the face a mark is.
const ASIDE: f32 = 0.03;
/// Share in common with an ellipse from which a thing is a disc.
const DISC: f32 = 0.76;
/// Longer side over shorter side, at most: of a disc, of a coloured sign.
const ASPECTS: [f32; 2] = [1.25, 1.6];
/// Share of the samples that have a colour, and share of the box that is lit, of a coloured sign.
const COLOURED: f32 = 0.6;
const FILLED: f32 = 0.45;
/// Looks in a row that must find the same.
const LOOKS: u32 = 5;
/// Things of a mark's size that are told apart; with more there is no mark.
const MOST_THINGS: usize = 24;

/// Watches for the mark.
#[derive(Debug, Clone, Default)]
pub(super) struct MarkerWatch {
    /// 0 dark, 1 lit, 2 lit and coloured, 3 taken.
    samples: Vec<u8>,
    queue: Vec<u32>,
    now: Option<Mark>,
    looks: u32,
    side: Option<Side>,
}

/// A thing that may be the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    side: Side,
    /// Left, top, right, bottom in samples of the frame.
    bounds: [usize; 4],
}

/// Where the mark is looked for, in samples.
struct Window {
    /// Pixels from one sample to the next.
    step: usize,
    /// Left, top.
    from: [usize; 2],
    across: usize,
    down: usize,
    middle: f32,
    /// Rows of the frame.
    height: f32,
}

/// One connected thing in the window.
#[derive(Clone, Copy, Default)]
struct Thing {
    /// Left, top, right, bottom in the window, the latter two outside.
    bounds: [usize; 4],
    lit: usize,
    coloured: usize,
    disc: f32,
}

impl Thing {
    fn sides(&self) -> (usize, usize) {
        let [left, top, right, bottom] = self.bounds;
        (right - left, bottom - top)
    }

    fn has_colour(&self) -> bool {
        self.coloured as f32 >= COLOURED * self.lit as f32
    }

    /// True for a coloured sign or a disc.
    fn is_mark(&self, height: f32) -> bool {
        let (across, down) = self.sides();
        let (short, long) = (across.min(down), across.max(down));
        let aspect = long as f32 / short.max(1) as f32;
        let filled = self.lit as f32 / (across * down).max(1) as f32;
        let size = long as f32 / height;
        let sign = self.has_colour() && filled >= FILLED && aspect <= ASPECTS[1];
        let disc = self.disc >= DISC && aspect <= ASPECTS[0];
        let large = (sign && size >= LEAST[0]) || (disc && size >= LEAST[1]);
        short >= LEAST_SAMPLES && size <= SIZES[1] && large
    }

    /// True where both stand side by side as letters of a word do.
    fn is_beside(&self, other: &Self) -> bool {
        let [left, top, right, bottom] = self.bounds;
        let [other_left, other_top, other_right, other_bottom] = other.bounds;
        let apart = other_left
            .saturating_sub(right)
            .max(left.saturating_sub(other_right));
        let level = top < other_bottom && other_top < bottom;
        level && 5 * apart < 4 * (bottom - top) && self.has_colour() == other.has_colour()
    }
}

impl MarkerWatch {
    /// Forgets everything.
    pub fn reset(&mut self) {
        (self.now, self.looks, self.side) = (None, 0, None);
    }

    /// Side of the mark, where it is known.
    pub fn side(&self) -> Option<Side> {
        self.side
    }

    /// Takes a look at a frame whose area is `found` on a grid of `cells`, the probe being up.
    ///
    /// # Real-time
    /// No allocation once a geometry has been seen; at most 122880 pixels.
    pub fn look(&mut self, pixels: &Pixels<'_>, found: &Found, cells: (usize, usize)) {
        let now = Window::new(pixels.size_px(), found, cells)
            .and_then(|window| self.mark(pixels, found, cells, &window));
        let same = match (self.now, now) {
            (Some(before), Some(now)) => {
                let near = |(a, b): (&usize, &usize)| a.abs_diff(*b) <= 1;
                before.side == now.side && before.bounds.iter().zip(&now.bounds).all(near)
            }
            (before, now) => before.is_none() && now.is_none(),
        };
        self.looks = if same { self.looks + 1 } else { 1 };
        self.now = now;
        if self.looks >= LOOKS {
            self.side = now.map(|mark| mark.side);
        }
    }

    fn mark(
        &mut self,
        pixels: &Pixels<'_>,
        found: &Found,
        cells: (usize, usize),
        window: &Window,
    ) -> Option<Mark> {
        self.sample(pixels, found, cells, window);
        let mut things = [Thing::default(); MOST_THINGS];
        let mut seen = 0;
        for start in 0..window.across * window.down {
            if !matches!(self.samples.get(start), Some(1 | 2)) {
                continue;
            }
            let thing = self.take(start, window);
            let (across, down) = thing.sides();
            let [left, top, right, bottom] = thing.bounds;
            let inside = left > 0 && top > 0 && right < window.across && bottom < window.down;
            if inside && across.max(down) as f32 >= SIZES[0] * window.height {
                *things.get_mut(seen)? = thing;
                seen += 1;
            }
        }
        let things = things.get(..seen)?;
        let mut marks = things.iter().enumerate();
        let is_mark = |(_, thing): &(usize, &Thing)| thing.is_mark(window.height);
        let (at, mark) = marks.find(is_mark)?;
        let off = |thing: &Thing| {
            let twice = (thing.bounds[0] + thing.bounds[2]) as f32;
            twice / 2.0 + window.from[0] as f32 - window.middle
        };
        let alone = things.iter().enumerate().all(|(other, thing)| {
            let same_side = off(thing) * off(mark) > 0.0;
            let letters = mark.is_beside(thing) || thing.is_mark(window.height);
            other == at || (same_side && !letters)
        });
        if !alone || off(mark).abs() < ASIDE * window.height {
            return None;
        }
        let [x, y] = window.from;
        let [left, top, right, bottom] = mark.bounds;
        Some(Mark {
            side: if off(mark) < 0.0 {
                Side::Left
            } else {
                Side::Right
            },
            bounds: [left + x, top + y, right + x, bottom + y],
        })
    }

    fn sample(
        &mut self,
        pixels: &Pixels<'_>,
        found: &Found,
        cells: (usize, usize),
        window: &Window,
    ) {
        self.samples.clear();
        let mut counts = [0_u32; BRIGHTEST_BACKGROUND];
        let (width, height) = pixels.size_px();
        let per_sample = [
            cells.0 as f32 * window.step as f32 / width as f32,
            cells.1 as f32 * window.step as f32 / height as f32,
        ];
        let rim = RIM * cells.1 as f32;
        for y in window.from[1]..window.from[1] + window.down {
            for x in window.from[0]..window.from[0] + window.across {
                let at = [x as f32 + 0.5, y as f32 + 0.5];
                let of_image = in_fan(
                    &found.fit.form,
                    [at[0] * per_sample[0], at[1] * per_sample[1]],
                    rim,
                );
                let rgb = match of_image {
                    true => [0; 3],
                    false => pixels.rgb(x * window.step, y * window.step),
                };
                let high = rgb[0].max(rgb[1]).max(rgb[2]);
                let spread = high - rgb[0].min(rgb[1]).min(rgb[2]);
                if let Some(count) = counts.get_mut(usize::from(high))
                    && !of_image
                {
                    *count += 1;
                }
                // brightness in the upper seven bits, colour in the lowest
                self.samples
                    .push(high & !1 | u8::from(spread >= high.div_ceil(2)));
            }
        }
        let most = counts.iter().max().copied().unwrap_or(0);
        let background = counts.iter().position(|c| *c == most).unwrap_or(0) as u8;
        for sample in &mut self.samples {
            let lit = *sample & !1 >= background.saturating_add(LIT);
            *sample = if lit { 1 + (*sample & 1) } else { 0 };
        }
    }

    /// Takes the thing that a sample is of.
    fn take(&mut self, start: usize, window: &Window) -> Thing {
        let across = window.across;
        let mut thing = Thing {
            bounds: [usize::MAX, usize::MAX, 0, 0],
            ..Thing::default()
        };
        self.queue.clear();
        self.queue.push(start as u32);
        thing.coloured += usize::from(self.samples[start] == 2);
        self.samples[start] = 3;
        let mut next = 0;
        while let Some(at) = self.queue.get(next).map(|at| *at as usize) {
            next += 1;
            let (x, y) = (at % across, at / across);
            let [left, top, right, bottom] = thing.bounds;
            thing.bounds = [left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)];
            for y in y.saturating_sub(1)..(y + 2).min(window.down) {
                for x in x.saturating_sub(1)..(x + 2).min(across) {
                    let near = y * across + x;
                    if matches!(self.samples[near], 1 | 2) {
                        thing.coloured += usize::from(self.samples[near] == 2);
                        self.samples[near] = 3;
                        self.queue.push(near as u32);
                    }
                }
            }
        }
        thing.lit = self.queue.len();
        thing.disc = disc(&thing, &self.queue, across);
        thing
    }
}

/// Share that the samples at `lit` and the ellipse in their box have in common.
fn disc(thing: &Thing, lit: &[u32], across: usize) -> f32 {
    let [left, top, ..] = thing.bounds;
    let (wide, high) = thing.sides();
    let within = |x: usize, y: usize| {
        let off = |at: usize, of: usize| (2 * at + 1) as f32 / of.max(1) as f32 - 1.0;
        let (x, y) = (off(x, wide), off(y, high));
        x * x + y * y <= 1.0
    };
    let both = lit
        .iter()
        .map(|at| (*at as usize % across - left, *at as usize / across - top))
        .filter(|(x, y)| within(*x, *y))
        .count();
    // nothing large is a disc: its box need not be walked through
    if wide * high > MOST.1 * MOST.1 {
        return 0.0;
    }
    let all = (0..wide * high).filter(|at| within(at % wide, at / wide));
    both as f32 / (all.count() + lit.len() - both).max(1) as f32
}

fn in_fan(form: &Form, p: [f32; 2], rim: f32) -> bool {
    let Form::Fan {
        apex,
        from_to: [from, to],
        inner,
        outer,
    } = form
    else {
        return false;
    };
    let (dx, dy) = (p[0] - apex[0], p[1] - apex[1]);
    let left = dy * libm::sinf(*from) - dx * libm::cosf(*from);
    let right = dx * libm::cosf(*to) - dy * libm::sinf(*to);
    let radius = (dx * dx + dy * dy).sqrt();
    left < rim && right < rim && radius > inner - rim && radius < outer + rim
}

impl Window {
    fn new(
        (width, height): (usize, usize),
        found: &Found,
        (cols, rows): (usize, usize),
    ) -> Option<Self> {
        let Form::Fan {
            apex,
            from_to,
            inner,
            ..
        } = found.fit.form
        else {
            return None;
        };
        let step = ((height + ROWS / 2) / ROWS).max(1);
        let (wide, high) = (width / step, height / step);
        let scale = [
            wide as f32 / cols.max(1) as f32,
            high as f32 / rows.max(1) as f32,
        ];
        let corner = |angle: f32| {
            let way = [libm::sinf(angle), libm::cosf(angle)];
            [0, 1].map(|axis| (apex[axis] + inner * way[axis]) * scale[axis])
        };
        let [left, right] = from_to.map(corner);
        let tall = high as f32;
        let cut = |at: f32, most: usize| (at.max(0.0) as usize).min(most);
        let x = [left[0] - BESIDE * tall, right[0] + BESIDE * tall].map(|x| cut(x, wide));
        let y = [
            left[1].min(right[1]) - ABOVE * tall,
            left[1].max(right[1]) + BELOW * tall,
        ];
        let y = y.map(|y| cut(y, high));
        let (across, down) = (x[1].saturating_sub(x[0]), y[1].saturating_sub(y[0]));
        (across > 0 && across <= MOST.0 && down > 0 && down <= MOST.1).then_some(Self {
            step,
            from: [x[0], y[0]],
            across,
            down,
            middle: (left[0] + right[0]) / 2.0,
            height: tall,
        })
    }
}
