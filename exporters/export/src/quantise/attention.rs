//! The shares that an attention gives, on a few queries: the fused operator does not show them.

use super::plan::AttentionPlan;
use super::range::{RangeRule, candidates};
use crate::variant::{Attention, Format};
use ndarray::{ArrayView2, Axis, Slice};

const QUERIES: usize = 48;
/// How much further than the largest magnitude seen a range reaches.
const ROOM: f32 = 1.1;

/// Queries and keys of one clip, `[tokens, heads * head_dim]`.
pub(super) struct Operands<'a> {
    pub query: ArrayView2<'a, f32>,
    pub key: ArrayView2<'a, f32>,
}

/// Largest magnitudes over all clips.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Largest {
    pub query: f32,
    pub key: f32,
    pub value: f32,
}

/// The shares of some queries with all keys.
pub(super) fn shares(attention: &Attention, operands: &Operands<'_>) -> Vec<f32> {
    let tokens = operands.query.nrows();
    let head_dim = operands.query.ncols() / attention.heads.max(1);
    let stride = tokens.div_ceil(QUERIES).max(1);
    let mut shares = Vec::new();
    for head in 0..attention.heads {
        let columns = Slice::from(head * head_dim..(head + 1) * head_dim);
        let queries = operands.query.slice_axis(Axis(1), columns);
        let some = Slice::new(0, None, stride as isize);
        let queries = queries.slice_axis(Axis(0), some);
        let keys = operands.key.slice_axis(Axis(1), columns);
        let mut scores = queries.dot(&keys.t());
        for mut row in scores.rows_mut() {
            let most = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            row.mapv_inplace(|score| ((score - most) * attention.scale).exp());
            let sum: f32 = row.sum();
            shares.extend(row.iter().map(|share| share / sum));
        }
    }
    shares
}

/// The plan that a rule for the shares gives; none if it gives the same as a plainer one.
///
/// Queries, keys and values keep the largest magnitude seen and some room: to cut off a score
/// changes which token wins, and other images reach further.
pub(super) fn plan(
    shares: &[f32],
    largest: Largest,
    rule: RangeRule,
    format: Format,
) -> Option<AttentionPlan> {
    let most = shares.iter().fold(0.0f32, |a, &b| a.max(b));
    let mut found = candidates(shares, most, format).into_iter();
    let (_, limit) = found.find(|(own, _)| *own == rule)?;
    Some(AttentionPlan {
        query_limit: largest.query * ROOM,
        key_limit: largest.key * ROOM,
        share_limit: (limit * ROOM).min(1.0),
        value_limit: largest.value * ROOM,
    })
}
