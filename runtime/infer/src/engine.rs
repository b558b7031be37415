//! The engine IN_PROCESS: ONNX Runtime sessions owned by one thread.

use crate::affinity::{self, Affinity};
use crate::bound::{self, Bound};
pub use crate::error::OpenError;
use crate::gate::Passed;
use crate::heads::{self, HeadGraph, Key};
use crate::library::Library;
use crate::options::EngineOptions;
use crate::provider::Provider;
use crate::session::{self, Plan, graph};
use crate::signature::{self, Wanted};
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::manifest::{Encoder, Head, Manifest, Precision};
use echocart_core::package::Package;
use ort::memory::Allocator;
use ort::session::Session;
use ort::value::{Tensor, TensorElementType};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Token slots between the encoder and the heads.
const SLOTS: usize = 16;
/// The slot behind them, which nobody reads: keep-warm pulses write it.
const SPARE: usize = SLOTS;

/// Nodes each provider got, by graph file.
pub type Assignments = BTreeMap<String, BTreeMap<String, usize>>;

/// Name of a head, and number of its segments or its present places (`0+1`).
pub(crate) type GraphKey = (String, String);

/// Encoder and heads of one variant of a package on one provider.
///
/// # Real-time
/// `encode` copies the clip once into the input that the graph is given every time, and blocks until
/// the graph is done. Tokens and answers are written where they stay: once every slot was used, a
/// clip takes no memory but what ONNX Runtime takes inside. Tokens stay on the GPU for CUDA and
/// TensorRT.
pub struct OrtEngine {
    slots: Vec<Option<Bound>>,
    allocator: Allocator,
    library: Library,
    dir: PathBuf,
    variant: String,
    precision: Precision,
    options: EngineOptions,
    nodes: Assignments,
    notes: Vec<String>,
    passed: Passed,
    encoder: Option<Session>,
    encoder_file: String,
    heads: Vec<HeadGraph>,
    head_files: BTreeMap<GraphKey, String>,
    plan: Plan,
    /// Values that each head gives.
    head_values: BTreeMap<String, usize>,
    rows: Tensor<f32>,
    ids: Tensor<i64>,
    /// Inputs for kept tokens, as many as were last asked for.
    kept: Option<(Tensor<f32>, Tensor<i64>)>,
    dim: usize,
    tokens_per_tubelet: usize,
    tubelets: usize,
    row: usize,
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
        affinity::check(&options.cpus).map_err(|message| OpenError::Cpus { message })?;
        let _there = Affinity::of(&options.cpus);
        let mut nodes = BTreeMap::new();
        let plan = Plan::new(package, variant, files, &options)?;
        let mut notes: Vec<String> = Vec::new();
        let mut open = |path: &Path| {
            let opened = graph(library, path, precision, &options, &plan, &mut nodes)?;
            notes.extend(opened.1);
            Ok(opened.0)
        };
        let mut head_files = BTreeMap::new();
        for (name, graphs) in &files.heads {
            for (inputs, file) in graphs {
                head_files.insert((name.clone(), inputs.clone()), file.clone());
            }
        }
        let path = package.dir.join(&files.encoder);
        let encoder = open(&path)?;
        check_encoder(&encoder, sizes).map_err(|message| OpenError::Graph { message, path })?;
        let mut heads = Vec::new();
        let values = |(name, head): (&String, &Head)| (name.clone(), heads::values(head));
        let head_values: BTreeMap<String, usize> = declared.iter().map(values).collect();
        let live = declared.iter().filter(|_| !options.small_memory);
        for (name, head) in live {
            let key = (name.clone(), head.segments.to_string());
            if let Some(file) = head_files.get(&key) {
                let path = package.dir.join(file);
                let graph = open(&path)?;
                let wrong = |message| OpenError::Graph { message, path };
                let checked = heads::check(&graph, head, sizes);
                let values = heads::values(head);
                let bound = checked.and_then(|()| HeadGraph::new(key, graph, values));
                heads.push(bound.map_err(wrong)?);
            }
        }
        let input = |e: ort::Error| OpenError::Graph {
            message: e.to_string(),
            path: package.dir.join(&files.encoder),
        };
        let (tokens, row) = (sizes.tokens(), sizes.row());
        let rows = Tensor::from_array(([1, tokens, row], vec![0.0f32; tokens * row]));
        let ids: Vec<i64> = (0..tokens as i64).collect();
        let allocator = bound::tokens_allocator(provider, &encoder).map_err(input)?;
        Ok(Self {
            library: library.clone(),
            dir: package.dir.clone(),
            variant: variant.to_owned(),
            precision,
            options,
            nodes,
            notes,
            passed: Passed::default(),
            encoder: Some(encoder),
            encoder_file: files.encoder.clone(),
            heads,
            head_files,
            plan,
            head_values,
            rows: rows.map_err(input)?,
            ids: Tensor::from_array(([tokens], ids)).map_err(input)?,
            kept: None,
            allocator,
            dim: sizes.dim,
            tokens_per_tubelet: sizes.tokens_per_tubelet(),
            tubelets: sizes.tubelets(),
            row,
            slots: (0..=SPARE).map(|_| None).collect(),
        })
    }

    /// Index of a head's graph, which is loaded if it is not.
    fn head_graph(&mut self, name: &str, key: Key<'_>) -> Result<usize, EngineError> {
        if let Some(at) = self.heads.iter().position(|h| h.is(name, key)) {
            return Ok(at);
        }
        let key = (name.to_owned(), key.to_string());
        let failed = |message: String| EngineError::Failed {
            what: format!("head {} with {} clip(s)", key.0, key.1),
            message,
        };
        let file = self
            .head_files
            .get(&key)
            .ok_or_else(|| failed("the package has no such graph".to_owned()))?;
        let path = self.dir.join(file);
        if self.options.small_memory {
            self.encoder = None;
            self.heads.clear();
        }
        let loaded = self.open_graph(&path).map_err(|e| failed(e.to_string()))?;
        let values = self.head_values.get(name).copied().unwrap_or_default();
        let head = HeadGraph::new(key.clone(), loaded, values).map_err(failed)?;
        self.heads.push(head);
        Ok(self.heads.len() - 1)
    }

    /// Loads the encoder again where a head has taken its place.
    fn load_encoder(&mut self) -> Result<(), EngineError> {
        if self.encoder.is_some() {
            return Ok(());
        }
        self.heads.clear();
        let path = self.dir.join(&self.encoder_file);
        self.encoder = Some(self.open_graph(&path).map_err(|e| EngineError::Failed {
            what: "encoder".to_owned(),
            message: e.to_string(),
        })?);
        Ok(())
    }

    fn open_graph(&mut self, path: &Path) -> Result<Session, OpenError> {
        let (precision, options) = (self.precision, &self.options);
        let (library, plan) = (&self.library, &self.plan);
        let opened = graph(library, path, precision, options, plan, &mut self.nodes)?;
        self.notes.extend(opened.1);
        Ok(opened.0)
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
        self.heads.iter().map(|head| head.key.clone()).collect()
    }

    /// Drops all tokens, and the head graphs that are not among `kept`.
    pub(crate) fn forget(&mut self, kept: &BTreeSet<GraphKey>) {
        self.slots.fill_with(|| None);
        self.heads.retain(|head| kept.contains(&head.key));
    }

    /// Adds why providers before this one do not serve.
    pub fn noting(mut self, notes: Vec<String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// Keeps how the parity gate was passed, for `info`.
    pub(crate) fn proven(mut self, passed: &Passed) -> Self {
        self.passed = passed.clone();
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
        name: &str,
        key: Key<'_>,
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let _there = Affinity::of(&self.options.cpus);
        out.clear();
        let at = self.head_graph(name, key)?;
        let Some(head) = self.heads.get_mut(at) else {
            return Err(EngineError::Failed {
                what: name.to_owned(),
                message: "no graph".to_owned(),
            });
        };
        let held = |&slot: &usize| filled(&self.slots, slot);
        let (session, answer) = (&mut head.session, &mut head.answer);
        let ran = match *slots {
            [one] => bound::run_on(session, &[held(&one)?], answer),
            [one, two] => bound::run_on(session, &[held(&one)?, held(&two)?], answer),
            _ => {
                let inputs: Result<Vec<_>, _> = slots.iter().map(held).collect();
                bound::run_on(session, &inputs?, answer)
            }
        };
        ran.map_err(failed(name))?;
        if let Some(answer) = answer.tensor() {
            out.extend_from_slice(answer.extract_tensor().1);
        }
        Ok(())
    }

    /// Empties `slot` and makes its memory fit `tokens`.
    fn take_slot(&mut self, slot: usize, tokens: usize) -> Result<(), EngineError> {
        let target = self
            .slots
            .get_mut(slot)
            .ok_or(EngineError::EmptySlot { slot })?;
        let shape = [1, tokens, self.dim];
        match target {
            Some(held) if held.is(&shape) => held.clear(),
            _ => {
                *target = None;
                let made = Bound::new("tokens", &shape, &self.allocator);
                *target = Some(made.map_err(failed("encoder"))?);
            }
        }
        Ok(())
    }

    /// Runs the encoder on the whole clip in `rows`, or on the kept tokens, into `slot`.
    fn run_encoder(&mut self, kept: bool, slot: usize) -> Result<(), EngineError> {
        let _there = Affinity::of(&self.options.cpus);
        self.load_encoder()?;
        let Some(encoder) = self.encoder.as_mut() else {
            return Err(EngineError::Failed {
                what: "encoder".to_owned(),
                message: "no graph".to_owned(),
            });
        };
        let inputs = match &self.kept {
            Some((rows, ids)) if kept => (rows, ids),
            _ => (&self.rows, &self.ids),
        };
        let target = self.slots.get_mut(slot).and_then(Option::as_mut);
        let target = target.ok_or(EngineError::EmptySlot { slot })?;
        target
            .run(encoder, ort::inputs![inputs.0, inputs.1])
            .map_err(failed("encoder"))
    }
}

