//! How far a variant's answers on the golden clips are from the fp32 graphs'.

use echocart_core::engine::EngineInfo;
use echocart_core::golden::Answers;
use echocart_core::manifest::Measured;

/// The figures of `found` beside `expected`, clip by clip, tokens of `dim` channels.
pub(super) fn measured(
    info: EngineInfo,
    dim: usize,
    expected: &[Answers],
    found: &[Answers],
) -> Measured {
    let (mut cosines, mut square, mut reference) = (Vec::new(), 0f64, 0f64);
    let mut heads_max_abs = 0f64;
    for (expected, found) in expected.iter().zip(found) {
        let rows = expected.tokens.chunks(dim).zip(found.tokens.chunks(dim));
        for (a, b) in rows {
            let sum = |f: fn(f64, f64) -> f64| -> f64 {
                let pairs = a.iter().zip(b);
                pairs.map(|(&a, &b)| f(f64::from(a), f64::from(b))).sum()
            };
            let norm = sum(|a, _| a * a).sqrt() * sum(|_, b| b * b).sqrt();
            cosines.push((sum(|a, b| a * b) / norm).clamp(-1.0, 1.0));
            square += sum(|a, b| (a - b).powi(2));
            reference += sum(|a, _| a * a);
        }
        for (key, values) in &expected.heads {
            let other = found.heads.get(key).map_or(&[][..], Vec::as_slice);
            for (a, b) in values.iter().zip(other) {
                heads_max_abs = heads_max_abs.max(f64::from((a - b).abs()));
            }
        }
    }
    let mean = cosines.iter().sum::<f64>() / cosines.len().max(1) as f64;
    let worst = cosines.into_iter().fold(1.0, f64::min);
    let relative_rms = (square / reference).sqrt();
    if !(mean.is_finite() && relative_rms.is_finite() && heads_max_abs.is_finite()) {
        let why = "its outputs on the golden clips are not finite".to_owned();
        return Measured::NotRun { why };
    }
    Measured::Run {
        provider: info.provider,
        library: info.library,
        clips: found.len(),
        token_cosine_mean: mean,
        token_cosine_worst: worst,
        tokens_relative_rms: relative_rms,
        heads_max_abs,
    }
}
