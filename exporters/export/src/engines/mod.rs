//! Engines: graphs compiled ahead of time for a chip, in a package derived from the graphs' own.
//!
//! NVIDIA's compiler of TensorRT for RTX needs no GPU. It is run as a program of the build machine,
//! one process per graph and chip, so that what it does cannot reach this process. Beside each engine
//! lies a graph of its name that ends in `.onnx`, by which ONNX Runtime loads it.

mod compiler;
mod context;
mod flavour;
mod target;

use crate::error::ExportError;
use crate::input::{MOST_TEXT_BYTES, read_text};
use crate::output::Staging;
use crate::progress::{Progress, Steps};
use compiler::Compiler;
use echocart_core::config::PackageConfig;
use echocart_core::hash::sha256_hex;
use echocart_core::manifest::{FileEntry, Precision};
use echocart_core::package::{MANIFEST, Package};
use flavour::{Flavour, flavours};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
pub use target::Target;

/// Provider name of the variants that are compiled.
pub const PROVIDER: &str = "TensorRT-RTX";

/// File of a derived package that says which engine is what.
pub const ENGINES: &str = "engines.json";

/// What to compile.
#[derive(Debug, Clone)]
pub struct CompileRequest {
    /// The package.
    pub package: PathBuf,
    /// Names of variants; every variant of [`PROVIDER`] if empty.
    pub variants: Vec<String>,
    /// The chips.
    pub targets: Vec<Target>,
    /// Numbers of tokens to compile for where a variant takes any: its buckets. A clip's whole
    /// number if empty.
    pub tokens: Vec<usize>,
    /// Folder of the compiler: `compile.py` and its libraries.
    pub compiler: PathBuf,
}

/// What became of one graph on one chip.
#[derive(Debug, Clone, PartialEq)]
pub struct CompiledGraph {
    /// The variant.
    pub variant: String,
    /// Its number format.
    pub precision: Precision,
    /// Tokens of a clip it was compiled for.
    pub tokens: usize,
    /// The graph's file.
    pub graph: String,
    /// The chip.
    pub target: Target,
    /// What the compiler made of it.
    pub outcome: Outcome,
}

impl CompiledGraph {
    /// Whether the chip is expected to take the variant.
    pub fn is_expected(&self) -> bool {
        let refused = matches!(self.outcome, Outcome::Refused { .. });
        refused == self.target.refusal(self.precision).is_some()
    }
}

/// What the compiler made of a graph.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// An engine.
    Engine {
        /// How long it took, seconds.
        seconds: f64,
        /// Its size.
        bytes: u64,
    },
    /// Nothing.
    Refused {
        /// The compiler's own words.
        reason: String,
    },
}

/// A derived package.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineReport {
    /// Its folder.
    pub dir: PathBuf,
    /// SHA-256 of its `package.toml`.
    pub hash: String,
    /// What was compiled.
    pub graphs: Vec<CompiledGraph>,
}

/// [`ENGINES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineList {
    /// The compiler, in words.
    pub compiler: String,
    /// SHA-256 of its library.
    pub compiler_sha256: String,
    /// The engines, in no order that matters.
    pub engines: Vec<EngineEntry>,
}

/// One engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineEntry {
    /// Its file.
    pub file: String,
    /// File of the graph it was compiled from.
    pub graph: String,
    /// SHA-256 of that file.
    pub graph_sha256: String,
    /// The graph's variant.
    pub variant: String,
    /// Tokens of a clip it takes.
    pub tokens: usize,
    /// The chip it runs on.
    pub target: Target,
}

/// What a package says about its engines; none for one without.
///
/// # Errors
/// [`ExportError::Read`], [`ExportError::Settings`] for a list that is none.
pub fn read_engines(package: &Package) -> Result<Option<EngineList>, ExportError> {
    if !package.manifest.files.contains_key(ENGINES) {
        return Ok(None);
    }
    let path = package.dir.join(ENGINES);
    let text = read_text("list of engines", &path, MOST_TEXT_BYTES)?;
    let list = serde_json::from_str(&text).map_err(|e| ExportError::Settings {
        what: "list of engines",
        message: e.to_string(),
        path,
    })?;
    Ok(Some(list))
}

fn open(request: &CompileRequest) -> Result<Package, ExportError> {
    Package::open(&request.package, &PackageConfig::ANY).map_err(|e| ExportError::Request {
        what: "package to compile".to_owned(),
        expected: "one that loads".to_owned(),
        found: e.to_string(),
    })
}

