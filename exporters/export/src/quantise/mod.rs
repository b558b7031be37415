//! Calibration, ranges and sensitivity: from an fp32 package and real clips to variants, and a
//! report of what each variant costs.

mod attention;
mod calibrate;
mod card;
mod clip;
mod compose;
mod corrections;
mod fold;
mod group;
mod layers;
mod measure;
pub mod number;
mod outcome;
mod picture;
pub mod plan;
mod range;
mod report;
mod request;
mod rounds;
mod run;
mod runner;
mod stats;
mod trial;
mod walk;
mod write;

pub use clip::{Clip, Origin};
pub use compose::{MOST_ATTENTION_ERROR, MOST_BLOCK_ERROR, Rule};
pub use measure::{HeadDistance, TokenDistance};
pub use range::RangeRule;
pub use report::{LayerReport, Outcome, REPORT_FORMAT, Report, Round, Targets, VariantReport};
pub use request::{QuantiseReport, QuantiseRequest};
pub use run::quantise;
pub use runner::{GraphRunner, Input, LoadedGraph, Output};
