//! What a bench runs on: the package's golden clips, whole or with some tokens.

use echocart_core::golden::{self, Answers, Expected};
use echocart_core::manifest::Manifest;
use echocart_core::npz;
use echocart_core::package::Package;
use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::Arc;

/// One clip, and what the fp32 graphs make of it where the package says so.
pub struct BenchClip {
    pub tubelets: Vec<Arc<Vec<f32>>>,
    pub expected: Option<Answers>,
}

/// The golden clips; a pattern where the package has none.
pub fn clips(package: &Package) -> Result<Vec<BenchClip>, String> {
    let manifest = &package.manifest;
    let mut clips = Vec::new();
    for golden in manifest.golden.values() {
        let path = package.dir.join(&golden.frames);
        let file = File::open(&path).map_err(|e| format!("{e} ({})", path.display()))?;
        let clip = golden::clip(manifest, BufReader::new(file))
            .map_err(|e| format!("golden frames: {e} ({})", path.display()))?;
        let path = package.dir.join(&golden.expected);
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(npz::MOST_BYTES).read_to_end(&mut bytes))
            .map_err(|e| format!("{e} ({})", path.display()))?;
        let expected = Expected::from_npz(&bytes)
            .map_err(|e| format!("golden outputs: {e} ({})", path.display()))?;
        clips.push(BenchClip {
            tubelets: clip.tubelets,
            expected: expected.of(None),
        });
    }
    if clips.is_empty() {
        clips.push(pattern(manifest));
    }
    Ok(clips)
}

fn pattern(manifest: &Manifest) -> BenchClip {
    let sizes = &manifest.encoder;
    let block = sizes.tokens_per_tubelet() * sizes.row();
    let value = |t: usize, i: usize| ((i * 7 + t * 131) % 509) as f32 / 127.0 - 2.0;
    let tubelet = |t| Arc::new((0..block).map(|i| value(t, i)).collect::<Vec<f32>>());
    BenchClip {
        tubelets: (0..sizes.tubelets()).map(tubelet).collect(),
        expected: None,
    }
}

/// `kept` of `all` places, spread evenly: what is computed does not depend on which.
pub fn kept_places(kept: usize, all: usize) -> Vec<usize> {
    (0..kept).map(|at| at * all / kept.max(1)).collect()
}

/// The rows of some places of a clip, into `out` after clearing it.
pub fn gather(tubelets: &[Arc<Vec<f32>>], places: &[usize], row: usize, out: &mut Vec<f32>) {
    out.clear();
    let per_tubelet = tubelets.first().map_or(1, |t| t.len() / row.max(1)).max(1);
    for &place in places {
        let block = tubelets.get(place / per_tubelet);
        let from = place % per_tubelet * row;
        out.extend_from_slice(block.and_then(|b| b.get(from..from + row)).unwrap_or(&[]));
    }
}

/// How near tokens are to the fp32 ones.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Nearness {
    /// Tokens compared.
    pub tokens: usize,
    /// Mean cosine between a token and its fp32 one.
    pub cosine_mean: f64,
    /// Smallest of them.
    pub cosine_worst: f64,
    /// Relative RMS error.
    pub relative_rms: f64,
}

/// Compares rows of `dim` values; none where there is nothing to compare.
pub fn nearness(pairs: &[(Vec<f32>, Vec<f32>)], dim: usize) -> Option<Nearness> {
    let (mut tokens, mut sum, mut worst) = (0usize, 0.0f64, f64::INFINITY);
    let (mut error, mut power) = (0.0f64, 0.0f64);
    for (wanted, found) in pairs {
        for (w, f) in wanted.chunks_exact(dim).zip(found.chunks_exact(dim)) {
            let (mut dot, mut ww, mut ff) = (0.0f64, 0.0f64, 0.0f64);
            for (&w, &f) in w.iter().zip(f) {
                let (w, f) = (f64::from(w), f64::from(f));
                dot += w * f;
                ww += w * w;
                ff += f * f;
                error += (w - f) * (w - f);
            }
            let cosine = dot / (ww * ff).sqrt();
            tokens += 1;
            sum += cosine;
            worst = worst.min(cosine);
            power += ww;
        }
    }
    (tokens > 0).then(|| Nearness {
        tokens,
        cosine_mean: sum / tokens as f64,
        cosine_worst: worst,
        relative_rms: (error / power).sqrt(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_places_are_different_and_in_order() {
        let places = kept_places(980, 1568);
        assert_eq!((places.len(), places[0]), (980, 0));
        assert!(places.windows(2).all(|w| w[0] < w[1]) && places[979] < 1568);
        assert_eq!(kept_places(8, 8), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn gathered_rows_are_those_of_their_places() {
        let tubelets = [
            Arc::new(vec![0.0, 1.0, 2.0, 3.0]),
            Arc::new(vec![4.0, 5.0, 6.0, 7.0]),
        ];
        let mut out = Vec::new();
        gather(&tubelets, &[1, 2], 2, &mut out);
        assert_eq!(out, [2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn nearness_sees_a_turned_token_and_a_scaled_one() {
        let wanted = vec![1.0, 0.0, 0.0, 1.0];
        let same = nearness(&[(wanted.clone(), wanted.clone())], 2).unwrap();
        assert_eq!(
            (same.cosine_worst, same.relative_rms, same.tokens),
            (1.0, 0.0, 2)
        );
        let off = nearness(&[(wanted, vec![2.0, 0.0, 1.0, 0.0])], 2).unwrap();
        assert_eq!((off.cosine_mean, off.cosine_worst), (0.5, 0.0));
        assert!((off.relative_rms - 1.5f64.sqrt()).abs() < 1e-12);
        assert!(nearness(&[], 2).is_none());
    }
}
