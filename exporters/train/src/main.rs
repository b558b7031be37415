//! `echocart-train`: renders clips, trains an encoder on them, fits its probes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use echocart_train::cache::{self, Clips, Split};
use echocart_train::evaluate::{self, Evaluation};
use echocart_train::head::{self, HeadFit};
use echocart_train::net::predictor::PredictorSize;
use echocart_train::net::vit::Size;
use echocart_train::phantoms;
use echocart_train::pretrain::pretrain;
use echocart_train::probing::{Probing, probe};
use echocart_train::settings::Settings;
use echocart_train::supervised::Objective;

/// Trains a small EchoJEPA and its probes on simulated hearts. No clinical meaning.
#[derive(Debug, Parser)]
#[command(name = "echocart-train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Renders the clips of every split into a cache; goes on where an earlier run ended.
    Render(RenderArgs),
    /// Trains the encoder on the cache; goes on where an earlier run ended.
    Pretrain(PretrainArgs),
    /// Trains the same encoder on labels (and chamber maps), from scratch or --from another training; writes the same files.
    Supervised(PretrainArgs),
    /// Fits the probes on frozen features and says what they reach on new hearts.
    Probe(ProbeArgs),
    /// Says what weights reach on hearts that nothing was fitted on: report.json, report.md, plots.
    Evaluate(EvaluateArgs),
    /// Fits a head on features that `echocart probe fit` has written.
    #[command(hide = true)]
    Head(HeadArgs),
    /// Prints labels of simulated hearts, for `echocart calibrate` and `echocart evaluate`.
    Phantoms(PhantomsArgs),
}

#[derive(Debug, Args)]
struct RenderArgs {
    /// Folder of the cache.
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// Clips to train on.
    #[arg(long, default_value_t = 6000)]
    train: usize,
    /// Clips to choose settings on.
    #[arg(long, default_value_t = 600)]
    validation: usize,
    /// Clips to fit intervals on.
    #[arg(long, default_value_t = 2000)]
    calibration: usize,
    /// Clips to test on.
    #[arg(long, default_value_t = 2000)]
    test: usize,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

#[derive(Debug, Args)]
struct PretrainArgs {
    /// Folder of the cache.
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// Folder of the training: settings, checkpoint, encoder, log and plot.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of a training whose encoder this one starts from. Without it: drawn weights.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Clips to train on: the first ones of the split.
    #[arg(long, default_value_t = 6000)]
    clips: usize,
    /// Steps.
    #[arg(long, default_value_t = 6000)]
    steps: usize,
    /// Clips a step.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 1e-3)]
    rate: f32,
    /// Token width.
    #[arg(long, default_value_t = 128)]
    dim: usize,
    /// Blocks.
    #[arg(long, default_value_t = 4)]
    depth: usize,
    /// Attention heads.
    #[arg(long, default_value_t = 2)]
    heads: usize,
    /// The teacher's momentum at the first step.
    #[arg(long, default_value_t = 0.99)]
    momentum: f32,
    /// Its momentum at the last step.
    #[arg(long, default_value_t = 0.9995)]
    last_momentum: f32,
    /// Steps until the highest learning rate is reached.
    #[arg(long, default_value_t = 200)]
    warmup: usize,
    /// Weight decay.
    #[arg(long, default_value_t = 0.04)]
    decay: f32,
    /// Share of the mean variance from which directions of the targets are made equal; 0 leaves them as they are.
    #[arg(long, default_value_t = 0.0)]
    equal_from: f32,
    /// Least part of a frame that a clip is cut from.
    #[arg(long, default_value_t = 0.5)]
    least_area: f32,
    /// Share of the clips whose image is darkened with depth or by a shadow, from nothing to the levels that `evaluate` tests.
    #[arg(long, default_value_t = 0.0)]
    disturbed: f32,
    /// Token width, blocks and attention heads of the predictor.
    #[arg(long, value_delimiter = ',', num_args = 3, default_values_t = [64, 2, 2])]
    predictor: Vec<usize>,
    /// Steps, the first ones, on half of a clip's time.
    #[arg(long, default_value_t = 0)]
    short_steps: usize,
    /// Weight of the chambers' places in a supervised training, beside view and ejection fraction.
    #[arg(long, default_value_t = 0.0)]
    chambers: f32,
    /// Weight of the ejection fraction in a supervised training, beside the view.
    #[arg(long, default_value_t = 1.0)]
    ejection: f32,
    /// Keeps the student as the encoder instead of the teacher.
    #[arg(long)]
    keep_student: bool,
    /// Steps between two lines of the log, each with a checkpoint.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

impl PretrainArgs {
    fn settings(&self, objective: Objective) -> Settings {
        let predictor = |at: usize| self.predictor.get(at).copied().unwrap_or_default();
        Settings {
            objective,
            parent: None,
            encoder: Size {
                side_px: 112,
                dim: self.dim,
                depth: self.depth,
                heads: self.heads,
            },
            predictor: PredictorSize {
                dim: predictor(0),
                depth: predictor(1),
                heads: predictor(2),
            },
            probe_heads: 2,
            steps: self.steps,
            batch: self.batch,
            rate: self.rate,
            warmup: self.warmup,
            decay: self.decay,
            momentum: [self.momentum, self.last_momentum],
            equal_from: self.equal_from,
            least_area: self.least_area,
            disturbed: self.disturbed,
            short_steps: self.short_steps,
            chambers: self.chambers,
            ejection: self.ejection,
            keep_student: self.keep_student,
            seed: self.seed,
        }
    }
}

#[derive(Debug, Args)]
struct ProbeArgs {
    /// Folder of the cache.
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// Folder of the training.
    #[arg(long, value_name = "DIR")]
    training: PathBuf,
    /// Folder for the probes and report.json.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Takes the encoder as it was before training, to compare with.
    #[arg(long)]
    random_encoder: bool,
    /// Passes over the clips.
    #[arg(long, default_value_t = 15)]
    epochs: usize,
    /// Attention heads of the probes; the recipe must say the same.
    #[arg(long, default_value_t = 2)]
    heads: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 1e-3)]
    rate: f32,
    /// Passes over 60 labels.
    #[arg(long, default_value_t = 60)]
    few_epochs: usize,
    /// Weight decay.
    #[arg(long, default_value_t = 0.05)]
    decay: f32,
    /// States figures for the validation hearts, to choose settings on.
    #[arg(long)]
    screen: bool,
    /// Most clips of a split.
    #[arg(long, default_value_t = 6000)]
    clips: usize,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

#[derive(Debug, Args)]
struct EvaluateArgs {
    /// Recipe of the weights.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "configs/models/standin.toml"
    )]
    recipe: PathBuf,
    /// Folder with settings.json and encoder, view and lvef (.safetensors); `pretrained`, `supervised` and `random` below
    /// it, if there.
    #[arg(long, value_name = "DIR", default_value = "exporters/train/standin")]
    weights: PathBuf,
    /// Folder of the cache; what it lacks is rendered.
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// Folder for report.json, report.md, card.txt and the plots.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Test hearts.
    #[arg(long, default_value_t = 2000)]
    hearts: usize,
    /// Hearts that temperature and interval are fitted on.
    #[arg(long, default_value_t = 2000)]
    calibration: usize,
    /// Which test hearts: 0 those of the training's test split, 1 and so on others.
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// `evaluation.json` of `echocart evaluate` on the exported package, to go into the report.
    #[arg(long, value_name = "FILE")]
    package: Option<PathBuf>,
    /// `report.json` of `echocart quantise`, likewise.
    #[arg(long, value_name = "FILE")]
    int8: Option<PathBuf>,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

