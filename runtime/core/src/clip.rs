//! Clips: consecutive tubelets that share their blocks.
//!
//! A tubelet's patch rows are written once, when its slots are decided, and shared by every clip
//! that covers it. A clip is a list of shared blocks; the engine copies them once into its input.

use crate::events::{Exam, Reason, Segment};
use crate::frame::FrameMeta;
use crate::pulse::Heart;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// A frame that stands for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRef {
    /// Frame number.
    pub number: u64,
    /// Capture time.
    pub capture_nanos: i64,
    /// Pass of a looped source.
    pub pass: u32,
    /// The host's own number.
    pub host_frame: Option<u64>,
    /// Why no value may come of it, if so.
    pub unfit: Option<Reason>,
    /// True when its source is a simulated heart.
    pub simulated: bool,
}

impl FrameRef {
    /// What a clip keeps of a frame.
    pub fn new(number: u64, meta: &FrameMeta) -> Self {
        Self {
            number,
            capture_nanos: meta.capture_nanos,
            pass: meta.pass,
            host_frame: meta.host.frame_id,
            unfit: unfit_by_host(meta.host.colour_on, meta.host.frozen),
            simulated: false,
        }
    }
}

/// Why no value may come of a frame by what the host says of it.
pub(crate) fn unfit_by_host(colour_on: bool, frozen: bool) -> Option<Reason> {
    if colour_on {
        Some(Reason::ColourOn)
    } else {
        frozen.then_some(Reason::Frozen)
    }
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
    /// The exam all frames belong to.
    pub exam: Exam,
    /// Rises with every interruption of what its frames show; readings of two are not combined.
    pub stretch: u64,
    /// Frames per second that the source gave around the last frame, as far as is known.
    pub source_fps: Option<f64>,
    /// What was known of the heartbeat at the last frame.
    pub heart: Option<Heart>,
    /// Numbers of the patches of each tubelet that say something, ascending; none where that is not
    /// known or all of them are wanted.
    pub kept: Option<Arc<[u32]>>,
    /// When the clip was whole.
    pub formed: Instant,
    /// Set by the inference thread when the encoder has run on it.
    pub inferred: bool,
}

impl Clip {
    /// The clip as evidence.
    pub fn segment(&self) -> Option<Segment> {
        segment(&self.frames, self.sector, self.exam)
    }
}

/// Evidence of `frames`, which are in time order; none without a frame.
pub(crate) fn segment(frames: &[FrameRef], sector: u32, exam: Exam) -> Option<Segment> {
    let (first, last) = (frames.first()?, frames.last()?);
    Some(Segment {
        first_frame: first.number,
        last_frame: last.number,
        first_capture_nanos: first.capture_nanos,
        last_capture_nanos: last.capture_nanos,
        sector,
        view: None,
        seam: first.pass != last.pass,
        first_host_frame: first.host_frame,
        last_host_frame: last.host_frame,
        exam,
    })
}

/// One tubelet in the window.
#[derive(Debug)]
pub(crate) struct Tubelet {
    /// Its patch rows, for each of the session's packages.
    pub blocks: Vec<Arc<Vec<f32>>>,
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

/// Tubelets for reuse.
#[derive(Debug)]
pub(crate) struct TubeletPool {
    tubelets: Vec<Tubelet>,
    lengths: Vec<usize>,
    frames: usize,
    made: usize,
}

impl TubeletPool {
    /// Tubelets with a block of each of `lengths` values, for `frames` frames.
    pub fn new(lengths: Vec<usize>, frames: usize) -> Self {
        Self {
            tubelets: Vec::new(),
            lengths,
            frames,
            made: 0,
        }
    }

    /// An empty tubelet whose blocks nobody else holds. Allocates only while more are held than
    /// ever before.
    pub fn take(&mut self) -> Tubelet {
        let alone = |t: &Tubelet| t.blocks.iter().all(|b| Arc::strong_count(b) == 1);
        if let Some(at) = self.tubelets.iter().position(alone) {
            let mut tubelet = self.tubelets.swap_remove(at);
            tubelet.frames.clear();
            tubelet.sectors.clear();
            return tubelet;
        }
        self.made += 1;
        Tubelet {
            blocks: self
                .lengths
                .iter()
                .map(|length| Arc::new(vec![0.0; *length]))
                .collect(),
            frames: Vec::with_capacity(self.frames),
            sectors: Vec::with_capacity(self.frames),
        }
    }

    pub fn give_back(&mut self, tubelet: Tubelet) {
        self.tubelets.push(tubelet);
    }

    /// Bytes of all blocks made so far.
    pub fn made_bytes(&self) -> u64 {
        let values: usize = self.lengths.iter().sum();
        (self.made * values * size_of::<f32>()) as u64
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
