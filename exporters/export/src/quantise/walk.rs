//! A graph walked block by block: every clip through one block, then every clip through the next.
//!
//! Between two blocks only the boundary value of each clip is held, so memory grows with the number
//! of clips and not with the depth.

use super::runner::{GraphRunner, Input, LoadedGraph, Output};
use crate::error::ExportError;
use crate::variant::Model;
use std::sync::Arc;

/// Norms with this end of their name stand at the beginning of a block.
const FIRST_NORM: &str = ".norm1";

/// Values of one graph input for one clip.
#[derive(Debug, Clone)]
pub(super) enum Feed {
    /// Floats, shared.
    Floats(Vec<usize>, Arc<Vec<f32>>),
    /// Integers, shared.
    Integers(Vec<usize>, Arc<Vec<i64>>),
}

impl Feed {
    fn input(&self) -> Input<'_> {
        match self {
            Self::Floats(shape, values) => Input::Floats { shape, values },
            Self::Integers(shape, values) => Input::Integers { shape, values },
        }
    }
}

/// The values one clip gives a graph or a part of it, by name.
pub(super) type Feeds = Vec<(String, Feed)>;

/// A part of a graph between two boundaries.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// What people call it: `blocks.3`, or `embedding`.
    pub name: String,
    /// Value it begins with; none for the part that begins with the graph's inputs.
    pub input: Option<String>,
    /// Value it ends with.
    pub output: String,
}

impl Segment {
    /// The part as a graph that also gives `taps`.
    pub fn model(&self, whole: &Model, taps: &[&str]) -> Result<Model, ExportError> {
        let inputs: Vec<&str> = self.input.iter().map(String::as_str).collect();
        let mut outputs = vec![self.output.as_str()];
        outputs.extend(taps.iter().filter(|tap| !inputs.contains(tap)));
        whole.subgraph(&inputs, &outputs)
    }
}

/// Cuts a graph before each block.
pub(super) fn segments(model: &Model) -> Vec<Segment> {
    let norms = model.norms();
    let starts: Vec<(&str, &str)> = norms
        .iter()
        .filter_map(|norm| Some((norm.name.strip_suffix(FIRST_NORM)?, norm.input.as_str())))
        .collect();
    let end = model.outputs().first().copied().unwrap_or_default();
    let ends = starts.iter().skip(1).map(|(_, input)| *input).chain([end]);
    let mut segments = Vec::new();
    let first = starts.first().map_or(end, |(_, input)| *input);
    segments.push(Segment {
        name: "embedding".to_owned(),
        input: None,
        output: first.to_owned(),
    });
    segments.extend(
        starts
            .iter()
            .zip(ends)
            .map(|((name, input), output)| Segment {
                name: (*name).to_owned(),
                input: Some((*input).to_owned()),
                output: output.to_owned(),
            }),
    );
    segments
}

pub(super) fn engine(message: String) -> ExportError {
    ExportError::Engine { message }
}

/// Loads a model whose weights lie in files.
pub(super) fn load(
    runner: &mut dyn GraphRunner,
    model: &Model,
) -> Result<Box<dyn LoadedGraph>, ExportError> {
    runner.load(&model.whole_bytes()?).map_err(engine)
}

/// Runs `graph` on those of `feeds` that `model` has as inputs.
pub(super) fn run(
    graph: &mut dyn LoadedGraph,
    model: &Model,
    feeds: &Feeds,
) -> Result<Vec<Output>, ExportError> {
    let inputs: Vec<(&str, Input<'_>)> = model
        .inputs()
        .into_iter()
        .filter_map(|name| {
            let feed = feeds.iter().find(|(own, _)| own == name)?;
            Some((name, feed.1.input()))
        })
        .collect();
    graph.run(&inputs).map_err(engine)
}

/// Takes the output `name` out of `outputs`.
pub(super) fn take(outputs: &mut Vec<Output>, name: &str) -> Result<Output, ExportError> {
    let at = outputs.iter().position(|output| output.name == name);
    let at = at.ok_or_else(|| engine(format!("the graph gave no value {name}")))?;
    Ok(outputs.swap_remove(at))
}
