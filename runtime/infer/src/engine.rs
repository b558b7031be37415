//! The engine IN_PROCESS: ONNX Runtime sessions owned by one thread.

use crate::library::Library;
use crate::options::EngineOptions;
use crate::provider::Provider;
use crate::session::{self, Opened, Source};
use crate::signature::{self, Wanted};
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::manifest::{Encoder, Head, HeadOutput, Manifest, Precision, Slots};
use echocart_core::package::Package;
use ort::session::Session;
use ort::value::{Tensor, TensorElementType};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Token slots between the encoder and the heads.
const SLOTS: usize = 16;

/// Nodes each provider got, by graph file.
pub type Assignments = BTreeMap<String, BTreeMap<String, usize>>;

/// Name of a head, and number of its segments or its present places (`0+1`).
type GraphKey = (String, String);

/// Why an engine does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The package has no such variant.
    #[error("package has no variant {variant}: found {found} ({path})")]
    NoVariant {
        /// Asked for.
        variant: String,
        /// Variants of the package.
        found: String,
        /// The package.
        path: PathBuf,
    },
    /// The variant is not made for the provider.
    #[error(
        "variant {variant}: expected a provider of its list, {listed}, found {provider} ({path})"
    )]
    WrongProvider {
        /// The variant.
        variant: String,
        /// Providers it is made for.
        listed: String,
        /// Asked for.
        provider: Provider,
        /// The package.
        path: PathBuf,
    },
    /// ONNX Runtime or the provider does not take a graph.
    #[error("graph does not load: {message} ({path})")]
    Graph {
        /// What ONNX Runtime said.
        message: String,
        /// The graph file.
        path: PathBuf,
    },
}

/// Encoder and heads of one variant of a package on one provider.
///
/// # Real-time
/// `encode` copies the clip once into the bound input and blocks until the graph is done; one
/// output tensor per call comes from ONNX Runtime's arena.
pub struct OrtEngine {
    library: Library,
    dir: PathBuf,
    variant: String,
    precision: Precision,
    options: EngineOptions,
    nodes: Assignments,
    notes: Vec<String>,
    encoder: Session,
    heads: BTreeMap<GraphKey, Session>,
    head_files: BTreeMap<GraphKey, String>,
    rows: Tensor<f32>,
    ids: Tensor<i64>,
    tokens_per_tubelet: usize,
    tubelets: usize,
    row: usize,
    slots: Vec<Option<Tensor<f32>>>,
}

impl OrtEngine {
    /// Opens a variant on the CPU provider, whichever library is loaded.
    ///
    /// # Errors
    /// As [`OrtEngine::open_on`].
    pub fn open(
        library: &Library,
        package: &Package,
        variant: &str,
        threads: usize,
    ) -> Result<Self, OpenError> {
        let options = EngineOptions::new(Provider::Cpu, threads);
        Self::open_on(library, package, variant, options)
    }

    /// Loads the graphs that live use needs; other head graphs load when first asked for.
    ///
    /// # Errors
    /// [`OpenError`] with the file at fault, or with the package for a variant that the provider
    /// may not run.
    pub fn open_on(
        library: &Library,
        package: &Package,
        variant: &str,
        options: EngineOptions,
    ) -> Result<Self, OpenError> {
        let Manifest {
            encoder: sizes,
            heads: declared,
            variants,
            ..
        } = &package.manifest;
        let files = variants.get(variant).ok_or_else(|| OpenError::NoVariant {
            variant: variant.to_owned(),
            found: variants.keys().cloned().collect::<Vec<_>>().join(", "),
            path: package.dir.clone(),
        })?;
        let provider = options.provider;
        let listed = |p: &String| p == provider.as_str();
        if !options.any_variant && !files.providers.iter().any(listed) {
            return Err(OpenError::WrongProvider {
                variant: variant.to_owned(),
                listed: files.providers.join(", "),
                provider,
                path: package.dir.clone(),
            });
        }
        let precision = files.precision;
        let mut nodes = BTreeMap::new();
        let mut open = |path: &Path| graph(library, path, precision, &options, &mut nodes);
        let mut head_files = BTreeMap::new();
        for (name, graphs) in &files.heads {
            for (inputs, file) in graphs {
                head_files.insert((name.clone(), inputs.clone()), file.clone());
            }
        }
        let path = package.dir.join(&files.encoder);
        let encoder = open(&path)?;
        check_encoder(&encoder, sizes).map_err(|message| OpenError::Graph { message, path })?;
        let mut heads = BTreeMap::new();
        let live = declared.iter().filter(|_| !options.small_memory);
        for (name, head) in live {
            let key = (name.clone(), head.segments.to_string());
            if let Some(file) = head_files.get(&key) {
                let path = package.dir.join(file);
                let graph = open(&path)?;
                check_head(&graph, head, sizes)
                    .map_err(|message| OpenError::Graph { message, path })?;
                heads.insert(key, graph);
            }
        }
        let input = |e: ort::Error| OpenError::Graph {
            message: e.to_string(),
            path: package.dir.join(&files.encoder),
        };
        let (tokens, row) = (sizes.tokens(), sizes.row());
        let rows = Tensor::from_array(([1, tokens, row], vec![0.0f32; tokens * row]));
        let ids: Vec<i64> = (0..tokens as i64).collect();
        Ok(Self {
            library: library.clone(),
            dir: package.dir.clone(),
            variant: variant.to_owned(),
            precision,
            options,
            nodes,
            notes: Vec::new(),
            encoder,
            heads,
            head_files,
            rows: rows.map_err(input)?,
            ids: Tensor::from_array(([tokens], ids)).map_err(input)?,
            tokens_per_tubelet: sizes.tokens_per_tubelet(),
            tubelets: sizes.tubelets(),
            row,
            slots: (0..SLOTS).map(|_| None).collect(),
        })
    }

