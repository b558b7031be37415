//! Copies a frame's rows without filling the caches with them.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "stores that go past the caches have no safe form"
    )
)]

/// From here on a copy goes past the caches: it is read much later, by another core.
#[cfg(target_arch = "x86_64")]
const LARGE: usize = 128 * 1024;

/// Appends `rows` rows of `row` bytes out of `from`, which has one every `stride` bytes.
///
/// # Real-time
/// One pass; allocates only where `to` has too little room.
pub(crate) fn append_rows(to: &mut Vec<u8>, from: &[u8], row: usize, stride: usize, rows: usize) {
    let (row, stride, rows) = match stride == row {
        true => (row * rows, row * rows, 1),
        false => (row, stride, rows),
    };
    let lines = from.chunks(stride.max(1)).take(rows);
    let lines = lines.map(|line| line.get(..row).unwrap_or_default());
    #[cfg(target_arch = "x86_64")]
    if row * rows >= LARGE {
        to.reserve(row * rows);
        lines.for_each(|line| stream::append(to, line));
        stream::settle();
        return;
    }
    lines.for_each(|line| to.extend_from_slice(line));
}

#[cfg(target_arch = "x86_64")]
mod stream {
    use std::arch::x86_64::{
        __m128i, _MM_HINT_NTA, _mm_loadu_si128, _mm_prefetch, _mm_sfence, _mm_stream_si128,
    };

    const BLOCK: usize = size_of::<__m128i>();
    /// What is copied between two hints.
    const LINE: usize = 4;
    /// How far ahead of the copy the processor is asked for what it will read, in bytes. It looks ahead by
    /// itself, but stops at the end of a page.
    const READ_AHEAD: usize = 6144;
    /// Likewise for what it will write, where one line of a page is enough to find the page.
    const WRITE_AHEAD: usize = 2 * PAGE;
    const PAGE: usize = 4096;

    /// Appends `from`. [`settle`] must follow before another thread may read it.
    pub fn append(to: &mut Vec<u8>, from: &[u8]) {
        let aligned = to.spare_capacity_mut().as_ptr().align_offset(BLOCK);
        let (head, rest) = from.split_at(aligned.min(from.len()));
        to.extend_from_slice(head);
        let (blocks, tail) = rest.as_chunks::<BLOCK>();
        to.reserve(rest.len());
        let begin = to.spare_capacity_mut().as_mut_ptr().cast::<__m128i>();
        if !begin.is_aligned() {
            to.extend_from_slice(rest);
            return;
        }
        let mut into = begin;
        for (at, line) in blocks.chunks(LINE).enumerate() {
            ahead(line.as_ptr().cast(), READ_AHEAD);
            if at.is_multiple_of(PAGE / (LINE * BLOCK)) {
                ahead(into.cast(), WRITE_AHEAD);
            }
            for block in line {
                // SAFETY: `block` has 16 bytes; `reserve` made room for all of `rest`, so `into` is inside
                // the allocation, and it is aligned. SSE2 is part of x86-64.
                unsafe {
                    _mm_stream_si128(into, _mm_loadu_si128(block.as_ptr().cast()));
                    into = into.add(1);
                }
            }
        }
        // SAFETY: the loop wrote `blocks.len() * BLOCK` bytes behind the length, within capacity.
        unsafe { to.set_len(to.len() + blocks.len() * BLOCK) };
        to.extend_from_slice(tail);
    }

    #[inline(always)]
    fn ahead(of: *const i8, bytes: usize) {
        // SAFETY: a hint may be about any address.
        unsafe { _mm_prefetch::<_MM_HINT_NTA>(of.wrapping_add(bytes)) };
    }

    /// Orders everything that [`append`] wrote before what this thread writes from here on.
    pub fn settle() {
        // SAFETY: SSE is part of x86-64.
        unsafe { _mm_sfence() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(from: &[u8], row: usize, stride: usize, rows: usize) -> Vec<u8> {
        let lines = (0..rows).map(|at| &from[at * stride..][..row]);
        lines.flatten().copied().collect()
    }

    #[test]
    fn every_row_and_nothing_else_is_copied_whatever_its_size_and_place() {
        let from: Vec<u8> = (0..1_300_000_u32).map(|at| (at * 7 % 251) as u8).collect();
        for (row, rows) in [(3, 2), (1000, 131), (1024, 768), (1021, 701), (600_001, 1)] {
            for padding in [0, 1, 16, 77] {
                for (before, from) in [(0, &from[..]), (5, &from[1..])] {
                    let mut to = vec![9; before];
                    append_rows(&mut to, from, row, row + padding, rows);
                    assert_eq!(to[..before], vec![9; before]);
                    let same = to[before..] == plain(from, row, row + padding, rows);
                    assert!(same, "{row}x{rows} padded by {padding} behind {before}");
                }
            }
        }
    }
}
