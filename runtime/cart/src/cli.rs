//! The command line.

use crate::bench::BenchArgs;
use crate::calibrate::CalibrateArgs;
use crate::doctor::DoctorArgs;
use crate::engine::ProbeArgs;
use crate::evaluate::EvaluateArgs;
use crate::metrics::LogArgs;
use crate::package::PackageArgs;
use crate::probe::ProbeCommand;
use crate::quantise::QuantiseArgs;
use crate::tokens::KeepTokensArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use echocart_export::PlainVariant;
use echocart_export::engines::Target;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0  done (also when a source ended without one estimate, and after Ctrl-C)
  1  a check failed, or a file could not be written
  2  usage or configuration
  3  source
  4  package or checkpoint
  5  ONNX Runtime library, or no provider that serves
  130  export or parity interrupted";

/// Live view guidance and ejection fraction for ultrasound carts. Research software, not a
/// medical device.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a package on a source: frames in, estimates out.
    Run(RunArgs),
    /// As `run`, with the flight recorder on; saves what it holds.
    #[command(after_help = RECORD_EXAMPLES)]
    Record(RecordArgs),
    /// Re-run every decision of a recording and say whether it comes out the same.
    Replay(ReplayArgs),
    /// Make a package from a checkpoint, or from generated weights.
    Export(ExportArgs),
    /// Compare exported graphs with the original model's outputs.
    Parity(ParityArgs),
    /// Make smaller or faster variants of a package, calibrated on real cines.
    Quantise(QuantiseArgs),
    /// Fit view temperature and EF interval on labelled recordings, into a new package.
    Calibrate(CalibrateArgs),
    /// Measure what leaving out the patches outside the imaging area does, into a new package.
    KeepTokens(KeepTokensArgs),
    /// Run labelled recordings through the live path and compare with their labels.
    Evaluate(EvaluateArgs),
    /// Fit a new head on a package's frozen features, into a new package.
    Probe(ProbeCommand),
    /// Show, verify and sign packages.
    Package(PackageArgs),
    /// Measure what a package costs on this machine.
    Bench(BenchArgs),
    /// Say what is usable here, what is missing, and what to do about it.
    Doctor(DoctorArgs),
    /// Run one provider in this process and print what it does as JSON.
    #[command(hide = true)]
    EngineProbe(ProbeArgs),
}

const RUN_EXAMPLES: &str = "\
Examples:
  echocart run                                  the demo's cine and package, page on :8787
  echocart run --source heart.dcm --package pkg --loop
  echocart run --source phantom:view=A4C,ef=55 --package pkg
  echocart run --source heart.mp4 --package pkg --headless --events out.jsonl
  echocart run --source heart.dcm --package pkg --headless --pace max --events out.jsonl

Exit codes: 0 done, 1 a file could not be written, 2 usage or configuration, 3 source,
4 package, 5 ONNX Runtime library.";