    fn head_session(&mut self, key: &GraphKey) -> Result<&mut Session, EngineError> {
        if !self.heads.contains_key(key) {
            let failed = |message: String| EngineError::Failed {
                what: format!("head {} with {} clip(s)", key.0, key.1),
                message,
            };
            let file = self
                .head_files
                .get(key)
                .ok_or_else(|| failed("the package has no such graph".to_owned()))?;
            let path = self.dir.join(file);
            if self.options.small_memory {
                self.heads.clear();
            }
            let (precision, options) = (self.precision, &self.options);
            let loaded = graph(&self.library, &path, precision, options, &mut self.nodes)
                .map_err(|e| failed(e.to_string()))?;
            self.heads.insert(key.clone(), loaded);
        }
        self.heads.get_mut(key).ok_or_else(|| EngineError::Failed {
            what: key.0.clone(),
            message: "no graph".to_owned(),
        })
    }

    /// Which provider got how many nodes of each graph that was opened, by the graph's file.
    pub fn assignments(&self) -> &Assignments {
        &self.nodes
    }

    /// Over all graphs.
    fn all_nodes(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for (provider, count) in self.nodes.values().flatten() {
            *all.entry(provider.clone()).or_insert(0) += count;
        }
        all
    }

    pub(crate) fn variant(&self) -> &str {
        &self.variant
    }

    pub(crate) fn options(&self) -> &EngineOptions {
        &self.options
    }

    pub(crate) fn library(&self) -> &Library {
        &self.library
    }

    pub(crate) fn loaded_heads(&self) -> BTreeSet<GraphKey> {
        self.heads.keys().cloned().collect()
    }

    /// Drops all tokens, and the head graphs that are not among `kept`.
    pub(crate) fn forget(&mut self, kept: &BTreeSet<GraphKey>) {
        self.slots.fill_with(|| None);
        self.heads.retain(|key, _| kept.contains(key));
    }

