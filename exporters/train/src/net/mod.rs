//! A vision transformer and its way back, written out.

pub mod attention;
pub mod linear;
pub mod matrix;
pub mod norm;
pub mod params;
pub mod predictor;
pub mod probe;
mod real;
pub mod rope;
pub mod trunk;
pub mod vit;

pub use real::Real;
