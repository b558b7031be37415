//! The encoder graph: patch rows and token ids in, tokens out.

use super::block::{
    BATCH_SHAPE, Block, FLAT_SHAPE, RopeNames, layer_norm, linear, write_linear, write_norm,
};
use super::rope::Rope;
use super::{OnTensor, Reader};
use crate::error::ExportError;
use crate::layout;
use crate::onnx::graph::{Attribute, Dim, Graph};
use crate::onnx::weights::WeightFile;
use crate::source::Weights;
use echocart_core::manifest::Encoder;

const EPSILON: f32 = 1e-6;
const PATCH: &str = "patch_embed.proj";
const COS: &str = "rope.cos";
const SIN: &str = "rope.sin";
const HALVES_SHAPE: &str = "shape.halves";
const TABLE_SHAPE: &str = "shape.table";
const SWAP: &str = "rope.swap";

/// Name of the input `[1, tokens, row]` f32: patches in (channel, frame, y, x) order.
pub const ROWS: &str = "rows";
/// Name of the input `[tokens]` int64: places of the tokens in the whole grid.
pub const IDS: &str = "ids";
/// Name of the output `[1, tokens, dim]` f32.
pub const TOKENS: &str = "tokens";

fn block(encoder: &Encoder, index: usize) -> Block<'static> {
    Block {
        name: format!("blocks.{index}"),
        dim: encoder.dim,
        heads: encoder.heads,
        hidden: layout::encoder_hidden(encoder),
        epsilon: EPSILON,
        rope: Some(RopeNames {
            cos: "rope.cos.kept",
            sin: "rope.sin.kept",
            halves: HALVES_SHAPE,
            swap: SWAP,
        }),
    }
}

/// Writes the encoder's weights to `file` and gives the bytes of its graph.
pub(crate) fn write(
    encoder: &Encoder,
    weights: &mut Weights,
    mut file: WeightFile,
    on_tensor: OnTensor<'_>,
) -> Result<Vec<u8>, ExportError> {
    let head_dim = encoder.dim / encoder.heads;
    let mut reader = Reader { weights, on_tensor };
    let tables = Rope::new(head_dim).tables(encoder);
    file.push(COS, &[encoder.tokens(), head_dim], &tables.cos)?;
    file.push(SIN, &[encoder.tokens(), head_dim], &tables.sin)?;
    write_linear(&mut reader, &mut file, PATCH, encoder.row())?;
    for index in 0..encoder.depth {
        block(encoder, index).write(&mut reader, &mut file)?;
    }
    write_norm(&mut reader, &mut file, "norm")?;

    let mut graph = Graph::new("encoder", file.finish()?);
    let tokens = Dim::Named("K");
    graph.input_f32(ROWS, &[Dim::Fixed(1), tokens, Dim::Fixed(encoder.row())]);
    graph.input_i64(IDS, &[tokens]);
    graph.output_f32(TOKENS, &[Dim::Fixed(1), tokens, Dim::Fixed(encoder.dim)]);
    graph.ints(BATCH_SHAPE, &[1, -1, encoder.dim as i64]);
    graph.ints(FLAT_SHAPE, &[-1, encoder.dim as i64]);
    let half = head_dim as i64 / 2;
    graph.ints(HALVES_SHAPE, &[-1, encoder.heads as i64, 2, half]);
    graph.ints(TABLE_SHAPE, &[-1, 1, 2, half]);
    graph.ints(SWAP, &[1, 0]);
    graph.ints("shape.rows", &[-1, encoder.row() as i64]);
    for table in [COS, SIN] {
        let axis = [("axis", Attribute::Int(0))];
        let kept = graph.op("Gather", &[table, IDS], &format!("{table}.gathered"), &axis);
        graph.op(
            "Reshape",
            &[&kept, TABLE_SHAPE],
            &format!("{table}.kept"),
            &[],
        );
    }
    let rows = graph.op("Reshape", &[ROWS, "shape.rows"], "rows.flat", &[]);
    let mut x = linear(&mut graph, PATCH, &rows);
    for index in 0..encoder.depth {
        x = block(encoder, index).nodes(&mut graph, &x);
    }
    let normal = layer_norm(&mut graph, "norm", &x, EPSILON);
    graph.op("Reshape", &[&normal, BATCH_SHAPE], TOKENS, &[]);
    Ok(graph.into_bytes())
}
