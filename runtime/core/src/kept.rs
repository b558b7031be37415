//! Kept tokens: which of a clip's tokens an encoder is given.

use crate::manifest::Encoder;
use std::sync::Arc;

/// When a session leaves out the patches outside the imaging area.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kept {
    /// Where the package allows it.
    #[default]
    AsAllowed,
    /// Wherever the graphs can, said in every event: for benches.
    Forced,
}

/// The rows and places of the patches `kept` of every tubelet, in token order.
///
/// # Shapes
/// - `tubelets`: as in [`crate::engine::Engine::encode`].
/// - `rows`: `[ids.len(), row]`, `ids`: places in token order; both are cleared first. A patch that
///   a tubelet does not have is left out of `rows`, which then do not fit `ids`.
///
/// # Real-time
/// Allocates only while more is kept than ever before.
pub(crate) fn gather(
    tubelets: &[Arc<Vec<f32>>],
    kept: &[u32],
    encoder: &Encoder,
    rows: &mut Vec<f32>,
    ids: &mut Vec<usize>,
) {
    let (row, patches) = (encoder.row(), encoder.tokens_per_tubelet());
    rows.clear();
    ids.clear();
    for (at, tubelet) in tubelets.iter().enumerate() {
        for patch in kept.iter().map(|&patch| patch as usize) {
            ids.push(at * patches + patch);
            rows.extend(
                tubelet
                    .get(patch * row..(patch + 1) * row)
                    .unwrap_or_default(),
            );
        }
    }
}

/// Adds to `kept` the tokens nearest to any of them, until there are `count`: a graph of a fixed
/// number of tokens is filled up with image, never with padding.
///
/// `grid` is tubelets, rows and columns of patches. A step to the next tubelet is as long as one to
/// the next patch; of tokens equally near, the lower ids come first. Gives ascending ids; none for
/// no kept token, ids that the grid does not have or that come twice, and a `count` below the kept
/// or above all.
pub fn fill(kept: &[usize], grid: [usize; 3], count: usize) -> Option<Vec<usize>> {
    let [tubelets, rows, columns] = grid;
    let all = tubelets * rows * columns;
    let mut taken = vec![false; all];
    for &id in kept {
        if std::mem::replace(taken.get_mut(id)?, true) {
            return None;
        }
    }
    if kept.is_empty() || !(kept.len()..=all).contains(&count) {
        return None;
    }
    let (mut ids, mut edge) = (kept.to_vec(), kept.to_vec());
    while ids.len() < count {
        let mut ring: Vec<usize> = Vec::new();
        for &id in &edge {
            for next in beside(id, grid).into_iter().flatten() {
                if let Some(taken) = taken.get_mut(next).filter(|taken| !**taken) {
                    *taken = true;
                    ring.push(next);
                }
            }
        }
        ring.sort_unstable();
        ids.extend(ring.iter().take(count - ids.len()));
        edge = ring;
    }
    ids.sort_unstable();
    Some(ids)
}

/// The tokens one step away.
fn beside(id: usize, [tubelets, rows, columns]: [usize; 3]) -> [Option<usize>; 6] {
    let plane = rows * columns;
    let (tubelet, row, column) = (id / plane, id % plane / columns, id % columns);
    let step = |there: bool, next: usize| there.then_some(next);
    [
        step(tubelet > 0, id.wrapping_sub(plane)),
        step(row > 0, id.wrapping_sub(columns)),
        step(column > 0, id.wrapping_sub(1)),
        step(column + 1 < columns, id + 1),
        step(row + 1 < rows, id + columns),
        step(tubelet + 1 < tubelets, id + plane),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn steps(a: usize, b: usize, [_, rows, columns]: [usize; 3]) -> usize {
        let place = |id: usize| [id / (rows * columns), id / columns % rows, id % columns];
        let pairs = place(a).into_iter().zip(place(b));
        pairs.map(|(a, b)| a.abs_diff(b)).sum()
    }

    #[test]
    fn rows_are_gathered_in_token_order() {
        let text = include_str!("../tests/common/manifest.toml");
        let manifest: crate::manifest::Manifest = toml::from_str(text).unwrap();
        let mut encoder = manifest.encoder;
        encoder.patch_px = 8;
        let row = encoder.row();
        let block = |from: usize| Arc::new((from..from + 4 * row).map(|v| v as f32).collect());
        let tubelets: Vec<Arc<Vec<f32>>> = vec![block(0), block(4 * row)];
        let (mut rows, mut ids) = (vec![7.0], vec![7]);
        gather(&tubelets, &[1, 3], &encoder, &mut rows, &mut ids);
        assert_eq!(ids, [1, 3, 5, 7]);
        let expected = ids.iter().flat_map(|id| id * row..(id + 1) * row);
        assert_eq!(rows, expected.map(|v| v as f32).collect::<Vec<f32>>());
        gather(&tubelets, &[4], &encoder, &mut rows, &mut ids);
        assert_eq!((rows.len(), ids.len()), (0, 2), "no such patch");
        gather(&[], &[1], &encoder, &mut rows, &mut ids);
        assert!(rows.is_empty() && ids.is_empty());
    }

    #[test]
    fn the_patches_around_come_first_and_ties_go_by_id() {
        let grid = [1, 3, 3];
        assert_eq!(fill(&[4], grid, 1), Some(vec![4]));
        assert_eq!(fill(&[4], grid, 3), Some(vec![1, 3, 4]));
        assert_eq!(fill(&[4], grid, 5), Some(vec![1, 3, 4, 5, 7]));
        assert_eq!(fill(&[8, 0], grid, 9), Some((0..9).collect()));
        assert_eq!(fill(&[0], [2, 1, 2], 3), Some(vec![0, 1, 2]));
    }

    #[test]
    fn what_cannot_be_filled_is_none() {
        let grid = [2, 2, 2];
        assert_eq!(fill(&[], grid, 4), None);
        assert_eq!(fill(&[1, 1], grid, 4), None);
        assert_eq!(fill(&[8], grid, 4), None);
        assert_eq!(fill(&[1, 2, 3], grid, 2), None);
        assert_eq!(fill(&[1], grid, 9), None);
        assert_eq!(fill(&[0], [0, 2, 2], 1), None);
    }

    proptest! {
        #[test]
        fn nothing_left_out_is_nearer_than_what_was_added(
            sizes in (1usize..4, 1usize..6, 1usize..6),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..6),
            more in any::<prop::sample::Index>(),
        ) {
            let grid = [sizes.0, sizes.1, sizes.2];
            let all: usize = grid.iter().product();
            let mut kept: Vec<usize> = picks.iter().map(|pick| pick.index(all)).collect();
            kept.sort_unstable();
            kept.dedup();
            let count = kept.len() + more.index(all - kept.len() + 1);
            let ids = fill(&kept, grid, count).unwrap();
            prop_assert_eq!(ids.len(), count);
            prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(kept.iter().all(|id| ids.contains(id)));
            let far = |id: usize| kept.iter().map(|&k| steps(k, id, grid)).min().unwrap();
            let added = ids.iter().map(|&id| far(id)).max().unwrap();
            let left = (0..all).filter(|id| !ids.contains(id)).map(far).min();
            prop_assert!(left.is_none_or(|left| left >= added));
        }
    }
}
