//! Blends of two neighbours along a row: most of the time of a resize.
//!
//! On x86-64 with AVX2 eight values come at once: the pairs of bytes that they blend are gathered by
//! byte shuffles that are laid out beforehand. Elsewhere, and for images so wide that a shuffle
//! would pick few bytes of many, one after the other. Both give the same values.

use super::resize::Tap;
#[cfg(target_arch = "x86_64")]
use shuffled::Shuffles;

/// The blends of one row.
#[derive(Debug, Clone, Default)]
pub(super) struct Across {
    taps: Vec<Tap>,
    /// The source is one pixel wide, so that no position has two neighbours.
    narrow: bool,
    #[cfg(target_arch = "x86_64")]
    shuffles: Shuffles,
}

impl Across {
    /// Lays out the blends of `taps`, whose positions count bytes of a row of `source_bytes`.
    pub fn prepare(&mut self, taps: &[Tap], narrow: bool, pixel_bytes: usize, source_bytes: usize) {
        self.taps.clear();
        self.taps.extend_from_slice(taps);
        self.narrow = narrow;
        #[cfg(target_arch = "x86_64")]
        match narrow {
            true => self.shuffles.clear(),
            false => self.shuffles.lay(taps, pixel_bytes, source_bytes),
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (pixel_bytes, source_bytes);
    }

    /// Length of the buffer that [`Across::blend`] wants for a row of so many bytes.
    pub fn values(&self, row_bytes: usize) -> usize {
        row_bytes.next_multiple_of(8)
    }

    /// Blends a source row into values of 15 bits.
    pub fn blend<const BYTES: usize>(&self, pixels: &[u8], values: &mut [u16]) {
        #[cfg(target_arch = "x86_64")]
        if self.shuffles.blend(pixels, values) {
            return;
        }
        self.one_by_one::<BYTES>(pixels, values);
    }

    fn one_by_one<const BYTES: usize>(&self, pixels: &[u8], values: &mut [u16]) {
        let far = if self.narrow { 0 } else { BYTES };
        let values = values.as_chunks_mut::<BYTES>().0;
        for (out, tap) in values.iter_mut().zip(&self.taps) {
            // One check of bounds for both neighbours.
            let pair = &pixels[tap.near as usize..][..BYTES + far];
            let (near, far) = (&pair[..BYTES], &pair[far..][..BYTES]);
            for ((value, &near), &far) in out.iter_mut().zip(near).zip(far) {
                let sum = u32::from(near)
                    .wrapping_mul(u32::from(tap.near_weight))
                    .wrapping_add(u32::from(far).wrapping_mul(u32::from(tap.far_weight)));
                *value = (sum >> 4) as u16;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod shuffled {
    use super::Tap;
    use pulp::x86::V3;
    use pulp::{NullaryFnOnce, cast};

    /// Values that come at once.
    const AT_ONCE: usize = 8;
    /// Bytes that one shuffle picks from.
    const BYTES: usize = 16;
    /// More shuffles for eight values take longer than eight values one by one.
    const MOST: usize = 4;

    /// Eight values: where their bytes begin, and the weights of their pairs.
    #[derive(Debug, Clone, Copy)]
    struct Group {
        start: u32,
        weights: [i16; 2 * AT_ONCE],
    }

    /// Byte shuffles for every group of a row; none where they do not pay.
    #[derive(Debug, Clone, Default)]
    pub(super) struct Shuffles {
        groups: Vec<Group>,
        /// `each` per group: which byte of the 16 goes where, 128 for none.
        picks: Vec<[u8; BYTES]>,
        each: usize,
    }

    impl Shuffles {
        pub fn clear(&mut self) {
            self.groups.clear();
            self.picks.clear();
        }

        pub fn lay(&mut self, taps: &[Tap], pixel_bytes: usize, source_bytes: usize) {
            self.clear();
            let values = taps.len() * pixel_bytes;
            let place = |value: usize| {
                taps.get(value / pixel_bytes)
                    .map_or(0, |tap| tap.near as usize + value % pixel_bytes)
            };
            let groups = (0..values).step_by(AT_ONCE);
            let ends = groups.map(|first| {
                let places = || (first..values.min(first + AT_ONCE)).map(place);
                let (least, most) = (places().min(), places().max());
                (
                    first,
                    least.unwrap_or(0),
                    most.unwrap_or(0) + pixel_bytes + 1,
                )
            });
            let span = ends.clone().map(|(_, least, end)| end - least).max();
            self.each = span.unwrap_or(0).div_ceil(BYTES);
            let window = self.each * BYTES;
            if self.each > MOST || source_bytes < window {
                return;
            }
            for (first, least, _) in ends {
                let start = least.min(source_bytes - window);
                let mut weights = [0; 2 * AT_ONCE];
                let mut picks = [[128; BYTES]; MOST];
                let pairs = weights.as_chunks_mut::<2>().0.iter_mut().enumerate();
                for (at, pair) in pairs {
                    let value = first + at;
                    let Some(tap) = taps.get(value / pixel_bytes) else {
                        break;
                    };
                    *pair = [tap.near_weight as i16, tap.far_weight as i16];
                    let near = place(value) - start;
                    for (side, from) in [near, near + pixel_bytes].into_iter().enumerate() {
                        picks[from / BYTES][2 * at + side] = (from % BYTES) as u8;
                    }
                }
                self.picks.extend_from_slice(&picks[..self.each]);
                self.groups.push(Group {
                    start: start as u32,
                    weights,
                });
            }
        }

        /// Blends a row, if this processor can and it pays.
        pub fn blend(&self, pixels: &[u8], values: &mut [u16]) -> bool {
            let Some(simd) = V3::try_new().filter(|_| !self.groups.is_empty()) else {
                return false;
            };
            match self.each {
                1 => self.run::<1>(simd, pixels, values),
                2 => self.run::<2>(simd, pixels, values),
                3 => self.run::<3>(simd, pixels, values),
                _ => self.run::<MOST>(simd, pixels, values),
            }
            true
        }

        fn run<const EACH: usize>(&self, simd: V3, pixels: &[u8], values: &mut [u16]) {
            simd.vectorize(Run::<EACH> {
                simd,
                groups: &self.groups,
                picks: self.picks.as_chunks().0,
                pixels,
                values,
            });
        }
    }

    struct Run<'a, const EACH: usize> {
        simd: V3,
        groups: &'a [Group],
        picks: &'a [[[u8; BYTES]; EACH]],
        pixels: &'a [u8],
        values: &'a mut [u16],
    }

    impl<const EACH: usize> NullaryFnOnce for Run<'_, EACH> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let simd = self.simd;
            let values = self.values.as_chunks_mut::<AT_ONCE>().0;
            for ((group, picks), out) in self.groups.iter().zip(self.picks).zip(values) {
                let bytes = &self.pixels[group.start as usize..][..EACH * BYTES];
                let mut pairs = cast([0_u8; BYTES]);
                for (bytes, pick) in bytes.as_chunks::<BYTES>().0.iter().zip(picks) {
                    let picked = simd.ssse3._mm_shuffle_epi8(cast(*bytes), cast(*pick));
                    pairs = simd.sse2._mm_or_si128(pairs, picked);
                }
                let pairs = simd.avx2._mm256_cvtepu8_epi16(pairs);
                let sums = simd.avx2._mm256_madd_epi16(pairs, cast(group.weights));
                let cut = simd.avx2._mm256_srli_epi32::<4>(sums);
                let low = simd.avx._mm256_castsi256_si128(cut);
                let high = simd.avx2._mm256_extracti128_si256::<1>(cut);
                *out = cast(simd.sse4_1._mm_packus_epi32(low, high));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taps of `to` positions on `from` pixels of `bytes`, as a resize has them.
    fn taps(from: u32, to: u32, bytes: u32) -> Vec<Tap> {
        let tap = |at: u32| {
            let near = (u64::from(at) * u64::from(from - 1) / u64::from(to)) as u32;
            let weight = (at * 611 % 2049) as u16;
            Tap {
                near: near * bytes,
                far: (near + 1) * bytes,
                near_weight: weight,
                far_weight: 2048 - weight,
            }
        };
        (0..to).map(tap).collect()
    }

    fn both<const BYTES: usize>(from: u32, to: u32) {
        let taps = taps(from, to, BYTES as u32);
        let pixels: Vec<u8> = (0..from as usize * BYTES)
            .map(|at| ((at * 2_654_435_761) >> 7) as u8)
            .collect();
        let mut across = Across::default();
        across.prepare(&taps, false, BYTES, pixels.len());
        let mut found = vec![0; across.values(taps.len() * BYTES)];
        let mut wanted = found.clone();
        across.blend::<BYTES>(&pixels, &mut found);
        across.one_by_one::<BYTES>(&pixels, &mut wanted);
        let values = taps.len() * BYTES;
        assert_eq!(found[..values], wanted[..values], "{from} to {to}, {BYTES}");
    }

    #[test]
    fn eight_at_once_are_the_same_as_one_by_one() {
        for from in [2, 3, 15, 16, 17, 31, 200, 640, 1024, 1920, 7680] {
            for to in [1, 2, 7, 8, 9, 224, 256, 341] {
                both::<1>(from, to);
                both::<3>(from, to);
            }
        }
    }
}
