//! Draws clips of the phantom.

use echocart_phantom::{
    Chamber, Decoration, Exam, Layout, Phantom, PhantomError, Random, Screen, Subject, View,
};

use crate::TrainError;
use crate::cache::{CELL_PX, CELLS, FRAMES, Label, MAPS, MAPS_BYTES, SIDE_PX};

/// Frames rendered per frame kept: the one before leaves its persistence in the picture.
const RATE: u32 = 3;
const RATE_HZ: f32 = 8.0;

/// The screen that a clip is squashed from.
const SCREEN: (u32, u32) = (640, 480);

/// Views in the order in which they come; a third are four-chamber views, for the sake of the
/// ejection fraction.
const ORDER: [View; 18] = [
    View::A4c,
    View::A2c,
    View::Plax,
    View::A4c,
    View::PsaxAv,
    View::Other,
    View::A4c,
    View::A3c,
    View::PsaxMv,
    View::A4c,
    View::A5c,
    View::PsaxPm,
    View::A4c,
    View::PsaxAp,
    View::Subcostal,
    View::A4c,
    View::A2c,
    View::Other,
];

/// Clips of a split, the first ones, in that order; what comes after them are four-chamber views alone.
pub const MIXED: usize = 9000;

/// A clip with what is true about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The truth.
    pub label: Label,
    /// `[16, 128, 128]` u8.
    pub pixels: Vec<u8>,
    /// `[128, 128]`: whether the imaging sector covers a pixel.
    pub inside: Vec<bool>,
    /// `[8, 32, 32]` u8: the chamber's number in a mask, 0 elsewhere; half-way between two frames.
    pub chambers: Vec<u8>,
}

/// Renders clip `index` of the hearts from seed `first` on. Every clip has a heart of its own.
///
/// # Errors
/// [`TrainError::Phantom`].
pub fn draw(first: u64, index: u64) -> Result<Drawn, TrainError> {
    let seed = first + index;
    let decoration = Decoration::sample(seed);
    let screen_layout = decoration.skin.layout(SCREEN.0, SCREEN.1);
    let layout = Layout {
        width_px: SIDE_PX as u32,
        height_px: SIDE_PX as u32,
        ..screen_layout
    };
    let frames = RATE * FRAMES as u32;
    let exam = Exam::sample(view(index), seed, layout, RATE_HZ * RATE as f32, frames);
    let surroundings = surroundings(&exam, screen_layout, decoration)
        .map_err(|error| TrainError::Phantom { error, index })?;
    let mut phantom = Phantom::new(exam).map_err(|error| TrainError::Phantom { error, index })?;
    let truth = phantom.truth(0, frames);
    let mut inside = vec![false; SIDE_PX * SIDE_PX];
    for pixel in phantom.sector() {
        inside[pixel] = true;
    }
    let mut pixels = surroundings.repeat(FRAMES);
    for (at, frame) in pixels.chunks_exact_mut(SIDE_PX * SIDE_PX).enumerate() {
        for back in [1, 0] {
            phantom.render(RATE * at as u32 + RATE - 1 - back, frame);
        }
    }
    let label = Label {
        seed,
        view: truth.label.map(|label| label.name().to_owned()),
        ef_percent: truth.ef_percent,
        rate_bpm: truth.rate_bpm,
        angle_deg: truth.pose_error.angle_deg,
        slide_mm: truth.pose_error.slide_mm,
    };
    Ok(Drawn {
        chambers: chambers(&phantom, &inside),
        label,
        pixels,
        inside,
    })
}

/// What the middles of the cells show.
fn chambers(phantom: &Phantom, inside: &[bool]) -> Vec<u8> {
    if phantom.exam().subject != Subject::Heart {
        return vec![0; MAPS_BYTES];
    }
    let placement = phantom.placement();
    let map = |at: usize| {
        // The frames kept are 2 and 5 of every six.
        let frame = RATE * 2 * at as u32 + RATE;
        let (state, pose) = (phantom.state(frame), phantom.pose(frame));
        (0..CELLS * CELLS).map(move |cell| {
            let row = CELL_PX * (cell / CELLS) + CELL_PX / 2;
            let column = CELL_PX * (cell % CELLS) + CELL_PX / 2;
            if !inside[row * SIDE_PX + column] {
                return 0;
            }
            let (right, down) = placement.mm_from_px(column as u32, row as u32);
            let chamber = phantom.chamber_at(&pose, &state, right, down);
            chamber.map_or(0, Chamber::number)
        })
    };
    (0..MAPS).flat_map(map).collect()
}

/// The view that clip `index` is to show.
pub fn view(index: u64) -> View {
    if index >= MIXED as u64 {
        return View::A4c;
    }
    ORDER[(index % ORDER.len() as u64) as usize]
}

/// What is drawn around the sector, squashed as the runtime squashes a screen. The sector itself
/// is rendered small: sampling it at the same places is much faster.
fn surroundings(
    exam: &Exam,
    layout: Layout,
    decoration: Decoration,
) -> Result<Vec<u8>, PhantomError> {
    let exam = Exam {
        layout,
        frames: 1,
        ..exam.clone()
    };
    let (width, height) = (SCREEN.0 as usize, SCREEN.1 as usize);
    let mut large = vec![0; width * height];
    Screen::new(Phantom::new(exam)?, decoration)?.render(0, &mut large);
    let line = |row: usize| {
        let large = &large;
        (0..SIDE_PX).map(move |column| {
            let (x, y) = (place(column, width), place(row, height));
            let at =
                |right: usize, below: usize| f32::from(large[(y.0 + below) * width + x.0 + right]);
            let above = at(0, 0) + (at(1, 0) - at(0, 0)) * x.1;
            let below = at(0, 1) + (at(1, 1) - at(0, 1)) * x.1;
            (above + (below - above) * y.1).round() as u8
        })
    };
    Ok((0..SIDE_PX).flat_map(line).collect())
}

/// Where the middle of a small pixel lies among large ones: the one before, and the way to the
/// next.
fn place(small: usize, size: usize) -> (usize, f32) {
    let at = (small as f32 + 0.5) * size as f32 / SIDE_PX as f32 - 0.5;
    (at as usize, at.fract())
}

/// The clips of an epoch in a drawn order.
pub fn shuffled(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = Random::new(seed, 0x5000 + epoch);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, (random.bits() % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_has_all_views_in_their_shares_and_then_four_chambers_alone() {
        let count =
            |of: View, range: std::ops::Range<u64>| range.filter(|at| view(*at) == of).count();
        let mixed = MIXED as u64;
        assert_eq!(count(View::A4c, 0..mixed), MIXED / 3);
        assert_eq!(count(View::Plax, 0..mixed), MIXED / 18);
        assert_eq!(count(View::A4c, mixed..mixed + 50), 50);
    }
}
