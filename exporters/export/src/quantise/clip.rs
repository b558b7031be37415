//! A clip of real frames as calibration takes it.

use super::walk::{Feed, Feeds};
use crate::graph::encoder::{IDS, ROWS};
use echocart_core::manifest::Encoder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One clip of patch rows.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Where it comes from.
    pub origin: Origin,
    /// One block per tubelet, `[tokens_per_tubelet, row]` f32.
    pub tubelets: Vec<Arc<Vec<f32>>>,
}

/// Where a clip comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// File name without folder.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Number of its first frame in the file.
    pub first_frame: u64,
    /// Number of its last frame.
    pub last_frame: u64,
}

impl Clip {
    pub(super) fn feeds(&self, encoder: &Encoder) -> Feeds {
        let mut rows = Vec::with_capacity(encoder.tokens() * encoder.row());
        for tubelet in &self.tubelets {
            rows.extend_from_slice(tubelet);
        }
        let tokens = rows.len() / encoder.row().max(1);
        let ids: Vec<i64> = (0..tokens as i64).collect();
        let shape = vec![1, tokens, encoder.row()];
        vec![
            (ROWS.to_owned(), Feed::Floats(shape, Arc::new(rows))),
            (IDS.to_owned(), Feed::Integers(vec![tokens], Arc::new(ids))),
        ]
    }
}
