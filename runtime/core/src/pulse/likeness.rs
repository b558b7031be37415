//! How like the image of each instant is to that of earlier ones.

use super::cells::{CELLS, Cells, Sample};
use super::period::{self, Curve};
use crate::screen::Picture;
use crate::screen::sector::Outline;

/// Shortest time between two samples.
const EVERY_NANOS: i64 = 30_000_000;
/// Longest time between two samples that go on from each other.
const GAP_NANOS: i64 = 250_000_000;
/// What is remembered.
const WINDOW_NANOS: i64 = 6_000_000_000;
/// Samples in the window at most.
const HELD: usize = 202;
/// Earlier samples that each is compared with at most: those of the longest lag, and one more.
const BACK: usize = 76;
/// Change of an edge of the area, as a share of the screen, that makes it another one.
const OTHER_AREA: f32 = 0.02;

#[derive(Debug, Clone, Copy)]
struct Instant {
    at_nanos: i64,
    sample: Sample,
    /// Distance to the sample before, to the one before that, and so on.
    distances: [u32; BACK],
    compared: usize,
}

/// Samples of the newest seconds, a ring.
#[derive(Debug)]
pub(super) struct Likeness {
    cells: Cells,
    laid: Option<(Outline, usize, usize)>,
    ring: Vec<Instant>,
    /// Place of the newest one.
    newest: usize,
    held: usize,
}

impl Likeness {
    pub fn new() -> Self {
        Self {
            cells: Cells::new(),
            laid: None,
            ring: vec![
                Instant {
                    at_nanos: 0,
                    sample: [0; CELLS],
                    distances: [0; BACK],
                    compared: 0,
                };
                HELD
            ],
            newest: 0,
            held: 0,
        }
    }

    pub fn reset(&mut self) {
        self.held = 0;
    }

    /// Takes a frame; what it does not go on from is forgotten.
    ///
    /// # Real-time
    /// No allocation; 256 subtractions for each of at most 76 earlier samples.
    pub fn push(&mut self, picture: Picture<'_>, area: &Outline, at_nanos: i64) {
        self.follow(area, picture.width_px, picture.height_px);
        if let Some(before) = self.back(0).map(|s| s.at_nanos) {
            let step_nanos = at_nanos.saturating_sub(before);
            if (0..EVERY_NANOS).contains(&step_nanos) {
                return;
            }
            if !(0..=GAP_NANOS).contains(&step_nanos) {
                self.reset();
            }
        }
        let mut sample = [0; CELLS];
        self.cells.sample(picture, &mut sample);
        let longest_nanos = period::LONGEST_NANOS + GAP_NANOS;
        let mut distances = [0; BACK];
        let mut compared = 0;
        for (steps, distance) in distances.iter_mut().enumerate() {
            let earlier = self.back(steps);
            let Some(earlier) =
                earlier.filter(|e| at_nanos.saturating_sub(e.at_nanos) <= longest_nanos)
            else {
                break;
            };
            *distance = apart(&sample, &earlier.sample);
            compared += 1;
        }
        self.newest = (self.newest + 1) % HELD;
        self.held = (self.held + 1).min(HELD);
        if let Some(free) = self.ring.get_mut(self.newest) {
            *free = Instant {
                at_nanos,
                sample,
                distances,
                compared,
            };
        }
        while self
            .back(self.held - 1)
            .is_some_and(|oldest| at_nanos.saturating_sub(oldest.at_nanos) > WINDOW_NANOS)
        {
            self.held -= 1;
        }
    }

    /// Beats per minute, where the samples are sure to show them.
    pub fn bpm(&self) -> Option<f64> {
        let curve = self.measured();
        let found = period::find(&curve)?;
        let regular = period::is_regular(self.instants(), found);
        regular.then(|| 60.0 / found.seconds)
    }

    pub fn curve(&self) -> Vec<[f64; 2]> {
        let curve = self.measured();
        curve.points().collect()
    }

    fn measured(&self) -> Curve {
        let mut curve = Curve::default();
        for earlier in self.instants() {
            curve.add(&earlier);
        }
        curve
    }

    /// Each sample with those before it, newest first.
    fn instants(&self) -> impl Iterator<Item = period::Earlier<'_>> + Clone {
        (0..self.held).filter_map(|steps| {
            let instant = self.back(steps)?;
            let compared = instant.compared.min(self.held - 1 - steps);
            Some(period::Earlier {
                at_nanos: instant.at_nanos,
                distances: instant.distances.get(..compared)?,
                times: Times {
                    likeness: self,
                    steps,
                },
            })
        })
    }

    /// The sample this many before the newest one.
    fn back(&self, steps: usize) -> Option<&Instant> {
        let at = (self.newest + HELD).checked_sub(steps)? % HELD;
        self.ring.get(at).filter(|_| steps < self.held)
    }

    /// Lays the cells where another area or size of frame comes.
    fn follow(&mut self, area: &Outline, width_px: usize, height_px: usize) {
        let same = self.laid.is_some_and(|(laid, width, height)| {
            let edges = laid.bounds().into_iter().zip(area.bounds());
            let near = |(a, b): (f32, f32)| (a - b).abs() < OTHER_AREA;
            (width, height) == (width_px, height_px) && edges.into_iter().all(near)
        });
        if !same {
            self.laid = Some((*area, width_px, height_px));
            self.cells.lay(area, width_px, height_px);
            self.reset();
        }
    }
}

/// Times of the samples before one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times<'a> {
    likeness: &'a Likeness,
    steps: usize,
}

impl Times<'_> {
    /// Time of the sample this many before; 0 is itself.
    pub fn back(&self, steps: usize) -> Option<i64> {
        self.likeness.back(self.steps + steps).map(|s| s.at_nanos)
    }
}

fn apart(a: &Sample, b: &Sample) -> u32 {
    let differences = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)));
    differences.sum()
}
