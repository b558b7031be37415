//! What the recorder holds in memory: whole chunks, oldest first, within a budget.

use super::file::{self, Kind};
use super::record::{Header, Record};
use crate::events::Estimate;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a chunk takes beside its bytes.
const OVERHEAD_BYTES: usize = 128;
/// Clips remembered as candidates for the best one.
const CANDIDATES: usize = 256;

/// One chunk, counted for as long as anybody holds it.
struct Chunk {
    /// Its place in the order of all chunks.
    place: u64,
    /// Of an image: its frame's number.
    frame: Option<u64>,
    bytes: Vec<u8>,
    held_bytes: Arc<AtomicUsize>,
}

impl Chunk {
    fn weight(&self) -> usize {
        self.bytes.capacity() + OVERHEAD_BYTES
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.held_bytes.fetch_sub(self.weight(), Ordering::Relaxed);
    }
}

/// Chunks of one kind within a budget.
struct Shelf {
    chunks: VecDeque<Arc<Chunk>>,
    budget_bytes: usize,
    held_bytes: Arc<AtomicUsize>,
}

impl Shelf {
    fn new(budget_bytes: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            budget_bytes,
            held_bytes: Arc::default(),
        }
    }

    /// Puts a chunk on the shelf; the oldest make room. False where they cannot, because a file is
    /// being written of them.
    fn put(&mut self, place: u64, frame: Option<u64>, bytes: Vec<u8>) -> bool {
        let weight = bytes.capacity() + OVERHEAD_BYTES;
        while self.held() + weight > self.budget_bytes {
            match self.chunks.front() {
                Some(oldest) if Arc::strong_count(oldest) == 1 => drop(self.chunks.pop_front()),
                _ => return false,
            }
        }
        self.held_bytes.fetch_add(weight, Ordering::Relaxed);
        self.chunks.push_back(Arc::new(Chunk {
            place,
            frame,
            bytes,
            held_bytes: self.held_bytes.clone(),
        }));
        true
    }

    fn held(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

/// A clip that may be the best one of the exam.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Clip number.
    pub clip: u64,
    /// Its first frame.
    pub first_frame: u64,
    /// Its last frame.
    pub last_frame: u64,
    /// Its view label.
    pub view: String,
    /// Probability of that label.
    pub probability: f32,
    /// EF in percent, where one was shown with it.
    pub percent: Option<f32>,
}

impl Candidate {
    fn new(estimate: &Estimate) -> Option<Self> {
        let view = estimate.view.value.as_ref()?;
        let segment = estimate.view.evidence.segments.last()?;
        let most = view.probabilities.iter().copied().fold(0.0, f32::max);
        estimate.raw.as_ref()?;
        Some(Self {
            clip: estimate.clip,
            first_frame: segment.first_frame,
            last_frame: segment.last_frame,
            view: view.label.clone(),
            probability: most,
            percent: estimate.lvef.value.as_ref().map(|v| v.percent),
        })
    }
}

/// Everything the recorder holds of one exam.
pub(super) struct Store {
    records: Shelf,
    images: Shelf,
    candidates: VecDeque<Candidate>,
    place: u64,
    lost: u64,
}

impl Store {
    /// One eighth of the budget is for records, the rest for images.
    pub fn new(budget_bytes: usize) -> Self {
        Self {
            records: Shelf::new(budget_bytes / 8),
            images: Shelf::new(budget_bytes - budget_bytes / 8),
            candidates: VecDeque::new(),
            place: 0,
            lost: 0,
        }
    }

    /// Changes the budget; what is beyond it goes when the next chunk comes.
    pub fn set_budget(&mut self, budget_bytes: usize) {
        self.records.budget_bytes = budget_bytes / 8;
        self.images.budget_bytes = budget_bytes - budget_bytes / 8;
    }

    /// Forgets everything.
    pub fn erase(&mut self) {
        self.records.chunks.clear();
        self.images.chunks.clear();
        self.candidates.clear();
        self.lost = 0;
    }

    /// Keeps a record; `lost` says how many before it never came.
    pub fn record(&mut self, record: &Record, lost: u64) {
        self.lost += lost;
        if self.lost > 0 {
            let gap = Record::Lost { records: self.lost };
            if !self.put(&gap) {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if let Record::Sent(estimate) = record {
            if self.candidates.len() == CANDIDATES {
                self.candidates.pop_front();
            }
            self.candidates.extend(Candidate::new(estimate));
        }
        if !self.put(record) {
            self.lost += 1;
        }
    }

    fn put(&mut self, record: &Record) -> bool {
        let Ok(payload) = serde_json::to_vec(record) else {
            return false;
        };
        self.place += 1;
        let bytes = file::chunk(Kind::Record, &payload);
        self.records.put(self.place, None, bytes)
    }

    /// Keeps an image. False where there is no room.
    pub fn image(&mut self, number: u64, payload: &[u8]) -> bool {
        self.place += 1;
        let bytes = file::chunk(Kind::Image, payload);
        self.images.put(self.place, Some(number), bytes)
    }

    /// Bytes held, those of files being written included.
    pub fn held_bytes(&self) -> usize {
        self.records.held() + self.images.held()
    }

    /// Everything held, in order.
    pub fn snapshot(&self, header: Header) -> Snapshot {
        let both = self.records.chunks.iter().chain(&self.images.chunks);
        let mut chunks: Vec<Arc<Chunk>> = both.cloned().collect();
        chunks.sort_unstable_by_key(|c| c.place);
        Snapshot { header, chunks }
    }

    /// Of the clips whose `frames` frames are all held: one with an EF before one without, then
    /// the one with the most certain view, then the newest.
    pub fn best(&self, frames: usize) -> Option<(Candidate, Vec<StoredImage>)> {
        let within = |c: &Candidate| {
            let range = c.first_frame..=c.last_frame;
            let inside = move |i: &&Arc<Chunk>| i.frame.is_some_and(|f| range.contains(&f));
            self.images.chunks.iter().filter(inside)
        };
        let whole = self
            .candidates
            .iter()
            .filter(|c| within(c).count() == frames);
        let best = whole.max_by(|a, b| {
            let percent = a.percent.is_some().cmp(&b.percent.is_some());
            percent.then(a.probability.total_cmp(&b.probability))
        })?;
        let images = within(best).cloned().map(StoredImage).collect();
        Some((best.clone(), images))
    }
}

/// One image held in memory, not decoded yet.
pub struct StoredImage(Arc<Chunk>);

impl StoredImage {
    /// The frame, black outside the sector.
    ///
    /// # Errors
    /// What is wrong with it; nothing should be.
    pub fn decode(&self) -> Result<super::Image, String> {
        file::decode_image(&self.0.bytes)
    }
}

/// What the recorder held at one instant.
pub struct Snapshot {
    header: Header,
    chunks: Vec<Arc<Chunk>>,
}

impl Snapshot {
    /// Number of the exam it is of.
    pub fn exam(&self) -> u64 {
        self.header.exam
    }

    /// Writes the recording. The memory is given free as it is written.
    ///
    /// # Errors
    /// Whatever the sink gives.
    pub fn write(self, sink: &mut impl Write) -> io::Result<Saved> {
        file::begin(sink, &self.header)?;
        let mut saved = Saved::default();
        for chunk in self.chunks {
            sink.write_all(&chunk.bytes)?;
            match chunk.frame {
                Some(_) => saved.images += 1,
                None => saved.records += 1,
            }
        }
        sink.write_all(&file::chunk(Kind::End, &[]))?;
        sink.flush()?;
        Ok(saved)
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Saved {
    /// Records.
    pub records: usize,
    /// Frames.
    pub images: usize,
}
