//! `echocart doctor`: what is usable here, what is missing, and what to do about it.

use crate::engine::{self, Patience, Probe, ProbeArgs};
use crate::exit::{Because, Cause, Failure};
use crate::export::print;
use crate::run::config;
use clap::Args;
use echocart_core::clock::Pace;
use echocart_core::config::{CartConfig, EngineConfig, Isolation, Policy};
use echocart_core::engine::Engine;
use echocart_core::package::Package;
use echocart_infer::{
    Assignments, PinnedSet, Provider, check_library, family_library_path, has_bf16, has_nvidia_gpu,
    has_vnni,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

const EXAMPLES: &str = "\
Examples:
  echocart doctor                               what is usable here
  echocart doctor --package pkg --config cart.toml --json

Exit codes: 0 the configured policy can serve, 2 configuration, 4 package, 5 it cannot serve.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Cart configuration. Without it: the embedded configs/carts/demo.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Model package whose graphs to open. Without it only the providers are looked at.
    #[arg(long, value_name = "DIR")]
    pub package: Option<PathBuf>,
    /// ONNX Runtime library in place of those below .echocart/lib.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Report {
    cpu: CpuReport,
    nvidia_gpu: bool,
    providers: Vec<ProviderReport>,
    policy: PolicyReport,
}

#[derive(Debug, Serialize)]
struct CpuReport {
    architecture: &'static str,
    cores: usize,
    vnni: bool,
    bf16: bool,
}

#[derive(Debug, Serialize)]
struct ProviderReport {
    provider: &'static str,
    usable: bool,
    library: Option<PathBuf>,
    version: Option<String>,
    /// `as pinned`, or what is wrong.
    files: String,
    /// SHA-256 of each pinned file by name, for `engine.libraries`.
    sha256: BTreeMap<&'static str, &'static str>,
    /// What keeps it from running, and what to do about it.
    problem: Option<String>,
    /// What nobody has run yet.
    note: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct PolicyReport {
    policy: Policy,
    providers: Vec<String>,
    isolation: Isolation,
    /// The worker's executable; absent without one.
    worker: Option<PathBuf>,
    serves: bool,
    /// What serves, or why nothing does.
    detail: String,
    nodes: BTreeMap<String, usize>,
    /// The same by graph file.
    graphs: Assignments,
    /// How the variant came to pass the parity gate; absent if none did.
    gate: Option<String>,
    degraded: Option<String>,
    /// False when no package was given, so that no graph was opened.
    graphs_opened: bool,
}

/// Looks at every provider and at the configured policy.
pub fn doctor(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let config = config(args.config.as_deref())?;
    let package = args.package.as_deref();
    let package = package
        .map(|dir| Package::open(dir, &config.package))
        .transpose()
        .because(Cause::Package)?;
    let providers: Vec<ProviderReport> = Provider::ALL
        .into_iter()
        .map(|provider| look(provider, args.library.as_deref()))
        .collect();
    let mut policy = match &package {
        Some(package) => with_package(&config, args.library.as_deref(), package),
        None => without_package(&config, &providers),
    };
    match find_worker(&config) {
        Ok(worker) => policy.worker = worker,
        Err(failure) => {
            policy.serves = false;
            policy.detail = format!("{}; {}", failure.line(), policy.detail);
        }
    }
    let report = Report {
        cpu: CpuReport {
            architecture: std::env::consts::ARCH,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            vnni: has_vnni(),
            bf16: has_bf16(),
        },
        nvidia_gpu: has_nvidia_gpu(),
        providers,
        policy,
    };
    let text = if args.json {
        serde_json::to_string_pretty(&report).because(Cause::Other)? + "\n"
    } else {
        words(&report)
    };
    print(&text).because(Cause::Other)?;
    Ok(if report.policy.serves {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Cause::Library as u8)
    })
}

