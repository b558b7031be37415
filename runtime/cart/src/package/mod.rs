//! `echocart package`: what is in a package, whether it is what it says, and who vouches for it.

mod compile;
mod show;
mod sign;
mod verify;

use crate::exit::{Because, Cause, Failure};
use crate::export::print;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  echocart package show pkg
  echocart package verify pkg
  echocart package compile pkg --target sm86,sm89 --out pkg-rtx
  echocart package keygen --out device-maker.key
  echocart package sign --key device-maker.key pkg

Exit codes: 0 done, 1 a check failed or a file could not be written, 2 usage or configuration,
4 package, 5 ONNX Runtime library, 130 interrupted.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PackageArgs {
    #[command(subcommand)]
    command: PackageCommand,
}

#[derive(Debug, Subcommand)]
enum PackageCommand {
    /// Print the card, sizes, heads, sampling, variants, golden clips, files and signature.
    Show(ShowArgs),
    /// Check signature and hashes, run the golden clips and compare what comes out.
    Verify(VerifyArgs),
    /// Sign a package: writes package.sig and nothing else.
    Sign(SignArgs),
    /// Compile engines for NVIDIA chips, into a derived package.
    Compile(compile::CompileArgs),
    /// Make a key that signs packages, and print the public key that carts are to trust.
    Keygen(KeygenArgs),
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Package folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

const VERIFY_HELP: &str = "\
Every variant that the provider can run is run; the others are listed as not run, with the reason.

Exit codes: 0 at least one variant ran and all that ran pass, 1 one fails or none ran,
2 usage or configuration, 4 the package does not load (signature, version, keys, hashes),
5 ONNX Runtime library, 130 interrupted.";

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
pub struct VerifyArgs {
    /// Package folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Run this variant only.
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// What runs the graphs: CPU, OpenVINO, CUDA, TensorRT or TensorRT-RTX.
    #[arg(long, value_name = "NAME", default_value = "CPU")]
    provider: echocart_infer::Provider,
    /// Cart configuration whose trusted keys count, and which decides whether an unsigned package
    /// loads. Without it any package loads and no key is trusted.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Threads of one graph run.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// ONNX Runtime library; its SHA-256 must be one this version knows.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// Private key (Ed25519, PKCS #8 PEM) that nobody else may read.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Replace the signature of another key, or one that does not fit.
    #[arg(long)]
    replace: bool,
    /// Package folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Private key file to write; an existing file is never replaced.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs one of the subcommands.
pub fn package(args: &PackageArgs) -> Result<ExitCode, Failure> {
    match &args.command {
        PackageCommand::Show(args) => show::show(args),
        PackageCommand::Verify(args) => verify::verify(args),
        PackageCommand::Sign(args) => sign::sign(args),
        PackageCommand::Compile(args) => compile::compile(args),
        PackageCommand::Keygen(args) => sign::keygen(args),
    }
}

/// Prints results, or says that they could not be.
fn report(text: &str) -> Result<(), Failure> {
    print(text)
        .map_err(|e| anyhow::anyhow!("cannot write the results: {e} (standard output)"))
        .because(Cause::Other)
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
