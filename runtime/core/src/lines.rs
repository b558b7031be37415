//! Which cache lines something lies in, for those who ask the processor for them before they need them.

/// Bytes of a cache line.
pub const LINE_BYTES: usize = 64;

/// Addresses of the cache lines that `value` itself lies in, without what it points to. Nobody reads or
/// writes through them.
#[inline(always)]
pub fn lines<T: ?Sized>(value: &T) -> impl Iterator<Item = usize> {
    let start = std::ptr::from_ref(value).cast::<u8>().addr();
    let first = start & !(LINE_BYTES - 1);
    let end = start.wrapping_add(size_of_val(value));
    (0..end.wrapping_sub(first).div_ceil(LINE_BYTES))
        .map(move |line| first.wrapping_add(line * LINE_BYTES))
}

/// The first `N` of `lines`, with the first one over and over where they are fewer; 0 where there are none.
pub fn first<const N: usize>(lines: impl IntoIterator<Item = usize>) -> [usize; N] {
    let mut lines = lines.into_iter().peekable();
    let filler = lines.peek().copied().unwrap_or_default();
    std::array::from_fn(|_| lines.next().unwrap_or(filler))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(64))]
    struct Aligned([u8; 256]);

    #[test]
    fn lines_are_those_that_the_bytes_lie_in() {
        let Aligned(bytes) = &Aligned([0; 256]);
        let start = bytes.as_ptr().addr();
        let of = |from: usize, to: usize| -> Vec<usize> {
            let found = bytes.get(from..to).map(lines).into_iter().flatten();
            found.map(|line| line - start).collect()
        };
        assert_eq!(of(0, 64), [0]);
        assert_eq!(of(63, 65), [0, 64]);
        assert_eq!(of(1, 2), [0]);
        assert_eq!(of(64, 256), [64, 128, 192]);
        assert_eq!(of(70, 70), [64]);
        assert!(of(64, 64).is_empty());
    }

    #[test]
    fn a_list_is_cut_or_filled_up() {
        assert_eq!(first::<2>([64, 128, 192]), [64, 128]);
        assert_eq!(first::<4>([64, 128]), [64, 128, 64, 64]);
        assert_eq!(first::<2>(None), [0, 0]);
    }
}
