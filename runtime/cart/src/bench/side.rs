//! One side of a comparison, in a process of its own, because a process holds one ONNX Runtime
//! library. It says what it opened, then runs what it is asked, one JSON line each.

use super::clips::{self, BenchClip, Nearness, gather, kept_places, nearness};
use crate::engine;
use crate::exit::{Because, Cause, Failure};
use clap::Args;
use echocart_core::config::PackageConfig;
use echocart_core::engine::{Engine, EngineError};
use echocart_core::manifest::{LVEF, Manifest, VIEW};
use echocart_core::package::Package;
use echocart_infer::{Assignments, EngineOptions, OrtEngine, Provider};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// What one side is started with.
#[derive(Debug, Clone, Args)]
pub struct SideArgs {
    #[arg(long, value_name = "DIR")]
    pub package: PathBuf,
    #[arg(long, value_name = "NAME")]
    pub provider: Provider,
    #[arg(long, value_name = "NAME")]
    pub variant: String,
    /// Numbers of tokens that will be asked for.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub tokens: Vec<usize>,
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub threads: usize,
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub cpus: Vec<usize>,
    /// Let the provider build its graphs for any number of tokens.
    #[arg(long)]
    pub open_sizes: bool,
    /// Run no head.
    #[arg(long)]
    pub encoder_only: bool,
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = super::model::pair)]
    pub options: Vec<(String, String)>,
}

/// What a side says first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opened {
    /// Why nothing is open.
    pub error: Option<String>,
    /// What runs, in words.
    pub words: String,
    /// Nodes each provider got, by graph file.
    pub nodes: Assignments,
    /// Numbers of tokens that may be asked for.
    pub tokens: Vec<usize>,
    /// Time to open the graphs of each number of tokens.
    pub open_millis: BTreeMap<usize, f64>,
    /// Resident memory once all are open.
    pub resident_mib: u64,
    /// Clips of the EF head, 0 without one.
    pub lvef_segments: usize,
}

/// A question of the other end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// How near the tokens are to the fp32 ones.
    Nearness,
    /// One update with this many tokens.
    Update(usize),
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Of [`Ask::Nearness`]; none where the package has no golden clips.
    Nearness(Option<Nearness>),
    /// Of [`Ask::Update`]: nanoseconds by stage, of all cores together where it says `cpu`, and
    /// resident memory.
    Update {
        /// `encoder`, `view`, `lvef`, `update`, `encoder_cpu`, `update_cpu`.
        nanos: BTreeMap<String, u64>,
        /// After it.
        resident_mib: u64,
    },
    /// It failed.
    Failed(String),
}

/// Clips of one number of tokens, and the engine for them.
struct Bucket {
    tokens: usize,
    engine: usize,
    /// Even and odd turns take one of these slots each.
    slots: [usize; 2],
    turns: usize,
}

struct Side {
    manifest: Manifest,
    encoder_only: bool,
    clips: Vec<BenchClip>,
    engines: Vec<OrtEngine>,
    buckets: Vec<Bucket>,
    rows: Vec<f32>,
    out: Vec<f32>,
}

/// Serves until standard input ends.
pub fn side(args: &SideArgs) -> Result<ExitCode, Failure> {
    let (mut side, opened) = match open(args) {
        Ok((side, opened)) => (Some(side), opened),
        Err(failure) => (None, refused(failure.line())),
    };
    say(&opened)?;
    let Some(side) = &mut side else {
        return Ok(ExitCode::from(Cause::Library as u8));
    };
    for line in std::io::stdin().lock().lines() {
        let ask = serde_json::from_str(&line.because(Cause::Other)?).because(Cause::Usage)?;
        let answer = match ask {
            Ask::Nearness => side.nearness().map(Answer::Nearness),
            Ask::Update(tokens) => side.update(tokens),
        };
        say(&answer.unwrap_or_else(|e| Answer::Failed(e.to_string())))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn say(what: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(what).because(Cause::Other)? + "\n";
    let mut stdout = std::io::stdout();
    let said = stdout.write_all(line.as_bytes());
    said.and_then(|()| stdout.flush()).because(Cause::Other)
}

fn refused(error: String) -> Opened {
    Opened {
        error: Some(error),
        words: String::new(),
        nodes: Assignments::new(),
        tokens: Vec::new(),
        open_millis: BTreeMap::new(),
        resident_mib: 0,
        lvef_segments: 0,
    }
}

fn open(args: &SideArgs) -> Result<(Side, Opened), Failure> {
    let package = Package::open(&args.package, &PackageConfig::ANY).because(Cause::Package)?;
    let libraries = engine::libraries(None);
    let library = echocart_infer::library_for(args.provider, libraries).map_err(engine::failure)?;
    let manifest = package.manifest.clone();
    let builds = matches!(
        args.provider,
        Provider::OpenVino | Provider::TensorRt | Provider::TensorRtRtx
    );
    let fixes = builds && !args.open_sizes;
    let (mut engines, mut buckets) = (Vec::new(), Vec::new());
    let mut open_millis = BTreeMap::new();
    for (at, &tokens) in args.tokens.iter().enumerate() {
        if fixes || engines.is_empty() {
            let mut options = EngineOptions::new(args.provider, args.threads);
            options.cpus.clone_from(&args.cpus);
            options.tokens = fixes.then_some(tokens);
            options.extra.extend(args.options.iter().cloned());
            let begin = Instant::now();
            let opened = OrtEngine::open_on(&library, &package, &args.variant, options);
            engines.push(opened.because(Cause::Package)?);
            open_millis.insert(tokens, begin.elapsed().as_secs_f64() * 1e3);
        }
        buckets.push(Bucket {
            tokens,
            engine: engines.len() - 1,
            slots: [2 * at, 2 * at + 1],
            turns: 0,
        });
    }
    let (words, nodes) = match engines.first() {
        Some(engine) => (engine::words(&engine.info()), engine.assignments().clone()),
        None => Default::default(),
    };
    let opened = Opened {
        error: None,
        words,
        nodes,
        tokens: args.tokens.clone(),
        open_millis,
        resident_mib: resident_mib(),
        lvef_segments: manifest.heads.get(LVEF).map_or(0, |head| head.segments),
    };
    let clips = clips::clips(&package).map_err(|e| Failure::text(Cause::Package, e))?;
    let side = Side {
        manifest,
        encoder_only: args.encoder_only,
        clips,
        engines,
        buckets,
        rows: Vec::new(),
        out: Vec::new(),
    };
    Ok((side, opened))
}

/// Time by stage, and time that this process's threads computed.
struct Watch {
    busy_before: u64,
    since: Instant,
    nanos: BTreeMap<String, u64>,
}

impl Watch {
    fn start() -> Self {
        Self {
            busy_before: busy_nanos(),
            since: Instant::now(),
            nanos: BTreeMap::new(),
        }
    }

    fn took(&mut self, stage: &str) {
        let took = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanos.insert(stage.to_owned(), took);
        self.since = Instant::now();
    }

    /// Since the start, on all cores together; asking is in no stage.
    fn busy(&mut self) -> u64 {
        let busy = busy_nanos().saturating_sub(self.busy_before);
        self.since = Instant::now();
        busy
    }
}

/// What all threads of this process computed so far, nanoseconds, as the kernel's scheduler says.
fn busy_nanos() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let busy = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.filter_map(busy).sum()
}

/// Resident memory as the kernel says.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn not_open(tokens: usize) -> EngineError {
    EngineError::Failed {
        what: "bench".to_owned(),
        message: format!("expected a number of tokens that was opened, found {tokens}"),
    }
}

