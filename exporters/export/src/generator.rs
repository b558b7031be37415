//! Deterministic weights and inputs: any model size without a checkpoint.
//!
//! A tensor's values depend on its name and shape alone, so that a case made elsewhere by the same
//! rule can be compared number by number.

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

fn splitmix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn fill(name: &str, count: usize, offset: f64, gain: f64) -> Vec<f32> {
    let mut state = fnv1a64(name);
    let unit = (-53f64).exp2();
    (0..count)
        .map(|_| {
            state = state.wrapping_add(GOLDEN_GAMMA);
            let uniform = (splitmix64(state) >> 11) as f64 * unit;
            (offset + gain * (2.0 * uniform - 1.0)) as f32
        })
        .collect()
}

/// Generates the tensor `key` of `group` under `tag`.
///
/// # Shapes
/// The result is row-major with the shape given; `shape` also decides the gain of weights.
pub fn weight(tag: &str, group: &str, key: &str, shape: &[usize]) -> Vec<f32> {
    let is_norm = key.ends_with("norm.weight")
        || key.contains("norm1.weight")
        || key.contains("norm2.weight");
    let (offset, gain) = if is_norm {
        (1.0, 0.1)
    } else if key.ends_with("bias") {
        (0.0, 0.02)
    } else if key.contains("query_tokens") || key.contains("_embed.weight") {
        (0.0, 1.0)
    } else {
        let fan_in: usize = shape.iter().skip(1).product();
        let peaked = key.contains(".attn.qkv.") || key.contains(".xattn.");
        let gain = if peaked { 3.0 } else { 1.7 };
        (0.0, gain / (fan_in as f64).sqrt())
    };
    fill(
        &format!("{tag}/{group}/{key}"),
        shape.iter().product(),
        offset,
        gain,
    )
}

/// Generates input clip `clip` under `tag`, already normalised.
///
/// # Shapes
/// `[1, 3, frames, height_px, width_px]`, row-major.
pub fn clip(tag: &str, clip: usize, frames: usize, height_px: usize, width_px: usize) -> Vec<f32> {
    fill(
        &format!("{tag}/clip{clip}"),
        3 * frames * height_px * width_px,
        0.0,
        2.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a_of_64_bits() {
        assert_eq!(fnv1a64(""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a64("a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(fnv1a64("foobar"), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn the_stream_is_splitmix64_from_state_zero() {
        assert_eq!(splitmix64(GOLDEN_GAMMA), 0xE220_A839_7B1D_CDAF);
        assert_eq!(
            splitmix64(GOLDEN_GAMMA.wrapping_mul(2)),
            0x6E78_9E6A_A1B9_65F4
        );
    }

    #[test]
    fn each_rule_gives_its_range() {
        let norm = weight("t", "encoder", "blocks.0.norm1.weight", &[512]);
        assert!(norm.iter().all(|v| (0.9..=1.1).contains(v)));
        let bias = weight("t", "encoder", "blocks.0.norm1.bias", &[512]);
        assert!(bias.iter().all(|v| v.abs() <= 0.02) && bias.iter().any(|v| v.abs() > 0.015));
        let query = weight("t", "view", "pooler.query_tokens", &[1, 1, 512]);
        assert!(query.iter().any(|v| v.abs() > 0.9));
        let qkv = weight("t", "encoder", "blocks.0.attn.qkv.weight", &[12, 100]);
        assert!(qkv.iter().all(|v| v.abs() <= 0.3) && qkv.iter().any(|v| v.abs() > 0.25));
        let patch = weight(
            "t",
            "encoder",
            "patch_embed.proj.weight",
            &[4, 1, 1, 10, 10],
        );
        assert!(patch.iter().all(|v| v.abs() <= 0.17) && patch.iter().any(|v| v.abs() > 0.15));
    }
}