#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// DICOM ultrasound multi-frame or video file, or a simulated heart: phantom: and pairs such as
    /// view=A4C,ef=55,hr=70,seed=1 (a wrong key lists all of them).
    #[arg(
        long,
        value_name = "FILE_OR_URI",
        default_value = ".echocart/data/color3d_jpeg_baseline.dcm"
    )]
    pub source: String,
    /// Model package.
    #[arg(long, value_name = "DIR", default_value = ".echocart/packages/demo")]
    pub package: PathBuf,
    /// A smaller package that says the view in the place of the other one, several times a second. EF is
    /// then shown only while both see the same view. It must sample frames as the other one does.
    #[arg(long, value_name = "DIR")]
    pub guide: Option<PathBuf>,
    /// Cart configuration. Without it: the embedded configs/carts/demo.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// real: frames come at their capture times. max: virtual time, every clip is inferred,
    /// the same file gives the same events; no page.
    #[arg(long, value_enum, default_value_t = PaceArg::Real)]
    pub pace: PaceArg,
    /// Start the source over when it ends; the capture clock goes on by one frame period.
    #[arg(long = "loop")]
    pub looped: bool,
    /// End after this many seconds of source time, counted from the first frame.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub seconds: Option<f64>,
    /// Serve no page.
    #[arg(long)]
    pub headless: bool,
    /// Write every event to this file, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Write every frame handed to the pipeline to this file, for the C example and for tests.
    #[arg(long, value_name = "FILE")]
    pub dump_frames: Option<PathBuf>,
    /// Frame rate to assume when the source does not state one.
    #[arg(long, value_name = "FPS", value_parser = positive)]
    pub assume_fps: Option<f64>,
    /// ONNX Runtime library; its SHA-256 must be one this version knows.
    /// Without it: the one `cargo xtask setup` put below .echocart/lib.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
    /// For benches only: let every clip take this much longer, as a larger model would. Events and
    /// page then say that the engine is degraded.
    #[arg(long, value_name = "MS", hide = true, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub bench_delay_millis: Option<u64>,
    /// For benches only: leave out the patches outside the imaging area although the package does not
    /// allow it. Events and page then say so.
    #[arg(long, hide = true)]
    pub bench_kept_tokens: bool,
    #[command(flatten)]
    pub log: LogArgs,
}

const RECORD_EXAMPLES: &str = "\
Examples:
  echocart record --source igtl://plus:18944 --package pkg --out bad-number.echorec
  kill -USR1 PID        saves now, into the folder of --out, while the run goes on

The recorder keeps the newest decisions and, where the imaging sector is known, the frames of the time
grid, black outside the sector, until its memory is full; a new exam erases everything. No token and
no name is stored. An existing file is never replaced. `echocart run` has a recorder too where its
configuration has [recorder]; only the signal saves it.

Exit codes: as run.";

#[derive(Debug, Args)]
pub struct RecordArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Recording to write when the run ends.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Most memory the recorder takes, MiB.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..=4096))]
    pub budget_mib: u16,
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  echocart replay bad-number.echorec                          same decisions on this machine?
  echocart replay bad-number.echorec --infer --package pkg    and the same numbers from the model?

Unfit frames, the time grid, clips, hand-off, ladder, view smoothing, EF, expiry: everything that follows
from what was measured is computed anew and compared bit for bit. --infer runs the model on the frames
stored and says how far its answers are from the recorded ones; decisions stay on the recorded ones.

Exit codes: 0 identical, 1 a decision comes out otherwise (the first one is printed), 2 usage or
configuration, 3 not a recording or one of another version, 4 package, 5 ONNX Runtime library.";

#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub struct ReplayArgs {
    /// Recording. One that was cut off is replayed as far as it goes.
    #[arg(value_name = "FILE")]
    pub recording: PathBuf,
    /// Run the model again on the frames stored.
    #[arg(long, requires = "package")]
    pub infer: bool,
    /// Model package for --infer.
    #[arg(long, value_name = "DIR", requires = "infer")]
    pub package: Option<PathBuf>,
    /// Cart configuration that says which engine runs it.
    #[arg(long, value_name = "FILE", requires = "infer")]
    pub config: Option<PathBuf>,
    /// ONNX Runtime library; its SHA-256 must be one this version knows.
    #[arg(long, value_name = "FILE", requires = "infer")]
    pub library: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PaceArg {
    Real,
    Max,
}

/// A number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!("expected a number above 0, found {text:?}")),
    }
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  echocart export --recipe configs/models/demo.toml --generated-weights demo --out pkg
  echocart export --recipe configs/models/echojepa-l.toml --checkpoint encoder.pt \\
      --probe view=view_probe.pt --probe lvef=lvef_probe.pt --out pkg
  echocart export ... --scaler lvef=lvef_scaler.pkl     mean and std of the EF from its scaler
  echocart export ... --variants fp32-plain,fp16-plain --target sm86,sm89
  echocart export ... --golden-from a4c.dcm --distribution-permitted \"CC BY 4.0, Example Hospital\"

