//! One graph on one provider, and where its nodes went.

use crate::assignment::{self, RECORD};
use crate::engine::{Assignments, OpenError};
use crate::gpu_memory::Shares;
use crate::library::Library;
use crate::options::{EngineOptions, Fallback};
use crate::plugin;
use crate::provider::Provider;
use crate::said::{self, why};
use crate::system;
use echocart_core::manifest::{Manifest, Precision, Tokens, Variant};
use echocart_core::package::Package;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A graph's bytes or where they are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
}

/// A session and the number of nodes each provider got.
pub(crate) struct Opened {
    pub session: Session,
    pub nodes: BTreeMap<String, usize>,
}

/// What is settled about a variant's graphs before the first is opened.
pub(crate) struct Plan {
    /// Tokens of the engines that may stand for the graphs; none if the graphs must take any number.
    ahead: Option<usize>,
    /// GPU memory of each graph.
    shares: Shares,
}

impl Plan {
    /// For a variant of a package.
    pub fn new(
        package: &Package,
        name: &str,
        variant: &Variant,
        options: &EngineOptions,
    ) -> Result<Self, OpenError> {
        let manifest = &package.manifest;
        let on_gpu = options.provider == Provider::Cuda;
        let limit = options.gpu_memory.filter(|_| on_gpu);
        Ok(Self {
            ahead: ahead(manifest, name, variant, options),
            shares: Shares::of(limit, manifest, variant, &package.dir)?,
        })
    }
}

/// Opens a graph file, or an engine that stands for it, and notes under the name of what was opened
/// where its nodes went. The words say why no engine stands for it although the package has some.
pub(crate) fn graph(
    library: &Library,
    path: &Path,
    precision: Precision,
    options: &EngineOptions,
    plan: &Plan,
    nodes: &mut Assignments,
) -> Result<(Session, Option<String>), OpenError> {
    let engines = match (options.provider, plan.ahead) {
        (Provider::TensorRtRtx, Some(tokens)) => engines(path, tokens),
        _ => Vec::new(),
    };
    let options = &EngineOptions {
        gpu_memory: plan.shares.of_file(&name_of(path)),
        ..options.clone()
    };
    let file = |path: &Path| open(library, Source::File(path), precision, options);
    let (path, opened, note) = match first_that_opens(engines, file) {
        Ok((path, opened)) => (path, opened, None),
        Err(note) => {
            let wrong = |message| OpenError::Graph {
                message,
                path: path.to_owned(),
            };
            (path.to_owned(), file(path).map_err(wrong)?, note)
        }
    };
    nodes.insert(name_of(&path), opened.nodes);
    Ok((opened.session, note))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The first engine that opens, or why none does; nothing where there are none.
fn first_that_opens<T>(
    engines: Vec<PathBuf>,
    open: impl Fn(&Path) -> Result<T, String>,
) -> Result<(PathBuf, T), Option<String>> {
    let mut refused = Vec::new();
    for path in engines {
        match open(&path) {
            Ok(opened) => return Ok((path, opened)),
            Err(why) => refused.push(format!("{} is refused: {why}", name_of(&path))),
        }
    }
    let built = |refused: String| format!("engine built here, {refused}");
    Err((!refused.is_empty()).then(|| built(refused.join(", "))))
}

/// Tokens of the engines that may stand for a variant's graphs. An engine takes one number of
/// tokens: none stands for a variant that may be given fewer.
fn ahead(
    manifest: &Manifest,
    name: &str,
    variant: &Variant,
    options: &EngineOptions,
) -> Option<usize> {
    match variant.tokens {
        _ if options.tokens.is_some() => options.tokens,
        Tokens::Exactly(tokens) => Some(tokens),
        _ if manifest.kept_tokens.contains_key(name) => None,
        Tokens::Any(_) => Some(manifest.encoder.tokens()),
    }
}

/// The graphs that `echocart package compile` wrote beside a graph, one for each chip:
/// `encoder.int8.t392.sm89.onnx` for `encoder.int8.onnx`.
fn engines(graph: &Path, tokens: usize) -> Vec<PathBuf> {
    let stem = graph.file_stem().unwrap_or_default().to_string_lossy();
    let start = format!("{stem}.t{tokens}.sm");
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && name.ends_with(".onnx")
    };
    let entries = graph.parent().map(std::fs::read_dir);
    let paths = entries.into_iter().flatten().flatten().flatten();
    let mut found: Vec<PathBuf> = paths.map(|entry| entry.path()).filter(is_one).collect();
    found.sort_unstable();
    found
}

