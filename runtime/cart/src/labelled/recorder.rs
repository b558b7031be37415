//! An engine that notes what passes through it.

use super::tensors::TensorFile;
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::manifest::{HeadOutput, LVEF, Manifest, VIEW};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one encoded clip led to, whatever the pipeline made of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Head output of the newest clips that share no frame, whatever view they show; none where
    /// there are not enough.
    pub lvef_z: Option<f32>,
    /// Records it was made from, oldest first.
    pub lvef_from: Vec<usize>,
    /// View logits.
    pub view: Vec<f32>,
    /// `[tokens, dim]`, where tokens are kept; else empty.
    pub tokens: Vec<f32>,
}

/// The engine, and the notes.
pub struct Recorder {
    engine: Box<dyn Engine>,
    /// Segments of the EF head, where the package has one without slots.
    segments: Option<usize>,
    records: Vec<Record>,
    held: VecDeque<Held>,
    tensors: Option<TensorFile>,
    keep_tokens: bool,
}

/// A clip whose tokens are in the engine. Its blocks are held too, so that the pipeline cannot
/// use them for other frames and equal blocks are equal frames.
struct Held {
    record: usize,
    slot: usize,
    tubelets: Vec<Arc<Vec<f32>>>,
}

/// A recorder that is lent to one session after the other.
#[derive(Clone)]
pub struct Lent(Arc<Mutex<Recorder>>);

impl Lent {
    pub fn new(engine: Box<dyn Engine>, manifest: &Manifest) -> Self {
        let head = manifest
            .heads
            .get(LVEF)
            .filter(|h| matches!(h.output, HeadOutput::Regression { .. }) && h.slots.is_none());
        Self(Arc::new(Mutex::new(Recorder {
            engine,
            segments: head.map(|h| h.segments),
            records: Vec::new(),
            held: VecDeque::new(),
            tensors: None,
            keep_tokens: false,
        })))
    }

    /// Has the notes of every clip hold its tokens.
    pub fn keep_tokens(&self) {
        self.lock().keep_tokens = true;
    }

    /// Starts new notes; tensors of the coming clips go to `tensors`.
    pub fn begin(&self, tensors: Option<TensorFile>) {
        let mut recorder = self.lock();
        recorder.records.clear();
        recorder.held.clear();
        recorder.tensors = tensors;
    }

    /// The notes since [`Lent::begin`], and the tensor file.
    pub fn end(&self) -> (Vec<Record>, Option<TensorFile>) {
        let mut recorder = self.lock();
        recorder.held.clear();
        let records = std::mem::take(&mut recorder.records);
        (records, recorder.tensors.take())
    }

    fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    fn encoded(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        let number = self.records.len();
        let mut record = Record::default();
        let shares = |h: &Held| {
            let same = |t| h.tubelets.iter().any(|other| Arc::ptr_eq(t, other));
            tubelets.iter().any(same)
        };
        let earlier = self.held.iter().rev().find(|h| !shares(h));
        let from = match (self.segments, earlier) {
            (Some(1), _) => vec![(number, slot)],
            (Some(2), Some(earlier)) => vec![(earlier.record, earlier.slot), (number, slot)],
            _ => Vec::new(),
        };
        if !from.is_empty() {
            let slots: Vec<usize> = from.iter().map(|(_, slot)| *slot).collect();
            let mut z = Vec::new();
            self.engine.head(LVEF, &slots, &mut z)?;
            record.lvef_z = z.first().copied();
            record.lvef_from = from.into_iter().map(|(record, _)| record).collect();
        }
        if let Some(tensors) = &mut self.tensors {
            let mut tokens = Vec::new();
            self.engine.tokens(slot, &mut tokens)?;
            tensors.clip(tubelets, &tokens);
        }
        if self.keep_tokens {
            self.engine.tokens(slot, &mut record.tokens)?;
        }
        self.held.push_back(Held {
            record: number,
            slot,
            tubelets: tubelets.to_vec(),
        });
        self.records.push(record);
        Ok(())
    }

    /// The EF head's output, where it has been computed for the newest clip with these slots.
    fn known(&self, name: &str, slots: &[usize]) -> Option<f32> {
        let record = self.records.last().filter(|_| name == LVEF)?;
        let slot = |r: &usize| self.held.iter().find(|h| h.record == *r).map(|h| h.slot);
        let known: Vec<usize> = record.lvef_from.iter().filter_map(slot).collect();
        (known == slots).then_some(record.lvef_z)?
    }
}

impl Engine for Lent {
    fn info(&self) -> EngineInfo {
        self.lock().engine.info()
    }

    fn slots(&self) -> usize {
        self.lock().engine.slots()
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        let mut recorder = self.lock();
        recorder.held.retain(|h| h.slot != slot);
        recorder.engine.encode(tubelets, slot)?;
        recorder.encoded(tubelets, slot)
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        let mut recorder = self.lock();
        recorder.held.retain(|h| h.slot != slot);
        recorder.engine.encode_kept(rows, ids, slot)?;
        recorder.records.push(Record::default());
        Ok(())
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        let mut recorder = self.lock();
        if let Some(z) = recorder.known(name, slots) {
            out.clear();
            out.push(z);
            return Ok(());
        }
        recorder.engine.head(name, slots, out)?;
        if name == VIEW
            && let Some(record) = recorder.records.last_mut()
        {
            record.view.clone_from(out);
        }
        Ok(())
    }

    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        self.lock().engine.multi_view_head(name, places, slots, out)
    }

    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.lock().engine.tokens(slot, out)
    }
}