/// One of the slots that may be read.
fn readable(slot: usize) -> Result<usize, EngineError> {
    match slot < SLOTS {
        true => Ok(slot),
        false => Err(EngineError::EmptySlot { slot }),
    }
}

fn filled(slots: &[Option<Bound>], slot: usize) -> Result<&Tensor<f32>, EngineError> {
    let held = slots.get(readable(slot)?).and_then(Option::as_ref);
    held.and_then(Bound::tensor)
        .ok_or(EngineError::EmptySlot { slot })
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

fn failed(what: &str) -> impl Fn(ort::Error) -> EngineError {
    move |e| EngineError::Failed {
        what: what.to_owned(),
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
            gate: (!self.passed.words.is_empty()).then(|| self.passed.words.clone()),
            timings: self.passed.timings.clone(),
            coming: None,
        }
    }

    fn slots(&self) -> usize {
        SLOTS
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
        self.take_slot(readable(slot)?, self.tubelets * self.tokens_per_tubelet)?;
        let (_, rows) = self.rows.extract_tensor_mut();
        for (to, from) in rows.chunks_exact_mut(block).zip(tubelets) {
            to.copy_from_slice(from);
        }
        self.run_encoder(false, slot)
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
        self.take_slot(readable(slot)?, ids.len())?;
        let same = |(rows, _): &(Tensor<f32>, _)| rows.shape().get(1) == Some(&(ids.len() as i64));
        if !self.kept.as_ref().is_some_and(same) {
            let rows = Tensor::from_array(([1, ids.len(), self.row], vec![0.0f32; rows.len()]));
            let places = Tensor::from_array(([ids.len()], vec![0i64; ids.len()]));
            self.kept = Some((
                rows.map_err(failed("encoder"))?,
                places.map_err(failed("encoder"))?,
            ));
        }
        if let Some((given, places)) = &mut self.kept {
            given.extract_tensor_mut().1.copy_from_slice(rows);
            let places = places.extract_tensor_mut().1.iter_mut();
            places.zip(ids).for_each(|(place, &id)| *place = id as i64);
        }
        self.run_encoder(true, slot)
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.run_head(name, Key::Segments(slots.len()), slots, out)
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
        self.run_head(name, Key::Places(places), slots, out)
    }

    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        out.clear();
        bound::read(filled(&self.slots, slot)?, out).map_err(failed("tokens"))
    }

    fn keep_warm(&mut self) -> Result<bool, EngineError> {
        self.take_slot(SPARE, self.tubelets * self.tokens_per_tubelet)?;
        self.run_encoder(false, SPARE)?;
        Ok(true)
    }
}
