//! The paper's disturbances of an image: attenuation with depth, and a shadow.
//!
//! # Source
//! `batch_*.py` of bowang-lab/EchoJEPA@70a8a7a: one map for all frames, over the whole picture, the
//! result cut to 8 bits. Their videos were compressed once more, these are not. Their shadows lay
//! elsewhere in every run; a heart's shadow here lies where its seed says, at every level.

use echocart_phantom::Random;

use crate::cache::SIDE_PX;

/// A disturbance with its level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Disturbance {
    /// `exp(-k d)`, `d` the distance from the middle of the upper edge in heights and widths.
    Depth {
        /// How steep.
        k: f32,
    },
    /// A dark spot.
    Shadow {
        /// Share of the light it takes in its middle.
        strength: f32,
        /// Its standard deviation in widths and heights.
        sigma: f32,
    },
}

impl Disturbance {
    /// Every disturbance at every level, weak to strong.
    pub const ALL: [Self; 6] = [
        Self::Depth { k: 0.75 },
        Self::Depth { k: 1.5 },
        Self::Depth { k: 2.15 },
        Self::Shadow {
            strength: 0.4,
            sigma: 0.15,
        },
        Self::Shadow {
            strength: 0.6,
            sigma: 0.20,
        },
        Self::Shadow {
            strength: 0.8,
            sigma: 0.25,
        },
    ];

    /// Draws one, with its seed, for `share` of the clips: of either kind alike, from none to the published levels.
    pub fn draw(share: f32, random: &mut Random) -> Option<(Self, u64)> {
        // Nothing is drawn for a training without them, which stays what it was.
        if share == 0.0 || random.range(0.0, 1.0) >= share {
            return None;
        }
        let disturbance = match random.range(0.0, 1.0) < 0.5 {
            true => Self::Depth {
                k: random.range(0.0, 2.5),
            },
            false => Self::Shadow {
                strength: random.range(0.0, 0.9),
                sigma: random.range(0.1, 0.3),
            },
        };
        Some((disturbance, random.range(0.0, 1e6) as u64))
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Depth { k } => format!("depth attenuation {k}"),
            Self::Shadow { strength, sigma } => format!("shadow {strength} / {sigma:.2}"),
        }
    }

    /// Disturbs a clip.
    ///
    /// # Shapes
    /// - `pixels`: `[frames, 128, 128]`, the result alike.
    pub fn apply(self, pixels: &[u8], seed: u64) -> Vec<u8> {
        let map = self.map(seed);
        let frames = pixels.chunks_exact(map.len());
        frames
            .flat_map(|frame| {
                frame
                    .iter()
                    .zip(&map)
                    .map(|(p, m)| (f32::from(*p) * m) as u8)
            })
            .collect()
    }

    /// What every pixel is multiplied with.
    fn map(self, seed: u64) -> Vec<f32> {
        let side = SIDE_PX as f32;
        let mut random = Random::new(seed, 0x5AD0);
        let middle = [0, 1].map(|_| (random.range(0.2, 0.8) * side).floor());
        let one = |at: usize| {
            let (x, y) = ((at % SIDE_PX) as f32, (at / SIDE_PX) as f32);
            match self {
                Self::Depth { k } => {
                    let (u, v) = (x / (side - 1.0) - 0.5, y / (side - 1.0));
                    (-k * u.hypot(v)).exp()
                }
                Self::Shadow { strength, sigma } => {
                    let off = |at: f32, middle: f32| ((at - middle) / (sigma * side)).powi(2);
                    let far = off(x, middle[0]) + off(y, middle[1]);
                    1.0 - strength * (-0.5 * far).exp()
                }
            }
        };
        (0..SIDE_PX * SIDE_PX).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_leaves_the_top_and_takes_the_published_share_below() {
        let map = Disturbance::Depth { k: 1.5 }.map(1);
        let below = map[(SIDE_PX - 1) * SIDE_PX + SIDE_PX / 2];
        assert!((map[SIDE_PX / 2] - 1.0).abs() < 0.01);
        assert!((below - 0.223).abs() < 0.001, "{below}");
    }

    #[test]
    fn a_shadow_stays_where_it_is_from_level_to_level() {
        let darkest = |shadow: Disturbance| {
            let map = shadow.map(7);
            let least = map.iter().copied().fold(1.0, f32::min);
            (map.iter().position(|m| *m == least), least)
        };
        let [_, _, _, weak, _, strong] = Disturbance::ALL.map(darkest);
        assert_eq!(weak.0, strong.0);
        assert!((weak.1 - 0.6).abs() < 1e-6 && (strong.1 - 0.2).abs() < 1e-6);
        assert_ne!(weak.0, darkest_of(8));
    }

    fn darkest_of(seed: u64) -> Option<usize> {
        let map = Disturbance::ALL[3].map(seed);
        let least = map.iter().copied().fold(1.0, f32::min);
        map.iter().position(|m| *m == least)
    }
}
