//! Which tokens are hidden: tubes through all of a clip, by two generators.

use std::ops::Range;

use echocart_phantom::Random;

/// A generator of masks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Generator {
    /// Blocks whose union is hidden.
    pub blocks: usize,
    /// Share of the image that a block covers.
    pub scale: f32,
}

/// The two generators of V-JEPA 2: many small blocks, few large ones.
pub const GENERATORS: [Generator; 2] = [
    Generator {
        blocks: 8,
        scale: 0.15,
    },
    Generator {
        blocks: 2,
        scale: 0.70,
    },
];

/// Range of a block's height over its width.
const ASPECT: (f32, f32) = (0.75, 1.5);

/// Fewest columns of tokens that stay to be seen.
const FEWEST: usize = 3;

/// The places of one clip's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Those the student is given.
    pub seen: Vec<usize>,
    /// Those it is to predict.
    pub hidden: Vec<usize>,
}

impl Generator {
    /// Draws the masks of a batch: one size of blocks for all clips, places for each.
    pub fn draw(&self, grid: [usize; 3], clips: usize, random: &mut Random) -> Vec<Mask> {
        let [depth, rows, columns] = grid;
        let plane = rows * columns;
        let aspect = random.range(ASPECT.0, ASPECT.1);
        let area = (plane as f32 * self.scale).floor();
        let side =
            |ratio: f32, most: usize| ((area * ratio).sqrt().round() as usize).clamp(1, most);
        let (high, wide) = (side(aspect, rows), side(1.0 / aspect, columns));
        let mut one = || loop {
            let mut hidden = vec![false; plane];
            for _ in 0..self.blocks {
                let top = below(random, rows - high + 1);
                let left = below(random, columns - wide + 1);
                for row in top..top + high {
                    hidden[row * columns + left..row * columns + left + wide].fill(true);
                }
            }
            let seen = hidden.iter().filter(|hidden| !**hidden).count();
            if seen >= FEWEST.min(plane - 1) || high * wide >= plane {
                return Mask::through(depth, &hidden);
            }
        };
        (0..clips).map(|_| one()).collect()
    }
}

impl Mask {
    /// The part of it in a window of places.
    pub fn within(&self, window: &Range<usize>) -> Self {
        let part = |places: &[usize]| {
            let places = places.iter().copied();
            places.filter(|place| window.contains(place)).collect()
        };
        Self {
            seen: part(&self.seen),
            hidden: part(&self.hidden),
        }
    }

    fn through(depth: usize, hidden: &[bool]) -> Self {
        let places = |which: bool| {
            let plane = hidden.len();
            (0..depth * plane)
                .filter(|place| hidden[place % plane] == which)
                .collect()
        };
        Self {
            seen: places(false),
            hidden: places(true),
        }
    }
}

fn below(random: &mut Random, count: usize) -> usize {
    (random.bits() % count as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_seen_or_hidden_and_never_both() {
        let mut random = Random::new(1, 1);
        for generator in GENERATORS {
            for mask in generator.draw([8, 7, 7], 200, &mut random) {
                let mut all = [mask.seen.clone(), mask.hidden.clone()].concat();
                all.sort_unstable();
                assert_eq!(all, (0..392).collect::<Vec<_>>());
                assert!(mask.seen.len() >= 8 * FEWEST && !mask.hidden.is_empty());
            }
        }
    }

    #[test]
    fn hidden_tokens_are_hidden_at_all_times() {
        let mut random = Random::new(2, 1);
        for mask in GENERATORS[0].draw([8, 7, 7], 50, &mut random) {
            let first: Vec<usize> = mask.hidden.iter().copied().filter(|p| *p < 49).collect();
            let last = mask.hidden.iter().filter(|p| **p >= 7 * 49);
            assert_eq!(first, last.map(|p| p - 7 * 49).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_generators_hide_about_half_and_about_three_quarters_at_full_size() {
        let mut random = Random::new(3, 1);
        for (generator, share) in GENERATORS.into_iter().zip([0.49, 0.71]) {
            let mut hidden = 0;
            for _ in 0..400 {
                let masks = generator.draw([1, 14, 14], 4, &mut random);
                hidden += masks.iter().map(|mask| mask.hidden.len()).sum::<usize>();
            }
            let found = hidden as f64 / (1600.0 * 196.0);
            assert!((found - share).abs() < 0.25, "{found} {share}");
        }
    }
}
