//! The original model as its definition reads, in double precision and without speed: what the
//! exported graphs are compared with where no golden case is.

use echocart_export::generator;
use echocart_export::layout::{ProbeKind, SlotEmbedding};
use std::f64::consts::PI;

/// One row per token.
pub type Rows = Vec<Vec<f64>>;

/// Error function: its series, and a continued fraction where the series loses digits.
pub fn erf(x: f64) -> f64 {
    if x.abs() > 3.0 {
        let z = x.abs();
        let fraction = (1..=60)
            .rev()
            .fold(0.0, |f, n| f64::from(n) / 2.0 / (z + f));
        return x.signum() * (1.0 - (-z * z).exp() / (PI.sqrt() * (z + fraction)));
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / PI.sqrt()
}

/// Generated weights of one group.
pub struct Layers<'a> {
    pub tag: &'a str,
    pub group: &'a str,
}

impl Layers<'_> {
    fn get(&self, key: &str, shape: &[usize]) -> Vec<f64> {
        let values = generator::weight(self.tag, self.group, key, shape);
        values.into_iter().map(f64::from).collect()
    }

    fn linear(&self, name: &str, rows: &[Vec<f64>], outputs: usize) -> Rows {
        let inputs = rows[0].len();
        let weight = self.get(&format!("{name}.weight"), &[outputs, inputs]);
        let bias = self.get(&format!("{name}.bias"), &[outputs]);
        let one = |row: &Vec<f64>| {
            let dot = |column: &[f64]| column.iter().zip(row).map(|(w, x)| w * x).sum::<f64>();
            weight
                .chunks(inputs)
                .zip(&bias)
                .map(|(column, b)| dot(column) + b)
                .collect()
        };
        rows.iter().map(one).collect()
    }

    fn norm(&self, name: &str, rows: &[Vec<f64>], epsilon: f64) -> Rows {
        let dim = rows[0].len();
        let scale = self.get(&format!("{name}.weight"), &[dim]);
        let shift = self.get(&format!("{name}.bias"), &[dim]);
        let one = |row: &Vec<f64>| {
            let mean = row.iter().sum::<f64>() / dim as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / dim as f64;
            let normal = row.iter().map(|x| (x - mean) / (variance + epsilon).sqrt());
            normal
                .zip(scale.iter().zip(&shift))
                .map(|(x, (a, b))| x * a + b)
                .collect()
        };
        rows.iter().map(one).collect()
    }

    fn mlp(
        &self,
        [first, second]: [String; 2],
        rows: &[Vec<f64>],
        hidden: usize,
        out: usize,
    ) -> Rows {
        let mut wide = self.linear(&first, rows, hidden);
        for value in wide.iter_mut().flatten() {
            *value *= 0.5 * (1.0 + erf(*value / 2f64.sqrt()));
        }
        self.linear(&second, &wide, out)
    }

    fn block(&self, name: &str, rows: &mut Rows, shape: &Block<'_>) {
        let dim = rows[0].len();
        let normal = self.norm(&format!("{name}.norm1"), rows, shape.epsilon);
        let qkv = self.linear(&format!("{name}.attn.qkv"), &normal, 3 * dim);
        let part = |which: usize| -> Rows {
            qkv.iter()
                .map(|row| row[which * dim..(which + 1) * dim].to_vec())
                .collect()
        };
        let (mut q, mut k) = (part(0), part(1));
        if let Some(places) = shape.places {
            for ((q, k), place) in q.iter_mut().zip(&mut k).zip(places) {
                turn(q, shape.heads, *place);
                turn(k, shape.heads, *place);
            }
        }
        let seen = attention(&q, &k, &part(2), shape.heads, shape.ignored);
        add(rows, &self.linear(&format!("{name}.attn.proj"), &seen, dim));
        let normal = self.norm(&format!("{name}.norm2"), rows, shape.epsilon);
        let names = ["fc1", "fc2"].map(|part| format!("{name}.mlp.{part}"));
        add(rows, &self.mlp(names, &normal, shape.hidden, dim));
    }
}

/// What a block needs besides its weights.
struct Block<'a> {
    heads: usize,
    hidden: usize,
    epsilon: f64,
    places: Option<&'a [[usize; 3]]>,
    ignored: &'a [bool],
}

fn add(rows: &mut Rows, other: &[Vec<f64>]) {
    for (a, b) in rows.iter_mut().flatten().zip(other.iter().flatten()) {
        *a += b;
    }
}

