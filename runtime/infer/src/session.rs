//! One graph on one provider, and where its nodes went.

use crate::assignment::{self, RECORD};
use crate::library::Library;
use crate::options::{EngineOptions, Fallback};
use crate::provider::Provider;
use crate::said::{self, why};
use crate::system;
use echocart_core::manifest::Precision;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use std::collections::BTreeMap;
use std::path::Path;

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
