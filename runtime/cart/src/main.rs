//! `echocart`: live view guidance and ejection fraction for ultrasound carts.

mod bench;
mod calibrate;
mod cli;
mod doctor;
mod engine;
mod evaluate;
mod exit;
mod export;
mod labelled;
mod metrics;
mod package;
mod parity;
mod probe;
mod quantise;
mod quiet;
mod replay;
mod run;
mod serve;
mod tokens;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    quiet::video_libraries();
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Record(args) => run::record(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Export(args) => export::export(&args),
        Command::Parity(args) => parity::parity(&args),
        Command::Quantise(args) => quantise::quantise(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::EngineProbe(args) => engine::report(&args),
        Command::Calibrate(args) => calibrate::calibrate(&args),
        Command::KeepTokens(args) => tokens::keep_tokens(&args),
        Command::Evaluate(args) => evaluate::evaluate(&args),
        Command::Probe(args) => probe::probe(&args),
        Command::Package(args) => package::package(&args),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
