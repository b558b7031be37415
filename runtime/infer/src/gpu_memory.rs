//! How much of the GPU's memory each graph of a variant may take.
//!
//! ONNX Runtime limits each session's own store, and counts a graph's weights there without holding
//! them to the limit: a limit below them is none at all. So a limit is divided among the graphs by
//! their sizes, and one that the weights alone would break is refused before the GPU is touched.

use crate::engine::OpenError;
use echocart_core::manifest::{Manifest, Variant};
use std::collections::BTreeMap;
use std::path::Path;

/// What comes to weights in memory beside their bytes in files: each tensor begins at a multiple of
/// 256 bytes.
const ROUNDING: u64 = 50;

/// Most bytes of GPU memory each graph file of a variant may take; no file, no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shares(BTreeMap<String, u64>);

impl Shares {
    /// Divides `limit` among all graphs of a variant, which may all be open at once.
    ///
    /// # Errors
    /// [`OpenError::GpuMemory`] if the weights do not fit, [`OpenError::Graph`] for a graph file
    /// that cannot be read.
    pub fn of(
        limit: Option<u64>,
        manifest: &Manifest,
        variant: &Variant,
        dir: &Path,
    ) -> Result<Self, OpenError> {
        let Some(limit) = limit else {
            return Ok(Self::default());
        };
        let heads = variant.heads.values().flat_map(BTreeMap::values);
        let mut sizes = BTreeMap::new();
        for file in heads.chain([&variant.encoder]) {
            let path = dir.join(file);
            let graph = std::fs::read(&path).map_err(|e| OpenError::Graph {
                message: e.to_string(),
                path,
            })?;
            sizes.insert(file.clone(), graph.len() as u64 + weights(&graph, manifest));
        }
        divide(limit, sizes)
    }

    /// What the graph in this file may take.
    pub fn of_file(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }
}

/// Bytes of the package's files that a graph names: where its weights lie, and at worst more.
fn weights(graph: &[u8], manifest: &Manifest) -> u64 {
    let named = |name: &str| graph.windows(name.len()).any(|at| at == name.as_bytes());
    let files = manifest.files.iter().filter(|(name, _)| named(name));
    files.map(|(_, file)| file.bytes).sum()
}

fn divide(limit: u64, sizes: BTreeMap<String, u64>) -> Result<Shares, OpenError> {
    let all: u64 = sizes.values().sum();
    let least = all + all / ROUNDING;
    if limit < least {
        return Err(OpenError::GpuMemory { limit, least });
    }
    let share = |size: u64| (u128::from(limit) * u128::from(size) / u128::from(all.max(1))) as u64;
    Ok(Shares(
        sizes
            .into_iter()
            .map(|(name, size)| (name, share(size)))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> BTreeMap<String, u64> {
        [("encoder.onnx", 900_000), ("head.onnx", 100_000)]
            .map(|(name, size)| (name.to_owned(), size))
            .into()
    }

    #[test]
    fn the_shares_are_as_the_sizes_and_never_more_than_the_limit() {
        let shares = divide(2_000_001, sizes()).unwrap();
        assert_eq!(shares.of_file("encoder.onnx"), Some(1_800_000));
        assert_eq!(shares.of_file("head.onnx"), Some(200_000));
        assert_eq!(shares.of_file("other.onnx"), None);
        let most = divide(u64::MAX, sizes()).unwrap();
        assert!(most.0.values().map(|&s| u128::from(s)).sum::<u128>() <= u128::from(u64::MAX));
    }

    #[test]
    fn a_limit_below_the_weights_is_refused() {
        let error = divide(1_019_999, sizes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "GPU memory: expected engine.gpu_memory_bytes of at least 1020000, which the graphs' \
             weights take, found 1019999"
        );
        divide(1_020_000, sizes()).unwrap();
    }
}
