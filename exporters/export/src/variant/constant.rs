//! What a constant of a variant is made of, and its bytes.

use super::Model;
use super::number::{e4m3_bits, half_bits, half_value};
use crate::error::ExportError;
use crate::onnx::proto::{FLOAT8_E4M3, FLOAT16, INT8, UINT8};
use crate::quantise::number::{e4m3, e4m3_step, int8, int8_step};

/// Format of quantised numbers with a step per tensor or per column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Signed 8-bit integers.
    Int8,
    /// 8-bit floats with 4 bits of exponent.
    E4m3,
}

/// Weights in blocks along the rows of a column, each block with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// 4 or 8.
    pub bits: u32,
    /// Rows of a block, a power of two from 16 on.
    pub rows: usize,
}

/// How an f32 constant of the source graph is altered first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Change {
    /// Each row is multiplied by its factor.
    pub rows: Vec<f32>,
    /// Each element is divided by its divisor.
    pub divisors: Vec<f32>,
    /// Added to each element.
    pub shift: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// The bytes as they are.
    Kept,
    /// Floats of the constant's element type.
    Floats,
    /// Quantised numbers with a step per column.
    Codes(Format),
    /// Those steps.
    Steps(Format),
    /// Quantised numbers in blocks.
    BlockCodes(Blocks),
    /// Those blocks' steps.
    BlockSteps(Blocks),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub source: String,
    /// Element type; of steps also where they are another constant's.
    pub element: i32,
    pub shape: Vec<usize>,
    pub change: Change,
    pub kind: Kind,
    /// Whether steps are rounded to 16 bits.
    pub half_steps: bool,
}

impl Format {
    /// Element type.
    pub(super) fn element(self) -> i32 {
        match self {
            Self::Int8 => INT8,
            Self::E4m3 => FLOAT8_E4M3,
        }
    }

    /// The step when `limit` becomes the largest number.
    pub(super) fn step(self, limit: f32) -> f32 {
        match self {
            Self::Int8 => int8_step(limit),
            Self::E4m3 => e4m3_step(limit),
        }
    }

    fn code(self, value: f32, step: f32) -> u8 {
        match self {
            Self::Int8 => int8(value, step) as i8 as u8,
            Self::E4m3 => e4m3_bits(e4m3(value, step)),
        }
    }
}

impl Blocks {
    fn largest(self) -> f32 {
        ((1u32 << (self.bits - 1)) - 1) as f32
    }

    /// Blocks of a column.
    pub(super) fn count(self, inputs: usize) -> usize {
        inputs.div_ceil(self.rows)
    }

    /// Bytes of a block.
    pub(super) fn bytes(self) -> usize {
        self.rows * self.bits as usize / 8
    }
}

fn rounded(step: f32, half: bool) -> f32 {
    if half {
        half_value(half_bits(step).max(1))
    } else {
        step
    }
}