#[derive(Debug, Args)]
struct HeadArgs {
    /// Features, targets and groups.
    #[arg(long, value_name = "FILE")]
    features: PathBuf,
    /// Clips in it.
    #[arg(long)]
    clips: usize,
    /// Token width.
    #[arg(long)]
    dim: usize,
    /// Attention heads.
    #[arg(long)]
    heads: usize,
    /// Classes; without it a value is fitted.
    #[arg(long)]
    classes: Option<usize>,
    /// Passes over the clips.
    #[arg(long)]
    epochs: usize,
    /// Probe file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

#[derive(Debug, Args)]
struct PhantomsArgs {
    /// How many.
    #[arg(long, default_value_t = 100)]
    hearts: usize,
    /// Seed of the first one.
    #[arg(long)]
    first: u64,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("stopped; the same command goes on from here");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<bool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    match cli.command {
        Command::Render(args) => {
            let counts = [args.train, args.validation, args.calibration, args.test];
            for part in Split::ALL.into_iter().zip(counts) {
                if !cache::fill(&args.cache, part, args.threads.into(), &stop)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Command::Pretrain(args) => train(&args, Objective::Jepa, &stop),
        Command::Supervised(args) => train(&args, Objective::Supervised, &stop),
        Command::Probe(args) => {
            let plan = Probing {
                epochs: args.epochs,
                heads: args.heads,
                seed: args.seed,
                threads: args.threads.into(),
                random_encoder: args.random_encoder,
                most: args.clips,
                rate: args.rate,
                decay: args.decay,
                few_epochs: args.few_epochs,
                screen: args.screen,
            };
            let report = probe(&args.cache, (&args.training, &args.out), plan, &stop)?;
            if let Some(report) = &report {
                println!("{}", serde_json::to_string_pretty(report)?);
            }
            Ok(report.is_some())
        }
        Command::Evaluate(args) => {
            let plan = Evaluation {
                recipe: &args.recipe,
                weights: &args.weights,
                cache: &args.cache,
                hearts: args.hearts,
                calibration: args.calibration,
                seed: args.seed,
                threads: args.threads.into(),
            };
            let evidence = evaluate::evaluate(plan, &stop)?;
            let done = evidence.is_some();
            if let Some(evidence) = evidence {
                let parts = (args.package.as_deref(), args.int8.as_deref());
                evaluate::write(evidence, &args.out, parts)?;
                println!("{}", args.out.join("report.md").display());
            }
            Ok(done)
        }
        Command::Head(args) => {
            let plan = HeadFit {
                features: &args.features,
                clips: args.clips,
                dim: args.dim,
                heads: args.heads,
                classes: args.classes,
                epochs: args.epochs,
                seed: 1,
                threads: args.threads.into(),
            };
            let Some(check) = head::fit(plan, &args.out, &stop)? else {
                return Ok(false);
            };
            println!("{}", serde_json::to_string(&check)?);
            Ok(true)
        }
        Command::Phantoms(args) => {
            println!("{}", phantoms::HEADER);
            for index in 0..args.hearts {
                if let Some(line) = phantoms::line(args.first + index as u64, index as u64)? {
                    println!("{line}");
                }
            }
            Ok(true)
        }
    }
}

fn train(args: &PretrainArgs, objective: Objective, stop: &AtomicBool) -> Result<bool> {
    let clips = Clips::open(&args.cache, Split::Train, args.clips)?;
    let pace = (args.every as usize, args.threads.into());
    let settings = args.settings(objective);
    let places = (&clips, args.out.as_path());
    Ok(pretrain(
        settings,
        args.from.as_deref(),
        places,
        pace,
        stop,
    )?)
}
