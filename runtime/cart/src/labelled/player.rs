//! One recording through the live path, in virtual time.

use super::recorder::{Lent, Record};
use super::tensors::TensorFile;
use crate::exit::{Because, Cause, Failure};
use crate::run::traits;
use crossbeam_channel::Receiver;
use echocart_capture::{OpenOptions, SourceInfo};
use echocart_core::clock::Pace;
use echocart_core::config::CartConfig;
use echocart_core::engine::{Engine, EngineInfo};
use echocart_core::events::{
    Estimate, Event, LvefValue, Output, Reason, Segment, State, StateKind, TokenCount, ViewValue,
};
use echocart_core::grid::{Candidate, Grid, Verdict};
use echocart_core::kept::Kept;
use echocart_core::manifest::Manifest;
use echocart_core::package::Package;
use echocart_core::ring::{FrameProducer, Pushed};
use echocart_core::session::{Session, SessionSetup};
use echocart_core::signature::Signed;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Pause while the ring is full.
const ROOM: Duration = Duration::from_micros(300);
/// How often waiting for the last clip looks at the stop flag.
const POLL: Duration = Duration::from_millis(5);
/// Events between two looks at the queue: more than one frame can cause.
const EVENT_QUEUE: usize = 65_536;

/// Plays recordings through one engine.
pub struct Player {
    manifest: Manifest,
    package: String,
    signed: Signed,
    config: CartConfig,
    engine: Lent,
    options: OpenOptions,
    kept: Kept,
    stop: Arc<AtomicBool>,
}

/// What became of one recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// At least one clip was inferred.
    Played(Played),
    /// None was, for this reason.
    Skipped(String),
}

/// What one recording gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// What the source says about itself.
    pub source: SourceInfo,
    /// Frames it has.
    pub frames: usize,
    /// Its inferred clips in order.
    pub clips: Vec<PlayedClip>,
    /// Clips that were not, by reason.
    pub refused: BTreeMap<Reason, usize>,
}

/// One inferred clip.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayedClip {
    /// Frames of the clip as evidence.
    pub segment: Segment,
    /// Numbers and capture times of its frames.
    pub frames: Vec<Candidate>,
    /// What the heads gave, before the pipeline judged.
    pub record: Record,
    /// Standardised EF of the pipeline's own clips; none where it did not ask for one.
    pub lvef_z: Option<f32>,
    /// How many tokens the encoder was given; none where all.
    pub tokens: Option<TokenCount>,
    /// The view as a reader was told.
    pub view: Output<ViewValue>,
    /// The ejection fraction as a reader was told.
    pub lvef: Output<LvefValue>,
}

impl Player {
    pub fn new(
        package: &Package,
        config: CartConfig,
        engine: Box<dyn Engine>,
        assume_fps: Option<f64>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let mut config = config;
        config.pipeline.event_queue = EVENT_QUEUE;
        Self {
            manifest: package.manifest.clone(),
            package: package.name(),
            signed: package.signed,
            config,
            engine: Lent::new(engine, &package.manifest),
            options: OpenOptions { assume_fps },
            kept: Kept::AsAllowed,
            stop,
        }
    }

    /// Has every played clip hold its tokens.
    pub fn keep_tokens(&self) {
        self.engine.keep_tokens();
    }

    /// Whether patches outside the imaging area are left out from now on, whatever the package allows.
    pub fn fewer(&mut self, fewer: bool) {
        self.manifest.kept_tokens.clear();
        self.kept = match fewer {
            true => Kept::Forced,
            false => Kept::AsAllowed,
        };
    }

    /// What runs.
    pub fn engine_info(&self) -> EngineInfo {
        self.engine.info()
    }

    /// Longest time between the two clips of one ejection fraction.
    pub fn max_segment_gap_nanos(&self) -> i64 {
        i64::try_from(self.config.pipeline.max_segment_gap_millis)
            .map_or(i64::MAX, |ms| ms.saturating_mul(1_000_000))
    }

    /// Plays one recording; after a stop the answer means nothing and clips may be in inference.
    ///
    /// `tick` is called again and again meanwhile.
    pub fn play(
        &mut self,
        path: &Path,
        tensors: &mut Option<TensorFile>,
        tick: &mut dyn FnMut(),
    ) -> Result<Outcome, Failure> {
        let Some(path) = path.to_str() else {
            return Ok(Outcome::Skipped("its path is no UTF-8".to_owned()));
        };
        let mut source = match echocart_capture::open(path, &self.options) {
            Ok(source) => source,
            Err(error) => return Ok(Outcome::Skipped(error.to_string())),
        };
        let info = source.describe();
        self.engine.begin(tensors.take());
        let (mut session, mut producer, receiver) = Session::start(SessionSetup {
            manifest: self.manifest.clone(),
            package: self.package.clone(),
            signed: self.signed,
            config: self.config.clone(),
            engine: Box::new(self.engine.clone()),
            pace: Pace::Max,
            kept: self.kept,
            guide: None,
        })
        .because(Cause::Package)?;

        producer.declare(traits(&info));
        let mut events = Vec::new();
        let mut frames = Vec::new();
        let mut pixels = Vec::new();
        let mut failed = None;
        loop {
            let meta = match source.next(&mut pixels) {
                Ok(Some(meta)) => meta,
                Ok(None) => break,
                Err(error) => {
                    failed = Some(error.to_string());
                    break;
                }
            };
            match self.offer(
                &mut producer,
                meta,
                &mut pixels,
                &receiver,
                &mut events,
                tick,
            ) {
                Ok(Pushed::RingFull) => return Ok(Outcome::Skipped("stopped".to_owned())),
                Ok(_) => frames.push(Candidate {
                    number: frames.len() as u64,
                    capture_nanos: meta.capture_nanos,
                }),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        drop(producer);
        while !session.wait_finished(POLL) {
            events.extend(receiver.try_iter());
            tick();
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Skipped("stopped".to_owned()));
            }
        }
        session.stop();
        events.extend(receiver.try_iter());
        let (records, given_back) = self.engine.end();
        *tensors = given_back;
        if let Some(error) = failed {
            return Ok(Outcome::Skipped(error));
        }
        self.gather(info, &frames, events, records)
    }