/// Rotary positions: pairs are neighbours, angles are tiled, the channels left over stay.
fn turn(row: &mut [f64], heads: usize, place: [usize; 3]) {
    let width = row.len() / heads;
    let part = 2 * (width / 3 / 2);
    for head in row.chunks_mut(width) {
        for (axis, position) in place.into_iter().enumerate() {
            let segment = &mut head[axis * part..(axis + 1) * part];
            let before = segment.to_vec();
            for (i, value) in segment.iter_mut().enumerate() {
                let rate = 10_000f64.powf(-((i % (part / 2)) as f64) / (part / 2) as f64);
                let angle = position as f64 * rate;
                let partner = if i % 2 == 0 {
                    -before[i + 1]
                } else {
                    before[i - 1]
                };
                *value = before[i] * angle.cos() + partner * angle.sin();
            }
        }
    }
}

/// Scaled dot product attention per head; an ignored token is no key.
fn attention(q: &Rows, k: &Rows, v: &Rows, heads: usize, ignored: &[bool]) -> Rows {
    let (dim, width) = (k[0].len(), k[0].len() / heads);
    let mut out = vec![vec![0.0; dim]; q.len()];
    for (row, query) in out.iter_mut().zip(q) {
        for head in 0..heads {
            let part = head * width..(head + 1) * width;
            let score = |key: &Vec<f64>| {
                let pairs = query[part.clone()].iter().zip(&key[part.clone()]);
                pairs.map(|(a, b)| a * b).sum::<f64>() / (width as f64).sqrt()
            };
            let scores: Vec<f64> = k.iter().map(score).collect();
            let share = |at: usize| if ignored[at] { 0.0 } else { scores[at].exp() };
            let sum: f64 = (0..k.len()).map(share).sum();
            for (at, value) in v.iter().enumerate() {
                for channel in part.clone() {
                    row[channel] += share(at) / sum * value[channel];
                }
            }
        }
    }
    out
}

/// Sizes of an encoder with tubelets of 2 frames and patches of 16 x 16.
#[derive(Clone)]
pub struct Encoder {
    pub dim: usize,
    pub depth: usize,
    pub heads: usize,
    pub mlp_ratio: f64,
    pub frames: usize,
    pub height: usize,
    pub width: usize,
}

impl Encoder {
    pub fn tokens(&self) -> usize {
        self.frames / 2 * (self.height / 16) * (self.width / 16)
    }

    /// Tokens of a clip; with `keep`, of those patches alone.
    pub fn run(&self, tag: &str, clip: usize, keep: Option<&[usize]>) -> Rows {
        let layers = Layers {
            tag,
            group: "encoder",
        };
        let pixels = generator::clip(tag, clip, self.frames, self.height, self.width);
        let (high, wide) = (self.height / 16, self.width / 16);
        let all: Vec<usize> = (0..self.tokens()).collect();
        let ids = keep.unwrap_or(&all);
        let places: Vec<[usize; 3]> = ids
            .iter()
            .map(|id| [id / (high * wide), id / wide % high, id % wide])
            .collect();
        let patch = |[t, row, column]: &[usize; 3]| -> Vec<f64> {
            let mut values = Vec::new();
            for channel in 0..3 {
                for frame in 2 * t..2 * t + 2 {
                    for y in 16 * row..16 * row + 16 {
                        let line = ((channel * self.frames + frame) * self.height + y) * self.width;
                        let line = line + 16 * column;
                        values.extend(pixels[line..line + 16].iter().map(|&v| f64::from(v)));
                    }
                }
            }
            values
        };
        let patches: Rows = places.iter().map(patch).collect();
        let weight = layers.get("patch_embed.proj.weight", &[self.dim, 3, 2, 16, 16]);
        let bias = layers.get("patch_embed.proj.bias", &[self.dim]);
        let embed = |patch: &Vec<f64>| -> Vec<f64> {
            let dot = |w: &[f64]| w.iter().zip(patch).map(|(w, x)| w * x).sum::<f64>();
            weight
                .chunks(1536)
                .zip(&bias)
                .map(|(w, b)| dot(w) + b)
                .collect()
        };
        let mut rows: Rows = patches.iter().map(embed).collect();
        let shape = Block {
            heads: self.heads,
            hidden: (self.dim as f64 * self.mlp_ratio) as usize,
            epsilon: 1e-6,
            places: Some(&places),
            ignored: &vec![false; ids.len()],
        };
        for index in 0..self.depth {
            layers.block(&format!("blocks.{index}"), &mut rows, &shape);
        }
        layers.norm("norm", &rows, 1e-6)
    }
}

/// A probe.
#[derive(Clone)]
pub struct Probe {
    pub name: &'static str,
    pub kind: ProbeKind,
    pub depth: usize,
    pub heads: usize,
    pub hidden: usize,
    pub outputs: usize,
    /// `linear` or `regressor`.
    pub last: &'static str,
    /// Views, clips per view and vectors of a multi-view probe.
    pub slots: Option<(usize, usize, SlotEmbedding)>,
}