impl Side {
    fn nearness(&mut self) -> Result<Option<Nearness>, EngineError> {
        let (dim, all) = (self.manifest.encoder.dim, self.manifest.encoder.tokens());
        let Some(bucket) = self.buckets.iter().find(|b| b.tokens == all) else {
            return Ok(None);
        };
        let slot = bucket.slots[0];
        let engine = self.engines.get_mut(bucket.engine);
        let engine = engine.ok_or_else(|| not_open(all))?;
        let mut pairs = Vec::new();
        for clip in &self.clips {
            let Some(expected) = &clip.expected else {
                continue;
            };
            engine.encode(&clip.tubelets, slot)?;
            engine.tokens(slot, &mut self.out)?;
            let rows = expected.places.iter();
            let rows = rows.filter_map(|&p| self.out.get(p * dim..(p + 1) * dim));
            pairs.push((expected.tokens.clone(), rows.flatten().copied().collect()));
        }
        Ok(nearness(&pairs, dim))
    }

    /// The newest clip through the encoder and the view head, then the EF head on it and the one
    /// before.
    fn update(&mut self, tokens: usize) -> Result<Answer, EngineError> {
        let (all, row) = (self.manifest.encoder.tokens(), self.manifest.encoder.row());
        let bucket = self.buckets.iter_mut().find(|b| b.tokens == tokens);
        let bucket = bucket.ok_or_else(|| not_open(tokens))?;
        let engine = self.engines.get_mut(bucket.engine);
        let engine = engine.ok_or_else(|| not_open(tokens))?;
        let clip = self.clips.get(bucket.turns % self.clips.len().max(1));
        let clip = clip.ok_or_else(|| not_open(tokens))?;
        let slot = bucket.slots[bucket.turns % 2];
        // The first clip has none before it and stands for both.
        let before = bucket.slots[bucket.turns.saturating_sub(1) % 2];
        bucket.turns += 1;

        let mut watch = Watch::start();
        if tokens == all {
            engine.encode(&clip.tubelets, slot)?;
        } else {
            let places = kept_places(tokens, all);
            gather(&clip.tubelets, &places, row, &mut self.rows);
            engine.encode_kept(&self.rows, &places, slot)?;
        }
        watch.took("encoder");
        let encoder_cpu = watch.busy();
        let heads = self.manifest.heads.iter();
        for (name, head) in heads.filter(|_| !self.encoder_only) {
            match (name.as_str(), head.segments) {
                (VIEW, _) => engine.head(VIEW, &[slot], &mut self.out)?,
                (LVEF, 1) => engine.head(LVEF, &[slot], &mut self.out)?,
                (LVEF, 2) => engine.head(LVEF, &[before, slot], &mut self.out)?,
                _ => continue,
            }
            watch.took(name);
        }
        let update_cpu = watch.busy();
        let mut nanos = watch.nanos;
        let update: u64 = nanos.values().sum();
        nanos.insert("update".to_owned(), update);
        nanos.insert("encoder_cpu".to_owned(), encoder_cpu);
        nanos.insert("update_cpu".to_owned(), update_cpu);
        Ok(Answer::Update {
            nanos,
            resident_mib: resident_mib(),
        })
    }
}
