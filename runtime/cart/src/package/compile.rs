//! `echocart package compile`: engines for chips, into a derived package.

use super::report;
use crate::exit::{Cause, Failure};
use crate::export::{Bar, failure, interrupted, stop_flag};
use clap::Args;
use echocart_export::ExportError;
use echocart_export::engines::{
    self, CompileRequest, CompiledGraph, Outcome, Target, check_engines, compile_engines,
};
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Compiles the graphs of every variant for TensorRT-RTX with NVIDIA's ahead-of-time compiler, which
needs no GPU but Python 3.11; `cargo xtask check-tensorrt` fetches it.
The engines go into a new package that holds everything of the first one and names it as its parent.
With --check no package is written: every variant is compiled for every chip, and the table says
what came out.

Exit codes: 0 done, 1 the compiler cannot be used, a file could not be written, or with --check a
chip took or refused what it should not, 2 usage, a package that does not load or has no such
variant, a variant that a chip cannot take, 130 interrupted.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CompileArgs {
    /// Package folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Chips: sm80, sm86, sm89, sm120.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    target: Vec<Target>,
    /// Variants; all those for TensorRT-RTX if not given.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    variant: Vec<String>,
    /// Numbers of tokens to compile for where a variant takes any; all of a clip if not given.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    tokens: Vec<usize>,
    /// Folder of the compiler.
    #[arg(long, value_name = "DIR", default_value = ".echocart/tensorrt")]
    compiler: PathBuf,
    /// Package folder to write.
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Replace a package that is already there.
    #[arg(long, requires = "out")]
    replace: bool,
    /// Write nothing; exit code 0 if chips take and refuse what they should.
    #[arg(long, conflicts_with = "out")]
    check: bool,
}

/// Compiles, showing progress and what came out.
pub fn compile(args: &CompileArgs) -> Result<ExitCode, Failure> {
    let request = CompileRequest {
        package: args.dir.clone(),
        variants: args.variant.clone(),
        targets: args.target.clone(),
        tokens: args.tokens.clone(),
        compiler: args.compiler.clone(),
    };
    let mut bar = Bar::new(stop_flag()?);
    let mut show = |what: &str, done, total| bar.show(what, done, total);
    let done = match &args.out {
        Some(out) => compile_engines(&request, out, args.replace, &mut show)
            .map(|done| (Some((done.dir, done.hash)), done.graphs)),
        None => check_engines(&request, &mut show).map(|graphs| (None, graphs)),
    };
    bar.clear();
    let (written, graphs) = match done {
        Err(ExportError::Interrupted) => return Ok(interrupted()),
        done => done.map_err(failure)?,
    };
    let mut text = table(&graphs);
    if let Some((dir, hash)) = written {
        let short = hash.get(..12).unwrap_or(&hash);
        text += &format!("package: {} ({short}), not signed\n", dir.display());
    }
    report(&text)?;
    let unexpected = graphs.iter().filter(|graph| !graph.is_expected()).count();
    if unexpected > 0 {
        let text = format!(
            "{}: expected {} graphs to compile or be refused as their chips say, found {unexpected} \
             that did not",
            engines::PROVIDER,
            graphs.len()
        );
        return Err(Failure::text(Cause::Other, text));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(graphs: &[CompiledGraph]) -> String {
    let mut text = format!(
        "{:<16}{:<8}{:<36}{:<7}result\n",
        "variant", "tokens", "graph", "chip"
    );
    for graph in graphs {
        let result = match &graph.outcome {
            Outcome::Engine { seconds, bytes } => {
                format!("{seconds:.1} s, {:.1} MB", *bytes as f64 / 1e6)
            }
            Outcome::Refused { reason } => format!("refused: {reason}"),
        };
        let expected = if graph.is_expected() {
            ""
        } else {
            "  UNEXPECTED"
        };
        text += &format!(
            "{:<16}{:<8}{:<36}{:<7}{result}{expected}\n",
            graph.variant,
            graph.tokens,
            graph.graph,
            graph.target.as_str()
        );
    }
    text
}
