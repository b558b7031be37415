//! A head's graph and where its answer goes.

use crate::bound::Bound;
use crate::engine::GraphKey;
use crate::signature::{self, Wanted};
use echocart_core::manifest::{Encoder, Head, HeadOutput, Slots};
use ort::memory::Allocator;
use ort::session::Session;
use std::fmt;

/// Which graph of a head.
#[derive(Clone, Copy)]
pub(crate) enum Key<'a> {
    /// For so many clips.
    Segments(usize),
    /// For clips in these places.
    Places(&'a [usize]),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segments(segments) => write!(f, "{segments}"),
            Self::Places(places) => f.write_str(&Slots::key(places)),
        }
    }
}

/// A head's graph for a number of clips or a set of places, and where its answer goes.
pub(crate) struct HeadGraph {
    pub key: GraphKey,
    pub session: Session,
    pub answer: Bound,
    /// None for a multi-view head.
    segments: Option<usize>,
}

impl HeadGraph {
    /// Takes memory for an answer of so many values.
    pub fn new(key: GraphKey, session: Session, values: usize) -> Result<Self, String> {
        for (at, input) in session.inputs().iter().enumerate() {
            let (expected, found) = (format!("tokens_{at}"), input.name());
            if expected != found {
                return Err(format!("input {at}: expected {expected}, found {found}"));
            }
        }
        let answer = Bound::new("output", &[1, values], &Allocator::default());
        Ok(Self {
            segments: key.1.parse().ok(),
            answer: answer.map_err(|e| e.to_string())?,
            key,
            session,
        })
    }

    /// Whether it is the graph for `key` of head `name`. Only a set of places takes memory for that.
    pub fn is(&self, name: &str, key: Key<'_>) -> bool {
        self.key.0 == name
            && match key {
                Key::Segments(segments) => self.segments == Some(segments),
                Key::Places(places) => self.key.1 == Slots::key(places),
            }
    }
}

/// Values that a head gives.
pub(crate) fn values(head: &Head) -> usize {
    match &head.output {
        HeadOutput::Classification { labels } => labels.len(),
        HeadOutput::Regression { .. } => 1,
    }
}

/// Compares a live head's graph with the manifest.
pub(crate) fn check(graph: &Session, head: &Head, sizes: &Encoder) -> Result<(), String> {
    let input = |i| Wanted::floats(format!("tokens_{i}"), &[Some(1), None, Some(sizes.dim)]);
    let inputs: Vec<Wanted> = (0..head.segments).map(input).collect();
    let outputs = [Wanted::floats("output", &[Some(1), Some(values(head))])];
    signature::check(graph, &inputs, &outputs)
}