    /// RING_FULL is the answer only after a stop.
    fn offer(
        &self,
        producer: &mut FrameProducer,
        meta: echocart_core::frame::FrameMeta,
        pixels: &mut Vec<u8>,
        receiver: &Receiver<Event>,
        events: &mut Vec<Event>,
        tick: &mut dyn FnMut(),
    ) -> Result<Pushed, String> {
        loop {
            let swap = |pooled: &mut Vec<u8>| std::mem::swap(pooled, pixels);
            let pushed = producer.offer(meta, swap).map_err(|e| e.to_string())?;
            events.extend(receiver.try_iter());
            if pushed != Pushed::RingFull || self.stop.load(Ordering::Relaxed) {
                return Ok(pushed);
            }
            tick();
            std::thread::sleep(ROOM);
        }
    }

    fn gather(
        &self,
        source: SourceInfo,
        frames: &[Candidate],
        events: Vec<Event>,
        records: Vec<Record>,
    ) -> Result<Outcome, Failure> {
        let chosen = self.chosen(frames);
        let mut records = records.into_iter();
        let mut clips = Vec::new();
        let mut refused: BTreeMap<Reason, usize> = BTreeMap::new();
        let mut told = String::new();
        for event in events {
            match event {
                Event::State(state) => self.state(*state, &source.name, &mut told)?,
                Event::Summary(_) => {}
                Event::Estimate(estimate) if estimate.raw.is_none() => {
                    if let Some(reason) = estimate.view.reason {
                        *refused.entry(reason).or_default() += 1;
                    }
                }
                Event::Estimate(estimate) => {
                    let clip = records.next().and_then(|record| {
                        clip(*estimate, record, &chosen, self.manifest.encoder.frames)
                    });
                    clips.push(clip.ok_or_else(|| self.lost(&source.name))?);
                }
            }
        }
        if records.next().is_some() {
            return Err(self.lost(&source.name));
        }
        if clips.is_empty() {
            return Ok(Outcome::Skipped(self.why_none(frames, &refused, &told)));
        }
        Ok(Outcome::Played(Played {
            source,
            frames: frames.len(),
            clips,
            refused,
        }))
    }

    fn state(&self, state: State, name: &str, told: &mut String) -> Result<(), Failure> {
        match state.state {
            StateKind::EngineDown => {
                let text = format!("engine failed: {} ({name})", state.detail);
                Err(Failure::text(Cause::Package, text))
            }
            StateKind::SectorChanged => {
                *told = state.detail;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lost(&self, name: &str) -> Failure {
        let text =
            format!("expected one estimate per inferred clip, found another number ({name})");
        Failure::text(Cause::Other, text)
    }

    /// The frames that stand for slots, as the pipeline chooses them.
    fn chosen(&self, frames: &[Candidate]) -> Vec<Candidate> {
        let mut grid = Grid::new(&self.manifest.sampling, self.manifest.encoder.frames);
        let mut verdicts = Vec::new();
        for frame in frames {
            grid.frame(*frame, &mut verdicts);
        }
        grid.finish(&mut verdicts);
        let chosen = |verdict: &Verdict| match verdict {
            Verdict::Chosen(candidate) => Some(*candidate),
            _ => None,
        };
        verdicts.iter().filter_map(chosen).collect()
    }

    fn why_none(
        &self,
        frames: &[Candidate],
        refused: &BTreeMap<Reason, usize>,
        told: &str,
    ) -> String {
        if !told.is_empty() {
            return told.to_owned();
        }
        let span = |frames: &[Candidate]| match (frames.first(), frames.last()) {
            (Some(first), Some(last)) => (last.capture_nanos - first.capture_nanos) as f64 / 1e9,
            _ => 0.0,
        };
        let sampling = &self.manifest.sampling;
        let clip = (self.manifest.encoder.frames - 1) as f64 / sampling.rate_hz;
        let there = span(frames);
        if refused.is_empty() || there + sampling.max_skew_millis / 1e3 < clip {
            return format!(
                "too short: expected {clip} s for one clip, found {there:.3} s, {} frames",
                frames.len()
            );
        }
        let words: Vec<String> = refused
            .iter()
            .map(|(reason, count)| format!("{} x {count}", super::word(reason)))
            .collect();
        format!("no clip could be formed: {}", words.join(", "))
    }
}

/// The clip of an estimate; none where its frames cannot be told.
fn clip(
    estimate: Estimate,
    record: Record,
    chosen: &[Candidate],
    frames: usize,
) -> Option<PlayedClip> {
    let segment = estimate.view.evidence.segments.last()?.clone();
    let range = segment.first_frame..=segment.last_frame;
    let own: Vec<Candidate> = chosen
        .iter()
        .filter(|c| range.contains(&c.number))
        .copied()
        .collect();
    (own.len() == frames).then_some(PlayedClip {
        segment,
        frames: own,
        record,
        lvef_z: estimate.raw.and_then(|raw| raw.lvef?.first().copied()),
        tokens: estimate.tokens,
        view: estimate.view,
        lvef: estimate.lvef,
    })
}