    /// Adds why providers before this one do not serve.
    pub(crate) fn noting(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    fn degraded(&self) -> Option<String> {
        let partly = session::whole(self.options.provider, &self.all_nodes()).err();
        let notes: Vec<&str> = self
            .notes
            .iter()
            .chain(&partly)
            .map(String::as_str)
            .collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    fn run_head(
        &mut self,
        key: &GraphKey,
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        out.clear();
        self.head_session(key)?;
        let mut inputs = Vec::with_capacity(slots.len());
        for (segment, &slot) in slots.iter().enumerate() {
            let held = self.slots.get(slot).and_then(Option::as_ref);
            let tokens = held.ok_or(EngineError::EmptySlot { slot })?;
            inputs.push((format!("tokens_{segment}"), tokens));
        }
        let Some(head) = self.heads.get_mut(key) else {
            return Err(EngineError::Failed {
                what: key.0.clone(),
                message: "no graph".to_owned(),
            });
        };
        let outputs = head.run(inputs).map_err(failed(&key.0))?;
        let (_, values) = outputs[0]
            .try_extract_tensor::<f32>()
            .map_err(failed(&key.0))?;
        out.extend_from_slice(values);
        Ok(())
    }

    fn run_encoder(
        &mut self,
        rows: Option<&Tensor<f32>>,
        ids: Option<&Tensor<i64>>,
        slot: usize,
    ) -> Result<(), EngineError> {
        let (rows, ids) = (rows.unwrap_or(&self.rows), ids.unwrap_or(&self.ids));
        let mut outputs = self
            .encoder
            .run(ort::inputs!["rows" => rows, "ids" => ids])
            .map_err(failed("encoder"))?;
        let tokens = outputs
            .remove("tokens")
            .ok_or_else(|| EngineError::Failed {
                what: "encoder".to_owned(),
                message: "the graph has no output named tokens".to_owned(),
            })?;
        let tokens = tokens.downcast().map_err(failed("encoder"))?;
        match self.slots.get_mut(slot) {
            Some(target) => *target = Some(tokens),
            None => return Err(EngineError::EmptySlot { slot }),
        }
        Ok(())
    }
}

fn check_encoder(graph: &Session, sizes: &Encoder) -> Result<(), String> {
    let inputs = [
        Wanted::floats("rows", &[Some(1), None, Some(sizes.row())]),
        Wanted {
            name: "ids".to_owned(),
            element: TensorElementType::Int64,
            shape: vec![None],
        },
    ];
    let outputs = [Wanted::floats("tokens", &[Some(1), None, Some(sizes.dim)])];
    signature::check(graph, &inputs, &outputs)
}

fn check_head(graph: &Session, head: &Head, sizes: &Encoder) -> Result<(), String> {
    let input = |i| Wanted::floats(format!("tokens_{i}"), &[Some(1), None, Some(sizes.dim)]);
    let inputs: Vec<Wanted> = (0..head.segments).map(input).collect();
    let values = match &head.output {
        HeadOutput::Classification { labels } => labels.len(),
        HeadOutput::Regression { .. } => 1,
    };
    let outputs = [Wanted::floats("output", &[Some(1), Some(values)])];
    signature::check(graph, &inputs, &outputs)
}

fn graph(
    library: &Library,
    path: &Path,
    precision: Precision,
    options: &EngineOptions,
    nodes: &mut Assignments,
) -> Result<Session, OpenError> {
    let opened = session::open(library, Source::File(path), precision, options);
    let opened: Opened = opened.map_err(|message| OpenError::Graph {
        message,
        path: path.to_owned(),
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    nodes.insert(name.into_owned(), opened.nodes);
    Ok(opened.session)
}

fn failed(what: &str) -> impl Fn(ort::Error) -> EngineError {
    let what = what.to_owned();
    move |e| EngineError::Failed {
        what: what.clone(),
        message: e.to_string().replace('\n', " "),
    }
}

impl Engine for OrtEngine {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            provider: self.options.provider.to_string(),
            library: self.library.name(),
            variant: self.variant.clone(),
            nodes: self.all_nodes(),
            degraded: self.degraded(),
        }
    }

    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        let block = self.tokens_per_tubelet * self.row;
        if tubelets.len() != self.tubelets || tubelets.iter().any(|t| t.len() != block) {
            let lengths: Vec<usize> = tubelets.iter().map(|t| t.len()).collect();
            return Err(EngineError::Shape {
                what: "clip".to_owned(),
                expected: format!("{} tubelets of {block} values", self.tubelets),
                found: format!("{lengths:?}"),
            });
        }
        let target = self
            .slots
            .get_mut(slot)
            .ok_or(EngineError::EmptySlot { slot })?;
        *target = None;
        let (_, rows) = self.rows.extract_tensor_mut();
        for (to, from) in rows.chunks_exact_mut(block).zip(tubelets) {
            to.copy_from_slice(from);
        }
        self.run_encoder(None, None, slot)
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        let all = self.tokens_per_tubelet * self.tubelets;
        let fits = rows.len() == ids.len() * self.row && !ids.is_empty();
        if !fits || ids.iter().any(|&id| id >= all) {
            return Err(EngineError::Shape {
                what: "kept rows".to_owned(),
                expected: format!("{} values per id and ids below {all}", self.row),
                found: format!("{} values for {} ids", rows.len(), ids.len()),
            });
        }
        let target = self
            .slots
            .get_mut(slot)
            .ok_or(EngineError::EmptySlot { slot })?;
        *target = None;
        let rows = Tensor::from_array(([1, ids.len(), self.row], rows.to_vec()));
        let places: Vec<i64> = ids.iter().map(|&id| id as i64).collect();
        let ids = Tensor::from_array(([ids.len()], places)).map_err(failed("encoder"))?;
        self.run_encoder(Some(&rows.map_err(failed("encoder"))?), Some(&ids), slot)
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.run_head(&(name.to_owned(), slots.len().to_string()), slots, out)
    }

    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        if places.len() != slots.len() {
            return Err(EngineError::Shape {
                what: name.to_owned(),
                expected: format!("one place for each of {} slots", slots.len()),
                found: places.len().to_string(),
            });
        }
        self.run_head(&(name.to_owned(), Slots::key(places)), slots, out)
    }

    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        out.clear();
        let held = self.slots.get(slot).and_then(Option::as_ref);
        let tokens = held.ok_or(EngineError::EmptySlot { slot })?;
        out.extend_from_slice(tokens.extract_tensor().1);
        Ok(())
    }
}