Exit codes: 0 done, 1 a file could not be written, 2 usage or recipe, 3 recording for a golden clip,
4 checkpoint, 5 ONNX Runtime library, 130 interrupted (nothing is left behind).";

#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub struct ExportArgs {
    /// Recipe: everything a checkpoint does not say.
    #[arg(long, value_name = "FILE")]
    pub recipe: PathBuf,
    /// EchoJEPA or V-JEPA 2 training checkpoint (.pt; `target_encoder` is used), or safetensors
    /// with EchoJEPA's or Hugging Face's VJEPA2 names.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "generated_weights"
    )]
    pub checkpoint: Option<PathBuf>,
    /// Probe file of a head (.pt or safetensors), as NAME=FILE; once per head of the recipe.
    #[arg(long = "probe", value_name = "NAME=FILE", value_parser = name_and_file)]
    pub probes: Vec<(String, PathBuf)>,
    /// Fitted sklearn StandardScaler of a regression head (a pickle, never executed), as NAME=FILE.
    /// Needed where the recipe says scaler = "file"; elsewhere it must agree with the recipe.
    #[arg(long = "scaler", value_name = "NAME=FILE", value_parser = name_and_file)]
    pub scalers: Vec<(String, PathBuf)>,
    /// What `calibrate --keep` wrote for these weights; for others it is refused.
    #[arg(long, value_name = "FILE", conflicts_with = "generated_weights")]
    pub calibration: Option<PathBuf>,
    /// Text to add to the card: what was measured with these weights.
    #[arg(long, value_name = "FILE", conflicts_with = "generated_weights")]
    pub card: Option<PathBuf>,
    /// Make all weights with the deterministic generator instead of reading any.
    #[arg(long, value_name = "TAG", conflicts_with_all = ["checkpoint", "probes"])]
    pub generated_weights: Option<String>,
    /// With generated weights: make 8 channels of every norm of the encoder 40 times as large, and
    /// the layers after them take a 40th. fp32 computes the same; a hard test for quantisation.
    #[arg(long, requires = "generated_weights")]
    pub outliers: bool,
    /// Variants to make beside fp32: fp32-plain (OpenVINO) and fp16-plain (TensorRT and TensorRT-RTX), whose attention
    /// is made of plain operators; with :N for exactly N tokens. Each is compared with fp32.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub variants: Vec<PlainVariant>,
    /// Chips that the variants for TensorRT-RTX must suit: sm80, sm86, sm89, sm120. One that a chip
    /// cannot take is refused, with the reason; `package compile` makes the engines.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "variants"
    )]
    pub target: Vec<Target>,
    /// Make the golden clips from the first clip of these recordings (one or two) instead of two
    /// simulated hearts. Their images go into the package as they are: what is burned in, names and
    /// dates included, is kept, so remove it first.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "distribution_permitted")]
    pub golden_from: Vec<PathBuf>,
    /// Who permits the distribution of those images, in words. Goes into the package's card.
    #[arg(long, value_name = "TEXT", requires = "golden_from")]
    pub distribution_permitted: Option<String>,
    /// ONNX Runtime library that runs the golden clips; its SHA-256 must be one this version knows.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
    /// Package folder to write.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace a package that is already there.
    #[arg(long)]
    pub replace: bool,
}

fn name_and_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(file)))
        }
        _ => Err(format!("expected NAME=FILE, found {text:?}")),
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Whole clips, kept tokens and multi-view slots are compared at the fp32 \
    tolerances; an output whose name says nothing known is named and not checked.\n\nExit codes: \
    0 every checked output passes, 1 one fails, 4 the case does not load, 5 ONNX Runtime library."
)]
pub struct ParityArgs {
    /// Golden case: case.json, expected.npz and the .pt files. What a probe file says about
    /// itself (kind, depth, classes, slots) is taken from it.
    #[arg(value_name = "CASE_DIR")]
    pub case: PathBuf,
    /// Print a JSON list instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Threads of one graph run.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// ONNX Runtime library; its SHA-256 must be one this version knows.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}
