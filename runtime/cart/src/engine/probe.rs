//! `echocart engine-probe`: what one provider does here, in a process of its own, because a
//! process holds one ONNX Runtime library.

use super::{failure, libraries, proofs};
use crate::exit::{Because, Cause, Failure};
use clap::Args;
use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::package::Package;
use echocart_infer::{EngineOptions, OrtEngine, Provider, prove, smoke};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long one probe may take: a TensorRT engine is built in that time.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(5);

/// Without a package: runs the smallest graph. With one: opens the variant, takes it through the
/// parity gate and times clips.
#[derive(Debug, Clone, Args)]
pub struct ProbeArgs {
    /// Provider.
    #[arg(long, value_name = "NAME")]
    pub provider: Provider,
    /// Library file.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
    /// Model package.
    #[arg(long, value_name = "DIR", requires = "variant")]
    pub package: Option<PathBuf>,
    /// Variant of the package.
    #[arg(long, value_name = "NAME", requires = "package")]
    pub variant: Option<String>,
    /// Threads of one graph run.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
    /// Clips to time after one that is not.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub clips: usize,
    /// Nice value.
    #[arg(long, value_name = "N")]
    pub nice: Option<i32>,
    /// As engine.gpu_memory_bytes.
    #[arg(long, value_name = "BYTES")]
    pub gpu_memory: Option<u64>,
}

/// What a probe found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Probe {
    /// Library name and version.
    pub library: String,
    /// Nodes each provider got.
    pub nodes: BTreeMap<String, usize>,
    /// Why it does not run.
    pub error: Option<String>,
    /// Time to open all graphs.
    pub open_millis: f64,
    /// Shortest time of the encoder for one clip.
    pub clip_millis: Option<f64>,
}

/// Probes in this process and prints a [`Probe`] as JSON.
pub fn report(args: &ProbeArgs) -> Result<ExitCode, Failure> {
    let probe = run(args).unwrap_or_else(|e| Probe {
        error: Some(e.line()),
        ..Probe::default()
    });
    let text = serde_json::to_string(&probe).because(Cause::Other)?;
    crate::export::print(&(text + "\n")).because(Cause::Other)?;
    Ok(ExitCode::SUCCESS)
}

fn run(args: &ProbeArgs) -> Result<Probe, Failure> {
    echocart_infer::end_with_parent();
    if let Some(nice) = args.nice {
        echocart_infer::step_back(nice);
    }
    let file = args.library.as_deref();
    let library = echocart_infer::library_for(args.provider, libraries(file)).map_err(failure)?;
    let options = EngineOptions {
        gpu_memory: args.gpu_memory,
        ..EngineOptions::new(args.provider, args.threads)
    };
    let start = Instant::now();
    let (Some(dir), Some(variant)) = (&args.package, &args.variant) else {
        let nodes = smoke(&library, &options).map_err(|e| Failure::text(Cause::Library, e))?;
        return Ok(Probe {
            library: library.name(),
            nodes,
            error: None,
            open_millis: millis(start.elapsed()),
            clip_millis: None,
        });
    };
    let package = Package::open(dir, &PackageConfig::ANY).because(Cause::Package)?;
    let sizes = package.manifest.encoder.clone();
    let start = Instant::now();
    let mut engine =
        OrtEngine::open_on(&library, &package, variant, options).because(Cause::Package)?;
    let open_millis = millis(start.elapsed());
    prove(&mut engine, &package, proofs().as_deref(), &mut |_| {}).because(Cause::Library)?;
    let block = Arc::new(vec![0.1f32; sizes.tokens_per_tubelet() * sizes.row()]);
    let clip = vec![block; sizes.tubelets()];
    engine.encode(&clip, 0).because(Cause::Library)?;
    let mut best: Option<Duration> = None;
    for _ in 0..args.clips {
        let start = Instant::now();
        engine.encode(&clip, 0).because(Cause::Library)?;
        let took = start.elapsed();
        best = Some(best.map_or(took, |b| b.min(took)));
    }
    Ok(Probe {
        library: library.name(),
        nodes: engine.info().nodes,
        error: None,
        open_millis,
        clip_millis: best.map(millis),
    })
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// Probes in a child process. A child that dies or hangs is an error in the [`Probe`], and so is
/// `stop`, which ends it.
pub fn probe(args: &ProbeArgs, stop: &AtomicBool) -> Probe {
    child(args, stop).unwrap_or_else(|error| Probe {
        error: Some(error),
        ..Probe::default()
    })
}

fn child(args: &ProbeArgs, stop: &AtomicBool) -> Result<Probe, String> {
    let started = |e: std::io::Error| format!("cannot start a process for the probe: {e}");
    let mut command = Command::new(std::env::current_exe().map_err(started)?);
    command.arg("engine-probe");
    command.args(["--provider", args.provider.as_str()]);
    command.args(["--threads", &args.threads.to_string()]);
    command.args(["--clips", &args.clips.to_string()]);
    let option = |command: &mut Command, name: &str, value: &Option<PathBuf>| {
        if let Some(value) = value {
            command.arg(name).arg(value);
        }
    };
    if let Some(nice) = args.nice {
        command.arg(format!("--nice={nice}"));
    }
    if let Some(bytes) = args.gpu_memory {
        command.args(["--gpu-memory", &bytes.to_string()]);
    }
    option(&mut command, "--library", &args.library);
    option(&mut command, "--package", &args.package);
    option(
        &mut command,
        "--variant",
        &args.variant.as_ref().map(|v| Path::new(v).to_owned()),
    );
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(started)?;
    let start = Instant::now();
    loop {
        match child.try_wait().map_err(started)? {
            Some(_) => break,
            None if start.elapsed() > PATIENCE || stop.load(Ordering::Relaxed) => {
                let _ = child.kill();
                let _ = child.wait();
                let seconds = start.elapsed().as_secs();
                return Err(format!("expected an answer, found none within {seconds} s"));
            }
            None => std::thread::sleep(POLL),
        }
    }
    let output = child.wait_with_output().map_err(started)?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("the process of the probe died: {}", output.status))
}