impl Probe {
    /// The answer on `clips`; of a multi-view probe, one per slot, absent slots being no keys.
    pub fn run(&self, tag: &str, clips: &[Rows], absent: &[usize]) -> Vec<f64> {
        let layers = Layers {
            tag,
            group: self.name,
        };
        let dim = clips[0][0].len();
        let mut placed = clips.to_vec();
        if let Some((views, per_view, embedding)) = self.slots {
            let vectors = |key: &str, count| -> Rows {
                layers
                    .get(key, &[count, dim])
                    .chunks(dim)
                    .map(<[f64]>::to_vec)
                    .collect()
            };
            for (slot, rows) in placed.iter_mut().enumerate() {
                let vector = match embedding {
                    SlotEmbedding::None => continue,
                    SlotEmbedding::PerSlot => {
                        vectors("slot_embed.weight", views * per_view)[slot].clone()
                    }
                    SlotEmbedding::Factorized => {
                        let mut sum =
                            vec![vectors("view_embed.weight", views)[slot / per_view].clone()];
                        add(
                            &mut sum,
                            &vectors("clip_embed.weight", per_view)[slot % per_view..],
                        );
                        sum.remove(0)
                    }
                };
                let vector = vec![vector; rows.len()];
                add(rows, &vector);
            }
        }
        let ignored: Vec<bool> = placed
            .iter()
            .enumerate()
            .flat_map(|(slot, rows)| vec![absent.contains(&slot); rows.len()])
            .collect();
        let rows: Rows = placed.concat();
        let pooled = match self.kind {
            ProbeKind::Attentive => self.pool(&layers, rows, &ignored),
            ProbeKind::Linear | ProbeKind::Mlp => {
                let seen: Vec<&Vec<f64>> = rows
                    .iter()
                    .zip(&ignored)
                    .filter(|(_, i)| !**i)
                    .map(|(r, _)| r)
                    .collect();
                let mean = |c: usize| seen.iter().map(|r| r[c]).sum::<f64>() / seen.len() as f64;
                layers.norm("norm", &[(0..dim).map(mean).collect()], 1e-5)
            }
        };
        let out = match self.kind {
            ProbeKind::Mlp => {
                let names = ["mlp.0", "mlp.3"].map(str::to_owned);
                layers.mlp(names, &pooled, self.hidden, self.outputs)
            }
            _ => layers.linear(self.last, &pooled, self.outputs),
        };
        out.concat()
    }

    fn pool(&self, layers: &Layers<'_>, mut rows: Rows, ignored: &[bool]) -> Rows {
        let dim = rows[0].len();
        let shape = Block {
            heads: self.heads,
            hidden: self.hidden,
            epsilon: 1e-5,
            places: None,
            ignored,
        };
        for index in 1..self.depth {
            layers.block(&format!("pooler.blocks.{}", index - 1), &mut rows, &shape);
        }
        let cross = "pooler.cross_attention_block";
        let mut query = vec![layers.get("pooler.query_tokens", &[1, 1, dim])];
        let q = layers.linear(&format!("{cross}.xattn.q"), &query, dim);
        let normal = layers.norm(&format!("{cross}.norm1"), &rows, 1e-5);
        let kv = layers.linear(&format!("{cross}.xattn.kv"), &normal, 2 * dim);
        let k: Rows = kv.iter().map(|row| row[..dim].to_vec()).collect();
        let v: Rows = kv.iter().map(|row| row[dim..].to_vec()).collect();
        add(&mut query, &attention(&q, &k, &v, self.heads, ignored));
        let normal = layers.norm(&format!("{cross}.norm2"), &query, 1e-5);
        let names = ["fc1", "fc2"].map(|part| format!("{cross}.mlp.{part}"));
        add(&mut query, &layers.mlp(names, &normal, self.hidden, dim));
        query
    }
}

#[test]
fn the_error_function_is_right_where_both_forms_meet() {
    for (x, y) in [
        (0.0, 0.0),
        (0.5, 0.520_499_877_813_046_5),
        (-2.0, -0.995_322_265_018_952_7),
        (3.0, 0.999_977_909_503_001_4),
        (3.5, 0.999_999_256_901_627_7),
    ] {
        assert!((erf(x) - y).abs() < 1e-13, "{x}: {}", erf(x));
    }
    assert!((erf(3.000_000_001) - erf(3.0)).abs() < 1e-12);
}

#[test]
fn a_segment_turns_as_the_definition_says() {
    let mut head = vec![0.0; 64];
    for (i, value) in head.iter_mut().take(20).enumerate() {
        *value = (i + 1) as f64 / 20.0;
    }
    turn(&mut head, 1, [5, 0, 0]);
    for (at, expected) in [
        (0, 0.110_076),
        (3, 0.236_670),
        (12, -0.042_083),
        (19, 1.001_192),
    ] {
        assert!((head[at] - expected).abs() < 1e-6, "{at}: {}", head[at]);
    }
}