/// Opens a graph on the provider of `options`; the message says why it cannot be.
pub(crate) fn open(
    library: &Library,
    source: Source,
    precision: Precision,
    options: &EngineOptions,
) -> Result<Opened, String> {
    let provider = options.provider;
    if !library.offers(provider) {
        return Err(format!(
            "provider: expected one of the loaded library, {}, found {provider}; one process \
             holds one ONNX Runtime library",
            library.name()
        ));
    }
    system::needed(provider)?;
    said::begin();
    let mut builder = builder(library, options).map_err(why)?;
    if let Some(dispatch) = options.dispatch(precision)? {
        builder = builder
            .with_execution_providers([dispatch])
            .map_err(|e| format!("{provider} provider: {}", why(e)))?;
    }
    if provider == Provider::TensorRtRtx {
        builder = plugin::on_device(builder, library, &options.pairs(precision)?)?;
    }
    let session = match source {
        Source::File(path) => builder.commit_from_file(path),
        Source::Bytes(bytes) => builder.commit_from_memory(bytes),
    }
    .map_err(why)?;
    let nodes = assignment::nodes_by_provider(&session).map_err(why)?;
    if options.fallback == Fallback::Refuse {
        whole(provider, &nodes)?;
    }
    Ok(Opened { session, nodes })
}

/// Names that the exporter gives to numbers of tokens: the encoder's, and those of a head's inputs.
const OPEN_SIZES: [&str; 5] = ["K", "N0", "N1", "N2", "N3"];

fn builder(library: &Library, options: &EngineOptions) -> Result<SessionBuilder, ort::Error> {
    let mut builder = Session::builder(&library.environment)?;
    if let Some(tokens) = options.tokens {
        for name in OPEN_SIZES {
            builder = builder.with_dimension_override(name, tokens as i64)?;
        }
    }
    Ok(builder
        .with_intra_threads(options.threads)?
        .with_intra_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_config_entry(RECORD, "1")?)
}

/// Says in which way a graph is not wholly on a provider.
pub(crate) fn whole(provider: Provider, nodes: &BTreeMap<String, usize>) -> Result<(), String> {
    let all: usize = nodes.values().sum();
    let ours = nodes.get(provider.as_str()).copied().unwrap_or(0);
    if ours == all && all > 0 {
        return Ok(());
    }
    Err(format!(
        "expected all {all} nodes on {provider}, found {}",
        share(nodes)
    ))
}

/// `CPU 12, OpenVINO 3`.
pub(crate) fn share(nodes: &BTreeMap<String, usize>) -> String {
    if nodes.is_empty() {
        return "none".to_owned();
    }
    let each: Vec<String> = nodes.iter().map(|(p, n)| format!("{p} {n}")).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_that_are_refused_are_named_with_the_reason() {
        let engines = || ["a.onnx", "b.onnx"].map(PathBuf::from).to_vec();
        let refuse = |_: &Path| Err::<(), _>("another chip".to_owned());
        let note = first_that_opens(engines(), refuse).unwrap_err();
        assert_eq!(
            note.as_deref(),
            Some(
                "engine built here, a.onnx is refused: another chip, b.onnx is refused: another chip"
            )
        );
        assert_eq!(first_that_opens(Vec::new(), refuse), Err(None));
        let second = |path: &Path| match path.ends_with("b.onnx") {
            true => Ok(7),
            false => Err(String::new()),
        };
        let found = first_that_opens(engines(), second);
        assert_eq!(found, Ok((PathBuf::from("b.onnx"), 7)));
    }

    #[test]
    fn engines_of_a_graph_are_found_by_its_name_and_number_of_tokens() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "encoder.int8.onnx",
            "encoder.int8.t392.sm89.onnx",
            "encoder.int8.t392.sm120.onnx",
            "encoder.int8.t392.sm89.engine",
            "encoder.int8.t245.sm89.onnx",
            "encoder.int8b.t392.sm89.onnx",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let graph = dir.path().join("encoder.int8.onnx");
        let names = ["sm120", "sm89"].map(|chip| format!("encoder.int8.t392.{chip}.onnx"));
        assert_eq!(
            engines(&graph, 392),
            names.map(|name| dir.path().join(name))
        );
        assert!(engines(&graph, 39).is_empty());
    }
}
