//! Set-up and developer commands: `cargo xtask demo | dist | setup | test`.

mod command;
mod debian;
mod demo;
mod digest;
mod dist;
mod emulate;
mod evaluate;
mod layout;
mod lock;
mod package;
mod pins;
mod pip;
mod probe;
mod python;
mod runtime_libs;
mod sanitize;
mod setup;
mod tensorrt;
mod test;
mod ui;
mod wheels;

use anyhow::Result;
use clap::{Parser, Subcommand};
use debian::PackagesMissing;
use layout::Layout;
use std::process::ExitCode;

const FAILED: u8 = 1;
const PACKAGES_MISSING: u8 = 10;

const HELP: &str = "\
Everything fetched or made lies under .echocart/ in the checkout; with it in place nothing is fetched again.

Debian packages that are missing are installed when root or through sudo; otherwise the line to type is printed.
They are those of Debian 12. Ubuntu 24.04 has the same names (its chromium is a snap); not run by us.

Exit codes: 0 done, 1 a step failed, 2 usage, 10 Debian packages are missing and there is neither root nor a usable sudo.
`demo` ends with the code of `echocart run`.";

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, after_help = HELP)]
struct Line {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set up, build, and replay a real heart with live estimates on http://127.0.0.1:8787
    Demo(demo::Demo),
    Dist(dist::Dist),
    /// Do only the set-up: system packages, ONNX Runtime, the demo's cine, the crates
    Setup {
        /// Do not look for Debian packages, and install none
        #[arg(long)]
        no_system: bool,
        /// Add what `test` needs
        #[arg(long)]
        tests: bool,
    },
    /// Fetch the pinned libraries of an engine provider
    RuntimeLibs(runtime_libs::RuntimeLibs),
    Sanitize(sanitize::Sanitize),
    Evaluate(evaluate::Evaluate),
    CheckAarch64(emulate::CheckAarch64),
    /// Compile every TensorRT flavour for every chip with NVIDIA's ahead-of-time compiler, no GPU needed
    CheckTensorrt(tensorrt::CheckTensorRt),
    /// Set up and run every check: formatting, clippy, tests, the page in a browser
    Test {
        /// Do not look for Debian packages, and install none
        #[arg(long)]
        no_system: bool,
    },
}

fn run(task: Task) -> Result<()> {
    let layout = Layout::find()?;
    match task {
        Task::Demo(demo) => demo.run(&layout),
        Task::Dist(dist) => dist.run(&layout),
        Task::Setup { no_system, tests } => setup::only(&layout, !no_system, tests),
        Task::RuntimeLibs(libs) => libs.run(&layout),
        Task::Evaluate(evaluate) => evaluate.run(&layout),
        Task::Sanitize(sanitize) => sanitize.run(&layout),
        Task::CheckAarch64(check) => check.run(&layout),
        Task::CheckTensorrt(check) => check.run(&layout),
        Task::Test { no_system } => test::run(&layout, !no_system),
    }
}

fn main() -> ExitCode {
    let Err(error) = run(Line::parse().task) else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {error:#}");
    ExitCode::from(if error.is::<PackagesMissing>() {
        PACKAGES_MISSING
    } else {
        FAILED
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Line::command().debug_assert();
    }
}
