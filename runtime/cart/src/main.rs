//! `echocart`: live view guidance and ejection fraction for ultrasound carts.

mod cli;
mod exit;
mod export;
mod parity;
mod run;
mod serve;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Export(args) => export::export(&args),
        Command::Parity(args) => parity::parity(&args),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
