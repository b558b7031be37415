//! Variants of a package's graphs: other precisions and flavours, made from its fp32 graphs.
//!
//! A variant is a rewriting of a graph that this crate wrote and reads back, so the step from one
//! package to another needs no checkpoint. [`Model`] is the graph with its constants left in their
//! file; [`rewrite`] makes a [`Draft`] of a variant, whose weights are then written one by one.

mod attention;
mod blocks;
mod codes;
mod constant;
mod cut;
mod draft;
mod form;
mod half;
mod migrate;
mod model;
mod number;
mod parts;
mod shape;
mod tokens;

pub use constant::{Blocks, Format};
pub use draft::Draft;
pub use form::{Form, Numbers, rewrite};
pub use half::Islands;
pub use model::Model;
pub use parts::{Attention, Linear, Norm};
pub use shape::{Extent, Value};