fn float_bytes(values: &[f32], element: i32) -> Vec<u8> {
    match element {
        FLOAT16 => {
            let halves = values.iter().map(|&v| half_bits(v));
            halves.flat_map(u16::to_le_bytes).collect()
        }
        _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn column_steps(values: &[f32], columns: usize, format: Format, half: bool) -> Vec<f32> {
    let mut limits = vec![0f32; columns];
    for row in values.chunks_exact(columns) {
        for (limit, value) in limits.iter_mut().zip(row) {
            *limit = limit.max(value.abs());
        }
    }
    let step = |&limit: &f32| rounded(format.step(limit), half);
    limits.iter().map(step).collect()
}

/// Steps by column, then by block.
fn block_steps(values: &[f32], columns: usize, blocks: Blocks, half: bool) -> Vec<f32> {
    let count = blocks.count(values.len() / columns);
    let mut steps = vec![0f32; columns * count];
    for (row, values) in values.chunks_exact(columns).enumerate() {
        for (column, value) in values.iter().enumerate() {
            let step = &mut steps[column * count + row / blocks.rows];
            *step = step.max(value.abs());
        }
    }
    for step in &mut steps {
        *step = rounded((*step / blocks.largest()).max(f32::MIN_POSITIVE), half);
    }
    steps
}

fn block_codes(values: &[f32], columns: usize, blocks: Blocks, half: bool) -> Vec<u8> {
    let steps = block_steps(values, columns, blocks, half);
    let count = blocks.count(values.len() / columns);
    let zero = 1u8 << (blocks.bits - 1);
    let largest = blocks.largest();
    let empty = if blocks.bits == 4 { zero * 0x11 } else { zero };
    let mut out = vec![empty; columns * count * blocks.bytes()];
    for (row, values) in values.chunks_exact(columns).enumerate() {
        let (block, within) = (row / blocks.rows, row % blocks.rows);
        for (column, value) in values.iter().enumerate() {
            let at = column * count + block;
            let code = (value / steps[at])
                .round_ties_even()
                .clamp(-largest, largest);
            let code = (code as i16 + i16::from(zero)) as u8;
            let start = at * blocks.bytes();
            if blocks.bits == 8 {
                out[start + within] = code;
            } else {
                let byte = &mut out[start + within / 2];
                let (keep, shift) = if within % 2 == 0 {
                    (0xF0, 0)
                } else {
                    (0x0F, 4)
                };
                *byte = (*byte & keep) | (code << shift);
            }
        }
    }
    out
}

impl Change {
    fn apply(&self, values: &mut [f32]) {
        if let Some(columns) = values.len().checked_div(self.rows.len()) {
            for (row, factor) in values.chunks_exact_mut(columns).zip(&self.rows) {
                row.iter_mut().for_each(|value| *value *= factor);
            }
        }
        for (value, divisor) in values.iter_mut().zip(&self.divisors) {
            *value /= divisor;
        }
        for (value, shift) in values.iter_mut().zip(&self.shift) {
            *value += shift;
        }
    }
}

impl Constant {
    /// The constant `name` of `model` as it is.
    pub(super) fn kept(model: &Model, name: &str) -> Option<Self> {
        Some(Self {
            source: name.to_owned(),
            element: model.constant(name)?.data_type(),
            shape: model.shape(name)?,
            change: Change::default(),
            kind: Kind::Kept,
            half_steps: false,
        })
    }

    /// The bytes, and whether a value has no place in 16 bits.
    pub(super) fn bytes(&self, model: &Model) -> Result<(Vec<u8>, bool), ExportError> {
        if self.kind == Kind::Kept {
            return Ok((model.bytes(&self.source)?, false));
        }
        let mut values = model.floats(&self.source)?;
        self.change.apply(&mut values);
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(ExportError::Request {
                what: format!("weights of {} as they are written", self.source),
                expected: "finite values".to_owned(),
                found: value.to_string(),
            });
        }
        let columns = model.shape(&self.source).and_then(|s| s.last().copied());
        let columns = columns.unwrap_or(1).max(1);
        let half = self.half_steps;
        let overflow = |values: &[f32]| {
            let infinite = |&v: &f32| half_bits(v) & 0x7FFF == 0x7C00;
            self.element == FLOAT16 && values.iter().any(infinite)
        };
        let floats = |values: &[f32]| (float_bytes(values, self.element), overflow(values));
        Ok(match self.kind {
            Kind::Kept | Kind::Floats => floats(&values),
            Kind::Steps(format) => floats(&column_steps(&values, columns, format, half)),
            Kind::BlockSteps(blocks) => floats(&block_steps(&values, columns, blocks, half)),
            Kind::BlockCodes(blocks) => {
                debug_assert_eq!(self.element, UINT8);
                (block_codes(&values, columns, blocks, half), false)
            }
            Kind::Codes(format) => {
                let steps = column_steps(&values, columns, format, half);
                let codes = values.iter().zip(steps.iter().cycle());
                (
                    codes.map(|(&v, &step)| format.code(v, step)).collect(),
                    false,
                )
            }
        })
    }
}
