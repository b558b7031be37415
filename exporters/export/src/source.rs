//! Where weights come from: a checked state dict or the generator.

use crate::checkpoint::StateDict;
use crate::error::ExportError;
use crate::generator;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the weights of an encoder or a probe come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightSource {
    /// A file written by `torch.save`, or a safetensors file.
    Checkpoint(PathBuf),
    /// The generator, under this tag; with [`OUTLIERS`] at its end, an encoder's loud channels are
    /// added, and a probe's weights are those of the tag without it.
    Generated(String),
}

/// End of a tag whose encoder has loud channels: in every `norm1` and `norm2`, 8 channels are 40
/// times as large, and the layers that read them take a 40th of them. fp32 computes the same;
/// formats with one step per tensor do not.
pub const OUTLIERS: &str = "+outliers";
const LOUD_CHANNELS: usize = 8;
const LOUDNESS: f32 = 40.0;

const ENCODER_GROUP: &str = "encoder";

/// Makes channels of a block's norms loud, or the matrices that read them quieter there.
fn raise(key: &str, shape: &[usize], values: &mut [f32]) {
    let has = |ends: &[&str]| ends.iter().any(|end| key.ends_with(end));
    let (channels, factor) = match shape {
        [channels] if has(&["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"]) => {
            (*channels, LOUDNESS)
        }
        [_, inputs] if has(&["attn.qkv.weight", "mlp.fc1.weight"]) => (*inputs, 1.0 / LOUDNESS),
        _ => return,
    };
    for row in values.chunks_exact_mut(channels) {
        for loud in 0..LOUD_CHANNELS {
            if let Some(value) = row.get_mut((2 * loud + 1) * channels / (2 * LOUD_CHANNELS)) {
                *value *= factor;
            }
        }
    }
}

/// Weights by key, read one tensor at a time.
pub(crate) enum Weights {
    File(StateDict),
    Generated {
        tag: String,
        group: String,
        shapes: BTreeMap<String, Vec<usize>>,
        outliers: bool,
    },
}

impl Weights {
    pub(crate) fn generated(tag: &str, group: &str, layout: Vec<(String, Vec<usize>)>) -> Self {
        let plain = tag.strip_suffix(OUTLIERS);
        Self::Generated {
            tag: plain.unwrap_or(tag).to_owned(),
            group: group.to_owned(),
            shapes: layout.into_iter().collect(),
            outliers: plain.is_some() && group == ENCODER_GROUP,
        }
    }

    pub(crate) fn read(&mut self, key: &str) -> Result<Vec<f32>, ExportError> {
        match self {
            Self::File(state) => state.read(key),
            Self::Generated {
                tag,
                group,
                shapes,
                outliers,
            } => match shapes.get(key) {
                Some(shape) => {
                    let mut values = generator::weight(tag, group, key, shape);
                    if *outliers {
                        raise(key, shape, &mut values);
                    }
                    Ok(values)
                }
                None => Err(ExportError::Request {
                    what: format!("generated {group} weights"),
                    expected: "a tensor of the layout".to_owned(),
                    found: key.to_owned(),
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: &str, group: &str, key: &str, shape: &[usize]) -> Vec<f32> {
        let layout = vec![(key.to_owned(), shape.to_vec())];
        Weights::generated(tag, group, layout).read(key).unwrap()
    }

    #[test]
    fn eight_channels_are_loud_and_the_layers_after_them_take_a_fortieth() {
        let both = |key: &str, shape: &[usize]| {
            let plain = read("t", "encoder", key, shape);
            let loud = read("t+outliers", "encoder", key, shape);
            let factor = |(a, b): (&f32, &f32)| b / a;
            plain.iter().zip(&loud).map(factor).collect::<Vec<f32>>()
        };
        let near = |a: f32, b: f32| (a / b - 1.0).abs() < 1e-5;
        let norm = both("blocks.3.norm2.weight", &[64]);
        assert_eq!(norm.iter().filter(|f| near(**f, 40.0)).count(), 8);
        assert_eq!(norm.iter().filter(|f| near(**f, 1.0)).count(), 56);
        let matrix = both("blocks.3.mlp.fc1.weight", &[5, 64]);
        for row in matrix.chunks(64) {
            assert!(row.iter().zip(&norm).all(|(a, b)| near(a * b, 1.0)));
        }
        assert_eq!(both("norm.weight", &[64]), [1.0; 64]);
        assert_eq!(both("blocks.3.mlp.fc2.weight", &[5, 64]), [1.0; 320]);
    }

    #[test]
    fn a_probe_is_the_same_with_the_end_and_without() {
        let key = "pooler.blocks.0.norm1.weight";
        assert_eq!(
            read("t+outliers", "view", key, &[64]),
            read("t", "view", key, &[64])
        );
    }
}
