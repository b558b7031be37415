//! `echocart bench`: what a package costs on this machine.

mod busy;
mod child;
mod clips;
mod figures;
mod host;
mod model;
mod pictures;
mod pipeline;
mod reaction;
mod side;
mod usage;

pub use host::HostArgs;
pub use model::ModelArgs;
pub use pipeline::PipelineArgs;
pub use reaction::ReactionArgs;
pub use side::SideArgs;

use crate::exit::Failure;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// `echocart bench ...`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Time the live path from a decided slot to a clip that is ready, with the engine at full load.
    Pipeline(PipelineArgs),
    /// What the pipeline does to a host that draws at 60 Hz, and how soon an EF is blanked.
    Host(HostArgs),
    /// How soon the label is right after the probe has moved, on a simulated heart.
    Reaction(ReactionArgs),
    /// Time the encoder and a view + EF update, on one or two providers or variants in turn.
    Model(ModelArgs),
    /// One side of a comparison: answers on standard output what standard input asks, in JSON lines.
    #[command(hide = true)]
    Side(SideArgs),
}

/// Runs a bench.
pub fn bench(args: &BenchArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Pipeline(args) => pipeline::pipeline(args),
        What::Host(args) => host::host(args),
        What::Reaction(args) => reaction::reaction(args),
        What::Model(args) => model::model(args),
        What::Side(args) => side::side(args),
    }
}