/// Checks a provider's files, then lets a process of its own run the smallest graph.
fn look(provider: Provider, given: Option<&Path>) -> ProviderReport {
    let family = provider.family();
    let set = PinnedSet::of(family);
    let mut report = ProviderReport {
        provider: provider.as_str(),
        usable: false,
        library: None,
        version: set.map(PinnedSet::title),
        files: "not looked at".to_owned(),
        sha256: BTreeMap::new(),
        problem: None,
        note: note(provider),
    };
    let path = match given {
        Some(path) => path.to_owned(),
        None => match family_library_path(Path::new(""), family) {
            Ok(path) => path,
            Err(error) => {
                report.files = "none pinned for this machine".to_owned();
                report.problem = Some(error.to_string());
                return report;
            }
        },
    };
    report.library = Some(path.clone());
    match check_library(&path) {
        Ok(found) if found.family.offers(provider) => {
            report.version = Some(found.title());
            report.files = "as pinned".to_owned();
            report.sha256 = hashes(found);
        }
        Ok(found) => {
            let title = found.title();
            report.problem = Some(format!("expected a library with {provider}, found {title}"));
            return report;
        }
        Err(error) => {
            let missing = !path.exists();
            report.files = if missing { "missing" } else { "not as pinned" }.to_owned();
            report.problem = Some(error.to_string());
            return report;
        }
    }
    let args = ProbeArgs {
        provider,
        library: Some(path),
        package: None,
        variant: None,
        threads: 1,
        clips: 0,
        nice: None,
        gpu_memory: None,
    };
    let Probe { error, .. } = engine::probe(&args, &AtomicBool::new(false));
    report.usable = error.is_none();
    report.problem = error;
    report
}

/// The worker that the configuration needs, if it needs one.
fn find_worker(config: &CartConfig) -> Result<Option<PathBuf>, Failure> {
    match config.engine.isolation {
        Isolation::InProcess => Ok(None),
        Isolation::Worker => engine::worker(&config.engine).map(Some),
    }
}

fn hashes(set: &PinnedSet) -> BTreeMap<&'static str, &'static str> {
    std::iter::once(&set.library)
        .chain(set.beside)
        .map(|file| (file.name, file.sha256))
        .collect()
}

fn note(provider: Provider) -> Option<&'static str> {
    match provider {
        Provider::Cuda => Some("not run on a GPU by us"),
        Provider::TensorRt | Provider::TensorRtRtx => Some("compiled, never run by us"),
        Provider::Cpu | Provider::OpenVino => None,
    }
}

fn with_package(config: &CartConfig, library: Option<&Path>, package: &Package) -> PolicyReport {
    let mut said = Vec::new();
    let auto = config.engine.policy == Policy::Auto;
    let say = &mut |line: &str| {
        if auto {
            said.push(line.to_owned());
        }
    };
    let opened = in_turn(config, library, package).and_then(|(only, notes)| {
        let (engine, passed) = engine::open_proven(&only, library, package, say)?;
        Ok((engine.noting(notes), passed))
    });
    let mut graphs = Assignments::new();
    let mut gate = None;
    let (serves, detail, info) = match opened {
        Ok((engine, passed)) => {
            let info = engine.info();
            graphs.clone_from(engine.assignments());
            gate = Some(passed.words);
            let detail = format!("{} {} on {}", info.provider, info.variant, info.library);
            (true, detail, info)
        }
        Err(failure) => (false, failure.line(), Default::default()),
    };
    said.push(detail);
    PolicyReport {
        policy: config.engine.policy,
        providers: config.engine.providers.clone(),
        isolation: config.engine.isolation,
        worker: None,
        serves,
        detail: said.join("; "),
        nodes: info.nodes,
        graphs,
        gate,
        degraded: info.degraded,
        graphs_opened: serves,
    }
}

/// The `[engine]` table to open here. Where a list is tried in turn by workers, one for each
/// library, that is the part of it that serves; then also why those before do not.
fn in_turn(
    config: &CartConfig,
    library: Option<&Path>,
    package: &Package,
) -> Result<(EngineConfig, Vec<String>), Failure> {
    let mut engine = config.engine.clone();
    if engine.policy != Policy::Degrade || engine.isolation != Isolation::Worker {
        return Ok((engine, Vec::new()));
    }
    let mut alone = config.clone();
    alone.engine.meanwhile = None;
    let as_served = (Patience::Wait, Pace::Real);
    let serving = engine::start(&alone, library, package, as_served, &mut |_| {})?.info();
    let at = engine.providers.iter().position(|p| *p == serving.provider);
    engine.providers.drain(..at.unwrap_or(0));
    let notes = match at {
        Some(0) | None => Vec::new(),
        Some(_) => serving.degraded.into_iter().collect(),
    };
    Ok((engine, notes))
}

