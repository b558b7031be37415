//! What is compiled: a variant's graphs for fixed numbers of tokens.

use super::{CompileRequest, CompiledGraph, EngineEntry, Outcome, PROVIDER, Target};
use crate::error::ExportError;
use crate::plain;
use crate::variant::{Model, rewrite};
use echocart_core::manifest::{Manifest, Precision, Tokens, Variant};
use echocart_core::package::Package;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Name of the variant that is made of the fp32 graphs for a check.
const HALF: &str = "fp16 from fp32";

/// One graph of a variant for one number of tokens.
pub(super) struct Flavour {
    pub variant: String,
    pub precision: Precision,
    pub graph: String,
    tokens: usize,
    is_made: bool,
}

/// A graph file that can be compiled; its folder goes with it.
pub(super) struct Ready {
    pub graph: PathBuf,
    _dir: TempDir,
}

impl Flavour {
    pub fn words(&self) -> String {
        format!("{} with {} tokens", self.graph, self.tokens)
    }

    pub fn engine(&self, target: Target) -> String {
        let stem = self.graph.strip_suffix(".onnx").unwrap_or(&self.graph);
        format!("{stem}.t{}.{target}.engine", self.tokens)
    }

    pub fn done(&self, target: Target, outcome: Outcome) -> CompiledGraph {
        CompiledGraph {
            variant: self.variant.clone(),
            precision: self.precision,
            tokens: self.tokens,
            graph: self.graph.clone(),
            target,
            outcome,
        }
    }

    pub fn entry(&self, file: String, target: Target, package: &Package) -> EngineEntry {
        let graph = package.manifest.files.get(&self.graph);
        EngineEntry {
            file,
            graph: self.graph.clone(),
            graph_sha256: graph.map(|entry| entry.sha256.clone()).unwrap_or_default(),
            variant: self.variant.clone(),
            tokens: self.tokens,
            target,
        }
    }

    /// The graph with every size fixed, its weights beside it.
    pub fn prepare(&self, package: &Package) -> Result<Ready, ExportError> {
        let dir = TempDir::new().map_err(ExportError::write(&std::env::temp_dir()))?;
        let model = Model::open(&package.dir.join(&self.graph))?;
        let graph = dir.path().join(&self.graph);
        let fixed = if self.is_made {
            halved(&model, &graph)?.with_tokens(self.tokens)?
        } else {
            link_weights(package, dir.path())?;
            model.with_tokens(self.tokens)?
        };
        fs::write(&graph, fixed.graph_bytes()).map_err(ExportError::write(&graph))?;
        Ok(Ready { graph, _dir: dir })
    }
}

/// 16-bit floats and plain attention, norms and softmax in 32 bits.
fn halved(model: &Model, graph: &Path) -> Result<Model, ExportError> {
    let (plan, form) = plain::half(model);
    let draft = rewrite(model, &plan, &form)?;
    let dir = graph.parent().unwrap_or(Path::new(""));
    let tensors = draft.write(dir, "fp16.weights", &mut |_| Ok(()))?;
    draft.model(graph, &tensors)
}

fn link_weights(package: &Package, dir: &Path) -> Result<(), ExportError> {
    let from = fs::canonicalize(&package.dir).map_err(ExportError::read(&package.dir))?;
    let names = package.manifest.files.keys();
    for name in names.filter(|name| name.ends_with(".weights")) {
        let to = dir.join(name);
        symlink(from.join(name), &to).map_err(ExportError::write(&to))?;
    }
    Ok(())
}

fn graphs(variant: &Variant) -> BTreeSet<&String> {
    let heads = variant.heads.values().flat_map(|by| by.values());
    std::iter::once(&variant.encoder).chain(heads).collect()
}

fn chosen<'a>(
    manifest: &'a Manifest,
    request: &CompileRequest,
    may_be_none: bool,
) -> Result<Vec<(&'a String, &'a Variant)>, ExportError> {
    let ours = |variant: &Variant| variant.providers.iter().any(|name| name == PROVIDER);
    let all = manifest
        .variants
        .iter()
        .filter(|(_, variant)| ours(variant));
    let all: Vec<_> = all.collect();
    let known = |name: &String| all.iter().any(|(known, _)| *known == name);
    let unknown = request.variants.iter().find(|name| !known(name)).cloned();
    if unknown.is_some() || (all.is_empty() && !may_be_none) {
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        return Err(ExportError::Request {
            what: "variants to compile".to_owned(),
            expected: match names.as_slice() {
                [] => format!("a package with variants for {PROVIDER}"),
                names => names.join(", "),
            },
            found: unknown.unwrap_or_else(|| "none".to_owned()),
        });
    }
    let wanted = |name: &String| request.variants.is_empty() || request.variants.contains(name);
    Ok(all.into_iter().filter(|(name, _)| wanted(name)).collect())
}

/// The flavours of a request; with `half`, fp16 made of the fp32 graphs as well.
pub(super) fn flavours(
    package: &Package,
    request: &CompileRequest,
    half: bool,
) -> Result<Vec<Flavour>, ExportError> {
    let manifest = &package.manifest;
    let all = manifest.encoder.tokens();
    let outside = |tokens: &&usize| !(1..=all).contains(*tokens);
    if let Some(tokens) = request.tokens.iter().find(outside) {
        return Err(ExportError::Request {
            what: "tokens to compile for".to_owned(),
            expected: format!("1 to {all}"),
            found: tokens.to_string(),
        });
    }
    let buckets = if request.tokens.is_empty() {
        vec![all]
    } else {
        request.tokens.clone()
    };
    let mut flavours = Vec::new();
    let mut add = |name: &str, precision, variant: &Variant, is_made| {
        let sizes = match variant.tokens {
            Tokens::Exactly(tokens) => vec![tokens],
            Tokens::Any(_) => buckets.clone(),
        };
        for tokens in sizes {
            flavours.extend(graphs(variant).into_iter().map(|graph| Flavour {
                variant: name.to_owned(),
                precision,
                graph: graph.clone(),
                tokens,
                is_made,
            }));
        }
    };
    if half {
        let fp32 = |v: &&Variant| v.precision == Precision::Fp32;
        if let Some(variant) = manifest.variants.values().find(fp32) {
            add(HALF, Precision::Fp16, variant, true);
        }
    }
    for (name, variant) in chosen(manifest, request, half)? {
        add(name, variant.precision, variant, false);
    }
    Ok(flavours)
}
