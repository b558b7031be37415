//! What goes into a single graph and comes out of it, for whoever measures graphs one by one.

/// A value given to a graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GraphInput<'a> {
    /// 32-bit floats, row-major.
    Floats {
        /// Sizes.
        shape: &'a [usize],
        /// As many as the shape says.
        values: &'a [f32],
    },
    /// 64-bit integers, row-major.
    Integers {
        /// Sizes.
        shape: &'a [usize],
        /// As many as the shape says.
        values: &'a [i64],
    },
}

/// 32-bit floats that a graph gave.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphOutput {
    /// Name in the graph.
    pub name: String,
    /// Sizes.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}
