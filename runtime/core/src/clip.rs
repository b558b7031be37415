//! Clips: consecutive tubelets that share their blocks.
//!
//! A tubelet's patch rows are written once, when its slots are decided, and shared by every clip
//! that covers it. A clip is a list of shared blocks; the engine copies them once into its input.

use crate::events::Segment;
use std::collections::VecDeque;
use std::sync::Arc;

/// A frame that stands for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRef {
    /// Frame number.
    pub number: u64,
    /// Capture time.
    pub capture_nanos: i64,
    /// Pass of a looped source.
    pub pass: u32,
}

/// One clip on its way to the engine and back.
#[derive(Debug)]
pub struct Clip {
    /// Clip number.
    pub number: u64,
    /// Patch rows, one block per tubelet.
    pub tubelets: Vec<Arc<Vec<f32>>>,
    /// The frames, in time order.
    pub frames: Vec<FrameRef>,
    /// The sector all frames share.
    pub sector: u32,
    /// Set by the inference thread when the encoder has run on it.
    pub inferred: bool,
}

impl Clip {
    /// The clip as evidence.
    pub fn segment(&self) -> Option<Segment> {
        segment(&self.frames, self.sector)
    }
}

/// Evidence of `frames`, which are in time order; none without a frame.
pub(crate) fn segment(frames: &[FrameRef], sector: u32) -> Option<Segment> {
    let (first, last) = (frames.first()?, frames.last()?);
    Some(Segment {
        first_frame: first.number,
        last_frame: last.number,
        first_capture_nanos: first.capture_nanos,
        last_capture_nanos: last.capture_nanos,
        sector,
        view: None,
        seam: first.pass != last.pass,
    })
}

/// One tubelet in the window.
#[derive(Debug)]
pub(crate) struct Tubelet {
    pub block: Arc<Vec<f32>>,
    /// One per frame of the tubelet; none where the slot is a gap.
    pub frames: Vec<Option<FrameRef>>,
    /// Sector of its frames, as far as there are any.
    pub sectors: Vec<u32>,
}

impl Tubelet {
    pub fn has_gap(&self) -> bool {
        self.frames.iter().any(Option::is_none)
    }
}

/// Tubelet blocks for reuse.
#[derive(Debug)]
pub(crate) struct BlockPool {
    blocks: Vec<Arc<Vec<f32>>>,
    length: usize,
}

impl BlockPool {
    pub fn new(length: usize) -> Self {
        Self {
            blocks: Vec::new(),
            length,
        }
    }

    /// A block that nobody else holds. Allocates only while more are held than ever before.
    pub fn take(&mut self) -> Arc<Vec<f32>> {
        let free = self.blocks.iter().position(|b| Arc::strong_count(b) == 1);
        match free {
            Some(at) => self.blocks.swap_remove(at),
            None => Arc::new(vec![0.0; self.length]),
        }
    }

    pub fn give_back(&mut self, block: Arc<Vec<f32>>) {
        self.blocks.push(block);
    }
}

/// The newest tubelets, as many as a clip has.
#[derive(Debug)]
pub(crate) struct Window {
    tubelets: VecDeque<Tubelet>,
    capacity: usize,
}

impl Window {
    pub fn new(capacity: usize) -> Self {
        Self {
            tubelets: VecDeque::with_capacity(capacity + 1),
            capacity,
        }
    }

    /// Adds the newest tubelet and gives back the one that leaves.
    pub fn push(&mut self, tubelet: Tubelet) -> Option<Tubelet> {
        self.tubelets.push_back(tubelet);
        (self.tubelets.len() > self.capacity)
            .then(|| self.tubelets.pop_front())
            .flatten()
    }

    pub fn pop(&mut self) -> Option<Tubelet> {
        self.tubelets.pop_front()
    }

    pub fn is_full(&self) -> bool {
        self.tubelets.len() == self.capacity
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Tubelet> {
        self.tubelets.iter()
    }
}