/// Compiles every graph of the request for every chip and keeps no engine.
///
/// Where the request names no variants, fp16 with plain attention is made of the fp32 graphs and
/// compiled as well.
///
/// # Errors
/// [`ExportError::Request`] for a package without such variants, [`ExportError::Tool`] when the
/// compiler cannot run. What the compiler refuses is no error here.
pub fn check_engines(
    request: &CompileRequest,
    progress: Progress<'_>,
) -> Result<Vec<CompiledGraph>, ExportError> {
    let package = open(request)?;
    let half = request.variants.is_empty();
    let flavours = flavours(&package, request, half)?;
    let compiler = Compiler::find(&request.compiler)?;
    let mut steps = Steps::new(progress);
    steps.count(flavours.len() * (request.targets.len() + 1));
    let mut graphs = Vec::new();
    for flavour in &flavours {
        steps.step(&flavour.words())?;
        let ready = flavour.prepare(&package)?;
        for &target in &request.targets {
            steps.step(&format!("{} for {target}", flavour.words()))?;
            let outcome = compiler.run(&ready.graph, target, None, &mut steps)?;
            graphs.push(flavour.done(target, outcome));
        }
    }
    steps.done();
    Ok(graphs)
}

/// Compiles every graph of the request for every chip, into a package derived from it.
///
/// The derived package holds everything of the first one, the engines, [`ENGINES`], and the first
/// one's hash as its parent. It is not signed.
///
/// # Errors
/// As [`check_engines`]; [`ExportError::Request`] for a variant that a chip cannot take, with the
/// reason; the errors of writing. The output folder is then as it was.
pub fn compile_engines(
    request: &CompileRequest,
    out_dir: &Path,
    replace: bool,
    progress: Progress<'_>,
) -> Result<EngineReport, ExportError> {
    let package = open(request)?;
    let flavours = flavours(&package, request, false)?;
    for flavour in &flavours {
        for &target in &request.targets {
            if let Some(reason) = target.refusal(flavour.precision) {
                return Err(refused(flavour, target, reason));
            }
        }
    }
    let compiler = Compiler::find(&request.compiler)?;
    let staging = Staging::create(out_dir, replace)?;
    let dir = staging.path();
    let mut manifest = package.manifest.clone();
    let mut steps = Steps::new(progress);
    let engines = flavours.len() * request.targets.len();
    steps.count(flavours.len() + 3 * engines + manifest.files.len());
    let mut list = EngineList {
        compiler: compiler::NAME.to_owned(),
        compiler_sha256: compiler.sha256()?,
        engines: Vec::new(),
    };
    for name in package.manifest.files.keys() {
        steps.step(&format!("copy {name}"))?;
        let to = dir.join(name);
        fs::copy(package.dir.join(name), &to).map_err(ExportError::write(&to))?;
    }
    let mut graphs = Vec::new();
    for flavour in &flavours {
        steps.step(&flavour.words())?;
        let ready = flavour.prepare(&package)?;
        for &target in &request.targets {
            steps.step(&format!("{} for {target}", flavour.words()))?;
            let file = flavour.engine(target);
            let to = dir.join(&file);
            let outcome = compiler.run(&ready.graph, target, Some(&to), &mut steps)?;
            if let Outcome::Refused { reason } = &outcome {
                return Err(refused(flavour, target, reason));
            }
            let graph = context::write(&ready.graph, &to, target)?;
            for to in [&to, &graph] {
                let name = to.file_name().unwrap_or_default().to_string_lossy();
                steps.step(&format!("hash {name}"))?;
                let (sha256, bytes) = steps.hash(to)?;
                let entry = FileEntry { bytes, sha256 };
                manifest.files.insert(name.into_owned(), entry);
            }
            list.engines.push(flavour.entry(file, target, &package));
            graphs.push(flavour.done(target, outcome));
        }
    }
    let unwritable = |error: String| ExportError::Request {
        what: "derived package".to_owned(),
        expected: "a manifest that can be written".to_owned(),
        found: error,
    };
    let text = serde_json::to_string_pretty(&list).map_err(|e| unwritable(e.to_string()))? + "\n";
    write(dir, ENGINES, &text)?;
    let entry = FileEntry {
        bytes: text.len() as u64,
        sha256: sha256_hex(text.as_bytes()),
    };
    manifest.files.insert(ENGINES.to_owned(), entry);
    manifest.parent = Some(package.hash.clone());
    manifest.validate()?;
    let text = toml::to_string(&manifest).map_err(|e| unwritable(e.to_string()))?;
    write(dir, MANIFEST, &text)?;
    steps.check()?;
    staging.publish()?;
    steps.done();
    Ok(EngineReport {
        dir: out_dir.to_owned(),
        hash: sha256_hex(text.as_bytes()),
        graphs,
    })
}

fn refused(flavour: &Flavour, target: Target, reason: &str) -> ExportError {
    ExportError::Request {
        what: format!("variant {}", flavour.variant),
        expected: format!("one that {target} takes"),
        found: format!("{}: {reason}", flavour.graph),
    }
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), ExportError> {
    let path = dir.join(name);
    fs::write(&path, text).map_err(ExportError::write(&path))
}