fn without_package(config: &CartConfig, providers: &[ProviderReport]) -> PolicyReport {
    let engine = &config.engine;
    let count = match engine.policy {
        Policy::Pinned | Policy::Strict => 1,
        Policy::Degrade | Policy::Auto => engine.providers.len(),
    };
    let approved = |found: &ProviderReport| {
        let listed = |hash: &&str| engine.libraries.iter().flatten().any(|l| l == hash);
        engine.libraries.is_none() || found.sha256.values().all(listed)
    };
    let mut served = None;
    let mut refused = Vec::new();
    for name in engine.providers.iter().take(count) {
        let Some(found) = providers.iter().find(|p| p.provider == name) else {
            continue;
        };
        match &found.problem {
            Some(problem) => refused.push(format!("{name} does not serve: {problem}")),
            None if !approved(found) => refused.push(format!(
                "{name} does not serve: its files are not all in engine.libraries"
            )),
            None => {
                served = Some(found.provider);
                break;
            }
        }
    }
    let degraded = (served.is_some() && !refused.is_empty()).then(|| refused.join("; "));
    PolicyReport {
        policy: engine.policy,
        providers: engine.providers.clone(),
        isolation: engine.isolation,
        worker: None,
        serves: served.is_some(),
        detail: served.map_or_else(
            || refused.join("; "),
            |provider| format!("{provider}; no graph was opened, give --package for that"),
        ),
        nodes: BTreeMap::new(),
        graphs: Assignments::new(),
        gate: None,
        degraded,
        graphs_opened: false,
    }
}

fn words(report: &Report) -> String {
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let cpu = &report.cpu;
    let mut lines = vec![format!(
        "CPU: {}, {} core(s), VNNI {}, bfloat16 {}; NVIDIA GPU: {}",
        cpu.architecture,
        cpu.cores,
        yes(cpu.vnni),
        yes(cpu.bf16),
        yes(report.nvidia_gpu)
    )];
    for found in &report.providers {
        let version = found.version.as_deref().unwrap_or("no library");
        lines.push(format!(
            "{:<12} {:<8} {version}, files {}",
            found.provider,
            if found.usable { "usable" } else { "missing" },
            found.files
        ));
        if let Some(path) = &found.library {
            lines.push(format!("             {}", path.display()));
        }
        lines.extend(found.problem.iter().map(|p| format!("             {p}")));
        lines.extend(found.note.iter().map(|n| format!("             {n}")));
    }
    let policy = &report.policy;
    lines.push(format!(
        "policy {} of {}: {}: {}",
        policy_word(policy.policy),
        policy.providers.join(", "),
        if policy.serves {
            "serves"
        } else {
            "cannot serve"
        },
        policy.detail
    ));
    lines.push(match (policy.isolation, &policy.worker) {
        (Isolation::InProcess, _) => "isolation: in this process".to_owned(),
        (Isolation::Worker, Some(worker)) => format!("isolation: worker {}", worker.display()),
        (Isolation::Worker, None) => "isolation: worker, missing".to_owned(),
    });
    if !policy.nodes.is_empty() {
        let nodes = policy.nodes.iter();
        let nodes: Vec<String> = nodes.map(|(p, n)| format!("{p} {n}")).collect();
        lines.push(format!("graph nodes: {}", nodes.join(", ")));
    }
    lines.extend(policy.gate.iter().map(|g| format!("gate: {g}")));
    lines.extend(policy.degraded.iter().map(|d| format!("degraded: {d}")));
    lines.join("\n") + "\n"
}

fn policy_word(policy: Policy) -> &'static str {
    match policy {
        Policy::Pinned => "pinned",
        Policy::Strict => "strict",
        Policy::Degrade => "degrade",
        Policy::Auto => "auto",
    }
}
